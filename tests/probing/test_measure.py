"""Measured limits against servers that count in every known way, on a virtual clock: figure, kind and bounds."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmfan.probing.findings import Measured
from llmfan.probing.measure import measure
from llmfan.probing.shooter import Shot
from llmfan.simulation.limiter import Admission, Bucket, Counter, Entry, FixedWindow, SlidingCounter, SlidingLog
from llmfan.simulation.loop import run_virtual

MINUTE = 60.0
SEEDS = 4
RATES = (12, 30, 120)
ANSWERS = (0.05, 0.15, 0.3)
MOST = 500


class ColdWindow(Counter):
    """A window that begins with the first request after the last one ended."""

    def __init__(self, limit: float, window: float):
        super().__init__(limit, window)
        self._began, self._used = -math.inf, 0.0

    def look(self, now: float, cost: float) -> Admission:
        open_ = now < self._began + self.window
        left = self._began + self.window - now
        return self._verdict(self._used if open_ else 0.0, cost, left, left)

    def take(self, now: float, cost: float) -> Entry:
        if now >= self._began + self.window:
            self._began, self._used = now, 0.0
        self._used += cost
        return [now, cost]

    def give_back(self, now: float, entry: Entry, amount: float) -> None:
        self._used -= amount


class Server:
    """One key's far end: on its way a request takes a little, and an answer some `service` seconds more or less."""

    def __init__(
        self,
        counter: Counter,
        rng: random.Random,
        service: float,
        *,
        counts_refused: bool = False,
        hint: Callable[[float], float] | None = None,
    ):
        self.counter, self.rng, self.service = counter, rng, service
        self.counts_refused, self.hint = counts_refused, hint
        self.sent = self.refused = self.flying = self.most_flying = 0

    async def __call__(self) -> Shot:
        loop = asyncio.get_running_loop()
        sent, way = loop.time(), min(self.service / 2, 0.04)
        self.sent += 1
        self.flying += 1
        self.most_flying = max(self.flying, self.most_flying)
        await asyncio.sleep(way * (0.25 + 0.75 * self.rng.random()))
        seen = self.counter.admit(loop.time(), 1.0)
        wait = None
        if seen.ok:
            await asyncio.sleep(max(0.0, self.service * math.exp(self.rng.gauss(0, 0.3)) - 2 * way))
        else:
            self.refused += 1
            wait = self.hint(seen.retry_after) if self.hint else None
            if self.counts_refused:
                self.counter.take(loop.time(), 1.0)
        await asyncio.sleep(way * (0.25 + 0.5 * self.rng.random()))
        self.flying -= 1
        return Shot(sent, loop.time(), "taken" if seen.ok else "refused", wait)


def counter(kind: str, limit: float, window: float, rng: random.Random) -> Counter:
    match kind:
        case "sliding":
            return SlidingLog(limit, window)
        case "fixed":
            return FixedWindow(limit, window, rng.random() * window)
        case "cold":
            return ColdWindow(limit, window)
        case "weighed":
            return SlidingCounter(limit, window, rng.random() * window)
    return Bucket(limit, window, float(kind.removeprefix("bucket") or limit))


def play(server: Server, *, period: float = MINUTE, most: int = MOST, start: float = 0.0) -> tuple[Measured, float]:
    """The verdict, and how long it took."""

    async def run() -> tuple[Measured, float]:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(start)
        began = loop.time()
        found = await measure(server, axis="rpm", period=period, most=most, clock=loop.time, sleep=asyncio.sleep)
        return found, loop.time() - began

    return run_virtual(run)


def trial(kind: str, limit: float, seed: int, *, window: float = MINUTE, service: float | None = None,
          **habits: object) -> tuple[Server, Measured, float]:  # fmt: skip
    rng = random.Random(f"{kind} {limit} {seed}")
    answers = ANSWERS[seed % len(ANSWERS)] if service is None else service
    server = Server(counter(kind, limit, window, rng), rng, answers, **habits)  # type: ignore[arg-type]
    found, took = play(server, period=window, start=rng.random() * window)
    assert server.refused == found.refused <= 3
    assert server.sent == found.sent <= MOST
    assert took <= 4.1 * window
    return server, found, took


def off(found: Measured, truth: float) -> float:
    assert found.figure is not None, found.why
    return abs(found.figure / truth - 1)


