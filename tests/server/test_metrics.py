"""What `GET /metrics` says: valid text, true counts, and no series that a caller could have made."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families

from llmfan.server.metrics import BOUNDS, Metrics
from llmfan.simulation.fake import always, good, in_turn
from tests.measures.test_accumulate import attempt, result
from tests.scenarios.world import provider
from tests.test_overview import Bed, play

Labels = dict[str, str]


class Scraped:
    """The text read as a Prometheus server reads it."""

    def __init__(self, metrics: Metrics):
        text, self.media_type = metrics.text()
        self.families = {family.name: family for family in text_string_to_metric_families(text.decode())}

    def all(self, name: str) -> list[tuple[Labels, float]]:
        return [
            (each.labels, each.value)
            for family in self.families.values()
            for each in family.samples
            if each.name == name
        ]

    def one(self, name: str, **labels: str) -> float:
        found = [value for own, value in self.all(name) if labels.items() <= own.items()]
        assert len(found) == 1, (name, labels, self.all(name))
        return found[0]


def test_counts_are_those_of_the_fleet() -> None:
    """A graph that disagrees with the page is worse than none."""

    async def story(bed: Bed) -> None:
        metrics = Metrics(bed.overview)
        await bed.ask(6)
        bed.overview.accumulator.attempt(attempt(("a", "m", "a#1"), "cancelled", hedge=True))
        now, scraped = bed.overview.document()["now"], Scraped(metrics)
        who = {"provider": "a", "model": "m", "key": "a#1"}
        assert scraped.one("llmfan_attempts_total", **who, outcome="ok") == 6
        assert scraped.one("llmfan_attempts_total", **who, outcome="server_error") == 1
        assert scraped.one("llmfan_attempts_total", **who, outcome="dropped") == 1
        assert sum(value for _, value in scraped.all("llmfan_attempts_total")) == now["attempts"]
        assert scraped.one("llmfan_results_total", provider="a", model="m", status="ok") == now["ok"]
        assert scraped.one("llmfan_tokens_total", **who, direction="output") == now["output_tokens"] > 0
        assert scraped.one("llmfan_in_flight", **who) == 0
        assert scraped.one("llmfan_waiting", priority="interactive") == 0
        assert scraped.one("llmfan_start_time_seconds") == pytest.approx(bed.overview.moments.started_at.timestamp())

    play([provider("a", axes={"rpm": 30.0})], {"a": in_turn(always(500), good())}, story)


def test_limits_and_states_are_those_of_the_status_document() -> None:
    """One alert for a spent day and one for a key that is out are what they are there for."""

    async def story(bed: Bed) -> None:
        metrics = Metrics(bed.overview)
        await bed.ask(4)
        await asyncio.sleep(1.0)
        scraped = Scraped(metrics)
        for axis, limit in (("rpm", 30), ("rpd", 1000)):
            assert scraped.one("llmfan_limit", key="a#1", axis=axis) == limit
            assert scraped.one("llmfan_limit_used", key="a#1", axis=axis) == 4
        for key, state in (("a#1", "ready"), ("b#1", "invalid")):
            ones = [
                labels["state"] for labels, value in scraped.all("llmfan_key_state") if value and labels["key"] == key
            ]
            assert ones == [state]

    unwell = always(401, {"error": {"message": "Invalid API key"}})
    first = provider("a", axes={"rpm": 30.0, "rpd": 1000.0})
    play([first, provider("b", priority=9)], {"a": good(), "b": unwell}, story)


def test_a_caller_makes_no_series() -> None:
    """Names that callers think of would fill a Prometheus server's memory, and tell others what was asked for."""

    async def story(bed: Bed) -> None:
        metrics = Metrics(bed.overview)
        await bed.ask(2)
        before = len(Scraped(metrics).all("llmfan_results_total"))
        for n in range(50):
            bed.overview.accumulator.result(result((f"made-up-{n}", "m", "k"), "failed"))
        scraped = Scraped(metrics)
        assert len(scraped.all("llmfan_results_total")) <= before + 2
        assert scraped.one("llmfan_results_total", provider="", model="", status="failed") == 50
        assert b"made-up" not in metrics.text()[0]

    play([provider("a")], {"a": good()}, story)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(0.0, 1000.0), min_size=1, max_size=40))
def test_a_histogram_counts_each_request_under_every_bound_it_keeps(seconds: list[float]) -> None:
    """Quantiles are computed from these counts: a bucket that counts too few makes everything look slower."""

    async def story(bed: Bed) -> None:
        metrics = Metrics(bed.overview)
        for each in seconds:
            metrics.call("/v1/chat/completions", 200, each)
        scraped = Scraped(metrics)
        counts = {
            labels["le"]: value for labels, value in scraped.all("llmfan_http_request_seconds_bucket")
        }  # fmt: skip
        for bound in BOUNDS:
            assert counts[str(bound)] == sum(each <= bound for each in seconds)
        count = scraped.one("llmfan_http_request_seconds_count", route="/v1/chat/completions")
        assert counts["+Inf"] == count == len(seconds)
        total = scraped.one("llmfan_http_request_seconds_sum", route="/v1/chat/completions")
        assert total == pytest.approx(sum(seconds), abs=1e-6)
        assert scraped.one("llmfan_http_requests_total", route="/v1/chat/completions", status="200") == len(seconds)

    play([provider("a")], {"a": good()}, story)


def test_latencies_stand_under_their_bounds() -> None:
    """Answers of 0.3 s are below 0.5 and above 0.25, whatever the figures were gathered in."""

    async def story(bed: Bed) -> None:
        await bed.ask(5)
        scraped = Scraped(Metrics(bed.overview))
        buckets = {labels["le"]: value for labels, value in scraped.all("llmfan_latency_seconds_bucket")}
        assert (buckets["0.25"], buckets["0.5"], buckets["+Inf"]) == (0, 5, 5)
        assert scraped.one("llmfan_latency_seconds_sum", provider="a", model="m") == pytest.approx(1.5, rel=0.01)
        assert scraped.one("llmfan_wait_seconds_count", provider="a", model="m") == 5

    play([provider("a")], {"a": good(0.3)}, story)


def test_names_follow_the_conventions_and_nothing_is_shared() -> None:
    """Two fleets in one process (a test, a notebook) must not fall over each other's figures."""

    async def story(bed: Bed) -> None:
        before = list(REGISTRY.collect())
        first, second = Metrics(bed.overview), Metrics(bed.overview)
        first.call("/healthz", 200, 0.001)
        scraped = Scraped(first)
        assert scraped.all("llmfan_http_requests_total") and not Scraped(second).all("llmfan_http_requests_total")
        assert all(name.startswith("llmfan_") for name in scraped.families)
        assert "version=" in scraped.media_type and scraped.media_type.startswith("text/plain")
        for name, family in scraped.families.items():
            assert family.documentation, name
            assert family.type != "unknown", name
            times = family.type == "histogram"
            assert not times or name.endswith("_seconds")
        assert {each.name for each in REGISTRY.collect()} == {each.name for each in before}

    play([provider("a")], {"a": good()}, story)


def test_no_key_is_told() -> None:
    """What is scraped goes to a server of somebody else."""

    async def story(bed: Bed) -> Any:
        await bed.ask(1)
        return Metrics(bed.overview).text()[0]

    quoting = {"error": {"message": "Incorrect API key provided: a-key-number-1."}}
    assert b"a-key-number-1" not in play([provider("a")], {"a": always(401, quoting)}, story)
