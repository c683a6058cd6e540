"""Distributions made for drawing: counts in bins of equal ratio, the same bins for a metric wherever it is drawn."""

from __future__ import annotations

import math
from collections.abc import Iterator

from llmfan.outputs.html.page import Histogram
from llmfan.reporting.lines import Result

METRICS = ("latency_s", "ttft_s", "total_s", "wait_s")
BINS = 48
#: Values are counted in steps of 2 %; so many of them make a bin as the metric's range needs.
_STEP = math.log(1.02)
#: Below this share of the largest value one bin holds all: a wait of a microsecond is none.
_FLOOR = 1e-4
_ZERO = -(1 << 20)


class Histograms:
    """Counts each metric of each provider in bounded memory."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str], dict[int, int]] = {}

    def add(self, line: Result) -> None:
        provider = line.provider or ""
        values = (line.latency_s, line.ttft_s, line.total_s, line.wait_s)
        for metric, value in zip(METRICS, values, strict=True):
            if value is None or not 0 <= value < math.inf:
                continue
            counts = self._counts.setdefault((metric, provider), {})
            step = math.floor(math.log(value) / _STEP) if value > 1e-9 else _ZERO
            counts[step] = counts.get(step, 0) + 1

    def all(self) -> list[Histogram]:
        """Of each metric the whole, then each provider; `wait_s` may begin with a bin that starts at 0."""
        return [histogram for metric in METRICS for histogram in self._of(metric)]

    def _of(self, metric: str) -> Iterator[Histogram]:
        apart = {provider: counts for (name, provider), counts in self._counts.items() if name == metric}
        whole: dict[int, int] = {}
        for counts in apart.values():
            for step, n in counts.items():
                whole[step] = whole.get(step, 0) + n
        if not whole:
            return
        grid = _Grid(whole)
        yield Histogram(metric=metric, provider="", bins=grid.bins(whole))
        for provider, counts in apart.items():
            if provider:
                yield Histogram(metric=metric, provider=provider, bins=grid.bins(counts))


class _Grid:
    """`width` steps make a bin; bin 0 takes all below the floor and starts at 0, if anything is there."""

    def __init__(self, counts: dict[int, int]):
        high = max(counts)
        floor = high + math.floor(math.log(_FLOOR) / _STEP)
        low = min((step for step in counts if step >= floor), default=high)
        self._low = low
        self._width = max(1, math.ceil((high - low + 1) / BINS))

    def bins(self, counts: dict[int, int]) -> list[tuple[float, float, int]]:
        found: dict[int, int] = {}
        for step, n in counts.items():
            at = (step - self._low) // self._width if step >= self._low else -1
            found[at] = found.get(at, 0) + n
        first, last = min(found), max(found)
        return [(self._edge(at), self._edge(at + 1), found.get(at, 0)) for at in range(first, last + 1)]

    def _edge(self, at: int) -> float:
        """Four digits are enough to draw with, and make the page half as long."""
        if at < 0 or self._low == _ZERO:
            return 0.0
        return float(f"{math.exp((self._low + at * self._width) * _STEP):.4g}")
