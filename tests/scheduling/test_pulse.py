"""Service times: medians and spreads that follow the answers, and what is still to be expected of a late one."""

from __future__ import annotations

import math
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmfan.records import KnownTarget, Target
from llmfan.scheduling.pulse import PRIOR_S, Pulse, Pulses

A, A2, B = (Target(provider=p, model="m", key=k) for p, k in (("a", "a#1"), ("a", "a#2"), ("b", "b#1")))


def pulse_of(seconds: list[float]) -> Pulse:
    pulse = Pulse()
    for each in seconds:
        pulse.answered(each, 100)
    return pulse


def lognormal(median: float, sigma: float, n: int, seed: int = 1) -> list[float]:
    rng = Random(seed)
    return [rng.lognormvariate(math.log(median), sigma) for _ in range(n)]


def test_median_and_95th_percentile_are_those_of_what_was_seen() -> None:
    """A wrong percentile hedges half of all requests, or none."""
    pulse = pulse_of(lognormal(10.0, 0.6, 2000))
    assert pulse.p50() == pytest.approx(10.0, rel=0.3)
    assert pulse.p95() == pytest.approx(10.0 * math.exp(1.645 * 0.6), rel=0.5)
    assert pulse.sigma == pytest.approx(0.6, abs=0.2)


def test_equal_times_give_that_time_at_once() -> None:
    """A spread that is only assumed would make every newcomer look slow."""
    assert pulse_of([2.0]).typical() == pytest.approx(2.0)
    assert pulse_of([2.0] * 50).typical() == pytest.approx(2.0)


def test_a_server_that_grew_slow_is_seen_soon() -> None:
    """A mean over the whole run would trust it with the last jobs."""
    assert pulse_of([1.0] * 1000 + [8.0] * 40).p50() > 6.0


def test_nothing_known_is_the_prior_and_says_so() -> None:
    """A forecast needs some figure; a decision must know that it is none."""
    assert Pulse().p50() == pytest.approx(PRIOR_S)
    assert Pulses[int]().service(A, 5.0) is None


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(median=st.floats(0.05, 100), sigma=st.floats(0.0, 1.2), ages=st.lists(st.floats(0, 1e4), max_size=5))
def test_what_remains_is_never_negative_nor_endless(median: float, sigma: float, ages: list[float]) -> None:
    """Far out in the tail both chances are rounding errors; their ratio must not be."""
    pulse = Pulse.of(
        KnownTarget(name="t", n=9, service_s=median, service_sigma=sigma, output_tokens=1.0, tokens_per_char=0.25)
    )
    for age in ages:
        assert 0.0 <= pulse.remaining(age) < 10 * (age + median * math.exp(sigma**2) + 1.0)


def test_what_remains_is_the_mean_of_those_that_took_longer() -> None:
    """The whole of hedging rests on it."""
    seconds = lognormal(10.0, 0.6, 200_000)
    pulse = Pulse.of(
        KnownTarget(name="t", n=12, service_s=10.0, service_sigma=0.6, output_tokens=1.0, tokens_per_char=0.25)
    )
    for age in (5.0, 15.0, 30.0):
        longer = [s - age for s in seconds if s > age]
        assert pulse.remaining(age) == pytest.approx(sum(longer) / len(longer), rel=0.05)


def test_a_late_one_will_be_later_still() -> None:
    """With skewed times who is late is likely stuck: a normal distribution would say the opposite."""
    pulse = pulse_of(lognormal(10.0, 0.6, 500))
    assert pulse.remaining(100.0) > pulse.remaining(40.0)


def test_keys_of_one_target_share_its_pulse_until_one_is_unlike_the_others() -> None:
    """Chance makes twins differ; each would wait for the one that was lucky."""
    pulses: Pulses[int] = Pulses()
    for seconds in lognormal(2.0, 0.3, 60):
        pulses.answered(A, seconds, 50)
        pulses.answered(A2, seconds, 50)
    assert pulses.of(A) is pulses.of(A2)
    for seconds in lognormal(20.0, 0.3, 60, seed=2):
        pulses.answered(A2, seconds, 50)
        pulses.answered(A, seconds / 10, 50)
    assert pulses.of(A2).p50() > 3 * pulses.of(A).p50()


