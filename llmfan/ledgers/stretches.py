"""Sums of what was sent: one stretch of time is added to another."""

from __future__ import annotations

from llmfan.entries import Tally

COUNTS = ("sent", "ok", "refused", "failed", "input_tokens", "output_tokens", "latency_s")


def merge(into: Tally, more: Tally) -> None:
    for name in COUNTS:
        setattr(into, name, getattr(into, name) + getattr(more, name))
    gather(into.latencies, more.latencies)


def gather(latencies: dict[int, int], more: dict[int, int]) -> None:
    for bucket, count in more.items():
        latencies[bucket] = latencies.get(bucket, 0) + count


def summed_in(tally: Tally, span: float) -> Tally:
    """The same, as the beginning of a stretch of so many seconds that the tally's moment falls into."""
    made = Tally(key=tally.key, model=tally.model, at=tally.at // span * span, span=span)
    merge(made, tally)
    return made
