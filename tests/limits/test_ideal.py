"""The least time: checked against sends that the far end's own limiters let through, as early as they do."""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmfan.limits.axes import Cost
from llmfan.limits.ideal import Flow, LaneFlow, Scope, ideal_duration, ideal_of_scopes
from llmfan.simulation.limiter import Bucket, Counter, FixedWindow, InFlight, SlidingCounter, SlidingLog, admit_all

COST: Cost = (1.0, 100.0, 60.0, 40.0, 0.0, 0.0)
#: Moments of the feasible schedules: every period, phase and service time drawn is a multiple of it.
GRAIN = 0.25

quick = settings(max_examples=200, deadline=None, derandomize=True, database=None)


def flow(limit: float, period: float, owner: str = "k", unit: int = 0) -> Flow:
    return Flow(owner=owner, unit=unit, limit=limit, period=period)


def lane(*flows: Flow, service: float = 0.1, in_flight: tuple[tuple[str, float], ...] = ()) -> LaneFlow:
    return LaneFlow(flows=flows, service=service, in_flight=in_flight)


def least(jobs: int, lanes: Sequence[LaneFlow], concurrency: float = math.inf, cost: Cost = COST) -> float | None:
    """The bound for jobs that are all alike."""
    return ideal_duration(jobs, cost, lanes, concurrency, least=cost)


# ---------------------------------------------------------------- the truth: the far end's counters


def counter(f: Flow) -> Counter:
    """The far end's counter of a flow, with what was used before the start."""
    if math.isinf(f.period):
        made: Counter = FixedWindow(f.limit, 1e12)
    elif f.resets_in is not None:
        made = FixedWindow(f.limit, f.period, phase=f.period - f.resets_in)
    elif f.kind == "bucket":
        made = Bucket(f.limit, f.period, f.burst)
    elif f.kind == "sliding":
        made = SlidingLog(f.limit, f.period)
    else:
        made = {"fixed": FixedWindow, "counter": SlidingCounter}[f.kind](f.limit, f.period, f.elapsed)
    made.take(-f.elapsed if f.kind == "sliding" else 0.0, f.used)
    return made


def greedy(jobs: int, lane: LaneFlow) -> list[float]:
    """When each answer is there if a lane with limits of its own sends at the first moment it may."""
    counters = [(counter(f), COST[f.unit]) for f in lane.flows]
    slots = min((int(n) for _, n in lane.in_flight), default=jobs)
    running: list[float] = []
    answers: list[float] = []
    now = 0.0
    while len(answers) < jobs:
        if len(running) >= slots:
            now = max(now, heapq.heappop(running))
        got = admit_all(now, counters)
        if isinstance(got, tuple):
            now += got[1].retry_after
            if now > 1e9:
                break
            continue
        heapq.heappush(running, now + lane.service)
        answers.append(now + lane.service)
    return answers


def merged(jobs: int, lanes: Sequence[LaneFlow]) -> float | None:
    """Lanes that share nothing: the last of the first `jobs` answers of all."""
    answers = sorted(at for one in lanes for at in greedy(jobs, one))
    return answers[jobs - 1] if len(answers) >= jobs else None


@dataclass
class Schedule:
    """Some client, no worse than its dice: at each moment it tries lanes and jobs in a random order, or dallies."""

    lanes: Sequence[LaneFlow]
    concurrency: int
    rng: random.Random

    def run(self, jobs: Sequence[Cost], until: float = 2000.0) -> float:
        shared: dict[object, Counter] = {f: counter(f) for one in self.lanes for f in one.flows}
        shared |= {slot: InFlight(slot[1]) for one in self.lanes for slot in one.in_flight}
        left, now, last = list(jobs), 0.0, 0.0
        ends: list[tuple[float, int, list[Counter]]] = []
        while left:
            while ends and ends[0][0] <= now + 1e-9:
                for slot in heapq.heappop(ends)[2]:
                    slot.give_back(now, [now, 1.0], 1.0)
            for one in self.rng.sample(self.lanes, len(self.lanes)):
                self.rng.shuffle(left)
                while left and len(ends) < self.concurrency and self.rng.random() < 0.97:
                    slots = [shared[slot] for slot in one.in_flight]
                    demands = [(shared[f], left[-1][f.unit]) for f in one.flows] + [(slot, 1.0) for slot in slots]
                    if isinstance(admit_all(now, demands), tuple):
                        break
                    left.pop()
                    last = max(last, now + one.service)
                    heapq.heappush(ends, (now + one.service, self.rng.getrandbits(60), slots))
            now += GRAIN
            if now > until:
                return math.inf
        return last


