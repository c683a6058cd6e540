"""The counters: never more than the limit in any window, nothing lost that the limit allows, nothing leaked."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmfan.limits.slots import Slots
from llmfan.limits.window import NEVER, SETTLE, Calendar, WindowLog, guard
from llmfan.records import Report
from llmfan.simulation.limiter import Bucket, Counter, FixedWindow, SlidingLog

PERIOD = 2.0
exact = settings(max_examples=150, deadline=None, derandomize=True, database=None)
#: Gaps between wishes to send, and what each would take.
wishes = st.lists(st.tuples(st.sampled_from([0.0, 0.01, 0.3, 1.0, 2.5]), st.integers(1, 6)), min_size=1, max_size=60)


def log(limit: float, margin: float = 0.0) -> WindowLog:
    return WindowLog("rpm", 0, "k", limit, PERIOD, margin)


def send_all(window: WindowLog, wanted: list[tuple[float, int]]) -> list[tuple[float, int]]:
    """Sends each wish at the first moment allowed; gives (moment, amount)."""
    now, sent = 100.0, []
    for gap, amount in wanted:
        now += gap
        while (ready := window.ready(now, amount)) > now:
            if ready == NEVER:
                break
            now = ready
        if ready != NEVER:
            window.take(now, amount)
            sent.append((now, amount))
    return sent


@exact
@given(wanted=wishes, limit=st.integers(1, 12))
def test_no_window_of_any_phase_holds_more_than_the_limit(wanted: list[tuple[float, int]], limit: int) -> None:
    """Checked against every stretch that ends with a send: a 429 is what one too many costs."""
    sent = send_all(log(limit), wanted)
    for end, _ in sent:
        assert sum(amount for at, amount in sent if end - PERIOD < at <= end) <= limit


@exact
@given(wanted=wishes, limit=st.integers(6, 12))
def test_a_request_is_never_held_longer_than_the_limit_demands(wanted: list[tuple[float, int]], limit: int) -> None:
    """Brute force: a send just before the moment given would have passed the limit, or it was allowed at once."""
    window, now = log(limit), 100.0
    sent: list[tuple[float, int]] = []
    for gap, amount in wanted:
        now += gap
        ready = window.ready(now, amount)
        if ready > now:
            early = (now + ready) / 2
            held = sum(a for at, a in sent if early - PERIOD < at)
            assert held + amount > limit
            now = ready
        window.take(now, amount)
        sent.append((now, amount))


@exact
@given(wanted=wishes, limit=st.integers(6, 12), kind=st.sampled_from(["sliding", "fixed", "bucket"]),
       delays=st.lists(st.floats(0, 1), min_size=60, max_size=60))  # fmt: skip
def test_no_kind_of_server_refuses_what_the_log_lets_leave_even_if_it_arrives_late(
    wanted: list[tuple[float, int]], limit: int, kind: str, delays: list[float]
) -> None:
    """A request arrives up to the guard later than it left, in the order of leaving."""
    margin = guard(PERIOD)
    make: dict[str, type[Counter]] = {"sliding": SlidingLog, "fixed": FixedWindow, "bucket": Bucket}
    server, last = make[kind](limit, PERIOD), 0.0
    for (at, amount), delay in zip(send_all(log(limit, margin), wanted), delays, strict=False):
        last = max(last, at + delay * margin)
        assert server.admit(last, amount).ok


def test_a_request_larger_than_the_limit_is_never_ready() -> None:
    """Waiting for it would be for ever."""
    assert log(5).ready(0.0, 6) == NEVER
    assert Calendar("rpd", 0, "k", 5, lambda now: now + 1).ready(0.0, 6) == NEVER


@exact
@given(reserved=st.integers(1, 10), used=st.integers(0, 20), later=st.floats(0, 5))
def test_settling_replaces_what_was_reserved_by_what_was_used(reserved: int, used: int, later: float) -> None:
    """Too much held wastes the limit, too little passes it; what is out of the window changes nothing."""
    window = log(10)
    entry = window.take(100.0, reserved)
    now = 100.0 + later
    window.used(now)
    window.settle(entry, used, 0.0)
    assert window.used(now) == (used if later < PERIOD else 0)


@exact
@given(wanted=wishes, real=st.lists(st.integers(0, 8), min_size=60, max_size=60))
def test_an_idle_window_holds_nothing(wanted: list[tuple[float, int]], real: list[int]) -> None:
    """A leak by settling would shrink the limit for the rest of the run."""
    window = log(12)
    entries = [window.take(at, amount) for at, amount in send_all(log(12), wanted)]
    for entry, amount in zip(entries, real, strict=False):
        window.settle(entry, amount, 0.0)
    assert window.used(1e6) == 0
    assert window.ready(1e6, 12) == 1e6


@exact
@given(steps=st.lists(st.booleans(), max_size=80), limit=st.integers(1, 4))
def test_in_flight_never_passes_its_cap_and_returns_to_nothing(steps: list[bool], limit: int) -> None:
    """One too many is a 429, one lost is a slot less for the rest of the run."""
    meter, held = Slots("k", limit), []
    for start in steps:
        ready = meter.ready(5.0, 1)
        assert ready in (5.0, SETTLE)
        assert (ready == SETTLE) == (len(held) == limit)
        if start and ready == 5.0:
            held.append(meter.take(5.0, 1))
        elif held:
            meter.settle(held.pop(), 0.0, 0.0)
        assert meter.used(5.0) == len(held) <= limit


def test_a_day_is_spent_until_its_reset_and_whole_again_after_it() -> None:
    """The next midnight, not a day after the first request."""
    day = Calendar("rpd", 0, "k", 3, lambda now: math.floor(now / 100 + 1) * 100.0)
    for now in (10.0, 20.0, 30.0):
        assert day.ready(now, 1) == now
        day.take(now, 1)
    assert day.ready(40.0, 1) == 100.0
    assert day.ready(100.0, 3) == 100.0
    assert day.used(100.0) == 0


def test_what_is_settled_after_midnight_belongs_to_yesterday() -> None:
    """Else a long answer at midnight would give back, or take, what the new day never held."""
    day = Calendar("tpd", 1, "k", 50, lambda now: math.floor(now / 100 + 1) * 100.0)
    entry = day.take(90.0, 40)
    day.take(110.0, 10)
    day.settle(entry, 5, 0.0)
    assert day.used(111.0) == 10


@pytest.mark.parametrize("period", [0.5, 1.0, 2.0, 60.0, 3600.0])
def test_the_guard_costs_at_most_a_twentieth_of_a_window(period: float) -> None:
    """It stands between the pace and nine tenths of the limit."""
    assert 0 < guard(period) <= 0.05 * period
    assert guard(period) <= 0.5
    assert guard(period / 30, 30) == pytest.approx(guard(period) / 30, rel=0.5)


def test_yesterdays_header_spends_nothing_of_today() -> None:
    """A request that left at a second to midnight is told of the day that is over: taken for today's, it ends it."""
    day = Calendar("rpd", 0, "k", 1000.0, lambda now: (now // 100.0 + 1) * 100.0)
    entry = day.take(99.0, 1.0)
    day.told(entry, Report(axis="rpd", limit=1000, remaining=3), 100.5)
    assert (day.used(100.5), day.strangers) == (0, 0)
    late = Calendar("rpd", 0, "k", 1000.0, lambda now: (now // 86400.0 + 1) * 86400.0)
    late.told(late.take(1.0, 1.0), Report(axis="rpd", limit=1000, remaining=3, resets_in=0.8), 1.2)
    assert late.used(1.2) == 1  # our clock is a second ahead


def test_what_others_write_down_is_not_counted_beside_what_the_server_told_of_it() -> None:
    """Another process's 40 are among the 41 that the server has seen."""
    day = Calendar("rpd", 0, "k", 100.0, lambda now: 86400.0)
    day.told(day.take(0.0, 1.0), Report(axis="rpd", limit=100, remaining=59), 1.0)
    assert (day.used(1.0), day.strangers) == (41, 40)
    day.recall(2.0, 2.0, 40.0)
    assert (day.used(2.0), day.strangers) == (41, 0)
    day.recall(3.0, 3.0, 5.0)
    assert day.used(3.0) == 46
