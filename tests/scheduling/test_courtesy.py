"""What a batch leaves of a limit for callers."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmfan.limits.gauge import Gauge
from llmfan.limits.tokens import TokenWindow
from llmfan.limits.window import Calendar
from llmfan.scheduling.courtesy import SHARE, room_at


def gauge(limit: float = 60) -> Gauge:
    return Gauge("rpm", "a#1", limit, 60.0, rng=Random(0))


def taken_at_once(meter: Gauge, now: float) -> int:
    count = 0
    while room_at(meter, 1.0, now) <= now:
        meter.take(now, 1.0)
        count += 1
    return count


def test_a_batch_takes_half_of_an_empty_window_at_once() -> None:
    """All of it, and the next caller waits a minute; less, and a short batch waits for nobody."""
    assert taken_at_once(gauge(), 10.0) == 30


@given(st.floats(0, 59), st.integers(3, 500))
def test_who_calls_evenly_at_half_the_rate_always_finds_room(pause: float, limit: int) -> None:
    """The promise itself: whatever a batch has taken by then, and whenever it comes again within the window."""
    meter = gauge(limit)
    taken_at_once(meter, 0.0)
    taken_at_once(meter, pause)
    held = meter.returning(pause, 1000)
    free = limit - sum(part for _, part in held)
    for at, part in held:
        assert free >= SHARE * limit / 60.0 * (at - pause) - 0.51
        free += part


def test_what_comes_free_is_told_whole_in_however_many_parts() -> None:
    """A place that is forgotten is given away twice."""
    meter = gauge(100)
    for n in range(37):
        meter.take(float(n) / 10, 1.0)
    for parts in (1, 5, 16, 100):
        told = meter.returning(4.0, parts)
        assert len(told) <= parts
        assert sum(part for _, part in told) == 37
        assert told[-1][0] == pytest.approx(3.6 + 60 + meter.margin)


def test_tokens_in_flight_count_as_taken() -> None:
    """Answers that have not come yet will be charged: a batch that forgets them leaves nothing."""
    meter = TokenWindow("tpm", 1, "a#1", 1000.0, 60.0, 0.5)
    for _ in range(4):
        meter.take(0.0, 100.0)
    assert sum(part for _, part in meter.returning(1.0, 16)) == 400
    assert room_at(meter, 100.0, 1.0) <= 1.0
    meter.take(1.0, 100.0)
    assert room_at(meter, 100.0, 1.0) > 1.0  # though 500 are left


def test_a_days_quota_is_not_shared_out() -> None:
    """What a batch leaves of a day is gone at midnight."""
    day = Calendar("rpd", 0, "a#1", 10.0, lambda now: 86400.0)
    day.take(0.0, 9.0)
    assert room_at(day, 1.0, 5.0) == 5.0
