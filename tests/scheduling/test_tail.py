"""The end of a batch: slow lanes leave the last jobs to fast ones, and only where that ends it sooner."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmfan.limits.axes import PLAIN
from llmfan.limits.slots import Slots
from llmfan.limits.window import Meter, WindowLog
from llmfan.records import Target
from llmfan.scheduling.reach import Drip, Reach, answers, at_most, reach_of, shape
from llmfan.scheduling.tail import Tail

sys.path.insert(0, str(Path(__file__).parent))
import dispatch_bench_model as bench

SEEDS = 12


def lane(
    number: int, service: float | None, rpm: float = 30, slots: int | None = None, priority: int = 0, paid: bool = False
) -> Any:
    key = f"k{number}"
    meters: list[Meter] = [] if rpm == math.inf else [WindowLog("rpm", 0, key, rpm, 60.0, 0.0)]
    if slots is not None:
        meters.append(Slots(key, slots))
    target = Target(provider=f"p{number}", model="m", key=key, priority=priority, paid=paid)
    return SimpleNamespace(number=number, target=target, meters=meters, service=service, able=True, out=[])


class Fleet:
    """Lanes under one tail; counts what is asked of them."""

    def __init__(self, *lanes: Any, slots: float = math.inf):
        self.lanes, self.slots, self.asked, self.version = list(lanes), slots, 0, 0
        self.tail = Tail(
            self.lanes, service=lambda each, now: each.service, reach=self.reach, slots=lambda: self.slots,
            version=lambda now: self.version,
        )  # fmt: skip

    def reach(self, each: Any, service: float, now: float, left: int) -> Reach | None:
        self.asked += 1
        return reach_of(each.meters, service, PLAIN, now, left, out=each.out) if each.able else None

    def take(self, each: Any, now: float, jobs: int = 1) -> None:
        for _ in range(jobs):
            for meter in each.meters:
                meter.take(now, 1.0)
            self.tail.took(each, now)


# ---------------------------------------------------------- whole batches

TABLE = ("four alike", "unlike limits", "fast and slow", "slots")


@pytest.mark.parametrize("name", TABLE)
@pytest.mark.parametrize("known", [False, True])
def test_with_fixed_service_times_no_batch_takes_longer_than_it_must(name: str, known: bool) -> None:
    """The last jobs on the slowest key: 1.23 times as long, with fast keys idle."""
    assert bench.ratios(name, "finish-aware", 0.0, 1, known)[0] == pytest.approx(1.0, abs=0.005)


@pytest.mark.parametrize("name", ["32 keys", "32 keys, many slow"])
def test_32_unlike_keys_end_together(name: str) -> None:
    """Eight providers from 0.2 to 90 seconds; a plain pull takes up to 1.6 times as long."""
    assert bench.ratios(name, "finish-aware", 0.0, 1)[0] <= 1.03
    assert bench.ratios(name, "pull", 0.0, 1)[0] > 1.1


@pytest.mark.parametrize("name", bench.FLEETS)
def test_stragglers_cost_little_with_a_hedge(name: str) -> None:
    """Lognormal service times: one late answer alone can double the time of a batch."""
    seeds = SEEDS if bench.FLEETS[name][1] < 1000 else SEEDS // 4
    hedged, extra = bench.ratios(name, "finish-aware + hedge", 0.6, seeds)
    assert hedged <= (1.2 if "many slow" in name else 1.15)
    assert extra <= 0.05 * bench.FLEETS[name][1]
    assert hedged <= bench.ratios(name, "finish-aware", 0.6, seeds)[0] + 0.005


# ---------------------------------------------------------- one decision


def test_a_slow_lane_waits_where_faster_ones_will_have_done_all() -> None:
    """30 jobs leave at once and are back in 2 s; the 90 s lane would be the last by far."""
    fleet = Fleet(lane(0, 2.0), slow := lane(1, 90.0))
    again = fleet.tail.better_wait(slow, 30, 0.0)
    assert again is not None
    assert 0.0 < again <= 90.0 / 4


def test_a_slow_lane_takes_what_the_faster_ones_cannot_do_in_time() -> None:
    """30 now and 30 at 60 s are back within 90 s: the 61st is better off with the slow one."""
    fleet = Fleet(lane(0, 2.0), slow := lane(1, 90.0))
    assert fleet.tail.better_wait(slow, 60, 0.0) is not None
    assert fleet.tail.better_wait(slow, 61, 0.0) is None


def test_the_fastest_never_waits() -> None:
    """Somebody has to take it."""
    fleet = Fleet(fast := lane(0, 2.0), lane(1, 90.0), twin := lane(2, 2.0))
    assert fleet.tail.better_wait(fast, 1, 0.0) is None
    assert fleet.tail.better_wait(twin, 1, 0.0) is None


def test_what_the_faster_ones_have_sent_is_counted_off() -> None:
    """A forecast that stands while they take jobs would leave the rest to nobody."""
    fleet = Fleet(fast := lane(0, 2.0), slow := lane(1, 90.0))
    assert fleet.tail.better_wait(slow, 60, 0.0) is not None
    fleet.take(fast, 0.0, 30)
    assert fleet.tail.better_wait(slow, 30, 0.5) is not None
    assert fleet.tail.better_wait(slow, 31, 0.5) is None


def test_far_from_the_end_a_decision_asks_nobody() -> None:
    """With a thousand lanes and a million jobs, anything more than a comparison would be the work of the run."""
    fleet = Fleet(*(lane(n, 1.0 + n) for n in range(50)))
    for left in range(1_000_000, 995_000, -1):
        assert fleet.tail.better_wait(fleet.lanes[left % 50], left, 0.0) is None
    assert fleet.asked == 0


def test_near_the_end_lanes_of_a_kind_share_a_forecast() -> None:
    """Else every slow key surveys the whole fleet for itself."""
    fleet = Fleet(lane(0, 2.0), *(lane(n, 90.0) for n in range(1, 20)))
    for each in fleet.lanes[1:]:
        each.target = Target(provider="slow", model="m", key=f"k{each.number}")
    for step in range(50):
        for each in fleet.lanes[1:]:
            fleet.tail.better_wait(each, 20, step / 20)
    assert fleet.asked <= 6 * len(fleet.lanes)


def test_a_service_time_nobody_knows_keeps_no_lane_back() -> None:
    """A newcomer that waits for evidence about itself never gets any."""
    fleet = Fleet(lane(0, 2.0), new := lane(1, None))
    assert fleet.tail.better_wait(new, 1, 0.0) is None


def test_lanes_of_unknown_speed_are_not_waited_for() -> None:
    """They may be slower still."""
    fleet = Fleet(lane(0, None), slow := lane(1, 90.0))
    assert fleet.tail.better_wait(slow, 1, 0.0) is None


def test_lanes_that_are_out_are_not_waited_for() -> None:
    """The fast key was revoked at the very end: the slow one takes over."""
    fleet = Fleet(fast := lane(0, 2.0), slow := lane(1, 90.0))
    again = fleet.tail.better_wait(slow, 10, 0.0)
    assert again is not None
    fast.able = False
    assert fleet.tail.better_wait(slow, 10, again) is None


def test_a_forecast_that_does_not_come_true_is_believed_no_longer_than_one_service_time() -> None:
    """A fast lane that looks able and never sends would hold the batch for ever."""
    fleet = Fleet(lane(0, 2.0), slow := lane(1, 16.0))
    now = 0.0
    while (again := fleet.tail.better_wait(slow, 5, now)) is not None:
        assert now < again <= now + 16.0
        now = again
    assert now <= 17.0


@pytest.mark.parametrize(("priority", "waits"), [(-1, False), (0, True), (1, True)])
def test_a_lane_is_not_held_back_for_one_of_lower_priority(priority: int, waits: bool) -> None:
    """Higher goes first, at the end too."""
    fleet = Fleet(lane(0, 2.0, priority=priority), slow := lane(1, 90.0))
    assert (fleet.tail.better_wait(slow, 5, 0.0) is not None) is waits


def test_a_free_lane_does_not_wait_for_a_paid_one() -> None:
    """That would spend money to save time without being asked to."""
    fleet = Fleet(lane(0, 2.0, paid=True), slow := lane(1, 90.0))
    assert fleet.tail.better_wait(slow, 5, 0.0) is None
    fleet = Fleet(lane(0, 2.0), slow := lane(1, 90.0, paid=True))
    assert fleet.tail.better_wait(slow, 5, 0.0) is not None


def test_only_lanes_that_may_serve_the_job_count() -> None:
    """It came back, barred from the fast lane: the slow one is its only place."""
    fleet = Fleet(fast := lane(0, 2.0), slow := lane(1, 90.0))
    assert fleet.tail.better_wait(slow, 1, 0.0, lambda each: each is not fast) is None
    assert fleet.tail.better_wait(slow, 1, 0.0, lambda each: True) is not None


def test_lanes_without_a_rate_count_by_their_slots() -> None:
    """A server of one's own with 2 slots of 20 s answers 8 within 90 s."""
    fleet = Fleet(lane(0, 20.0, math.inf, slots=2), slow := lane(1, 90.0))
    assert fleet.tail.better_wait(slow, 8, 0.0) is not None
    assert fleet.tail.better_wait(slow, 9, 0.0) is None


