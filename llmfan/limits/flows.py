"""From a counter to the limit as the bound on a batch's duration knows it."""

from __future__ import annotations

import math

from llmfan.limits.ideal import Flow
from llmfan.limits.window import Calendar, Meter


def flow_of(meter: Meter, start: float, amount: float = 1.0, kind: str = "sliding") -> Flow:
    """`start`: the batch's first moment; `amount`: what a job takes of it, where the batch is counted in jobs."""
    limit = meter.limit / amount
    if isinstance(meter, Calendar):
        resets_in = meter.resets_in(start)
        return Flow(owner=meter.owner, unit=meter.unit, limit=limit, period=meter.period, resets_in=resets_in)
    period = getattr(meter, "period", math.inf)
    if getattr(meter, "kind", "") == "paced" and kind == "sliding":  # it was found to refill as it goes
        burst = max(1.0, getattr(meter, "crowd", meter.limit))
        return Flow(owner=meter.owner, unit=meter.unit, limit=limit, period=period, kind="bucket", burst=burst / amount)
    return Flow(owner=meter.owner, unit=meter.unit, limit=limit, period=period, kind=kind)