# ---------------------------------------------------------------- fleets

periods = st.sampled_from([1.0, 2.0, 5.0])
services = st.sampled_from([0.25, 0.5, 2.0])
#: The kinds whose every moment is told; of a counter the bound is met only by a client that hits the last microsecond.
EXACT = ("sliding", "fixed", "bucket")
ALL = (*EXACT, "counter")


@st.composite
def flows(draw: st.DrawFn, owner: str, units: Sequence[int], kinds: Sequence[str]) -> Flow:
    unit, period = draw(st.sampled_from(units)), draw(periods)
    limit = draw(st.integers(1, 6)) * COST[unit]
    elapsed = draw(st.sampled_from([0.0, 0.25, 0.75]))
    used = draw(st.integers(0, int(limit / COST[unit]))) * COST[unit]
    match draw(st.sampled_from([*kinds, "quota", "calendar"])):
        case "bucket":
            burst = draw(st.sampled_from([limit, COST[unit]]))
            return Flow(owner=owner, unit=unit, limit=limit, period=period, kind="bucket", burst=burst)
        case "quota":
            return Flow(owner=owner, unit=unit, limit=limit * 10, period=math.inf, used=used)
        case "calendar":
            return Flow(owner=owner, unit=unit, limit=limit, period=period, used=used, resets_in=period - elapsed)
        case kind:
            return Flow(owner=owner, unit=unit, limit=limit, period=period, kind=kind, used=used, elapsed=elapsed)


@st.composite
def fleets(
    draw: st.DrawFn, shared: bool = False, units: Sequence[int] = (0,), kinds: Sequence[str] = EXACT
) -> list[LaneFlow]:
    """Lanes of one key each, or of keys, accounts and models that cross."""
    made: list[LaneFlow] = []
    for n in range(draw(st.integers(1, 4))):
        owners = [f"k{n // 2}", f"m{n % 2}", "account", f"k{n}"] if shared else [f"k{n}"]
        chosen = draw(st.lists(st.sampled_from(owners), max_size=2, unique=True))
        known = {f.owner: f for one in made for f in one.flows} if shared else {}
        own = [known.get(owner) or draw(flows(owner, units, kinds)) for owner in chosen]
        slots = draw(st.sampled_from([None, 1, 2])) if not shared else draw(st.sampled_from([None, 2]))
        holder = f"k{n // 2}" if shared else f"k{n}"
        in_flight = ((holder, float(slots)),) if slots else ()
        made.append(lane(*own, service=draw(services), in_flight=in_flight))
    return made


# ---------------------------------------------------------------- promises


@quick
@given(lanes=fleets(), jobs=st.integers(1, 40))
def test_lanes_that_share_nothing_are_told_exactly(lanes: list[LaneFlow], jobs: int) -> None:
    """Too low a bound calls a good client slow; too high a one is beaten, and shows an efficiency above 1."""
    expected = merged(jobs, lanes)
    found = least(jobs, lanes)
    assert (found is None) == (expected is None)
    assert expected is None or found == pytest.approx(expected, abs=1e-3)


@quick
@given(lanes=fleets(units=(0, 1)), jobs=st.integers(1, 40))
def test_tokens_of_jobs_that_are_alike_are_told_exactly(lanes: list[LaneFlow], jobs: int) -> None:
    """As a fluid, 150 tokens a minute would be one and a half jobs of 100."""
    expected = merged(jobs, lanes)
    found = least(jobs, lanes)
    assert (found is None) == (expected is None)
    assert expected is None or found == pytest.approx(expected, abs=1e-3)


