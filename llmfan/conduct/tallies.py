"""What ended, by key, model and minute, until the ledger's clerk takes it away."""

from __future__ import annotations

from llmfan.entries import Tally
from llmfan.measures.sketch import Sketch
from llmfan.records import AttemptLine
from llmfan.units import MINUTE

TOO_MANY = 429


class Tallies:
    """`answered`: the (key, model) that have answered in this run."""

    def __init__(self) -> None:
        self.answered: set[tuple[str, str]] = set()
        self._open: dict[tuple[str, str, int], tuple[Tally, Sketch]] = {}

    def count(self, line: AttemptLine, ended: float) -> None:
        """One attempt, which ended at a moment of Unix time. What we broke off ourselves says nothing of the key."""
        if line.hedge or line.outcome == "cancelled":
            return
        place = (line.key, line.model, int(ended // MINUTE))
        if place not in self._open:
            self._open[place] = Tally(key=line.key, model=line.model, at=place[2] * MINUTE, span=MINUTE), Sketch()
        tally, sketch = self._open[place]
        tally.sent += 1
        tally.input_tokens += line.input_tokens or 0
        tally.output_tokens += line.output_tokens or 0
        if line.outcome == "ok":
            tally.ok += 1
            sketch.add(line.latency_s or 0.0)
            self.answered.add(place[:2])
        elif line.http_status == TOO_MANY:
            tally.refused += 1
        else:
            tally.failed += 1

    def taken(self) -> list[Tally]:
        """What has come together since the last time."""
        for tally, sketch in self._open.values():
            tally.latency_s, tally.latencies = sketch.total, sketch.counts
        taken = [tally for tally, _ in self._open.values()]
        self._open = {}
        return taken
