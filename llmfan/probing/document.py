"""`llmfan probe --json`: the contract's document, and what stands beside it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from msgspec import to_builtins

from llmfan.probing.findings import Finding, Measured, Reading
from llmfan.runfile import stamp
from llmfan.settings import Fleet


def probe_document(
    findings: Iterable[Finding], fleet: Fleet, redact: Callable[[dict[str, Any]], dict[str, Any]]
) -> dict[str, Any]:
    """`redact` cuts keys out of a whole document: a provider's words may quote them."""
    declared = {(p.name, *at): limits.axes for p in fleet.providers for at, limits in p.limits.items()}
    return redact({"keys": [_key(f, declared.get((f.provider, f.key, f.model), {})) for f in findings]})


def _key(finding: Finding, declared: dict[str, float]) -> dict[str, Any]:
    return {
        "key": finding.key,
        "provider": finding.provider,
        "model": finding.model,
        "mask": finding.mask,
        "state": finding.state or "unproven",
        "why": finding.why,
        "latency_s": finding.latency_s,
        "limits": {axis: _limit(axis, declared, finding) for axis in _axes(declared, finding)},
        "account": finding.account or None,
        "shares_with": finding.shares_with,
        "nearest": finding.nearest,
        "resets_at": _moment(finding.until),
        "measured": [_measured(m) for m in finding.measured],
    }


def _axes(declared: dict[str, float], finding: Finding) -> Sequence[str]:
    return list(dict.fromkeys([*declared, *finding.limits, *(m.axis for m in finding.measured)]))


def _limit(axis: str, declared: dict[str, float], finding: Finding) -> dict[str, Any]:
    """As in `status`, which alone knows what was used."""
    reading = finding.limits.get(axis, Reading())
    return {
        "declared": declared.get(axis),
        "reported": reading.limit,
        "measured": next((m.figure for m in reversed(finding.measured) if m.axis == axis), None),
        "used": None,
        "left": reading.remaining,
        "resets_at": _moment(reading.resets_at),
    }


def _measured(measured: Measured) -> dict[str, Any]:
    document: dict[str, Any] = to_builtins(measured)
    return {**document, "high": None if measured.high == float("inf") else measured.high}


def _moment(unix: float | None) -> str | None:
    if unix is None:
        return None
    try:
        return stamp(dt.datetime.fromtimestamp(unix, dt.UTC))
    except (OverflowError, ValueError, OSError):  # a provider may say anything
        return None
