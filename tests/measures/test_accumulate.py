"""The accumulator: counts what the journal says, each thing once, and its parts add up to the whole."""

from __future__ import annotations

import random
from typing import Any

import pytest

from llmfan.measures.accumulate import Accumulator
from llmfan.measures.metrics import TOTALS
from llmfan.records import AttemptLine, ErrorInfo, ResultLine, ResultUsage

WHO = [("a", "m1", "a#1"), ("a", "m2", "a#1"), ("a", "m1", "a#2"), ("b", "m1", "b#1")]


def attempt(who: tuple[str, str, str] = WHO[0], outcome: str = "ok", **more: Any) -> AttemptLine:
    given: dict[str, Any] = {
        "id": "p", "attempt": 1, "provider": who[0], "model": who[1], "key": who[2], "started_at": "", "ttft_s": 0.1,
        "latency_s": 1.0, "http_status": 200, "outcome": outcome, "billed": "yes", "retry_after_s": None,
        "input_tokens": 5, "output_tokens": 11, "usage_source": "server", "ttfo_s": 0.1, "sent_s": 0.0, "repeat": 0,
        "turn": 0, "itl_ms": [],
    }  # fmt: skip
    return AttemptLine(**(given | more))


def result(who: tuple[str, str, str] = WHO[0], status: str = "ok", **more: Any) -> ResultLine:
    ok = status == "ok"
    given: dict[str, Any] = {
        "id": "p", "index": 0, "repeat": 0, "status": status, "provider": who[0], "model": who[1], "key": who[2],
        "text": "x", "reasoning": None, "finish_reason": "stop", "usage": ResultUsage(5, 11, "server") if ok else None,
        "cost_usd": None, "wait_s": 0.5, "retry_s": 0.0, "ttft_s": 0.2 if ok else None, "ttfo_s": 0.3,
        "latency_s": 1.2 if ok else None, "total_s": 1.7, "attempts": 1,
        "error": None if ok else ErrorInfo("timeout", "no answer"), "expect": None, "score": None, "metadata": None,
        "simulated": False,
    }  # fmt: skip
    return ResultLine(**(given | more))


def test_every_job_and_attempt_is_counted_once() -> None:
    """jobs = ok + failed; attempts count sends, not jobs; 429s stand apart."""
    acc = Accumulator()
    for outcome in ("rate_limited", "quota_exhausted", "server_error", "ok"):
        acc.attempt(attempt(outcome=outcome))
    acc.result(result())
    acc.result(result(status="failed"))
    totals = acc.merged().totals()
    assert {k: totals[k] for k in ("jobs", "ok", "failed", "attempts", "rate_limited")} == {
        "jobs": 2, "ok": 1, "failed": 1, "attempts": 4, "rate_limited": 2,
    }  # fmt: skip
    assert acc.merged().errors == {"timeout": 1}
    assert acc.merged().problems == {"rate_limited": 1, "quota_exhausted": 1, "server_error": 1}


def test_a_failed_job_adds_to_no_distribution() -> None:
    """An error's latency among the latencies makes the failing provider look fast."""
    acc = Accumulator()
    acc.result(result(status="failed", latency_s=0.001, ttft_s=0.001))
    figures = acc.merged().distributions()
    assert {figures[name]["n"] for name in ("latency_s", "ttft_s", "ttfo_s", "tpot_s")} == {0}
    assert figures["latency_s"]["p50"] is None
    assert acc.merged().totals()["input_tokens"] == 0


def test_throughput_is_of_successes_over_first_send_to_last_byte() -> None:
    """The definition, on figures small enough to check by hand."""
    acc = Accumulator()
    acc.attempt(attempt(outcome="server_error", sent_s=1.0, latency_s=0.5))
    acc.attempt(attempt(sent_s=2.0, latency_s=3.0))
    acc.attempt(attempt(sent_s=2.5, latency_s=8.5))
    acc.attempt(attempt(outcome="timeout", sent_s=3.0, latency_s=60.0))
    acc.result(result())
    acc.result(result())
    totals = acc.merged().totals()
    assert totals["duration_s"] == 10.0
    assert totals["requests_per_s"] == pytest.approx(0.2)
    assert totals["output_tokens_per_s"] == pytest.approx(2.2)


def test_tpot_is_undefined_below_two_tokens() -> None:
    """It would divide by nothing."""
    acc = Accumulator()
    acc.result(result(usage=ResultUsage(5, 1, "server")))
    acc.result(result(usage=ResultUsage(5, 0, "server")))
    assert acc.merged().distributions()["tpot_s"]["n"] == 0
    acc.result(result(usage=ResultUsage(5, 11, "server"), latency_s=1.2, ttft_s=0.2))
    assert acc.merged().distributions()["tpot_s"]["p50"] == pytest.approx(0.1, rel=0.01)


def test_warm_up_is_left_out_and_still_counted_as_done() -> None:
    """Statistics without it, progress with it."""
    acc = Accumulator()
    acc.attempt(attempt(warmup=True))
    acc.result(result(warmup=True))
    assert acc.done == 1
    assert (acc.merged().jobs, acc.merged().attempts) == (0, 0)


