"""A run in one line that a person can read out, made of its summary."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from llmfan.units import spell

#: A median of fewer answers does not make a provider the fastest, if others have more.
ENOUGH = 5
#: Medians so near each other say of neither that it is the faster one.
LEVEL = 1.02
Entry = Mapping[str, Any]


def verdict(summary: Entry, ended: bool = True, warmed: bool = False) -> str:
    """What limits what follows comes first: simulated, held back by llmfan itself, not ended. `warmed`: there was a
    warm-up, of which a summary says nothing.
    """
    text = "; ".join([*_caveats(summary), *_parts(summary, ended, warmed)]) + "."
    return text[0].upper() + text[1:]


def _caveats(summary: Entry) -> Iterator[str]:
    if summary.get("simulated"):
        yield "simulated, no real provider was asked"
    client = summary.get("client") or {}
    if client.get("limited"):
        yield "this run was held back by llmfan itself" + (f" ({client['why']})" if client.get("why") else "")


def _parts(summary: Entry, ended: bool, warmed: bool) -> Iterator[str]:
    totals = summary.get("totals") or {}
    yield _answered(summary, totals, ended)
    if missing := _missing(summary, totals):
        yield missing
    run = summary.get("run") or {}
    if ended and run.get("ending") not in (None, "", "done"):
        yield f"stopped early: {run.get('why') or run['ending']}"
    yield _refused(totals, warmed)
    if totals.get("accuracy") is not None:
        yield _accuracy(totals)
    if fastest := _fastest(summary.get("providers") or []):
        yield fastest
    if totals.get("cost_usd") is not None:
        yield _cost(totals)
    if gates := summary.get("gates"):
        yield _gates(gates)


def _answered(summary: Entry, totals: Entry, ended: bool) -> str:
    ok, jobs = int(totals.get("ok") or 0), int(totals.get("jobs") or 0) + int(totals.get("unsent") or 0)
    shaping = (summary.get("run") or {}).get("shaping") or {}
    once = shaping.get("--mode", "spread") == "spread" and shaping.get("--repeat", 1) == 1
    what = ("prompt" if once else "job") + ("" if jobs == 1 else "s")
    text = f"{ok:,} of {jobs:,} {what} answered"
    if totals.get("duration_s"):
        text += f" in {spell(totals['duration_s'])}"
    if totals.get("efficiency") is not None:
        text += f", {percent(totals['efficiency'])} of what the limits permit"
    return text if ended else f"not ended: so far {text}"


def _missing(summary: Entry, totals: Entry) -> str:
    """`10 failed, 172 not done`; where nothing was answered also what most of them failed with."""
    failed, unsent = int(totals.get("failed") or 0), int(totals.get("unsent") or 0)
    parts = [f"{failed:,} failed" + _mostly(summary, failed)] if failed else []
    return ", ".join(parts + [f"{unsent:,} not done"] * bool(unsent))


def _mostly(summary: Entry, failed: int) -> str:
    kinds: Mapping[str, int] = summary.get("errors") or {}
    if not kinds or (summary.get("totals") or {}).get("ok"):
        return ""
    kind, count = max(kinds.items(), key=lambda each: each[1])
    return f" ({kind})" if count >= failed else f" (mostly {kind}, {count:,})"


def _refused(totals: Entry, warmed: bool) -> str:
    refused, attempts = int(totals.get("rate_limited") or 0), int(totals.get("attempts") or 0)
    if not attempts:
        return "no request was sent" + " after the warm-up" * warmed
    return f"{percent(refused / attempts)} of requests met a 429" if refused else "no request met a 429"


def _accuracy(totals: Entry) -> str:
    low, high = totals.get("accuracy_low"), totals.get("accuracy_high")
    if low is None or high is None:
        return f"accuracy {percent(totals['accuracy'])}"
    digits = 1 if high - low < 0.03 else 0
    return f"accuracy {totals['accuracy'] * 100:.{digits}f} % ({low * 100:.{digits}f} to {high * 100:.{digits}f})"


def _fastest(providers: list[Entry]) -> str:
    """By the median, where several answered; one provider is no contest."""
    timed = [p for p in providers if _median(p) is not None]
    sure = [p for p in timed if int((p.get("totals") or {}).get("ok") or 0) >= ENOUGH] or timed
    if len(timed) < 2:
        return ""
    sure.sort(key=lambda p: _median(p) or 0.0)
    median = _median(sure[0]) or 0.0
    level = [str(p.get("name")) for p in sure if (_median(p) or 0.0) <= median * LEVEL]
    if len(level) > 2:
        return f"{len(level)} providers were about as fast as each other (median {_short(median)})"
    was = "the fastest provider was" if len(level) == 1 else "the fastest providers were"
    return f"{was} {' and '.join(level)} (median {_short(median)})"


def _median(provider: Entry) -> float | None:
    value = (provider.get("latency_s") or {}).get("p50")
    return None if value is None else float(value)


def _short(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds < 10 else spell(seconds)


def _cost(totals: Entry) -> str:
    cost, unknown = float(totals["cost_usd"]), int(totals.get("cost_unknown") or 0)
    text = f"cost ${cost:.2f}" if cost >= 0.1 or not cost else f"cost ${cost:.2g}"
    return f"{text}, not counting {unknown:,} answers of unknown price" if unknown else text


def _gates(gates: list[Entry]) -> str:
    broken = [str(gate.get("expr")) for gate in gates if not gate.get("held")]
    if broken:
        return f"{len(broken)} of {len(gates)} gates did not hold: {', '.join(broken)}"
    return f"all {len(gates)} gates held" if len(gates) > 1 else "the gate held"


def percent(share: float) -> str:
    """Two digits, and neither 0 nor 100 unless it is all or nothing."""
    value = share * 100
    if value in (0.0, 100.0):
        return f"{value:.0f} %"
    if value < 1:
        return f"{max(value, 0.01):.1g} %"
    return f"{min(value, 99.9):.1f} %" if value > 99 else f"{value:.0f} %"
