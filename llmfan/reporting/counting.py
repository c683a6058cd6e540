"""The figures of a run that has not ended, counted from its journal."""

from __future__ import annotations

from typing import Any

import msgspec

from llmfan.measures.accumulate import Accumulator
from llmfan.measures.metrics import CLIENT, RUN_TOTALS
from llmfan.records import AttemptLine, ResultLine
from llmfan.reporting.folder import RunFolder

_RESULT, _ATTEMPT = msgspec.json.Decoder(ResultLine), msgspec.json.Decoder(AttemptLine)


def summary_of(run: RunFolder) -> dict[str, Any]:
    """The summary it was left with, else what can be known without its end: no ideal, no efficiency, no gates."""
    if run.summary is not None:
        return run.summary
    accumulator = _counted(run)
    whole = accumulator.merged()
    return {
        "schema": 1,
        "run": {k: v for k, v in run.header.items() if k != "fleet"} | {"ending": None, "why": ""},
        "simulated": bool(run.header.get("simulated")),
        "totals": whole.totals() | {metric.name: None for metric in RUN_TOTALS},
        **whole.distributions(),
        "providers": accumulator.listing(lambda ident: ident[0]),
        "models": accumulator.listing(lambda ident: f"{ident[0]}/{ident[1]}" if ident[1] else ""),
        "keys": accumulator.listing(lambda ident: ident[2]),
        "paired_accuracy": accumulator.pairs.differences(),
        "errors": dict(whole.errors),
        "examples": dict(accumulator.examples),
        "out": {},
        "client": {**{metric.name: None for metric in CLIENT}, "limited": None, "why": ""},
        "gates": [],
    }


def _counted(run: RunFolder) -> Accumulator:
    """Pairs are compared where each prompt was asked once: by repeats they need the set's size, which may be gone."""
    once = run.shaping.get("--repeat", 1) == 1
    accumulator = Accumulator(mode=str(run.shaping.get("--mode", "spread")) if once else "spread")
    for result in run.results(_RESULT.decode):
        accumulator.result(result)
    for attempt in run.attempts(_ATTEMPT.decode):
        accumulator.attempt(attempt)
    return accumulator
