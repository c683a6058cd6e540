"""The pace of a limit group: what it may send evenly, how it learns, and that it never forgets a ceiling."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmfan.limits.learner import START_PER_MINUTE, Pace


@pytest.mark.parametrize("limit", [1, 5, 30, 1000])
@pytest.mark.parametrize("period", [1.0, 60.0, 3600.0])
def test_what_the_pacer_lets_through_fits_into_any_window(limit: int, period: float) -> None:
    """burst + rate x window is the most that leaves in one window; a naive bucket allows nearly twice the limit."""
    burst, rate = Pace(limit, period).spec() or (0.0, 0.0)
    assert burst - 1 + rate * period <= limit * 1.05 + 1  # the exact count is the log's
    assert rate * period >= 0.95 * limit * period / (period + 0.5) - 0.05 * limit


def test_a_small_batch_leaves_as_a_burst_and_no_longer_once_refused() -> None:
    """Ten prompts under ten a minute need no minute; after a refusal the server's kind is in doubt."""
    pace = Pace(10, 60.0)
    pace.short = True
    assert (pace.spec() or (0, 0))[1] >= 10 / 5
    pace.refused(1.0, 3)
    assert (pace.spec() or (0, 0))[1] <= 10 / 60


def test_no_limit_means_no_pace_until_something_is_refused() -> None:
    """`limits: none`, and a server of one's own."""
    pace = Pace(None, 1.0)
    assert (pace.spec(), pace.window(), pace.most_in_flight()) == (None, None, None)
    pace.refused(10.0, accepted=20)
    assert pace.hat == pytest.approx(14.0)


def test_an_unknown_limit_starts_low_and_doubles_with_each_well_used_window() -> None:
    """Unknown is not unlimited, and not ten a minute for ever."""
    pace = Pace(None, 1.0, open_=True)
    assert pace.hat == START_PER_MINUTE
    assert pace.most_in_flight() == 2
    now = 0.0
    for n in range(1, 4):
        for _ in range(round((pace.hat or 0) * 0.6)):
            pace.sent()
        now += 60.0
        assert pace.answered(now)
        assert pace.hat == START_PER_MINUTE * 2**n
    assert pace.most_in_flight() == 16


def test_an_idle_window_teaches_nothing() -> None:
    """One request a minute without refusal does not show that twenty are allowed."""
    pace = Pace(None, 1.0, open_=True)
    for n in range(1, 4):
        pace.sent()
        assert not pace.answered(60.0 * n)
    assert pace.hat == START_PER_MINUTE


def test_after_a_refusal_an_unknown_limit_grows_in_small_steps() -> None:
    """Doubling again would run into the same wall each time."""
    pace = Pace(None, 1.0, open_=True)
    pace.refused(0.0, 5)
    before = pace.hat or 0
    for _ in range(20):
        pace.sent()
    pace.answered(60.0)
    assert pace.hat == pytest.approx(before * 1.1)


def test_off_means_that_a_declared_limit_is_what_it_is() -> None:
    """`learn: off` is the user's word against the evidence."""
    pace = Pace(20, 60.0, learn="off")
    assert not pace.refused(1.0, 3)
    assert pace.hat == 20


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(steps=st.lists(st.tuples(st.booleans(), st.floats(0.1, 100)), max_size=60), limit=st.integers(1, 500))
def test_a_declared_limit_is_a_ceiling_and_never_falls_to_nothing(steps: list[tuple[bool, float]], limit: int) -> None:
    """Cut and raised in any order: never above what was declared, never so low that the key is lost."""
    pace, now = Pace(limit, 60.0), 0.0
    for good, gap in steps:
        now += gap
        if good:
            pace.sent()
            pace.answered(now)
        else:
            pace.refused(now, 1)
        assert 0.1 * limit - 1e-9 <= (pace.hat or 0) <= limit


def test_a_ceiling_is_reached_again_after_clean_windows() -> None:
    """One bad minute must not slow a run of a day."""
    pace, now = Pace(100, 60.0), 0.0
    for _ in range(5):
        pace.refused(now, 10)
    for _ in range(12):
        now += 61.0
        pace.answered(now)
    assert pace.hat == 100
