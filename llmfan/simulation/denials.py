"""What is said when a limit refuses a request: the case behind a 429, with every figure the real ones tell."""

from __future__ import annotations

import math

from llmfan.settings import AXES, Kind
from llmfan.simulation.allowance import spell_go
from llmfan.simulation.counters import Refusal
from llmfan.simulation.refusals import Case
from llmfan.units import DAY, HOUR, MINUTE, SECOND

_PERIODS = {SECOND: "second", MINUTE: "minute", HOUR: "hour", DAY: "day"}


def too_many(model: str, refusal: Refusal, wait: float, longest_hint: float) -> Case:
    """A limit is spent for `wait` seconds. Details hint at `longest_hint` at most, as real ones do even for a day."""
    unit, window = AXES[refusal.axis]
    period = _PERIODS.get(window, "month")
    hints = (
        ("concurrent",)
        if unit == "in_flight"
        else (unit.rpartition("_")[2].rstrip("s"), period.replace("minute", "min"))
    )
    counted = "Requests" if unit == "requests" else "InputTokens"
    violation = {
        "quotaMetric": unit,
        "quotaId": f"Generate{counted}Per{period.capitalize()}PerProjectPerModel",
        "quotaValue": str(round(refusal.limit)),
    }
    details = [
        {"@type": "type.googleapis.com/rpc.QuotaFailure", "violations": [violation]},
        {"@type": "type.googleapis.com/rpc.RetryInfo", "retryDelay": f"{min(wait, longest_hint):.3f}s"},
    ]
    kind: Kind = "quota_exhausted" if window >= DAY else "rate_limited"
    text = f"Rate limit reached for model `{model}` on {_figures(refusal)}. Please try again in {spell_go(wait)}."
    figure = f"{refusal.limit:.0f}"
    return Case(kind, 429, text, hints, figure, permanent=False, details=details)


def too_large(model: str, refusal: Refusal) -> Case:
    """No wait lets this request through: it is larger than the limit, or the limit is 0."""
    if refusal.limit <= 0:
        return Case("quota_exhausted", 429, f"Quota exceeded on {_figures(refusal)}, limit: 0.", permanent=True)
    text = f"Request too large for model `{model}` on {_figures(refusal)}."
    return Case("bad_request", 413, text, ("too large",), scope="request")


def _figures(refusal: Refusal) -> str:
    unit, window = AXES[refusal.axis]
    if unit == "in_flight":
        return f"concurrent requests: Limit {refusal.limit:.0f}"
    period = _PERIODS.get(window, "month")
    figures = f"Limit {refusal.limit:.0f}, Used {refusal.used:.0f}, Requested {math.ceil(refusal.requested)}"
    return f"{unit.replace('_', ' ')} per {period} ({refusal.axis.upper()}): {figures}"
