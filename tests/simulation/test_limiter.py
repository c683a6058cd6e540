"""The far end's limiters: what they let through is the yardstick for everything llmfan schedules."""

from __future__ import annotations

import datetime as dt
import math
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmfan.simulation.limiter import (
    Bucket,
    CalendarWindow,
    Counter,
    FixedWindow,
    InFlight,
    SlidingCounter,
    SlidingLog,
    admit_all,
)

gaps = st.lists(st.floats(0, 30), min_size=1, max_size=80)
costs = st.floats(0.1, 12)
LIMIT, WINDOW, START = 10.0, 60.0, 1234.5


def admitted(counter: Counter, arrivals: list[tuple[float, float]]) -> list[tuple[float, float]]:
    now, through = START, []
    for gap, cost in arrivals:
        now += gap
        if counter.admit(now, cost).ok:
            through.append((now, cost))
    return through


@given(st.lists(st.tuples(st.floats(0, 30), costs), max_size=80))
def test_a_sliding_log_holds_no_more_than_its_limit_in_any_window(arrivals: list[tuple[float, float]]) -> None:
    """A far end that lets more through would call a client good that a real one refuses."""
    through = admitted(SlidingLog(LIMIT, WINDOW), arrivals)
    for at, _ in through:
        assert sum(cost for t, cost in through if at <= t < at + WINDOW - 1e-5) <= LIMIT + 1e-6


@given(st.lists(st.tuples(st.floats(0, 30), costs), max_size=80), st.floats(0, WINDOW))
def test_a_fixed_window_counts_afresh_at_each_boundary(arrivals: list[tuple[float, float]], phase: float) -> None:
    """Each aligned window is one count: double the limit across a boundary is what such servers really permit."""
    through = admitted(FixedWindow(LIMIT, WINDOW, phase), arrivals)
    used: dict[int, float] = {}
    for at, cost in through:
        index = math.floor((at + phase + 1e-6) / WINDOW)
        used[index] = used.get(index, 0.0) + cost
    assert all(total <= LIMIT + 1e-6 for total in used.values())


@given(st.lists(st.tuples(st.floats(0, 30), costs), max_size=80), st.floats(1, LIMIT))
def test_a_bucket_lets_through_its_capacity_and_the_refill_at_most(
    arrivals: list[tuple[float, float]], capacity: float
) -> None:
    """In any stretch: what the bucket can hold plus what flows in meanwhile."""
    through = admitted(Bucket(LIMIT, WINDOW, capacity), arrivals)
    for n, (start, _) in enumerate(through):
        total = 0.0
        for at, cost in through[n:]:
            total += cost
            assert total <= capacity + (at - start) * LIMIT / WINDOW + 1e-6


@given(st.lists(st.tuples(st.floats(0, 70), costs), max_size=80), st.floats(0, WINDOW))
def test_a_sliding_counter_weighs_the_last_window_by_what_of_it_still_overlaps(
    arrivals: list[tuple[float, float]], phase: float
) -> None:
    """It keeps two numbers for a whole log; what it lets through is neither a sliding nor a fixed window's."""
    counter, now = SlidingCounter(LIMIT, WINDOW, phase), START
    used: dict[int, float] = {}
    for gap, cost in arrivals:
        now += gap
        whole = (now + phase + 1e-6) / WINDOW
        index = math.floor(whole)
        weighed = used.get(index - 1, 0.0) * (1 - (whole - index)) + used.get(index, 0.0)
        assert counter.admit(now, cost).ok == (weighed + cost <= LIMIT + 1e-9)
        if weighed + cost <= LIMIT + 1e-9:
            used[index] = used.get(index, 0.0) + cost


def test_a_sliding_counter_fills_evenly_after_a_full_window() -> None:
    """A burst that a fixed window would let through at the boundary again is spread over the window after it."""
    counter = SlidingCounter(10, WINDOW)
    assert sum(counter.admit(30.0).ok for _ in range(12)) == 10
    assert [counter.admit(at).ok for at in (59.9, 60.0, 65.9, 66.0, 66.1, 72.0, 72.1)] == [
        False, False, False, True, False, True, False,
    ]  # fmt: skip
    assert counter.look(66.1, 1.0).reset == pytest.approx(53.9)


def test_a_sliding_counter_forgets_a_window_that_is_not_the_last_one() -> None:
    """After a pause of a whole window all of the limit is there."""
    counter = SlidingCounter(10, WINDOW)
    for _ in range(10):
        counter.admit(30.0)
    assert counter.look(120.0, 0.0).remaining == 10.0


@given(gaps, costs, st.floats(0, WINDOW))
def test_the_retry_after_of_a_sliding_counter_is_exact_while_its_own_window_has_room(
    arrivals: list[float], cost: float, phase: float
) -> None:
    """Where its own window is full it gives the boundary, as real ones do; there all of that window still weighs."""
    counter, now, used = SlidingCounter(LIMIT, WINDOW, phase), START, 0.0
    window = -1
    for gap in arrivals:
        now += gap
        index = math.floor((now + phase + 1e-6) / WINDOW)
        used, window = (used if index == window else 0.0), index
        seen = counter.admit(now, cost)
        if seen.ok:
            used += cost
        elif cost > LIMIT:
            assert math.isinf(seen.retry_after)
        elif used + cost <= LIMIT:
            assert not counter.look(now + seen.retry_after * 0.99 - 1e-4, cost).ok
            assert counter.look(now + seen.retry_after + 1e-5, cost).ok
            return
        else:
            assert seen.retry_after == pytest.approx((index + 1) * WINDOW - phase - now, abs=1e-4)


