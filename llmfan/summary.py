"""The document of `summary.json`, made of the accumulated journal and of the limits that were in force."""

from __future__ import annotations

import math
import resource
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from llmfan.limits.axes import Cost
from llmfan.limits.ideal import Flow, LaneFlow, ideal_duration
from llmfan.limits.window import Calendar, Meter
from llmfan.measures.accumulate import Accumulator, Tally
from llmfan.measures.sketch import Sketch
from llmfan.scheduling.lanes import Lane

SCHEMA = 1
#: llmfan itself held the run back if its loop was late by more than this, one time in a hundred.
LAG_LIMIT_S = 0.1


def document(
    accumulator: Accumulator,
    lanes: Sequence[Lane],
    *,
    run: Mapping[str, Any],
    concurrency: int,
    lag: Sketch,
    unsent: int,
    now: float,
) -> dict[str, Any]:
    """`unsent`: jobs that a bound, a signal or a lack of keys kept from ending."""
    whole = accumulator.merged()
    totals = whole.totals()
    ideal = _ideal(whole, accumulator, lanes, concurrency)
    duration = whole.duration
    totals["ideal_duration_s"] = None if ideal is None else round(ideal, 3)
    totals["efficiency"] = round(min(1.0, ideal / duration), 4) if ideal is not None and duration else None
    totals["unsent"] = unsent
    providers = list(dict.fromkeys(lane.target.provider for lane in lanes))
    models = list(dict.fromkeys(lane.target.name for lane in lanes))
    keys = list(dict.fromkeys(lane.target.key for lane in lanes))
    return {
        "schema": SCHEMA,
        "run": dict(run),
        "simulated": bool(run.get("simulated")),
        "totals": totals,
        **whole.distributions(),
        "providers": accumulator.listing(lambda ident: ident[0], providers),
        "models": accumulator.listing(lambda ident: f"{ident[0]}/{ident[1]}" if ident[1] else "", models),
        "keys": accumulator.listing(lambda ident: ident[2], keys),
        "errors": dict(whole.errors),
        "examples": dict(accumulator.examples),
        "out": _troubles(lanes, now),
        "gates": [],
        "client": _client(lag),
    }


def _client(lag: Sketch) -> dict[str, Any]:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    late = lag.quantile(0.99)
    return {
        "cpu_s": round(usage.ru_utime + usage.ru_stime, 3),
        "peak_rss_bytes": usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
        "loop_lag_p99_s": None if late is None else round(late, 4),
        "limited": late is not None and late > LAG_LIMIT_S,
    }


def _troubles(lanes: Sequence[Lane], now: float) -> dict[str, str]:
    """Why a provider or a key is not serving: by key, or by provider where all its keys say the same."""
    found: dict[str, str] = {}
    for provider in dict.fromkeys(lane.provider for lane in lanes):
        reasons = {lane.target.key: _trouble(lane, now) for lane in provider.lanes}
        if all(reasons.values()) and len(set(reasons.values())) == 1:
            found[provider.name] = next(iter(reasons.values()))
        else:
            found.update({key: why for key, why in reasons.items() if why})
    return found


def _trouble(lane: Lane, now: float) -> str:
    if lane.out:
        return lane.out
    if lane.provider.circuit.tripped:
        return lane.provider.circuit.why
    return lane.rest_why if lane.resting(now) else ""


def _ideal(whole: Tally, accumulator: Accumulator, lanes: Sequence[Lane], concurrency: int) -> float | None:
    """The bound for the jobs that were answered, with what they cost on average and each provider's median latency."""
    if not whole.ok:
        return None
    usable = [lane for lane in lanes if not lane.out]
    flows = []
    for lane in usable or lanes:
        tally = accumulator.merged(lambda ident, lane=lane: ident[0] == lane.target.provider)  # type: ignore[misc]
        service = tally.sketches["latency_s"].quantile(0.5)
        if service is None:
            service = whole.sketches["latency_s"].quantile(0.5) or 0.0
        counted = [m for m in lane.meters if m.axis != "concurrency"]
        slots = tuple((m.owner, m.limit) for m in lane.meters if m.axis == "concurrency")
        flows.append(LaneFlow(flows=tuple(_flow(m) for m in counted), service=service, in_flight=slots))
    mean_in, mean_out = whole.input_tokens / whole.ok, whole.output_tokens / whole.ok
    cost: Cost = (1.0, mean_in + mean_out, mean_in, mean_out, 0.0, (whole.cost or 0.0) / whole.ok)
    return ideal_duration(whole.ok, cost, flows, concurrency)


def _flow(meter: Meter) -> Flow:
    period = math.inf if isinstance(meter, Calendar) else getattr(meter, "period", math.inf)
    return Flow(owner=meter.owner, unit=meter.unit, limit=meter.limit, period=period)
