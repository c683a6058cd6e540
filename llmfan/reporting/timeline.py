"""What happened when: counts in equal steps of time, whose length grows as the run turns out to be longer."""

from __future__ import annotations

from llmfan.outputs.html.page import Timeline
from llmfan.reporting.lines import Attempt, Result

#: A run has at most this many steps; a quarter of it at least, but for the shortest.
MOST = 240
#: Lengths a person can read off an axis; each divides the next, so that counts need only be added up.
LENGTHS = (0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 600.0, 1800.0, 3600.0, 21600.0, 86400.0)
_LIMITED = ("rate_limited", "quota_exhausted")


class Course:
    """Takes results by their last byte and attempts by when they were sent."""

    KINDS = ("ok", "rate_limited", "failed", "tokens")

    def __init__(self) -> None:
        self._length = LENGTHS[0]
        self._last = -1
        self._series: dict[str, dict[str, list[int]]] = {kind: {} for kind in self.KINDS}

    def result(self, line: Result) -> None:
        at = None if line.status != "ok" or line.ended is None else self._step(line.ended)
        if at is None:
            return
        self._count("ok", line.provider, at, 1)
        if line.usage is not None:
            self._count("tokens", line.provider, at, line.usage.output_tokens)

    def attempt(self, line: Attempt) -> None:
        at = self._step(line.sent_s)  # of one that succeeded too: that time is the run's as well
        if at is None or line.outcome == "ok" or line.hedge:
            return
        self._count("rate_limited" if line.outcome in _LIMITED else "failed", line.provider, at, 1)

    def timeline(self) -> Timeline | None:
        """None where nothing was sent."""
        if self._last < 0:
            return None
        steps = self._last + 1
        found = {
            kind: {name: counts + [0] * (steps - len(counts)) for name, counts in series.items()}
            for kind, series in self._series.items()
        }
        return Timeline(step_s=self._length, steps=steps, **found)

    def _step(self, moment: float) -> int | None:
        if not 0 <= moment < 1e10:  # no moment of a run
            return None
        while moment >= self._length * MOST:
            self._grow()
        at = int(moment / self._length)
        self._last = max(self._last, at)
        return at

    def _count(self, kind: str, provider: str | None, at: int, amount: int) -> None:
        counts = self._series[kind].setdefault(provider or "", [])
        counts.extend([0] * (at + 1 - len(counts)))
        counts[at] += amount

    def _grow(self) -> None:
        longer = next((length for length in LENGTHS if length > self._length), self._length * 2)
        ratio = round(longer / self._length)
        for series in self._series.values():
            for name, counts in series.items():
                series[name] = [sum(counts[i : i + ratio]) for i in range(0, len(counts), ratio)]
        self._length, self._last = longer, self._last // ratio
