"""When prompts arrive in an open loop: exact moments, and what `--rate` may say."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import islice, pairwise
from random import Random
from statistics import mean, pstdev

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmfan.options import Rate
from llmfan.scheduling.arrivals import arrivals, highest, parse_rate, reached

rates = st.floats(0.01, 1000.0)


def first(rate: Rate, n: int, seed: int = 1) -> list[float]:
    return list(islice(arrivals(rate, Random(seed)), n))


def expected_by(rate: Rate, t: float) -> float:
    """The rate summed up to `t`, by the definition."""
    if rate.end is None or rate.over is None:
        return rate.start * t
    ramp = min(t, rate.over)
    at_ramp = rate.start + (rate.end - rate.start) * ramp / rate.over
    return ramp * (rate.start + at_ramp) / 2 + max(0.0, t - rate.over) * rate.end


def test_a_constant_rate_keeps_its_time_to_the_last_of_a_million() -> None:
    """Gaps that are added up are off by a thousandth of a second at the end of a long run."""
    rate = Rate(start=7.3)
    for k in (0, 1, 2, 999, 999_999):
        moment = next(islice(arrivals(rate, Random(1)), k, None))
        assert abs(Fraction(moment) - k / Fraction(7.3)) <= k / Fraction(7.3) * Fraction(2) ** -52


def test_the_first_of_a_constant_rate_arrives_at_once() -> None:
    """A gap before the first one is a gap nobody asked for."""
    assert first(Rate(start=4.0), 3) == [0.0, 0.25, 0.5]


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(start=st.one_of(st.just(0.0), rates), end=rates, over=st.floats(0.1, 3600.0))
def test_a_ramp_has_brought_as_many_as_the_rate_adds_up_to(start: float, end: float, over: float) -> None:
    """Solved in steps, it would be early on the way up and late on the way down."""
    rate = Rate(start=start, end=end, over=over)
    moments = first(rate, 200)
    assert moments[0] == 0.0
    assert all(a < b for a, b in pairwise(moments))
    for k, moment in enumerate(moments):
        assert expected_by(rate, moment) == pytest.approx(k, rel=1e-9, abs=1e-9)


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(start=rates, end=st.one_of(st.none(), rates), at=st.floats(0.0, 60.0), wide=st.floats(0.1, 60.0))
def test_any_stretch_holds_as_many_as_its_rate_says(start: float, end: float | None, at: float, wide: float) -> None:
    """A constant arrival is never one too many or too few, wherever one looks."""
    rate = Rate(start=start, end=end, over=None if end is None else 30.0)
    until = expected_by(rate, at + wide)
    counted = sum(at <= t < at + wide for t in first(rate, min(20_000, int(until) + 2)))
    if until < 19_998:
        assert abs(counted - (until - expected_by(rate, at))) <= 1.0 + 1e-6


def test_poisson_gaps_are_those_of_independent_callers() -> None:
    """Their mean is that of the rate, and so is their spread."""
    moments = first(Rate(start=20.0, arrival="poisson"), 20_000)
    gaps = [b - a for a, b in pairwise(moments)]
    assert mean(gaps) == pytest.approx(0.05, rel=0.03)
    assert pstdev(gaps) == pytest.approx(0.05, rel=0.05)
    seconds = [0] * int(moments[-1])
    for moment in moments:
        if moment < len(seconds):
            seconds[int(moment)] += 1
    assert pstdev(seconds) ** 2 == pytest.approx(20.0, rel=0.1)  # a Poisson count's variance is its mean


def test_a_poisson_ramp_follows_its_rate() -> None:
    """Chance for the gaps, and still 10/s at first and 30/s in the end."""
    rate = Rate(start=10.0, end=30.0, over=100.0, arrival="poisson")
    moments = first(rate, 2000, seed=5)
    assert sum(t < 50 for t in moments) == pytest.approx(750, rel=0.1)
    assert sum(t < 100 for t in moments) == pytest.approx(2000, rel=0.06)


def test_the_same_seed_gives_the_same_arrivals() -> None:
    """A load that cannot be repeated proves no change."""
    rate = Rate(start=5.0, arrival="poisson")
    assert first(rate, 50, 3) == first(rate, 50, 3)
    assert first(rate, 50, 3) != first(rate, 50, 4)


@pytest.mark.parametrize(
    ("text", "over", "rate"),
    [
        ("10/s", None, Rate(start=10.0)),
        ("600/m", None, Rate(start=10.0)),
        (" 36 / h ", None, Rate(start=0.01)),
        ("10", None, Rate(start=10.0)),
        (".5", None, Rate(start=0.5)),
        ("2.5/s", None, Rate(start=2.5)),
        ("5/s..50/s", 120.0, Rate(start=5.0, end=50.0, over=120.0)),
        ("5..50/s", 120.0, Rate(start=5.0, end=50.0, over=120.0)),
        ("60..600/m", 9.0, Rate(start=1.0, end=10.0, over=9.0)),
        ("60/m .. 10/s", 9.0, Rate(start=1.0, end=10.0, over=9.0)),
        ("50..5", 9.0, Rate(start=50.0, end=5.0, over=9.0)),
        ("0..5", 9.0, Rate(start=0.0, end=5.0, over=9.0)),
    ],
)
def test_rates_are_read_as_they_are_written(text: str, over: float | None, rate: Rate) -> None:
    """The contract's grammar."""
    assert parse_rate(text, over, "constant") == rate


@pytest.mark.parametrize(
    ("text", "over", "says"),
    [
        ("fast", None, "10/s"),
        ("", None, "10/s"),
        ("10/d", None, "10/s"),
        ("-1/s", None, "cannot read"),
        ("nan", None, "cannot read"),
        ("1e3", None, "cannot read"),
        ("٣/s", None, "cannot read"),
        ("9" * 400, None, "cannot read"),
        ("0/s", None, "no prompts"),
        ("5..0", 9.0, "no prompts"),
        ("5..", 9.0, "cannot read"),
        ("1..2..3", 9.0, "cannot read"),
        ("5..50", None, "--over"),
        ("10/s", 60.0, "ramp"),
        ("5..50", 0.0, "no time"),
        ("5..50", math.inf, "no time"),
    ],
)
def test_a_rate_that_is_none_is_refused_with_a_reason(text: str, over: float | None, says: str) -> None:
    """A guess at what was meant is a load nobody asked for."""
    with pytest.raises(ValueError, match=says):
        parse_rate(text, over, "constant")


def test_an_arrival_nobody_knows_is_refused() -> None:
    """`--arrival possion` must not be a constant one."""
    with pytest.raises(ValueError, match="possion"):
        parse_rate("10/s", None, "possion")


def test_a_ramp_is_known_by_its_highest_and_its_mean() -> None:
    """What limits must carry is the one, what a run brings the other."""
    up, down = Rate(start=2.0, end=10.0, over=10.0), Rate(start=10.0, end=2.0, over=10.0)
    assert (highest(up), highest(down), highest(Rate(start=3.0))) == (10.0, 10.0, 3.0)
    assert reached(up, 160.0) == pytest.approx(20.0)
