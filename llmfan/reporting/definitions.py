"""What every figure means, from the one table that declares them."""

from __future__ import annotations

from typing import Any

from llmfan.grading.grade import NORMALISATION
from llmfan.measures.metrics import CLIENT, DISTRIBUTIONS, RUN_TOTALS, STATISTICS, TOTALS, Metric

UNITS = {"": "a number", "s": "seconds", "share": "0 to 1", "1/s": "a second", "USD": "USD", "B": "bytes"}
#: How the figures of one kind are named in gates and comparisons.
NAMES = (
    "Of each distribution there are "
    + ", ".join(STATISTICS)
    + "; a gate or a comparison names one as latency_p95, ttft_mean, wait_max."
)


def definitions() -> list[dict[str, str]]:
    """One for each figure: `group`, `name`, `unit`, `title`, `better` (`lower`, `higher` or "") and `formula`."""
    groups = (("distribution", DISTRIBUTIONS), ("total", (*TOTALS, *RUN_TOTALS)), ("client", CLIENT))
    return [_definition(group, metric) for group, metrics in groups for metric in metrics]


def document() -> dict[str, Any]:
    """All of it, for programs: the figures, the statistics of a distribution, and how each grader compares."""
    return {"figures": definitions(), "statistics": [*STATISTICS], "graders": graders()}


def graders() -> list[dict[str, str]]:
    """`name`, and the `normalisation` both sides go through before they are compared."""
    return [{"name": name, "normalisation": text} for name, text in NORMALISATION.items()]


def _definition(group: str, metric: Metric) -> dict[str, str]:
    return {
        "group": group, "name": metric.name, "unit": metric.unit, "title": metric.title, "better": metric.better,
        "formula": metric.formula,
    }  # fmt: skip


def unit(definition: dict[str, str]) -> str:
    """Its unit as a word."""
    return UNITS.get(definition["unit"], definition["unit"])
