"""Says of a gate, in one plain sentence, what its figure is and what it must not be; of an undefined one, why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmfan.measures.gate_grammar import Gate
from llmfan.measures.gate_values import spelled, spelled_change

#: Figures that only an answer gives.
_OF_ANSWERS = ("duration_s", "requests_per_s", "output_tokens_per_s", "cost_usd", "cost_per_right_usd")
_BOUNDS = {
    ">": "must not be over {}",
    ">=": "must not be {} or more",
    "<": "must not be under {}",
    "<=": "must not be {} or less",
    "==": "must not be {}",
    "!=": "must be {}",
}
_MOST_DIGITS = 12


def sentence(gate: Gate, value: float | None, entry: Mapping[str, Any] | None = None) -> str:
    """`entry`: where the figure was looked for; it knows why there is none."""
    if value is None:
        reason = undefined(gate, entry)
        return f"{_subject(gate)} is undefined{': ' if reason else ''}{reason}, so this gate cannot hold"
    said, bound = _told_apart(gate, value)
    verb = "changed by" if gate.change else "is"
    return f"{_subject(gate)} {verb} {said}, and {_BOUNDS[gate.op].format(bound)}"


def undefined(gate: Gate, entry: Mapping[str, Any] | None) -> str:
    """Why the figure has no value; "" where that cannot be known."""
    if gate.change:
        return "it has no value to compare in one of the runs"
    if entry is None:
        return f'this run has no figures of "{gate.name}"' if gate.name else ""
    if gate.figure.metric.name in ("asked_per_s", "achieved_per_s"):
        return "no --rate was asked for"
    if gate.figure.name == "unsent" or (gate.figure.whole_run and gate.figure.metric.name not in ("efficiency",)):
        return "nothing knows it of this run"
    return _lacking(gate, entry.get("totals") or {}, entry)


def _lacking(gate: Gate, totals: Mapping[str, Any], entry: Mapping[str, Any]) -> str:
    name, answered = gate.figure.metric.name, totals.get("ok")
    if name == "rate_limited_rate":
        return "nothing was sent" if not totals.get("attempts") else ""
    if name == "failed_rate":
        return "no job ended" if not totals.get("jobs") else ""
    if not answered and (gate.figure.statistic or name in _OF_ANSWERS or name.startswith("accuracy")):
        return "nothing was answered"
    if name.startswith("accuracy"):
        graded = (totals.get("right") or 0) + (totals.get("wrong") or 0)
        return "" if graded else "nothing was graded"
    if name in ("cost_usd", "cost_per_right_usd"):
        return _unpriced(name, totals)
    if gate.figure.statistic:
        return "no answer gave one to measure" if not (entry.get(name) or {}).get("n") else ""
    if name == "efficiency":
        return "there is no ideal duration to compare with"
    return "" if name in totals else "this summary does not have it"


def _unpriced(name: str, totals: Mapping[str, Any]) -> str:
    if name == "cost_usd":
        return "no answer's price is known"
    if unknown := totals.get("cost_unknown"):
        return f"the price of {unknown:,} {'answer is' if unknown == 1 else 'answers is'} not known"
    return "no answer was right" if not totals.get("right") else ""


def _subject(gate: Gate) -> str:
    return f"{gate.figure.name}[{gate.name}]" if gate.name else gate.figure.name


def _told_apart(gate: Gate, value: float) -> tuple[str, str]:
    """Value and bound with as many digits as it takes: "is 2 s, and must not be over 2 s" would explain nothing."""
    for digits in range(3, _MOST_DIGITS + 1):
        said, bound = (
            spelled_change(number, digits) if gate.change else spelled(number, gate.figure.metric.unit, digits)
            for number in (value, gate.value)
        )
        if said != bound or value == gate.value:
            break
    return said, bound