def test_requests_in_flight_on_faster_lanes_hold_their_slots() -> None:
    """Both slots are taken for 15 s more: a turn fewer each."""
    fleet = Fleet(fast := lane(0, 20.0, math.inf, slots=2), slow := lane(1, 90.0))
    fleet.take(fast, 0.0, 2)
    fast.out = [0.0, 0.0]
    assert fleet.tail.better_wait(slow, 6, 5.0) is not None  # back at 40, 60 and 80; the slow one would be at 95
    assert fleet.tail.better_wait(slow, 7, 5.0) is None


def test_a_lane_without_any_limit_does_all() -> None:
    """Nothing is left for the slow one."""
    fleet = Fleet(lane(0, 2.0, math.inf), slow := lane(1, 90.0))
    assert fleet.tail.better_wait(slow, 100_000, 0.0) is not None


def test_the_cap_of_the_whole_run_holds_for_them_too() -> None:
    """Four at once at 2 s are 180 in 90 s, whatever the lane would permit."""
    fleet = Fleet(lane(0, 2.0, math.inf), slow := lane(1, 90.0), slots=4)
    assert fleet.tail.better_wait(slow, 180, 0.0) is not None
    assert fleet.tail.better_wait(slow, 181, 0.0) is None


# ---------------------------------------------------------- what lanes can do


