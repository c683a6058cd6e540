"""What the limits carry, as told before a load is sent."""

from __future__ import annotations

from typing import Any

import pytest

from llmfan.carrying import carried, warning
from llmfan.options import Mode, Rate, RunOptions
from llmfan.records import KnownTarget
from llmfan.scheduling.dispatcher import Dispatcher
from llmfan.settings import Fleet, Provider
from llmfan.wiring import Crew, Moments, build_dispatcher
from tests.scenarios.world import MIDNIGHT, prompts, provider

TEN = Rate(start=10.0)
LONG = 50_000


def asked(fleet: list[Provider], rate: Rate = TEN, mode: Mode = "spread", jobs: int = LONG, **more: Any) -> Dispatcher:
    options = RunOptions(rate=rate, mode=mode, **more)
    whole = Fleet(file="virtual", providers=fleet)
    crew = Crew(whole, options, Moments(lambda: 0.0, MIDNIGHT), {}, {})
    return build_dispatcher(whole, crew, options, lambda: iter(prompts(1)), jobs, lambda text: None)


def rate_of(fleet: list[Provider], rate: Rate = TEN, mode: Mode = "spread", jobs: int = LONG, **more: Any) -> float:
    found = carried(asked(fleet, rate, mode, jobs, **more), rate, jobs, 0.0)
    return float("inf") if found is None else found.rate


def knowing(d: Dispatcher, **seconds: float) -> Dispatcher:
    """Answers took so long in earlier runs."""
    d.finish.recall(
        KnownTarget(name=f"{name}/m", n=1000, service_s=s, service_sigma=0.0, output_tokens=10.0, tokens_per_char=0.25,
                    at=0.0)
        for name, s in seconds.items()
    )  # fmt: skip
    return d


def test_a_rate_that_the_limits_carry_is_not_spoken_of() -> None:
    """A warning that is always there is read by nobody."""
    d = asked([provider("a", 2, axes={"rpm": 6000})])
    assert warning(d, TEN, LONG, 0.0) is None


def test_what_is_too_much_is_said_with_what_would_not_be() -> None:
    """`it will be slow` leaves one guessing what to ask for instead."""
    d = asked([provider("a", 3, axes={"rpm": 30}), provider("b", axes={"rpm": 60})])
    said = warning(d, TEN, LONG, 0.0)
    assert said is not None
    assert said.startswith("--rate 10/s is more than the limits carry: about 2.4")
    assert "(a 3 x rpm 30, b rpm 60)" in said
    assert said.endswith("the rest will wait, and wait_s will show it")


def test_a_ramp_is_judged_by_its_highest() -> None:
    """It begins harmlessly."""
    rate = Rate(start=0.1, end=5.0, over=600.0)
    said = warning(asked([provider("a", axes={"rpm": 60})], rate), rate, LONG, 0.0)
    assert said is not None
    assert said.startswith("--rate 6/m..5/s is more than")


def test_a_limit_carries_what_it_refills() -> None:
    """Within what its margins take of it."""
    assert rate_of([provider("a", 4, axes={"rpm": 60})]) == pytest.approx(4.0, rel=0.05)
    assert rate_of([provider("a", 4, axes={"rpm": 60})]) <= 4.0


def test_keys_of_one_account_carry_what_the_account_does() -> None:
    """Four keys on one account are one key."""
    one = provider("a", 4, axes={"rpm": 60}, accounts=["x"] * 4, shared="account")
    assert rate_of([one]) == pytest.approx(1.0, rel=0.05)


def test_a_short_load_has_all_that_a_window_holds() -> None:
    """Fifty at ten a second are over before sixty a minute are."""
    assert rate_of([provider("a", axes={"rpm": 60})], jobs=50) >= 10.0
    assert rate_of([provider("a", axes={"rpm": 60})], jobs=120) == pytest.approx(5.0, rel=0.05)


def test_what_this_program_spreads_of_its_own_accord_is_said() -> None:
    """Sixty a minute, sixty prompts at twenty a second: it sends twelve, meets no 429, and calls that the load."""
    rate = Rate(start=20.0)
    d = asked([provider("a", axes={"rpm": 60})], rate, jobs=60)
    found = carried(d, rate, 60, 0.0)
    assert found is not None
    assert found.rate == pytest.approx(12.0, rel=0.05)
    said = warning(d, rate, 60, 0.0)
    assert said is not None
    assert "(a rpm 60 spread over 5 s)" in said


