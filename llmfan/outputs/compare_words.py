"""What a comparison says in words: the line that can be read out, changes with their intervals, which rows matter."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from llmfan.measures.gate_values import spelled, spelled_change
from llmfan.measures.metrics import figures

Entry = Mapping[str, Any]
UNDEFINED = "—"
NO_CHANGE = "no change"
LONGER, SHORTER = "longer answers", "shorter answers"
#: In the order in which the first line has them.
VERDICTS = ("worse", "better", LONGER, SHORTER)
#: Changes that the first line names.
NAMED = 3
_SHOWN = ("p50", "p95", "")
#: What follows from a latency that changed alike is not named beside it.
_PARTS = ("ttft", "ttfo", "tpot")


def headline(document: Entry) -> str:
    """`worse: latency p50 of b +10 % and 3 more; no change in 61 of 65 figures`."""
    said = "; ".join([*_said(document), *_gates(document)])
    return f"simulated fleet: {said}" if document.get("simulated") else said


def _said(document: Entry) -> Iterator[str]:
    metrics = document["metrics"]
    if not document["comparable"]:
        yield "not comparable, compared anyway"
    yield from document.get("absent") or ()
    if not metrics:
        untested = document.get("untested") or "there are too few answers, or none,"
        yield f"side by side only: {untested} to tell change from noise"
        return
    shown, unchanged = rows(document, verbose=False)
    for verdict in VERDICTS:
        alike = [each for each in shown if said_verdict(each) == verdict]
        if alike:
            yield f"{verdict}: {_listed(alike)}"
    least = spelled_change(document["min_effect"])[1:]
    if unchanged < len(metrics):
        yield f"no change in {unchanged:,} of {len(metrics):,} figures"
    else:
        yield f"no change: none of {len(metrics):,} figures differs by {least} and by more than noise"


def said_verdict(entry: Entry) -> str:
    """`better` and `worse` of what has a better direction; an answer is only longer or shorter."""
    figure = figures().get(entry["metric"].partition("[")[0])
    if entry["verdict"] == NO_CHANGE or figure is None or figure.metric.better:
        return str(entry["verdict"])
    return LONGER if entry["new"] > entry["base"] else SHORTER


def tone(document: Entry) -> str:
    """What the first line's colour says."""
    verdicts = {said_verdict(each) for each in document["metrics"]}
    lost = any(not gate["held"] for gate in document["gates"])
    return "worse" if lost or "worse" in verdicts else "better" if "better" in verdicts else ""


def not_shown(document: Entry) -> tuple[int, int]:
    """(changed figures, figures without a change) that the short table leaves out."""
    shown, unchanged = rows(document, verbose=False)
    return len(document["metrics"]) - unchanged - len(shown), unchanged


def left_out(document: Entry) -> str:
    """`3 more changed figures, no change in 12 figures`."""
    changed, unchanged = not_shown(document)
    said = [f"{changed:,} more changed {_figures(changed)}"] if changed else []
    return ", ".join([*said, f"no change in {unchanged:,} {_figures(unchanged)}"] if unchanged else said)


def _figures(count: int) -> str:
    return "figure" if count == 1 else "figures"


def _listed(changed: Sequence[Entry]) -> str:
    named = list(_leading(changed))
    said = ", ".join(f"{title(each)} {change(each)}" for each in named[:NAMED])
    more = len(changed) - min(len(named), NAMED)
    return said + (f" and {more:,} more" if more else "")


def _leading(changed: Sequence[Entry]) -> Iterator[Entry]:
    """One of each family and place; parts of a latency only where it has not changed itself."""
    seen: set[tuple[str, str]] = set()
    for each in changed:
        name, place, _ = parts(each["metric"])
        if (name, place) not in seen and not (name in _PARTS and ("latency", place) in seen):
            seen.add((name, place))
            yield each


def _gates(document: Entry) -> Iterator[str]:
    gates = document.get("gates") or ()
    lost = sum(not gate["held"] for gate in gates)
    if lost:
        yield f"{lost:,} of {len(gates):,} {'gate' if len(gates) == 1 else 'gates'} did not hold"
    elif gates:
        yield "the gate held" if len(gates) == 1 else f"all {len(gates):,} gates held"


# ---------------------------------------------------------------- rows


def parts(metric: str) -> tuple[str, str, str]:
    """`latency_p95[b]` → `latency`, `b`, `p95`."""
    name, _, place = metric.partition("[")
    head, _, statistic = name.rpartition("_")
    if statistic in ("p50", "p90", "p95", "p99", "mean"):
        return head, place.removesuffix("]"), statistic
    return name, place.removesuffix("]"), ""


def rows(document: Entry, *, verbose: bool) -> tuple[list[Entry], int]:
    """(what is shown; how many figures without a change are not). Of a family that changed p50 and p95, if they did."""
    metrics = document["metrics"]
    if verbose:
        return list(metrics), 0
    changed = [each for each in metrics if each["verdict"] != NO_CHANGE]
    usual = [each for each in changed if parts(each["metric"])[2] in _SHOWN]
    have = {parts(each["metric"])[:2] for each in usual}
    shown = [each for each in changed if each in usual or parts(each["metric"])[:2] not in have]
    return [each for each in shown if not _twice(each, shown)], len(metrics) - len(changed)


def _twice(each: Entry, shown: Sequence[Entry]) -> bool:
    """Without reasoning the first of the answer is the first of all, and one row says it."""
    if not each["metric"].startswith("ttfo_"):
        return False
    other = each["metric"].replace("ttfo_", "ttft_", 1)
    return any(it["metric"] == other and (it["base"], it["new"]) == (each["base"], each["new"]) for it in shown)


def title(entry: Entry) -> str:
    """`latency p95 of b`."""
    name, _, place = entry["metric"].partition("[")
    words = str(name).replace("_", " ")
    return f"{words} of {place.removesuffix(']')}" if place else words


def value(entry: Entry, side: str) -> str:
    number = entry[side]
    if number is None:
        return UNDEFINED
    figure = figures().get(entry["metric"].partition("[")[0])
    return spelled(float(number), figure.metric.unit if figure else "")


def change(entry: Entry) -> str:
    """`+10.2 %`; from nothing there is none."""
    number = entry["change"]
    if number is not None:
        return _signed(number)
    return f"{value(entry, 'base')} → {value(entry, 'new')}" if entry["new"] != entry["base"] else UNDEFINED


def interval(entry: Entry) -> str:
    """`+6.1 % to +14.9 %`."""
    low, high = entry.get("low"), entry.get("high")
    if low is None and high is None:
        return UNDEFINED
    return f"{'…' if low is None else _signed(low)} to {'…' if high is None else _signed(high)}"


def _signed(number: float) -> str:
    return spelled_change(round(number, 3)) if abs(number) >= 0.0005 else "0 %"


def probability(entry: Entry) -> str:
    p = entry["p_value"]
    return "<0.0001" if p < 0.0001 else f"{p:.2g}"


def closing(document: Entry) -> str:
    """What was tested, and how."""
    if not document["tests"]:
        return ""
    least = spelled_change(document["min_effect"])[1:]
    said = (
        f"{document['tests']:,} tests of {document['questions']:,} questions, p-values corrected for that; a change is "
        f"one with p < {document['alpha']:g} and of at least {least}"
    )
    if any(each["verdict"] != NO_CHANGE and _spans_none(each) for each in document["metrics"]):
        said += "; a median is judged by the test of all answers as well, which sees more than its interval"
    return said


def _spans_none(entry: Entry) -> bool:
    low, high = entry["low"], entry["high"]
    return low is not None and high is not None and low <= 0 <= high
