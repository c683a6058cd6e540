"""The document of `summary.json`, made of the accumulated journal and of the limits that were in force."""

from __future__ import annotations

import resource
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from llmfan.measures.accumulate import Accumulator
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
    nearness: Mapping[str, Any],
    lag: Sketch,
    unsent: int,
    now: float,
) -> dict[str, Any]:
    """`nearness`: the figures of `efficiency`; `unsent`: jobs that a bound, a signal or a lack of keys kept from
    ending.
    """
    whole = accumulator.merged()
    totals = whole.totals()
    totals |= nearness
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