def test_a_sliding_counter_takes_back_only_what_its_own_window_holds() -> None:
    """A slow answer that settles in the next window must not lift a request of that one."""
    counter = SlidingCounter(10, WINDOW)
    entry = counter.take(30.0, 8.0)
    counter.give_back(31.0, entry, 3.0)
    assert counter.look(31.0, 0.0).remaining == 5.0
    counter.take(90.0, 4.0)
    counter.give_back(90.0, entry, 5.0)
    assert counter.look(90.0, 0.0).remaining == pytest.approx(10 - 4 - 5 / 2)


@given(gaps, costs, st.sampled_from([SlidingLog, FixedWindow, Bucket]))
def test_the_retry_after_of_a_refusal_is_enough_and_not_too_much(
    arrivals: list[float], cost: float, kind: type[Counter]
) -> None:
    """Too short a hint draws a second 429; too long a one wastes the window."""
    counter, now = kind(LIMIT, WINDOW), START
    for gap in arrivals:
        now += gap
        seen = counter.admit(now, cost)
        if seen.ok:
            continue
        if cost > LIMIT:
            assert math.isinf(seen.retry_after)
            return
        assert not counter.look(now + seen.retry_after * 0.99 - 1e-4, cost).ok
        assert counter.look(now + seen.retry_after, cost).ok
        return


@given(st.lists(st.tuples(st.floats(0, 5), st.floats(0.1, 3), st.floats(0, 3)), min_size=1, max_size=40))
def test_what_is_given_back_can_be_used_again_but_never_more(moves: list[tuple[float, float, float]]) -> None:
    """A settled request frees only what it held: else refunds would mint quota."""
    for counter in (SlidingLog(LIMIT, WINDOW), FixedWindow(LIMIT, WINDOW), Bucket(LIMIT, WINDOW)):
        now = START
        for gap, cost, back in moves:
            now += gap
            if counter.look(now, cost).ok:
                entry = counter.take(now, cost)
                before = counter.look(now, 0.0).remaining
                counter.give_back(now, entry, min(back, cost))
                after = counter.look(now, 0.0).remaining
                assert before - 1e-9 <= after <= LIMIT + 1e-9


def test_a_refund_for_a_request_that_left_the_window_changes_nothing() -> None:
    """A slow answer that settles after its window would else lift a later one."""
    log = SlidingLog(LIMIT, WINDOW)
    entry = log.take(START, 8.0)
    log.take(START + 61, 4.0)
    assert log.look(START + 61, 0.0).remaining == 6.0
    log.give_back(START + 61, entry, 8.0)
    assert log.look(START + 61, 0.0).remaining == 6.0


def test_all_limits_of_a_request_are_taken_or_none() -> None:
    """A request refused by its tokens must not have spent one of its requests."""
    requests, tokens = SlidingLog(5, WINDOW), SlidingLog(100, WINDOW)
    assert isinstance(admit_all(START, [(requests, 1.0), (tokens, 90.0)]), list)
    refused = admit_all(START + 1, [(requests, 1.0), (tokens, 20.0)])
    assert isinstance(refused, tuple)
    assert refused[0] == 1
    assert refused[1].retry_after == pytest.approx(59.0)
    assert requests.look(START + 1, 0.0).remaining == 4.0


def test_a_bucket_in_debt_pays_it_off_before_it_admits() -> None:
    """Output tokens are charged when they are known, which may be more than was left."""
    bucket = Bucket(60, WINDOW)
    bucket.take(START, 90.0)
    seen = bucket.look(START, 1.0)
    assert (seen.ok, seen.remaining) == (False, 0.0)
    assert seen.retry_after == pytest.approx(31.0)


def test_a_calendar_day_ends_at_its_zones_midnight_daylight_saving_included() -> None:
    """On the night the clocks change a day has 25 hours there; a fixed 24 would reset an hour early."""
    zone = ZoneInfo("America/Los_Angeles")
    noon = dt.datetime(2026, 10, 31, 12, tzinfo=zone).timestamp()
    day = CalendarWindow(1, 86400.0, "America/Los_Angeles", month=False)
    assert day.admit(noon).ok
    assert day.look(noon, 1.0).retry_after == pytest.approx(12 * 3600)
    sunday = noon + 12 * 3600
    assert day.admit(sunday).ok
    assert day.look(sunday, 1.0).retry_after == pytest.approx(25 * 3600)


def test_a_calendar_month_ends_with_the_month() -> None:
    """A month of thirty days would give December's quota out twice."""
    at = dt.datetime(2026, 12, 30, tzinfo=dt.UTC).timestamp()
    month = CalendarWindow(1, 2592000.0, "utc", month=True)
    assert month.admit(at).ok
    assert month.look(at, 1.0).retry_after == pytest.approx(2 * 86400)


def test_a_cap_on_requests_in_flight_frees_a_place_when_one_ends() -> None:
    """Else the simulated fleet would stop for good once the cap was reached."""
    cap = InFlight(1)
    entry = cap.take(START, 1.0)
    assert not cap.admit(START).ok
    cap.give_back(START, entry, 1.0)
    assert cap.admit(START).ok