def test_a_days_quota_bounds_the_load_that_needs_more_of_it() -> None:
    """A thousand a day are plenty for a hundred prompts, and a tenth of ten thousand."""
    fleet = [provider("a", axes={"rpm": 6000, "rpd": 1000})]
    assert rate_of(fleet, jobs=100) >= 10.0
    assert rate_of(fleet, jobs=10_000) == pytest.approx(1.0, rel=0.05)


def test_token_limits_count_at_the_size_of_the_first_prompt() -> None:
    """A generous request limit is no help where each takes a thousand tokens."""
    narrow = rate_of([provider("a", axes={"rpm": 6000, "tpm": 60_000})], max_tokens=1000)
    assert narrow == pytest.approx(1000 / 267, rel=0.02)  # an answer's length is a guess, until one came
    assert rate_of([provider("a", axes={"rpm": 6000})], max_tokens=1000) == pytest.approx(100, rel=0.05)


def test_requests_at_once_bound_it_as_far_as_service_times_are_known() -> None:
    """Two at a time, half a second each: four a second."""
    fleet = [provider("a", axes={"rpm": 6000, "concurrency": 2})]
    assert rate_of(fleet) > 10
    found = carried(knowing(asked(fleet), a=0.5), TEN, LONG, 0.0)
    assert found is not None
    assert found.rate == pytest.approx(4.0, rel=0.01)
    assert found.binding == ("a concurrency 2",)


def test_the_runs_own_cap_is_named_where_it_binds() -> None:
    """Advice to buy a larger key is bad where a larger number is enough."""
    d = knowing(asked([provider("a", axes={"rpm": 60000})], concurrency=3), a=0.5)
    said = warning(d, TEN, LONG, 0.0)
    assert said is not None
    assert "about 6/s (--concurrency)" in said


def test_a_slot_is_held_for_the_mean_of_service_times() -> None:
    """Three of four answers are back sooner than the time a batch's end is planned with: 18 % too few were promised."""
    d = asked([provider("a", axes={"rpm": 60000, "concurrency": 1})])
    for _ in range(40):
        d.finish.pulses.answered(d.lanes[0].target, 0.25, 10.0)
    known = d.finish.pulses.known("a/m", 0.25, 0.0)
    assert known is not None
    d = asked([provider("a", axes={"rpm": 60000, "concurrency": 1})])
    d.finish.recall([known])
    found = carried(d, TEN, LONG, 0.0)
    assert found is not None
    assert found.rate == pytest.approx(4.0, rel=0.04)


def test_each_provider_carries_its_own_load_and_the_slowest_is_named() -> None:
    """In a comparison the fast one's room is no help to the slow one."""
    fleet = [provider("a", axes={"rpm": 6000}), provider("b", axes={"rpm": 30})]
    said = warning(asked(fleet, mode="providers"), TEN, LONG, 0.0)
    assert said is not None
    assert "the limits of b carry: about 29.8/m" in said
    assert "(b rpm 30)" in said


def test_scopes_that_draw_on_one_limit_share_what_it_carries() -> None:
    """Two models of a key, each sent every prompt: each has half of the key's requests."""
    fleet = [provider("a", axes={"rpm": 600}, models=["m", "n"])]
    assert rate_of(fleet, mode="models") == pytest.approx(rate_of(fleet) / 2)


def test_limits_that_nobody_knows_are_no_reason_to_warn() -> None:
    """Where to start from is a guess of ours."""
    assert rate_of([provider("a", open_=True)]) == float("inf")
    assert rate_of([provider("a"), provider("b", axes={"rpm": 1})]) == float("inf")
    assert warning(asked([provider("a", open_=True)]), TEN, LONG, 0.0) is None


def test_paid_keys_do_not_carry_what_free_ones_could() -> None:
    """Waiting for a minute's limit is no reason to pay, so the load waits too."""
    fleet = [provider("free", axes={"rpm": 60}), provider("dear", axes={"rpm": 6000}, paid=True)]
    assert rate_of(fleet) == pytest.approx(1.0, rel=0.05)
    assert rate_of([fleet[1]]) == pytest.approx(100.0, rel=0.05)


def test_nothing_left_to_send_is_nothing_to_warn_of() -> None:
    """A resumed run that is complete."""
    assert warning(asked([provider("a", axes={"rpm": 1})]), TEN, 0, 0.0) is None
