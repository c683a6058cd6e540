"""The last minutes of a run or of a fleet that is kept running: throughput, latency, and what failed last."""

from __future__ import annotations

from llmfan.records import AttemptLine, ResultLine


class Recent:
    """Bounded: so many stretches of time, so many failures."""

    def count(self, attempt: AttemptLine | None, result: ResultLine | None) -> None:
        """An attempt that has ended, and the result where its job has ended with it (or without any attempt)."""
