"""The cap on requests in flight: one cut a wave, a climb that refuses hardly any, and no throughput thrown away."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmfan.limits.slots import Crowding, Slot, Slots
from llmfan.limits.window import SETTLE
from llmfan.records import KnownLimit

exact = settings(max_examples=150, deadline=None, derandomize=True, database=None)


def fill(slots: Slots, n: int, now: float = 0.0) -> list[Slot]:
    entries = []
    for _ in range(n):
        assert slots.ready(now, 1) == now
        entries.append(slots.take(now, 1))
    return entries


def overload(slots: Slots, entry: Slot, now: float) -> None:
    slots.refused(entry, now, None)
    slots.settle(entry, 0.0, 0.0)


def answer(slots: Slots, entry: Slot, now: float) -> None:
    slots.accepted(entry, now)
    slots.settle(entry, 1.0, 0.0)


def test_nobody_is_held_before_anything_was_refused() -> None:
    """A server of one's own takes what it takes."""
    assert len(fill(Slots("k", None), 500)) == 500


def test_a_declared_cap_holds_from_the_start() -> None:
    """One too many is a 429."""
    slots = Slots("k", 3)
    entries = fill(slots, 3)
    assert slots.ready(0.0, 1) == SETTLE
    slots.settle(entries[0], 1, 0.0)
    assert slots.ready(0.0, 1) == 0.0


def test_a_wave_of_overloads_cuts_once() -> None:
    """Forty refusals of one moment would take a cap of 64 to nothing."""
    slots = Slots("k", None)
    entries = fill(slots, 64)
    for entry in reversed(entries):
        overload(slots, entry, 1.0)
    assert slots.limit == 51


def test_a_second_wave_cuts_again() -> None:
    """What left after the first cut and was refused too speaks for a lower one."""
    slots = Slots("k", None)
    for entry in reversed(fill(slots, 10)):
        overload(slots, entry, 1.0)
    for entry in reversed(fill(slots, 8, 2.0)):
        overload(slots, entry, 3.0)
    assert slots.limit == 6


def test_a_server_that_is_down_does_not_take_the_cap_to_one() -> None:
    """The single trial of an open circuit is refused as well; a climb from one would take minutes after an outage."""
    slots = Slots("k", None)
    for entry in reversed(fill(slots, 50)):
        overload(slots, entry, 1.0)
    for n in range(10):
        overload(slots, fill(slots, 1, 10.0 * n + 10)[0], 10.0 * n + 11)
    assert slots.limit == 40


def test_timeouts_in_a_row_are_an_overload() -> None:
    """A server buried in requests says nothing: with no cut it would time out for ever."""
    slots = Slots("k", None)
    entries = fill(slots, 20)
    slots.lost(entries[-1], 60.0)
    slots.lost(entries[-2], 60.0)
    assert slots.limit == math.inf
    slots.lost(entries[-3], 60.0)
    assert slots.limit == 14


def test_a_lost_request_now_and_then_is_no_overload() -> None:
    """A connection that breaks once an hour must not throttle."""
    slots = Slots("k", None)
    for n in range(50):
        first, second = fill(slots, 2, float(n))
        slots.lost(first, n + 0.5)
        slots.settle(first, 1, 0.0)
        answer(slots, second, n + 0.5)
    assert slots.limit == math.inf


def test_a_cap_that_is_not_used_does_not_grow() -> None:
    """Two at a time without refusal do not show that ten are allowed."""
    slots = Slots("k", 10)
    for entry in reversed(fill(slots, 10)):
        overload(slots, entry, 1.0)
    for n in range(200):
        for entry in fill(slots, 2, 2.0 + n):
            answer(slots, entry, 2.5 + n)
    assert slots.limit == 8


@exact
@given(declared=st.integers(1, 20), steps=st.lists(st.sampled_from(["send", "ok", "busy", "lost"]), max_size=200))
def test_the_cap_stays_between_one_and_what_is_declared_and_holds(declared: int, steps: list[str]) -> None:
    """At nothing it would never send again; above the declared it would be refused; a slot lost is lost for good."""
    slots, held, now = Slots("k", declared), [], 0.0
    for step in steps:
        now += 1.0
        if step == "send":
            if slots.ready(now, 1) == now:
                held.append(slots.take(now, 1))
        elif held:
            entry = held.pop(0)
            if step == "ok":
                slots.accepted(entry, now)
            elif step == "busy":
                slots.refused(entry, now, None)
            else:
                slots.lost(entry, now)
            slots.settle(entry, 1.0, 0.0)
        assert 1 <= slots.limit <= declared
        assert slots.used(now) == len(held) <= declared
    for entry in held:
        slots.settle(entry, 1.0, 0.0)
    assert slots.ready(now, 1) == now


