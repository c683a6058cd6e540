"""Intervals for shares: against figures from the literature, and against what chance really does."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmfan.measures.intervals import paired_difference, wilson

drawn = settings(max_examples=200, deadline=None, derandomize=True, database=None)


@pytest.mark.parametrize(
    ("right", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilsons_interval_is_that_of_the_literature(right: int, n: int, low: float, high: float) -> None:
    """The four examples of Newcombe (1998), method 3: an interval of our own making would convince nobody."""
    found = wilson(right, n)
    assert found is not None
    assert found == pytest.approx((low, high), abs=0.0001)


@drawn
@given(n=st.integers(1, 2000), data=st.data())
def test_an_interval_holds_its_share_and_stays_in_bounds(n: int, data: st.DataObject) -> None:
    """An accuracy of 103 % in a report discredits every other figure in it."""
    right = data.draw(st.integers(0, n))
    found = wilson(right, n)
    assert found is not None
    assert 0 <= found[0] <= right / n + 1e-12
    assert right / n - 1e-12 <= found[1] <= 1


def test_nothing_graded_has_no_interval() -> None:
    """0 of 0 is not 0 %."""
    assert wilson(0, 0) is None
    assert paired_difference(0, 0, 0, 0) is None


@pytest.mark.parametrize("n", [20, 100, 500])
def test_a_paired_interval_holds_the_truth_as_often_as_it_says(n: int) -> None:
    """An interval that is too narrow calls two equal providers different."""
    rng = random.Random(n)
    inside = 0
    for _ in range(2000):
        cells = [0, 0, 0, 0]
        for _ in range(n):  # P(both) 0.6, only a 0.2, only b 0.1: b is 10 points worse
            cells[rng.choices(range(4), (0.6, 0.2, 0.1, 0.1))[0]] += 1
        found = paired_difference(*cells)
        assert found is not None
        inside += found[1] <= -0.1 <= found[2]
    assert 0.93 * 2000 <= inside <= 0.99 * 2000