@pytest.mark.parametrize("limit", RATES)
@pytest.mark.parametrize("kind", ["sliding", "fixed", "cold", "weighed", "bucket", "bucket10"])
def test_a_limit_nobody_declared_is_measured_within_five_percent_with_three_refusals(kind: str, limit: int) -> None:
    """A wrong one slows every later run, or has it refused; and each refusal may count against the key."""
    counts = {"sliding": "sliding", "weighed": "sliding", "fixed": "fixed", "cold": "fixed"}.get(kind, "continuous")
    told = 0
    for seed in range(SEEDS):
        _, found, _ = trial(kind, limit, seed)
        assert off(found, limit) <= 0.05, (seed, found)
        told += found.counts == counts
    assert told >= SEEDS - 1


@pytest.mark.parametrize(("kind", "limit"), [("bucket1", 12), ("bucket1", 30), ("bucket2", 120), ("bucket3", 30)])
def test_even_spacing_is_measured_too(kind: str, limit: int) -> None:
    """A server that takes one at a time refuses the second request at once: a burst says nothing of its rate."""
    for seed in range(SEEDS):
        _, found, _ = trial(kind, limit, seed)
        assert off(found, limit) <= 0.07, (seed, found)
        assert found.low <= limit <= found.high
        assert found.counts == "continuous"


@pytest.mark.parametrize("kind", ["sliding", "fixed", "bucket"])
def test_a_server_that_counts_what_it_refuses_is_measured_all_the_same(kind: str) -> None:
    """One that is knocked at while it counts knocks never opens again."""
    for seed in range(4):
        _, found, _ = trial(kind, 30, seed, counts_refused=True)
        assert off(found, 30) <= 0.05, (seed, found)


@pytest.mark.parametrize("hint", [float, math.ceil, lambda _: 1.0], ids=["exact", "rounded", "constant"])
@pytest.mark.parametrize("kind", ["sliding", "fixed", "bucket"])
def test_no_hint_leads_astray(kind: str, hint: Callable[[float], float]) -> None:
    """A proxy in front may ask for one second whatever the limit: believed, it would make any window a second long."""
    for seed in range(3):
        _, found, _ = trial(kind, 30, seed, hint=hint)
        assert off(found, 30) <= 0.05, (seed, found)


@pytest.mark.parametrize("kind", ["sliding", "fixed", "bucket"])
def test_windows_of_seconds_are_measured_like_those_of_minutes(kind: str) -> None:
    """Limits per second exist, and tests run on scaled clocks."""
    for seed in range(4):
        _, found, _ = trial(kind, 30, seed, window=6.0, service=0.03)
        assert off(found, 30) <= 0.05, (seed, found)


def short(kind: str, limit: int, window: float, seed: int) -> tuple[Server, Measured, float]:
    """A window of seconds behind a limit a minute: the truth is `limit * 60 / window`."""
    rng = random.Random(f"short {kind} {limit} {window} {seed}")
    server = Server(counter(kind, limit, window, rng), rng, 0.03)
    found, took = play(server, start=rng.random() * window)
    assert server.refused == found.refused <= 3
    assert server.sent == found.sent <= MOST
    return server, found, took


@pytest.mark.parametrize(("kind", "limit", "window"), [("sliding", 12, 2.0), ("sliding", 12, 3.0), ("bucket", 12, 6.0)])
def test_a_window_shorter_than_thought_is_measured_by_what_it_bears(kind: str, limit: int, window: float) -> None:
    """Taken for a minute's, 12 in 6 s would be used at a tenth of what it bears."""
    for seed in range(3):
        _, found, took = short(kind, limit, window, seed)
        assert off(found, limit * MINUTE / window) <= 0.05, (seed, found)
        assert took <= 1.5 * MINUTE


@pytest.mark.parametrize("kind", ["sliding", "fixed", "cold", "bucket"])
@pytest.mark.parametrize(("limit", "window"), [(12, 3.0), (30, 6.0)])
def test_what_a_short_window_leaves_open_is_told_as_open(kind: str, limit: int, window: float) -> None:
    """Three refusals do not always tell a short window from a bucket: a sure wrong figure is worse than a wide one."""
    truth = limit * MINUTE / window
    for seed in range(2):
        _, found, _ = short(kind, limit, window, seed)
        assert found.confidence <= 0.9 or found.low * 0.99 <= truth <= found.high * 1.01, (seed, found)
        assert off(found, truth) <= 0.5, (seed, found)


