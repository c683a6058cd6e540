"""What earlier sessions spent, counted anew."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from msgspec.structs import replace

from llmfan.limits.gauge import Gauge
from llmfan.records import AttemptLine, Prompt, Target
from llmfan.scheduling.dispatcher import Dispatcher
from llmfan.scheduling.estimate import Estimator
from llmfan.scheduling.failover import Policy
from llmfan.scheduling.jobs import Feed, Job, Waiting
from llmfan.scheduling.lanes import Group, Lane, ProviderState
from llmfan.scheduling.purse import Purse
from llmfan.scheduling.spending import Spent, recall_spent
from llmfan.settings import Price

PRICE = Price(input=10.0, output=100.0, cached_input=1.0)
PROMPTS = [Prompt(id=f"p{n}", index=n, messages=[{"role": "user", "content": "x" * 400 * (n + 1)}]) for n in range(5)]
TURN = {"role": "user", "content": "And then?"}
PROMPTS.append(Prompt(id="talk", index=5, messages=[TURN], turns=[TURN, TURN]))


def prompts() -> Iterator[Prompt]:
    return iter(PROMPTS)


def dispatcher(price: Price | None = PRICE, limit: float | None = 100.0) -> Dispatcher:
    target = Target(provider="a", model="m", key="a#1")
    lane = Lane(0, target, ProviderState("a", None), Group("a", Gauge("rpm", "a", None, 1.0, rng=Random(1))), [], price)
    return Dispatcher(
        [lane], Waiting({"": Feed(iter([Job(p) for p in PROMPTS]))}), Estimator({}), concurrency=64, policy=Policy(),
        purse=Purse(limit), rng=Random(1), max_tokens=lambda job, lane: 1000,
    )  # fmt: skip


def line(id_: str = "p0", **more: Any) -> AttemptLine:
    made = AttemptLine(
        id=id_, attempt=1, provider="a", model="m", key="a#1", started_at="", ttft_s=None, latency_s=1.0,
        http_status=200, outcome="ok", billed="yes", retry_after_s=None, input_tokens=1000, output_tokens=100,
        usage_source="server", ttfo_s=None, sent_s=0.0, repeat=0, turn=0, itl_ms=[],
    )  # fmt: skip
    return replace(made, **more)


def lost(id_: str = "p0", **more: Any) -> AttemptLine:
    return line(
        id_, outcome="timeout", billed="unknown", input_tokens=None, output_tokens=None, ambiguous=True, **more
    )  # fmt: skip


def spent_by(*lines: AttemptLine, at_least: float = 0.0, limit: float | None = 100.0) -> float:
    spent, d = Spent(), dispatcher(limit=limit)
    for each in lines:
        spent.add(each)
    recall_spent(d, spent, prompts, at_least)
    return d.purse.spent


def test_every_answer_counts_at_its_price_whatever_became_of_its_job() -> None:
    """Turns of a conversation without a result, and warm-up requests, are in no total of the summary."""
    assert spent_by(line(), line("p1", turn=1), line("p2", warmup=True)) == pytest.approx(3 * 0.02)


def test_what_a_provider_refused_costs_nothing() -> None:
    """A rate limit is not billed."""
    refused = line(outcome="rate_limited", billed="no", input_tokens=None, output_tokens=None)
    assert spent_by(refused, refused) == 0.0


def test_what_may_have_been_billed_counts_as_it_was_reserved() -> None:
    """A timeout after the answer was made is paid for: each resumed session would spend it again."""
    d = dispatcher()
    reserved = d.worst_of(Job(PROMPTS[3]), d.lanes[0])
    assert reserved > 0.1
    assert spent_by(lost("p3")) == pytest.approx(reserved)
    answered = line(input_tokens=100, output_tokens=1)
    assert spent_by(lost("p3"), lost("p3", hedge=True), answered) == pytest.approx(2 * reserved + 0.0011)


def test_a_later_turn_that_was_lost_counts_with_the_answers_before_it() -> None:
    """As long as they may have been."""
    assert spent_by(lost("talk", turn=2)) >= spent_by(lost("talk")) + 2 * 1000 * 10e-6


def test_a_lost_request_is_never_taken_for_less_than_the_largest_that_was_counted() -> None:
    """A server that counts a thousand times what is supposed did so for the lost one as well."""
    assert spent_by(line(input_tokens=100_000), lost()) >= 2.0


def test_a_prompt_whose_name_is_not_known_whole_counts_as_the_dearest() -> None:
    """A slot of what is in flight has room for so many letters."""
    assert spent_by(lost("a name that was cut off")) == pytest.approx(spent_by(lost("p4")))


def test_what_is_known_from_elsewhere_is_the_least() -> None:
    """A provider whose key is gone has no price any more, and was paid all the same."""
    assert spent_by(line(), at_least=5.0) == 5.0
    assert spent_by(line(provider="gone"), at_least=0.5) == 0.5


def test_without_a_bound_or_a_price_no_prompt_is_read_for_it() -> None:
    """A million prompts take their time."""

    def never() -> Iterator[Prompt]:
        raise AssertionError

    spent = Spent()
    spent.add(lost())
    recall_spent(dispatcher(limit=None), spent, never)
    recall_spent(dispatcher(price=None), spent, never)


def test_requests_are_counted_by_provider() -> None:
    """`--warmup` is for the first ones of a run, not of each session."""
    spent = Spent()
    for each in (line(), lost(), line(provider="b")):
        spent.add(each)
    assert spent.sent_by == {"a": 2, "b": 1}
