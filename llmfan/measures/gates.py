"""Gates judged: over a finished run (`--fail-if`), and while one goes on (`--abort-if`).

A gate states what must not be. At the end every one is judged; early only what can be known early is, and only from
`MINIMUM_SAMPLE` observations on, so that the first unlucky answer does not stop a run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from llmfan.errors import UserError
from llmfan.measures.gate_grammar import Gate, parse
from llmfan.measures.gate_words import sentence

__all__ = ["MINIMUM_SAMPLE", "Gate", "judge", "parse", "refuse_early", "sample", "sentence", "trips"]

MINIMUM_SAMPLE = 20
_FREE = "{input: 0, output: 0}"

#: What only grows while a run goes on.
_GROWING = (
    "jobs", "ok", "failed", "attempts", "rate_limited", "duration_s", "input_tokens", "output_tokens",
    "estimated_token_counts", "cost_usd", "cost_unknown", "right", "wrong", "ungraded",
)  # fmt: skip
#: Figure → what it rests on; of the others in `totals` it is the answers.
_RESTS_ON = {
    "jobs": ("jobs",),
    "failed": ("jobs",),
    "failed_rate": ("jobs",),
    "attempts": ("attempts",),
    "rate_limited": ("attempts",),
    "rate_limited_rate": ("attempts",),
    "right": ("right", "wrong"),
    "wrong": ("right", "wrong"),
    "accuracy": ("right", "wrong"),
    "accuracy_low": ("right", "wrong"),
    "accuracy_high": ("right", "wrong"),
    "cost_per_right_usd": ("right", "wrong"),
}
#: An end of an interval that moves inwards as a run goes on → the comparison that would be true of too few answers.
_NARROWING = {"accuracy_low": "<", "accuracy_high": ">"}


def judge(gates: Iterable[Gate], summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The `gates` of `summary.json`."""
    return [_judged(gate, gate.entry(summary)) for gate in gates]


# ---------------------------------------------------------------- while a run goes on


def refuse_early(gate: Gate) -> None:
    """Refuses what is known at the end only, or what every run fails at its start."""
    if reason := _end_only(gate):
        raise UserError(f'gate "{gate.expr}": {reason}; use it with --fail-if, which looks at the end')


def sample(gate: Gate, entry: Mapping[str, Any]) -> int:
    """How many observations the figure rests on so far."""
    metric = gate.figure.metric.name
    if gate.figure.statistic:
        return int((entry.get(metric) or {}).get("n") or 0)
    totals = entry.get("totals") or {}
    return sum(int(totals.get(name) or 0) for name in _RESTS_ON.get(metric, ("ok",)))


def trips(gate: Gate, entry: Mapping[str, Any]) -> bool:
    """Whether it is time to stop. An undefined figure trips nothing: that it cannot hold is said at the end."""
    value = gate.figure.read(entry)
    return value is not None and not gate.holds(value) and sample(gate, entry) >= MINIMUM_SAMPLE


def _end_only(gate: Gate) -> str:
    metric = gate.figure.metric.name
    if gate.figure.whole_run:
        return f"{gate.figure.name} is known at the end only"
    if metric == "duration_s":
        return "it counts to the last answer, and there may be none; --max-duration bounds a run's time"
    grows = metric in _GROWING or gate.figure.statistic == "max"
    if grows and gate.op not in (">", ">=") and (gate.op, gate.value) != ("!=", 0.0):
        return f"{gate.figure.name} grows while a run goes on, so early this would be true of every run"
    if _NARROWING.get(metric) == gate.op[0]:
        other = "accuracy_high" if metric == "accuracy_low" else "accuracy_low"
        return f"{metric} is far out while answers are few, so early this would be true of most runs ({other} is not)"
    return ""


def _judged(gate: Gate, entry: Mapping[str, Any] | None) -> dict[str, Any]:
    value = None if entry is None else gate.figure.read(entry)
    held, why = gate.holds(value), sentence(gate, value, entry)
    unknown = _unpriced(gate, entry)
    if held and unknown:  # what is known is the least it cost
        held = gate.op in ("<", "<=")
        why = f"{why}; but the price of {unknown:,} answers is not known (where they are free: price: {_FREE})"
    return {"expr": gate.expr, "value": value, "held": held, "why": why}


def _unpriced(gate: Gate, entry: Mapping[str, Any] | None) -> int:
    """How many answers a cost leaves out."""
    if entry is None or gate.figure.metric.name != "cost_usd":
        return 0
    return int((entry.get("totals") or {}).get("cost_unknown") or 0)
