"""The least time: checked against a brute force that sends each request at the first moment its limits allow."""

from __future__ import annotations

import math
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmfan.limits.ideal import Flow, LaneFlow, ideal_duration

COST = (1.0, 100.0, 60.0, 40.0, 0.0, 0.0)


def flow(limit: float, period: float, owner: str = "k", unit: int = 0) -> Flow:
    return Flow(owner=owner, unit=unit, limit=limit, period=period)


def brute(jobs: int, lanes: list[LaneFlow], concurrency: int) -> float | None:
    """All ways to share the jobs among the lanes (each with limits of its own); each lane greedily, exact log."""
    best: float | None = None
    for shares in product(range(jobs + 1), repeat=len(lanes)):
        if sum(shares) == jobs:
            ends = [_one_lane(n, lane, concurrency) for n, lane in zip(shares, lanes, strict=True)]
            if None not in ends:
                last = max(end for end in ends if end is not None)
                best = last if best is None else min(best, last)
    return best


def _one_lane(jobs: int, lane: LaneFlow, concurrency: int) -> float | None:
    """When the last of `jobs` ends: send i waits for the one `limit` before it to be a period old, and for a slot."""
    cap = min([concurrency, *(int(c) for _, c in lane.in_flight)])
    sends: list[float] = []
    for i in range(jobs):
        at = sends[-1] if sends else 0.0
        if i >= cap:
            at = max(at, sends[i - cap] + lane.service)
        for f in lane.flows:
            if i >= f.limit:
                if math.isinf(f.period):
                    return None
                at = max(at, sends[i - int(f.limit)] + f.period)
        sends.append(at)
    return sends[-1] + lane.service if sends else 0.0


lane_flows = st.builds(
    lambda flows, service, cap: (flows, service, cap),
    st.lists(st.tuples(st.integers(1, 4), st.sampled_from([1.0, 2.0, 5.0])), max_size=2, unique_by=lambda f: f[1]),
    st.sampled_from([0.25, 0.5, 1.0]),
    st.one_of(st.none(), st.integers(1, 3)),
)


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(drawn=st.lists(lane_flows, min_size=1, max_size=3), jobs=st.integers(1, 9))
def test_the_bound_is_never_above_what_a_greedy_client_reaches(
    drawn: list[tuple[list[tuple[int, float]], float, int | None]], jobs: int
) -> None:
    """A bound that a client beats would show an efficiency above 1 and hide a slow client."""
    lanes = _lanes(drawn)
    reached = brute(jobs, lanes, 100)
    ideal = ideal_duration(jobs, COST, lanes, 100)
    assert reached is not None
    assert ideal is not None
    assert ideal <= reached + 1e-3


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(limit=st.integers(1, 5), period=st.sampled_from([1.0, 2.0, 5.0]), service=st.sampled_from([0.25, 1.0]),
       keys=st.integers(1, 3), jobs=st.integers(1, 12))  # fmt: skip
def test_with_one_limit_a_key_the_bound_is_exact(
    limit: int, period: float, service: float, keys: int, jobs: int
) -> None:
    """A loose bound would make a slow client look good."""
    lanes = [LaneFlow(flows=(flow(limit, period, f"k{n}"),), service=service) for n in range(keys)]
    assert ideal_duration(jobs, COST, lanes, 100) == pytest.approx(brute(jobs, lanes, 100), abs=1e-3)


def _lanes(drawn: list[tuple[list[tuple[int, float]], float, int | None]]) -> list[LaneFlow]:
    return [
        LaneFlow(
            flows=tuple(flow(limit, period, f"k{n}") for limit, period in flows), service=service,
            in_flight=((f"k{n}", float(cap)),) if cap else (),
        )
        for n, (flows, service, cap) in enumerate(drawn)
    ]  # fmt: skip


def test_thirty_windows_take_twenty_nine_and_an_answer() -> None:
    """The first window is free: all of it may leave at once."""
    lanes = [LaneFlow(flows=(flow(5, 2.0, f"k{n}"),), service=0.1) for n in range(8)]
    assert ideal_duration(8 * 30 * 5, COST, lanes, 1000) == pytest.approx(58.1, abs=1e-3)


def test_keys_of_one_account_spend_its_limit_once() -> None:
    """Counted twice, the ideal would be half of what can be reached."""
    shared = [LaneFlow(flows=(flow(5, 2.0, "account"),), service=0.1) for _ in range(3)]
    alone = ideal_duration(50, COST, shared[:1], 1000)
    assert ideal_duration(50, COST, shared, 1000) == pytest.approx(alone, abs=1e-3)


def test_tokens_bind_as_requests_do() -> None:
    """1,000 tokens a window at 100 a job are ten jobs a window."""
    lanes = [LaneFlow(flows=(flow(1000, 2.0, unit=1),), service=0.1)]
    assert ideal_duration(100, COST, lanes, 1000) == pytest.approx(9 * 2.0 + 0.1, abs=1e-3)


def test_a_quota_that_does_not_come_back_forbids_the_batch() -> None:
    """None, not a very long time."""
    lanes = [LaneFlow(flows=(flow(10, math.inf),), service=0.1)]
    assert ideal_duration(10, COST, lanes, 1000) == pytest.approx(0.1, abs=1e-3)
    assert ideal_duration(11, COST, lanes, 1000) is None


def test_concurrency_bounds_it_where_no_limit_does() -> None:
    """64 at once, a tenth of a second each."""
    lanes = [LaneFlow(flows=(), service=0.1)]
    assert ideal_duration(640, COST, lanes, 64) == pytest.approx(1.0, abs=1e-3)


def test_nothing_takes_no_time_and_nobody_never_ends() -> None:
    """The two empty cases."""
    assert ideal_duration(0, COST, [], 1) == 0.0
    assert ideal_duration(1, COST, [], 1) is None
