"""Figures for Prometheus, read where they are counted anyway at the moment somebody asks.

Labels come from the providers file and from this package alone: no caller can make a series.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from llmfan.measures.accumulate import Tally
from llmfan.measures.sketch import Sketch
from llmfan.overview import Overview
from llmfan.status.standing import RANK

#: Upper bounds of the histograms' buckets, seconds. The first are for a server's own time, the last for long answers.
BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
_TARGET = ("provider", "model", "key")
_Ident = tuple[str, str, str]
#: A hedge's loser, which is neither answered nor failed.
_DROPPED = "dropped"


class Metrics(Collector):
    """`text` is what `GET /metrics` answers. Kept apart from the library's registry for the whole process."""

    def __init__(self, overview: Overview):
        self._overview = overview
        self._targets = {(t.provider, t.model, t.key) for t in (lane.target for lane in overview.dispatcher.lanes)}
        self._calls: Counter[tuple[str, str]] = Counter()
        self._took: dict[str, Took] = {}
        self._places: dict[int, int] = {}
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def call(self, route: str, status: int, seconds: float) -> None:
        """One request that has been answered. `route`: a path as it stands in the application, never as it came."""
        self._calls[route, str(status)] += 1
        took = self._took.get(route)
        if took is None:
            took = self._took[route] = Took()
        took.add(seconds)

    def text(self) -> tuple[bytes, str]:
        """(the figures, their media type)."""
        return generate_latest(self._registry), CONTENT_TYPE_LATEST

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterator[Metric]:
        tallies = self._tallies()
        yield _gauge("llmfan_start_time_seconds", "When it began, Unix time.", self._started())
        yield from self._counts(tallies)
        yield from self._times(tallies)
        yield from self._now()
        yield from self._keys()
        yield from self._served()

    def _tallies(self) -> list[tuple[_Ident, Tally]]:
        """Of what was asked of no target that there is, all together, under no name."""
        nobody, found = Tally(), []
        for ident, tally in self._overview.accumulator.tallies.items():
            if ident in self._targets:
                found.append((ident, tally))
            else:
                nobody.merge(tally)
        return [*found, (("", "", ""), nobody)] if nobody.jobs or nobody.attempts else found

    def _started(self) -> float:
        moments = self._overview.moments
        return moments.unix(moments.start)

    def _counts(self, tallies: Sequence[tuple[_Ident, Tally]]) -> Iterator[Metric]:
        attempts = CounterMetricFamily(
            "llmfan_attempts", "Requests that have ended, by outcome.", labels=(*_TARGET, "outcome")
        )
        results = CounterMetricFamily(
            "llmfan_results", "Calls that have ended.", labels=("provider", "model", "status")
        )
        tokens = CounterMetricFamily("llmfan_tokens", "Tokens of answers.", labels=(*_TARGET, "direction"))
        cost = CounterMetricFamily("llmfan_cost_usd", "What answers cost, where a price is known.", labels=_TARGET)
        ended: Counter[tuple[str, str, str]] = Counter()
        for ident, tally in tallies:
            for outcome, count in _outcomes(tally):
                attempts.add_metric([*ident, outcome], count)
            tokens.add_metric([*ident, "input"], tally.input_tokens)
            tokens.add_metric([*ident, "output"], tally.output_tokens)
            if tally.cost is not None:
                cost.add_metric(ident, tally.cost)
            ended[(*ident[:2], "ok")] += tally.ok
            ended[(*ident[:2], "failed")] += tally.failed
        for labels, count in ended.items():
            results.add_metric(labels, count)
        yield from (attempts, results, tokens, cost)

    def _times(self, tallies: Sequence[tuple[_Ident, Tally]]) -> Iterator[Metric]:
        for name, of, text in (
            (
                "llmfan_latency_seconds",
                "latency_s",
                "From the request to the last byte, of the attempt that succeeded.",
            ),
            ("llmfan_ttft_seconds", "ttft_s", "From the request to the first text, of the attempt that succeeded."),
            ("llmfan_wait_seconds", "wait_s", "Waited for a permit, of calls that were answered."),
        ):
            family = HistogramMetricFamily(name, text, labels=("provider", "model"))
            for labels, sketches in _by_model(tallies, of).items():
                counts = [0] * (len(BOUNDS) + 1)
                for sketch in sketches:
                    self._add_up(sketch, counts)
                family.add_metric(labels, _buckets(counts), sum(sketch.total for sketch in sketches))
            yield family

    def _add_up(self, sketch: Sketch, counts: list[int]) -> None:
        """Each of the sketch's fine buckets goes where its middle lies."""
        places = self._places
        for bucket, count in sketch.counts.items():
            place = places.get(bucket)
            if place is None:
                place = places[bucket] = bisect_left(BOUNDS, Sketch.middle(bucket))
            counts[place] += count

    def _now(self) -> Iterator[Metric]:
        overview = self._overview
        flying = GaugeMetricFamily("llmfan_in_flight", "Requests in flight.", labels=_TARGET)
        for lane in overview.dispatcher.lanes:
            target = lane.target
            flying.add_metric((target.provider, target.model, target.key), lane.in_flight)
        waiting = GaugeMetricFamily("llmfan_waiting", "Calls that wait for a permit.", labels=("priority",))
        for priority, count in overview.waiting().items():
            waiting.add_metric((priority,), count)
        yield from (flying, waiting)

    def _keys(self) -> Iterator[Metric]:
        """As in `llmfan status --json`, of a key's several models the fullest limit."""
        state = GaugeMetricFamily("llmfan_key_state", "1 for the state a key is in.", labels=("key", "state"))
        limit = GaugeMetricFamily("llmfan_limit", "What a limit allows in its window.", labels=("key", "axis"))
        used = GaugeMetricFamily("llmfan_limit_used", "What is used of it now.", labels=("key", "axis"))
        for key in _keys_of(self._overview.status()):
            for each in RANK:
                state.add_metric((key["key"], each), float(key["state"] == each))
            for axis, figures in key["limits"].items():
                if figures["in_force"] is not None:
                    limit.add_metric((key["key"], axis), figures["in_force"])
                if figures["used"] is not None:
                    used.add_metric((key["key"], axis), figures["used"])
        yield from (state, limit, used)

    def _served(self) -> Iterator[Metric]:
        calls = CounterMetricFamily("llmfan_http_requests", "HTTP requests answered.", labels=("route", "status"))
        for labels, count in self._calls.items():
            calls.add_metric(labels, count)
        took = HistogramMetricFamily(
            "llmfan_http_request_seconds", "From a request's head to its answer's end.", labels=("route",)
        )
        for route, each in self._took.items():
            took.add_metric((route,), _buckets(each.counts), each.total)
        yield from (calls, took)


class Took:
    """A histogram that is being filled."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS) + 1)
        self.total = 0.0

    def add(self, seconds: float) -> None:
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        self.total += seconds


def _outcomes(tally: Tally) -> Iterator[tuple[str, int]]:
    yield "ok", tally.attempts - tally.copies - sum(tally.problems.values())
    yield from tally.problems.items()
    if tally.copies:
        yield _DROPPED, tally.copies


def _by_model(tallies: Sequence[tuple[_Ident, Tally]], name: str) -> dict[tuple[str, str], list[Sketch]]:
    found: dict[tuple[str, str], list[Sketch]] = {}
    for (provider, model, _), tally in tallies:
        if tally.sketches[name].n:
            found.setdefault((provider, model), []).append(tally.sketches[name])
    return found


def _buckets(counts: Sequence[int]) -> list[tuple[str, float]]:
    """Each counts what lies below its bound, those before it included."""
    so_far, found = 0, []
    for bound, count in zip((*BOUNDS, math.inf), counts, strict=True):
        so_far += count
        found.append(("+Inf" if math.isinf(bound) else repr(bound), float(so_far)))
    return found


def _keys_of(status: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for entry in status["quota_status"].values():
        yield from entry["keys"]


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)
