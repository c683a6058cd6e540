"""What answers speak for: each by hand, so that nothing of the measurement's own course is needed."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmfan.limits.answers import Log, Seen
from llmfan.limits.fitting import estimate, most_in_any
from llmfan.limits.ways import candidates
from llmfan.simulation.limiter import Bucket, Counter, FixedWindow, SlidingLog

PERIOD = 60.0
TRIP = 0.04
exact = settings(max_examples=60, deadline=None, derandomize=True, database=None)


def ask(counter: Counter, moments: list[float]) -> list[Seen]:
    """What a counter says at these moments, each asked with a short way there and back."""
    return [
        Seen(at - TRIP / 2, at + TRIP / 2 + ok * 0.1, ok) for at in moments for ok in [counter.admit(1000 + at, 1.0).ok]
    ]


def burst(start: float, n: int, gap: float) -> list[float]:
    return [start + i * gap for i in range(n)]


def test_without_a_refusal_there_is_no_figure() -> None:
    """What was taken is a lower bound; anything more is a guess."""
    found = estimate(ask(SlidingLog(1000, PERIOD), burst(0, 50, 0.1)), PERIOD)
    assert (found.figure, found.low, found.high, found.counts) == (None, 50, math.inf, "")


def test_a_sliding_window_opens_by_as_many_as_have_left_it() -> None:
    """Two that left a minute ago free two places: of a fixed window all would be free."""
    moments = [0.0, 0.2, *burst(4, 11, 0.2), 60.5, 60.7, 60.9]
    found = estimate(ask(SlidingLog(12, PERIOD), moments), PERIOD)
    assert (found.figure, found.counts) == (12, "sliding")
    assert found.confidence > 0.9


def test_a_fixed_window_opens_all_at_once() -> None:
    """Its count is what was taken between a boundary and a refusal."""
    moments = [0.0, 0.2, *burst(4, 11, 0.2), *burst(60.5, 13, 0.2)]
    found = estimate(ask(FixedWindow(12, PERIOD, 1000 % PERIOD + 20), moments), PERIOD)
    assert (found.figure, found.counts) == (12, "fixed")


def test_a_burst_across_a_boundary_is_not_taken_for_the_limit() -> None:
    """Twice a fixed window's limit goes through where it ends: the next burst, at another speed, shows it."""
    server = FixedWindow(30, PERIOD, 60 - 1008 % 60)  # a boundary at 8
    moments = [*burst(0, 60, 0.4), *burst(70, 31, 0.2)]
    seen = ask(server, moments)
    first = next(i for i, one in enumerate(seen) if not one.taken)
    again = ask(FixedWindow(30, PERIOD, 60 - 1008 % 60), [*moments[: first + 1], *burst(70, 31, 0.2)])
    assert first > 35
    assert estimate(again, PERIOD).figure == 30


@pytest.mark.parametrize("rate", [12, 30, 120])
def test_a_bucket_is_measured_by_what_it_takes_between_two_refusals(rate: int) -> None:
    """It is empty at each, so that what it took meanwhile is what flowed in: a burst alone would name its size."""
    gap = PERIOD / rate
    moments = [*burst(0, rate + 30, 0.05)]
    seen = ask(Bucket(rate, PERIOD), moments)
    first = next(i for i, one in enumerate(seen) if not one.taken)
    server = Bucket(rate, PERIOD)
    asked = ask(server, [*moments[: first + 1], *burst(moments[first] + 2 * gap, 60, gap * 0.96)])
    refused = [i for i, one in enumerate(asked) if not one.taken]
    found = estimate(asked[: refused[1] + 1], PERIOD)
    assert found.counts == "continuous"
    assert found.figure == pytest.approx(rate, rel=0.05)
    assert found.low <= rate <= found.high


def test_an_exact_hint_speaks_for_the_window_it_fits() -> None:
    """When a full window opens again is known to the server alone: its word of it tells more than another refusal."""
    seen = ask(FixedWindow(12, PERIOD, 60 - 1020 % 60), burst(0, 13, 0.5))  # a boundary at 20
    last = seen[-1]
    told = [*seen[:-1], Seen(last.sent, last.ended, False, 14.0 + TRIP / 2)]
    assert share_of("fixed", told) > 0.75 > 0.5 > share_of("fixed", seen)
    assert share_of("sliding", told) < 0.5 * share_of("sliding", seen)
    assert estimate(told, PERIOD).figure == 12


def share_of(kind: str, seen: list[Seen]) -> float:
    found = list(candidates(Log(seen, PERIOD)))
    return sum(one.weight for one in found if one.counts == kind) / sum(one.weight for one in found)


@exact
@given(
    gaps=st.lists(st.sampled_from([0.0, 0.05, 0.5, 4.0, 61.0]), min_size=1, max_size=40),
    fates=st.lists(st.sampled_from([True, False, None]), min_size=40, max_size=40),
)
def test_any_answers_give_bounds_around_the_figure(gaps: list[float], fates: list[bool | None]) -> None:
    """No server is bound to any of the known ways: what fits none is still told as what it bore, not as an error."""
    at, seen = 0.0, []
    for gap, fate in zip(gaps, fates, strict=False):
        at += gap
        seen.append(Seen(at, at + 0.3, fate))
    found = estimate(seen, PERIOD)
    assert 0 <= found.low <= found.high
    assert found.figure is None or found.low <= found.figure <= found.high
    assert 0 <= found.confidence <= 1


def test_the_most_in_any_window_is_counted_as_a_server_would() -> None:
    """What left a whole window ago is out of it."""
    assert most_in_any([], 10) == 0
    assert most_in_any([0, 1, 2, 10, 10.5], 10) == 4