def play(slots: Slots, server: Server, answers: int, feed: Callable[[float], int], seed: int = 0) -> tuple[float, int]:
    """Keeps as many in flight as `feed` and the cap allow; gives (seconds, refusals)."""
    rng, now, done, refused = Random(seed), 0.0, 0, 0
    events: list[tuple[float, int, Slot, float, bool]] = []
    flying, count = 0, 0
    while done < answers:
        while flying < feed(now) and slots.ready(now, 1) == now:
            entry = slots.take(now, 1)
            count, flying = count + 1, flying + 1
            tokens = rng.lognormvariate(4, 0.5)
            taken = server.start(now, tokens, rng)
            end, ok = (now + 0.05, False) if taken is None else (taken, True)
            heapq.heappush(events, (end, count, entry, tokens, ok))
        now, _, entry, tokens, ok = heapq.heappop(events)
        flying -= 1
        if ok:
            done += 1
            server.end()
            slots.accepted(entry, now)
        else:
            refused += 1
            slots.refused(entry, now, None)
        slots.settle(entry, 1.0, 0.0)
    return now, refused


class Server:
    """`desks` at once, others queue (at most `most` in all); `thrash`: each in the queue slows all by so much."""

    def __init__(self, desks: int, most: float = math.inf, thrash: float = 0.0):
        self.free, self.most, self.thrash = [0.0] * desks, most, thrash
        self.inside = 0

    def start(self, now: float, tokens: float, rng: Random) -> float | None:
        if self.inside >= self.most:
            return None
        self.inside += 1
        waiting = max(0, self.inside - len(self.free))
        begin = max(now, heapq.heappop(self.free))
        end = begin + tokens / 50 * rng.lognormvariate(0, 0.2) * (1 + self.thrash * waiting)
        heapq.heappush(self.free, end)
        return end

    def end(self) -> None:
        self.inside -= 1


def late_rush(now: float) -> int:
    """As a fleet begins: few until it has proven itself, then many."""
    return 8 if now < 30 else 200


@pytest.mark.parametrize("most", [1, 2, 5, 20])
def test_an_undeclared_cap_is_found_and_hardly_ever_passed(most: int) -> None:
    """Each refusal is an answer late; each slot not used is throughput lost."""
    slots = Slots("k", None)
    span, refused = play(slots, Server(64, most), 4000, lambda now: 64)
    ideal, _ = play(Slots("k", most), Server(64, most), 4000, lambda now: 64)
    assert span <= 1.05 * ideal
    assert refused <= 64 + 0.02 * 4000


def test_a_cap_that_was_raised_on_the_server_is_found() -> None:
    """Patience must end: the server may have been given more."""
    slots, server = Slots("k", None), Server(64, 4)
    play(slots, server, 2000, lambda now: 64)
    assert slots.limit <= 5
    server.most = 64
    play(slots, server, 4000, lambda now: 64)
    assert slots.limit >= 20


@pytest.mark.parametrize("desks", [1, 4, 16, 64, 400])
@pytest.mark.parametrize("seed", range(4))
def test_a_server_that_levels_off_is_not_throttled_needlessly(desks: int, seed: int) -> None:
    """Two hundred in flight on a server of one's own only wait longer; a guard that cost throughput would be worse."""
    free, _ = play(Slots("k", None), Server(desks), 3000, late_rush, seed)
    slots = Slots("k", None, gradient=True)
    guarded, _ = play(slots, Server(desks), 3000, late_rush, seed)
    assert free / guarded >= 0.95
    assert slots.limit >= 4


def test_more_in_flight_than_help_are_taken_back() -> None:
    """On four desks, two hundred in flight make every answer fifty times as late, and none more."""
    slots = Slots("k", None, gradient=True)
    play(slots, Server(4), 1500, late_rush)
    assert slots.limit <= 40


def test_a_server_that_thrashes_is_relieved() -> None:
    """Where a queue slows the server itself, fewer in flight are more answers."""
    free, _ = play(Slots("k", None), Server(8, thrash=0.02), 3000, late_rush)
    guarded, _ = play(Slots("k", None, gradient=True), Server(8, thrash=0.02), 3000, late_rush)
    assert guarded < 0.7 * free


def test_without_a_lower_load_ever_seen_nothing_is_concluded() -> None:
    """Slow is no sign of too many: the model may be large."""
    crowding = Crowding()
    for _ in range(500):
        crowding.note(64, 10.0)
        assert crowding.enough() == math.inf


def test_what_was_learned_is_there_at_the_next_start() -> None:
    """Else every run begins with a wave of refusals."""
    first = Slots("k", None)
    play(first, Server(64, 5), 3000, lambda now: 64)
    known = first.known(1e9)
    assert (known.owner, known.axis, known.at) == ("k", "concurrency", 1e9)
    assert 0.5 <= known.confidence < 1
    second = Slots("k", None)
    second.remember(known)
    _, refused = play(second, Server(64, 5), 1000, lambda now: 64)
    assert refused <= 5


def test_what_is_remembered_never_passes_what_is_declared() -> None:
    """The file may have been changed since."""
    slots = Slots("k", 3)
    slots.remember(KnownLimit(owner="k", axis="concurrency", measured=9.0, confidence=0.9))
    assert slots.limit == 3
    slots.remember(KnownLimit(owner="k", axis="concurrency"))
    assert slots.limit == 3


def test_nothing_learned_is_not_written_down_as_measured() -> None:
    """A declared figure that nobody tested is no measurement."""
    known = Slots("k", 4).known(0.0)
    assert (known.declared, known.measured, known.confidence) == (4, None, 0.0)