def test_unknown_cost_is_not_zero() -> None:
    """No price known: null. Known: added, the failed ones' too."""
    acc = Accumulator()
    acc.result(result())
    assert acc.merged().totals()["cost_usd"] is None
    acc.result(result(WHO[1], cost_usd=0.25))
    acc.result(result(WHO[1], "failed", cost_usd=0.5))
    assert acc.merged().totals()["cost_usd"] == 0.75


def test_estimated_counts_are_told_apart() -> None:
    """A figure built on estimates has to say so."""
    acc = Accumulator()
    acc.result(result(usage=ResultUsage(5, 7, "estimated")))
    acc.result(result())
    assert acc.merged().totals()["estimated_token_counts"] == 1


def test_nothing_is_null_and_not_zero() -> None:
    """Undefined figures of an empty run."""
    totals = Accumulator().merged().totals()
    assert [totals[k] for k in ("duration_s", "requests_per_s", "output_tokens_per_s", "cost_usd")] == [None] * 4


def test_providers_models_and_keys_each_add_up_to_the_whole() -> None:
    """A job counted under two keys, or under none, is a table that does not add up."""
    rng, acc = random.Random(5), Accumulator()
    for n in range(300):
        who = rng.choice(WHO)
        acc.attempt(attempt(who, rng.choice(["ok", "timeout", "rate_limited"]), sent_s=n / 10, itl_ms=[(12.5, 3)]))
        acc.result(result(who, rng.choice(["ok", "ok", "failed"]), latency_s=rng.uniform(0.1, 9)))
    whole = acc.merged()
    for name_of in (lambda i: i[0], lambda i: f"{i[0]}/{i[1]}", lambda i: i[2]):
        rows = acc.listing(name_of)
        for field in ("jobs", "ok", "failed", "attempts", "rate_limited", "input_tokens", "output_tokens"):
            assert sum(row["totals"][field] for row in rows) == whole.totals()[field]
        assert sum(row["latency_s"]["n"] for row in rows) == whole.distributions()["latency_s"]["n"]
        assert max(row["latency_s"]["max"] for row in rows) == whole.distributions()["latency_s"]["max"]
    assert whole.distributions()["itl_s"]["mean"] == pytest.approx(0.0125)


def test_names_asked_for_are_listed_even_without_figures() -> None:
    """A provider that never served has a row: its absence would look like an oversight."""
    rows = Accumulator().listing(lambda ident: ident[0], ["idle"])
    assert [(row["name"], row["totals"]["jobs"]) for row in rows] == [("idle", 0)]


def test_errors_and_wrong_answers_are_never_mixed() -> None:
    """Errors counted as wrong slander a model, errors left out flatter it: both have been done."""
    accumulator = Accumulator()
    for score in (1.0, 1.0, 0.0, 0.5, None):
        accumulator.result(result(expect=7, score=score))
    accumulator.result(result(status="failed", expect=7, error=ErrorInfo("timeout", "x")))
    accumulator.result(result(score=None))  # nothing was expected of it
    totals = accumulator.merged().totals()
    names = ("right", "wrong", "ungraded", "failed", "jobs")
    assert [totals[name] for name in names] == [3, 1, 1, 1, 7]
    assert totals["accuracy"] == 0.75
    assert totals["accuracy_low"] < 0.75 < totals["accuracy_high"]


def test_an_unknown_price_is_unknown_and_not_zero() -> None:
    """A cost that leaves half the answers out, unsaid, decides for the wrong provider."""
    accumulator = Accumulator()
    accumulator.result(result(WHO[0], expect=7, score=1.0, cost_usd=0.5))
    assert accumulator.merged().totals()["cost_per_right_usd"] == 0.5
    accumulator.result(result(WHO[3], expect=7, score=1.0))
    totals = accumulator.merged().totals()
    assert (totals["cost_usd"], totals["cost_unknown"], totals["cost_per_right_usd"]) == (0.5, 1, None)
    assert accumulator.listing(lambda ident: ident[0])[1]["totals"]["cost_usd"] is None


def test_rates_of_failure_and_429s_stand_beside_every_latency() -> None:
    """Who refuses most answers fastest: latencies of successes alone reward it."""
    accumulator = Accumulator()
    accumulator.attempt(attempt(outcome="rate_limited"))
    accumulator.attempt(attempt())
    accumulator.result(result())
    accumulator.result(result(status="failed", error=ErrorInfo("timeout", "x")))
    (entry,) = accumulator.listing(lambda ident: ident[0])
    totals = entry["totals"]
    assert (totals["failed_rate"], totals["rate_limited_rate"], totals["success_rate"]) == (0.5, 0.5, 0.5)
    assert entry["latency_s"]["n"] == 1


def test_the_totals_are_the_declared_ones() -> None:
    """Gates, reports and the README go by the declaration."""
    assert list(Accumulator().merged().totals()) == [metric.name for metric in TOTALS]


def test_a_warm_up_counts_as_spent_and_as_nothing_else() -> None:
    """It is in no figure, but the provider's counter has it: a full limit would look half empty."""
    accumulator = Accumulator()
    accumulator.attempt(attempt(warmup=True))
    accumulator.result(result(warmup=True))
    assert accumulator.merged().totals()["attempts"] == accumulator.merged().totals()["jobs"] == 0
    assert accumulator.warmup == {WHO[0]: [1, 5, 11]}
