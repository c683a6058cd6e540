"""Gates on changes: `latency_p50[NAME] > +10%`. One fails only on a change that is more than noise."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from llmfan.comparing import pace
from llmfan.comparing.findings import needed
from llmfan.errors import UserError
from llmfan.measures.gate_values import spelled
from llmfan.measures.gate_words import sentence
from llmfan.measures.gates import Gate, parse

PACES = ("requests_per_s", "output_tokens_per_s")
_SHARES = ("failed_rate", "rate_limited_rate", "accuracy")
_AMOUNTS = ("output_tokens", "cost_usd")
_TIMES = ("latency_s", "ttft_s", "ttfo_s", "tpot_s")
_STATISTICS = ("mean", "p50", "p90", "p95", "p99")


def parse_all(exprs: Iterable[str], names: Collection[str]) -> list[Gate]:
    """All faults at once."""
    gates, faults = [], []
    for expr in exprs:
        try:
            gate = parse(expr, names, change=True)
            _check_tested(gate)
            gates.append(gate)
        except UserError as error:
            faults.append(str(error))
    if faults:
        raise UserError("\n".join(faults))
    return gates


def judged(
    gate: Gate, metrics: Sequence[Mapping[str, Any]], figures: Sequence[Mapping[str, Any]] = ()
) -> dict[str, Any]:
    """An entry of `gates`. `value` is the change; a change from nothing is beyond any figure, and null."""
    name = f"{gate.figure.name}[{gate.name}]" if gate.name else gate.figure.name
    entry = next((each for each in metrics if each["metric"] == name), None)
    if entry is None:
        why = f"{_missing(gate, name, figures)}, so this gate cannot hold"
        return {"expr": gate.expr, "value": None, "held": False, "why": why}
    change = entry["change"]
    if change is None:
        return _from_nothing(gate, entry)
    if not entry["significant"] and not gate.holds(change):
        why = f"{name} changed by {change:+.1%}, no more than noise (p = {entry['p_value']:.2g})"
        return {"expr": gate.expr, "value": change, "held": True, "why": why}
    return {"expr": gate.expr, "value": change, "held": gate.holds(change), "why": sentence(gate, change)}


def _missing(gate: Gate, name: str, figures: Sequence[Mapping[str, Any]]) -> str:
    """Of times, those of a middle are listed where one side has none."""
    middle = name.replace(gate.figure.name, f"{gate.figure.metric.name.removesuffix('_s')}_p50", 1)
    for each in figures:
        for side in ("base", "new"):
            if each["metric"] in (name, middle) and each[side] is None:
                return f"there is no {name} in {side.upper()}"
    if gate.name and not any(each["metric"].endswith(f"[{gate.name}]") for each in figures):
        return f"neither run has anything of {gate.name}"
    least = pace.LEAST if gate.figure.metric.name in PACES else needed(gate.figure.statistic)
    return f"{name} is tested from {least:,} observations a run on, and there are fewer"


def _from_nothing(gate: Gate, entry: Mapping[str, Any]) -> dict[str, Any]:
    grew = float("inf") if entry["new"] > 0 else 0.0
    held = not entry["significant"] or gate.holds(grew)
    now = spelled(entry["new"], gate.figure.metric.unit)
    noise = "" if entry["significant"] or not grew else f", no more than noise (p = {entry['p_value']:.2g})"
    why = f"{entry['metric']} was 0 and is {now}{noise}"
    return {"expr": gate.expr, "value": None if grew else 0.0, "held": held, "why": why}


def _check_tested(gate: Gate) -> None:
    metric, statistic = gate.figure.metric.name, gate.figure.statistic
    if metric in _TIMES and statistic in _STATISTICS:
        return
    if metric in (*_SHARES, *_AMOUNTS, *PACES):
        return
    raise UserError(f'gate "{gate.expr}": {_reason(metric, statistic)}')


def _reason(metric: str, statistic: str) -> str:
    if statistic == "max":
        return "a maximum is one answer, and no test can tell whether it means anything (use p95 or p99)"
    if metric in ("wait_s", "total_s", "retry_s"):
        other = "use latency, ttft or requests_per_s"
        return f"{metric} is no independent sample: each request waits for those before it ({other})"
    if metric == "itl_s":
        return "the gaps within one answer are no independent samples (use tpot)"
    if metric in ("failed", "rate_limited", "right", "wrong"):
        other = {"failed": "failed_rate", "rate_limited": "rate_limited_rate"}.get(metric, "accuracy")
        return f"as a count it grows with the run (use {other})"
    if metric in ("duration_s", "efficiency", "ideal_duration_s"):
        return f"a run has one {metric}, and one number says nothing of noise (use requests_per_s)"
    return f"{metric} has no test of whether a change of it is more than noise"