def test_a_target_that_has_not_answered_is_slow() -> None:
    """Sent a minute ago and silent since: it does not get the last job for want of evidence."""
    pulses: Pulses[int] = Pulses()
    pulses.left(0, A, 1, 0.0)
    assert pulses.service(A, 0.0) is None
    assert pulses.service(A, 60.0) == pytest.approx(120.0)


def test_the_first_answers_are_not_taken_for_all() -> None:
    """Of twenty sent at once the quick ones come first; those still out are no quicker than their age."""
    pulses: Pulses[int] = Pulses()
    seconds = sorted(lognormal(75.0, 0.6, 20, seed=3))
    for number in range(20):
        pulses.left(number, A, number, 0.0)
    back = [number for number in range(20) if seconds[number] <= 50.0]
    for number in back:
        pulses.ended(number, A, number)
        pulses.answered(A, seconds[number], 10)
    assert 0 < len(back) < 12
    assert pulses.of(A).p50() < 50.0
    service = pulses.service(A, 50.0)
    assert service is not None
    assert service > 70.0


def test_the_version_moves_with_news_only() -> None:
    """All forecasts are made anew when it moves: at every answer, that would be most of the work of a run."""
    pulses: Pulses[int] = Pulses()
    before = pulses.version(0.0)
    pulses.answered(A, 2.0, 10)
    first = pulses.version(0.0)
    assert first != before
    for _ in range(200):
        pulses.answered(A, 2.1, 10)
    assert pulses.version(100.0) == first
    for _ in range(200):
        pulses.answered(A, 9.0, 10)
    assert pulses.version(200.0) != first


def test_silence_is_news_each_time_it_has_doubled() -> None:
    """Else a lane that was unknown when the end was measured stays so."""
    pulses: Pulses[int] = Pulses()
    pulses.left(0, A, 1, 0.0)
    versions = {pulses.version(now / 10) for now in range(1, 1000)}
    assert 5 < len(versions) < 30


def test_what_is_known_survives_the_ledger() -> None:
    """The second run begins with what the first has learned."""
    pulses: Pulses[int] = Pulses()
    for seconds in lognormal(5.0, 0.4, 100):
        pulses.answered(B, seconds, 300)
    known = pulses.known(B.name, 0.3, at=17.0)
    assert known is not None
    assert (known.name, known.at, known.tokens_per_char, known.n) == (B.name, 17.0, 0.3, 100)
    again = Pulses[int]([known])
    assert again.of(B).p50() == pytest.approx(pulses.of(B).p50())
    assert again.of(B).output_tokens == pytest.approx(300)
    assert again.service(B, 0.0) is not None
    assert pulses.known("never/seen", 0.3, at=1.0) is None


def test_what_an_earlier_run_knew_gives_way_to_what_is_seen() -> None:
    """Yesterday's thousand answers must not outweigh today's forty."""
    known = KnownTarget(
        name=A.name, n=1000, service_s=1.0, service_sigma=0.3, output_tokens=100.0, tokens_per_char=0.25
    )
    pulses: Pulses[int] = Pulses([known])
    for _ in range(40):
        pulses.answered(A, 10.0, 100)
    assert pulses.of(A).p50() > 6.0


def test_flights_are_listed_until_they_end() -> None:
    """A flight that stays in the list would be doubled for ever."""
    pulses: Pulses[str] = Pulses()
    pulses.left(3, A, "x", 1.0)
    pulses.left(4, B, "y", 2.0)
    assert sorted(pulses.flights()) == [(3, "x", 1.0), (4, "y", 2.0)]
    assert list(pulses.moments(3)) == [1.0]
    pulses.ended(3, A, "x")
    assert list(pulses.flights()) == [(4, "y", 2.0)]
    assert list(pulses.moments(3)) == []