@quick
@given(
    lanes=fleets(shared=True, kinds=ALL),
    jobs=st.integers(1, 30),
    concurrency=st.integers(1, 6),
    seed=st.integers(0, 2**32),
)
def test_no_schedule_beats_the_bound_however_limits_are_shared(
    lanes: list[LaneFlow], jobs: int, concurrency: int, seed: int
) -> None:
    """Keys of an account, models of a key, unlike service times, one cap over all: a bound is a bound."""
    reached = Schedule(lanes, concurrency, random.Random(seed)).run([COST] * jobs)
    found = least(jobs, lanes, concurrency)
    assert reached == math.inf or (found is not None and found <= reached + 1e-3)


@quick
@given(lanes=fleets(shared=True, units=(0, 1, 2), kinds=ALL), seed=st.integers(0, 2**32), known=st.booleans(),
       sizes=st.lists(st.integers(1, 10), min_size=1, max_size=30))  # fmt: skip
def test_no_order_of_unlike_jobs_beats_the_bound(
    lanes: list[LaneFlow], sizes: list[int], seed: int, known: bool
) -> None:
    """A client may send the small jobs where tokens are short: the mean alone would be beaten by it."""
    jobs: list[Cost] = [(1.0, 20.0 * n, 12.0 * n, 8.0 * n, 0.0, 0.0) for n in sizes]
    mean = sum(sizes) / len(sizes)
    cost: Cost = (1.0, 20 * mean, 12 * mean, 8 * mean, 0.0, 0.0)
    cheapest = min(jobs) if known else None
    reached = Schedule(lanes, 5, random.Random(seed)).run(jobs)
    found = ideal_duration(len(jobs), cost, lanes, 5, least=cheapest)
    assert reached == math.inf or (found is not None and found <= reached + 1e-3)


@pytest.mark.parametrize("jobs", [60, 90, 600])
def test_a_counter_of_two_windows_fills_evenly_once_its_first_window_is_over(jobs: int) -> None:
    """All of the last window still weighs when the next begins: nothing more passes before the boundary."""
    one = lane(Flow(owner="k", unit=0, limit=60, period=60.0, kind="counter", elapsed=20.0))
    found = least(jobs, [one])
    assert found is not None
    assert found == pytest.approx(0.1 if jobs == 60 else 40 + (jobs - 60) + 0.1, abs=1e-3)
    assert found <= greedy(jobs, one)[-1] + 1e-3 <= found * 1.03 + 0.01


def test_thirty_windows_take_twenty_nine_and_an_answer() -> None:
    """The first window is free: all of it may leave at once."""
    lanes = [lane(flow(5, 2.0, f"k{n}")) for n in range(8)]
    assert ideal_duration(8 * 30 * 5, COST, lanes, 1000) == pytest.approx(58.1, abs=1e-3)


def test_keys_of_one_account_spend_its_limit_once() -> None:
    """Counted twice, the ideal would be half of what can be reached."""
    shared = [lane(flow(5, 2.0, "account")) for _ in range(3)]
    alone = ideal_duration(50, COST, shared[:1], 1000)
    assert ideal_duration(50, COST, shared, 1000) == pytest.approx(alone, abs=1e-3)


def test_keys_of_one_account_with_limits_of_their_own_spend_its_limit_once() -> None:
    """Two keys of 4 under an account of 5: not 8 a window."""
    lanes = [lane(flow(5, 2.0, "account"), flow(4, 2.0, f"k{n}")) for n in range(2)]
    assert least(50, lanes) == pytest.approx(9 * 2.0 + 0.1, abs=1e-3)


def test_a_slow_model_gets_what_a_quick_one_has_no_time_for() -> None:
    """Of six a minute shared, all go to the quick model; the slow one only costs time."""
    lanes = [lane(flow(6, 60.0, "k"), service=s) for s in (1.0, 50.0)]
    assert least(12, lanes) == pytest.approx(61.0, abs=1e-3)