def test_a_limit_out_of_reach_is_no_figure_but_what_was_shown() -> None:
    """Six thousand a minute cannot be shown with a few hundred requests, and must not be guessed."""
    rng = random.Random(1)
    server = Server(SlidingLog(6000, MINUTE), rng, 0.05)
    found, _ = play(server, most=200)
    assert (found.figure, found.sent, found.refused) == (None, 200, 0)
    assert found.low == 200
    assert found.high == math.inf
    assert "200 requests were taken" in found.why


def test_answers_slower_than_the_limit_are_asked_for_side_by_side() -> None:
    """One at a time, answers of a second would never reach 90 a minute, and it would seem that there is no limit."""
    for seed in range(2):
        server, found, _ = trial("sliding", 90, seed, service=1.0)
        assert 2 <= server.most_flying <= 3
        assert off(found, 90) <= 0.05


def test_a_day_that_is_spent_ends_it_at_once() -> None:
    """Every further request of a spent day is a refusal for nothing."""
    sent = 0

    async def shoot() -> Shot:
        nonlocal sent
        sent += 1
        now = asyncio.get_running_loop().time()
        return Shot(now, now + 0.1, "refused" if sent > 4 else "taken", None, "the day is spent" if sent > 4 else "")

    async def run() -> Measured:
        loop = asyncio.get_running_loop()
        return await measure(shoot, axis="rpm", period=MINUTE, most=99, clock=loop.time, sleep=asyncio.sleep)

    found = run_virtual(run)
    assert (found.sent, found.refused, found.why) == (5, 1, "the day is spent")


def test_failures_that_are_no_refusals_end_it() -> None:
    """A server that is down says nothing of its limit, and need not be asked hundreds of times."""
    found = run_virtual(lambda: _scripted(["other"], 300))
    assert found.sent == 3
    assert found.figure is None
    assert "other reasons" in found.why


def test_full_from_the_start_is_waited_out() -> None:
    """A key that was used just before is not one without any limit: its window passes."""
    rng = random.Random(3)
    server = Server(SlidingLog(30, MINUTE), rng, 0.1)

    async def run() -> Measured:
        loop = asyncio.get_running_loop()
        for _ in range(30):
            server.counter.take(loop.time(), 1.0)
        return await measure(server, axis="rpm", period=MINUTE, most=MOST, clock=loop.time, sleep=asyncio.sleep)

    found = run_virtual(run)
    assert found.figure == 30
    assert found.refused <= 3


def test_requests_sent_before_are_counted() -> None:
    """The probe's own requests still stand in the window: uncounted, the limit would seem smaller by them."""
    rng = random.Random(4)
    server = Server(SlidingLog(30, MINUTE), rng, 0.1)

    async def run() -> Measured:
        loop = asyncio.get_running_loop()
        before = []
        for _ in range(6):
            await server()
            before.append(loop.time())
        return await measure(
            server, axis="rpm", period=MINUTE, most=MOST, clock=loop.time, sleep=asyncio.sleep, before=before
        )

    found = run_virtual(run)
    assert found.figure == 30


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(
    fates=st.lists(st.sampled_from(["taken", "taken", "taken", "refused", "other"]), min_size=1, max_size=40),
    most=st.integers(1, 60),
    refusals=st.integers(1, 4),
    seed=st.integers(0, 9),
)
def test_whatever_the_server_does_the_bounds_hold_and_it_ends(
    fates: list[str], most: int, refusals: int, seed: int
) -> None:
    """A bound that a strange server can break is none: its owner was told what it may cost."""
    found = run_virtual(lambda: _scripted(fates, most, refusals, seed))
    assert found.sent <= most
    assert found.refused <= refusals
    assert found.low <= (found.figure or found.low) <= found.high


async def _scripted(fates: list[str], most: int, refusals: int = 3, seed: int = 0) -> Measured:
    """A server that answers in this order, over and over, however it is asked."""
    loop, rng = asyncio.get_running_loop(), random.Random(seed)
    sent = 0

    async def shoot() -> Shot:
        nonlocal sent
        fate = fates[sent % len(fates)]
        sent += 1
        began = loop.time()
        await asyncio.sleep(rng.choice([0.0, 0.05, 3.0]))
        return Shot(began, loop.time(), fate, rng.choice([None, 0.0, 5.0]))  # type: ignore[arg-type]

    began = loop.time()
    found = await measure(
        shoot, axis="rpm", period=MINUTE, most=most, clock=loop.time, sleep=asyncio.sleep, refusals=refusals
    )
    assert sent == found.sent
    assert loop.time() - began <= 4.1 * MINUTE + 10
    return found
