"""What a failure means for its job and for its scope."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from llmfan.limits.gauge import Gauge
from llmfan.records import Failure, Prompt, Target
from llmfan.scheduling.failover import Policy, charge, consequence, is_exhausted, lanes_of
from llmfan.scheduling.jobs import Job
from llmfan.scheduling.lanes import Group, Lane, ProviderState


def fail(kind: str = "server_error", scope: str = "provider", **more: Any) -> Failure:
    return Failure(kind=kind, scope=scope, message="", **more)  # type: ignore[arg-type]


def lanes() -> list[Lane]:
    """p: two models, three keys of two accounts."""
    state = ProviderState("p", None)
    made = []
    for key, account in (("p#1", "a"), ("p#2", "a"), ("p#3", "b")):
        for model in ("m1", "m2"):
            target = Target(provider="p", model=model, key=key, account=account)
            made.append(
                Lane(len(made), target, state, Group(key, Gauge("rpm", "q", None, 1.0, rng=Random(1))), [], None)
            )
    return made


def job() -> Job:
    return Job(Prompt(id="p", index=0, messages=[{"role": "user", "content": "x"}]))


def other_provider() -> Lane:
    target = Target(provider="q", model="m1", key="q#1")
    return Lane(9, target, ProviderState("q", None), Group("q", Gauge("rpm", "q", None, 1.0, rng=Random(1))), [], None)


@pytest.mark.parametrize(
    ("scope", "ruled_out"),
    [
        ("key", {"p#1 m1", "p#1 m2"}),
        ("account", {"p#1 m1", "p#1 m2", "p#2 m1", "p#2 m2"}),
        ("account_model", {"p#1 m1", "p#2 m1"}),
        ("model", {"p#1 m1", "p#2 m1", "p#3 m1"}),
        ("provider", {"p#1 m1", "p#1 m2", "p#2 m1", "p#2 m2", "p#3 m1", "p#3 m2"}),
    ],
)
def test_a_scope_rules_out_what_it_names_and_nothing_else(scope: str, ruled_out: set[str]) -> None:
    """One key's quota must not cool the provider; a model at capacity must not bench the key."""
    all_lanes = lanes()
    _, found = lanes_of(fail(scope=scope), all_lanes[0])
    assert {f"{x.target.key} {x.target.model}" for x in found} == ruled_out


def test_scopes_have_names_of_their_own() -> None:
    """Two scopes with one name would share a cooldown."""
    all_lanes = lanes()
    names = [lanes_of(fail(scope=scope), lane)[0] for lane in all_lanes
             for scope in ("key", "account", "account_model", "model", "provider")]  # fmt: skip
    assert len(set(names)) == 3 + 2 + 4 + 2 + 1


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (fail("bad_request", "request"), "none"),
        (fail("content_filter", "request"), "none"),
        (fail("rate_limited", "account"), "rest"),
        (fail("quota_exhausted", "account_model"), "rest"),
        (fail("quota_exhausted", "account_model", permanent=True), "out"),
        (fail("overloaded", "model"), "rest"),
        (fail("auth", "key", permanent=True), "out"),
        (fail("payment_required", "account", permanent=True), "out"),
        (fail("payment_required", "account"), "out"),
        (fail("model_not_found", "account_model"), "out"),
        (fail("server_error"), "circuit"),
        (fail("timeout", ambiguous=True), "circuit"),
        (fail("connection"), "circuit"),
        (fail("truncated_stream", ambiguous=True), "circuit"),
        (fail("bad_response"), "circuit"),
    ],
)
def test_what_becomes_of_the_scope(failure: Failure, expected: str) -> None:
    """401 puts out at once, 429 never does, 5xx benches no key for good."""
    assert consequence(failure) == expected


def test_refusals_cost_no_attempt() -> None:
    """A pool of a hundred refused keys is walked with a budget of one."""
    waiting, lane = job(), lanes()[0]
    for _ in range(100):
        assert not charge(waiting, fail("rate_limited", "key", free=True), lane, Policy(max_attempts=1))
    assert waiting.failures == 0


def test_failed_attempts_are_bounded() -> None:
    """max_attempts ends it on the last one, not after."""
    waiting, lane = job(), lanes()[0]
    ended = [charge(waiting, fail(), lane, Policy(max_attempts=3)) for _ in range(3)]
    assert ended == [False, False, True]
    assert waiting.last is not None


@pytest.mark.parametrize("most", [0, 1, 3])
def test_what_may_have_been_billed_is_bounded_apart(most: int) -> None:
    """1 + max_ambiguous sends."""
    waiting, lane = job(), lanes()[0]
    sends = 1
    while not charge(waiting, fail("timeout", ambiguous=True), lane, Policy(max_attempts=99, max_ambiguous=most)):
        sends += 1
    assert sends == 1 + most


def test_a_bad_request_ends_after_a_second_opinion_from_another_provider() -> None:
    """Two providers, not two keys."""
    waiting, lane = job(), lanes()[0]
    refused = fail("bad_request", "request")
    assert not charge(waiting, refused, lane, Policy())
    assert "p" in waiting.banned
    assert charge(waiting, refused, other_provider(), Policy())


def test_a_provider_that_failed_is_avoided_and_not_banned() -> None:
    """It may be tried again when nobody else is left."""
    waiting, lane = job(), lanes()[0]
    charge(waiting, fail("timeout", ambiguous=True), lane, Policy())
    assert waiting.avoid == {"p"}
    assert waiting.banned == frozenset()


@pytest.mark.parametrize(
    ("failure", "spent"),
    [
        (fail("quota_exhausted", "account"), True),
        (fail("rate_limited", "account", wait=3600.0), True),
        (fail("rate_limited", "account", wait=60.0), False),
        (fail("rate_limited", "account"), False),
    ],
)
def test_a_very_long_wait_is_a_spent_quota_whatever_it_is_called(failure: Failure, spent: bool) -> None:
    """An hour's Retry-After is nothing to wait for beside a paid key that is open."""
    assert is_exhausted(failure) is spent