def test_tokens_bind_as_requests_do() -> None:
    """1,000 tokens a window at 100 a job are ten jobs a window."""
    lanes = [lane(flow(1000, 2.0, unit=1))]
    assert ideal_duration(100, COST, lanes, 1000) == pytest.approx(9 * 2.0 + 0.1, abs=1e-3)


def test_what_a_token_limit_leaves_over_is_lost_on_jobs_that_are_alike_only() -> None:
    """250 tokens a window are two jobs of 100, but all of them flow where sizes differ."""
    lanes = [lane(flow(250, 2.0, unit=1))]
    assert least(10, lanes) == pytest.approx(4 * 2.0 + 0.1, abs=1e-3)
    assert ideal_duration(10, COST, lanes, 1000) == pytest.approx(3 * 2.0 + 0.1, abs=1e-3)


def test_a_quota_that_does_not_come_back_forbids_the_batch() -> None:
    """None, not a very long time."""
    lanes = [lane(flow(10, math.inf))]
    assert ideal_duration(10, COST, lanes, 1000) == pytest.approx(0.1, abs=1e-3)
    assert ideal_duration(11, COST, lanes, 1000) is None


def test_a_days_quota_comes_back_each_midnight() -> None:
    """Ten a day, three of them spent, an hour to midnight: 27 jobs need two midnights more."""
    day = Flow(owner="k", unit=0, limit=10, period=86400.0, used=3, resets_in=3600.0)
    assert least(7, [lane(day)]) == pytest.approx(0.1, abs=1e-3)
    assert least(17, [lane(day)]) == pytest.approx(3600.1, abs=1e-3)
    assert least(27, [lane(day)]) == pytest.approx(3600 + 86400 + 0.1, abs=1e-3)


def test_concurrency_bounds_it_where_no_limit_does() -> None:
    """64 at once, a tenth of a second each; it is one cap however many keys there are."""
    assert ideal_duration(640, COST, [lane()], 64) == pytest.approx(1.0, abs=1e-3)
    assert ideal_duration(640, COST, [lane(flow(400, 60.0, f"k{n}")) for n in range(4)], 64) == pytest.approx(
        1.0, abs=1e-3
    )


@pytest.mark.parametrize(("jobs", "seconds"), [(700, 22.0), (1400, 82.0)])
def test_each_windows_burst_has_to_get_through_the_runs_own_cap(jobs: int, seconds: float) -> None:
    """700 at once through 64 slots of two seconds take eleven turns, in the last window as in the first."""
    lanes = [lane(flow(70, 60.0, f"k{n}"), service=2.0) for n in range(10)]
    assert least(jobs, lanes, 64) == pytest.approx(seconds, abs=1e-3)


def test_nothing_takes_no_time_and_nobody_never_ends() -> None:
    """The two empty cases."""
    assert ideal_duration(0, COST, [], 1) == 0.0
    assert ideal_duration(1, COST, [], 1) is None


def test_where_each_key_gets_every_prompt_the_slowest_key_decides() -> None:
    """Pooled, the fast key would seem to do the slow one's share."""
    scopes = [Scope(jobs=20, cost=COST, lanes=(lane(flow(n, 2.0, f"k{n}")),)) for n in (2, 10)]
    assert ideal_of_scopes(scopes, 1000) == pytest.approx(9 * 2.0 + 0.1, abs=1e-3)


def test_keys_of_one_account_that_each_get_every_prompt_share_its_limit() -> None:
    """Each alone would take half as long as both can."""
    scopes = [Scope(jobs=20, cost=COST, lanes=(lane(flow(4, 2.0, "account")),)) for _ in range(2)]
    assert ideal_of_scopes(scopes, 1000) == pytest.approx(9 * 2.0 + 0.1, abs=1e-3)
    assert ideal_of_scopes([*scopes, Scope(jobs=1, cost=COST, lanes=())], 1000) is None


def test_scopes_share_the_runs_own_cap() -> None:
    """Two providers that each have time for all at once still have one client."""
    scopes = [Scope(jobs=100, cost=COST, lanes=(lane(),)) for _ in range(2)]
    assert ideal_of_scopes(scopes, 10) == pytest.approx(2.0, abs=1e-3)