class Taught(WindowLog):
    """A counter that learns: a question is a wish."""

    hold = -math.inf

    def ready(self, now: float, amount: float) -> float:
        raise AssertionError("asked")


def test_a_counter_that_learns_is_not_asked_for_what_nobody_wants() -> None:
    """It would take the question for a limit that binds, and its answer for a trial."""
    meter = Taught("rpm", 0, "k", 60.0, 60.0, 0.0)
    for second in range(60):
        meter.take(float(second), 1.0)
    reach = reach_of([meter], 2.0, PLAIN, 60.0, 1000)
    assert reach is not None
    assert answers([reach], 60.0, 92.0, math.inf) == pytest.approx(30, abs=2)


def test_a_pacer_bounds_what_a_window_would_permit() -> None:
    """A window with room lets 60 out at once; its pacer one a second."""
    meter = WindowLog("rpm", 0, "k", 60.0, 60.0, 0.0)
    reach = reach_of([meter], 2.0, PLAIN, 0.0, 1000, drips=[(1, Drip(1.0, 1.0, 1.0))])
    assert reach is not None
    assert answers([reach], 0.0, 12.0, math.inf) == 10


def test_what_two_lanes_share_is_spent_once() -> None:
    """Two models of one key under one limit are not twice as fast."""
    meter = WindowLog("rpm", 0, "k", 30.0, 60.0, 0.0)
    reaches = [reach_of([meter], service, PLAIN, 0.0, 1000) for service in (1.0, 2.0)]
    assert all(reaches)
    assert answers([r for r in reaches if r], 0.0, 30.0, math.inf) == 30


def test_a_job_that_never_fits_is_no_job_for_the_lane() -> None:
    """Larger than its limit ever holds."""
    assert reach_of([WindowLog("tpm", 1, "k", 100.0, 60.0, 0.0)], 1.0, (1, 101, 0, 0, 0, 0), 0.0, 5) is None


def test_a_rest_puts_everything_off() -> None:
    """Nothing leaves before it ends."""
    meter = WindowLog("rpm", 0, "k", 30.0, 60.0, 0.0)
    reach = reach_of([meter], 2.0, PLAIN, 0.0, 10, opens=20.0)
    assert reach is not None
    assert answers([reach], 0.0, 21.0, math.inf) == 0
    assert answers([reach], 0.0, 22.0, math.inf) >= 10


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(
    limit=st.integers(1, 20),
    gaps=st.lists(st.floats(0, 12), max_size=40),
    service=st.floats(0.1, 30),
    within=st.floats(31, 300),
)
def test_what_a_window_will_let_out_is_foreseen(limit: int, gaps: list[float], service: float, within: float) -> None:
    """The count decides who gets the last jobs; only what lies within one window is guessed."""
    meter, now = WindowLog("rpm", 0, "k", limit, 60.0, 0.0), 0.0
    for gap in gaps:
        now = max(now + gap, meter.ready(now + gap, 1.0))
        meter.take(now, 1.0)
    reach = reach_of([meter], service, PLAIN, now, 10_000)
    assert reach is not None
    foreseen = answers([reach], now, now + within, math.inf)
    real, at = 0, now
    while (at := meter.ready(at, 1.0)) + service <= now + within:
        meter.take(at, 1.0)
        real += 1
    assert abs(foreseen - real) <= limit
    assert foreseen <= at_most(shape([meter]), service, within, math.inf)
    laps = math.floor((within - service) / 60.0)
    assert foreseen >= laps * limit
