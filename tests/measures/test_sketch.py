"""Quantiles from buckets: right to 1 %, and merging is adding."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmfan.measures.sketch import Sketch

drawn = settings(max_examples=200, deadline=None, derandomize=True, database=None)
durations = st.lists(st.floats(1e-6, 1e5), min_size=1, max_size=200)
QS = [0.5, 0.9, 0.95, 0.99]


def exact(values: list[float], q: float) -> float:
    return sorted(values)[max(1, math.ceil(q * len(values))) - 1]


def of(values: list[float]) -> Sketch:
    sketch = Sketch()
    for value in values:
        sketch.add(value)
    return sketch


@drawn
@given(values=durations)
def test_any_quantile_is_within_one_per_cent(values: list[float]) -> None:
    """A p99 that is 5 % off decides a gate wrongly."""
    for q, found in zip(QS, of(values).quantiles(QS), strict=True):
        assert found == pytest.approx(exact(values, q), rel=0.01)


@drawn
@given(values=durations)
def test_count_mean_and_maximum_are_exact_and_no_quantile_is_above_the_maximum(values: list[float]) -> None:
    """A p99 above the maximum is seen at once, and believed no more."""
    sketch = of(values)
    assert (sketch.n, sketch.high) == (len(values), max(values))
    assert sketch.total == pytest.approx(math.fsum(values))
    assert all(q is not None and q <= sketch.high for q in sketch.quantiles([*QS, 1.0]))


@drawn
@given(one=durations, two=durations)
def test_merging_is_adding(one: list[float], two: list[float]) -> None:
    """The total of a run is merged from its targets: it must be what one count of all would give."""
    merged, whole = of(one), of(one + two)
    merged.merge(of(two))
    assert (merged.counts, merged.n, merged.high) == (whole.counts, whole.n, whole.high)
    assert merged.quantiles(QS) == whole.quantiles(QS)


@drawn
@given(value=st.floats(1e-6, 1e5), count=st.integers(1, 1000))
def test_many_of_one_size_are_that_many(value: float, count: int) -> None:
    """Gaps between chunks come as (gap, count)."""
    sketch = Sketch()
    sketch.add(value, count)
    assert sketch.n == count
    assert sketch.counts == of([value] * count).counts


def test_nothing_has_no_quantile() -> None:
    """Undefined is null, never 0."""
    assert Sketch().quantiles(QS) == [None] * 4


def test_zero_is_counted_and_is_zero() -> None:
    """A wait of nothing is a value: half of all waits may be 0."""
    sketch = of([0.0, 0.0, 0.0, 5.0])
    assert sketch.quantile(0.5) == 0.0
    assert sketch.quantile(1.0) == pytest.approx(5.0, rel=0.01)


def test_memory_is_bounded_by_the_range_and_not_by_the_count() -> None:
    """A day of answers is a million values."""
    sketch = Sketch()
    for n in range(200_000):
        sketch.add(0.001 + (n % 9973) * 0.01)
    assert len(sketch.counts) < 1300
