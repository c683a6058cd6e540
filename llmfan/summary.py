"""The document of `summary.json`, made of the accumulated journal and of the limits that were in force."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from llmfan.limits.window import Meter
from llmfan.measures.accumulate import Accumulator
from llmfan.measures.gates import Gate, judge
from llmfan.scheduling.lanes import Lane

SCHEMA = 1
#: Units of limits whose use the journal tells: requests, tokens, those in, those out.
_MEASURED = 3


def document(
    accumulator: Accumulator,
    lanes: Sequence[Lane],
    *,
    run: Mapping[str, Any],
    nearness: Mapping[str, Any],
    client: Mapping[str, Any],
    unsent: int,
    now: float,
    gates: Sequence[Gate] = (),
    aborts: Callable[[Mapping[str, Any]], list[dict[str, Any]]] = lambda summary: [],
) -> dict[str, Any]:
    """`nearness`: the figures of `efficiency`; `client`: the self-audit; `unsent`: jobs that a bound, a signal or a
    lack of keys kept from ending; `aborts`: the verdicts on what might have stopped the run.
    """
    whole = accumulator.merged()
    totals = whole.totals()
    totals |= nearness
    totals["unsent"] = unsent
    providers = list(dict.fromkeys(lane.target.provider for lane in lanes))
    models = list(dict.fromkeys(lane.target.name for lane in lanes))
    keys = list(dict.fromkeys(lane.target.key for lane in lanes))
    found: dict[str, Any] = {
        "schema": SCHEMA,
        "run": dict(run),
        "simulated": bool(run.get("simulated")),
        "totals": totals,
        **whole.distributions(),
        "providers": accumulator.listing(lambda ident: ident[0], providers),
        "models": accumulator.listing(lambda ident: f"{ident[0]}/{ident[1]}" if ident[1] else "", models),
        "keys": [_with_allowances(e, accumulator, lanes) for e in accumulator.listing(lambda ident: ident[2], keys)],
        "paired_accuracy": accumulator.pairs.differences(),
        "errors": dict(whole.errors),
        "examples": dict(accumulator.examples),
        "out": _troubles(lanes, now),
        "client": dict(client),
    }
    found["gates"] = [*judge(gates, found), *aborts(found)]
    return found


def _with_allowances(entry: dict[str, Any], accumulator: Accumulator, lanes: Sequence[Lane]) -> dict[str, Any]:
    """What a key used of each limit in force, and what that limit allowed in the time: of a longer window its whole."""
    passing: dict[Meter, list[Lane]] = {}
    for lane in lanes:
        if lane.target.key == entry["name"]:
            for meter in lane.meters:
                passing.setdefault(meter, []).append(lane)
    duration = entry["totals"]["duration_s"] or 0.0
    entry["allowances"] = [
        {
            "axis": meter.axis, "owner": meter.owner, "limit": meter.limit, "period_s": period,
            "used": _used(accumulator, mine, meter.unit),
            "allowed": round(meter.limit * max(1.0, duration / period), 3),
        }
        for meter, mine in passing.items()
        if meter.unit <= _MEASURED and (period := getattr(meter, "period", 0.0)) and meter.limit < math.inf
    ]  # fmt: skip
    return entry


def _used(accumulator: Accumulator, lanes: Sequence[Lane], unit: int) -> int:
    """Requests, or tokens of the answers; a warm-up is spent as well."""
    requests = read = written = 0
    for place in [(t.provider, t.model, t.key) for t in (lane.target for lane in lanes)]:
        tally, warm = accumulator.tallies.get(place), accumulator.warmup.get(place, (0, 0, 0))
        requests += warm[0] + (tally.attempts if tally else 0)
        read += warm[1] + (tally.input_tokens if tally else 0)
        written += warm[2] + (tally.output_tokens if tally else 0)
    return (requests, read + written, read, written)[unit]


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
