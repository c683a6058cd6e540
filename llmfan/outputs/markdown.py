"""The summary as GitHub-flavoured Markdown, for a CI job's page or a comment on a pull request."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from llmfan.measures.gate_grammar import figure_of
from llmfan.measures.gate_values import spelled, spelled_change
from llmfan.measures.metrics import DISTRIBUTIONS, TOTALS
from llmfan.outputs.markdown_text import code, row, table

Entry = Mapping[str, Any]
#: What is beyond is counted, so that a comment stays within what a site takes.
PROVIDERS, MODELS, GATES, PAIRS, KINDS = 200, 60, 60, 20, 20
_UNDEFINED = "—"
_NAME, _EXPR, _WHY, _EXAMPLE = 60, 120, 300, 200


def markdown(summary: Entry) -> str:
    """The document of `summary.json`."""
    parts = [
        f"## llmfan: {_verdict(summary)}",
        *_notes(summary),
        gates_markdown(summary.get("gates") or ()),
        _places("provider", summary.get("providers") or (), PROVIDERS),
        _models(summary),
        _totals(summary.get("totals") or {}),
        _pairs(summary.get("paired_accuracy") or ()),
        _errors(summary.get("errors") or {}, summary.get("examples") or {}),
        _out(summary.get("out") or {}),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def gates_markdown(gates: Iterable[Entry], *, change: bool = False) -> str:
    """A table of gates as in `summary.json`, or "" without any; with `change` their values are relative changes."""
    gates = sorted(gates, key=lambda gate: bool(gate.get("held")))  # of too many, those that did not hold stay
    rows = [
        row(
            code(str(gate.get("expr", "")), _EXPR),
            _gate_value(gate, change),
            "yes" if gate.get("held") else "**no**",
            code(str(gate.get("why") or ""), _WHY),
        )
        for gate in gates[:GATES]
    ]
    return table(["gate", "value", "held", "why"], rows, left=(0, 3), more=len(gates) - GATES, what="gates")


# ---------------------------------------------------------------- in words


def _verdict(summary: Entry) -> str:
    gates = summary.get("gates") or ()
    totals = summary.get("totals") or {}
    ok, jobs = totals.get("ok") or 0, (totals.get("jobs") or 0) + (totals.get("unsent") or 0)
    answered = f"{ok:,} of {jobs:,} prompts answered"
    if not gates:
        return answered
    lost = sum(not gate.get("held") for gate in gates)
    if lost:
        return f"{lost:,} of {len(gates):,} {'gate' if len(gates) == 1 else 'gates'} did not hold, {answered}"
    return f"{'the gate' if len(gates) == 1 else f'all {len(gates):,} gates'} held, {answered}"


def _notes(summary: Entry) -> list[str]:
    totals, client = summary.get("totals") or {}, summary.get("client") or {}
    found = []
    if summary.get("simulated"):
        found.append("Simulated fleet: no real provider was asked.")
    if client.get("limited"):
        why = client.get("why")
        found.append(f"llmfan itself held the run back{': ' if why else '.'}{code(why, _WHY) if why else ''}")
    if unsent := totals.get("unsent"):
        found.append(f"{unsent:,} prompts were not done: a bound, a signal or a lack of keys kept them from ending.")
    if estimated := totals.get("estimated_token_counts"):
        found.append(f"The token counts of {estimated:,} answers are estimates, and so is what rests on them.")
    if unpriced := totals.get("cost_unknown"):
        found.append(f"The price of {unpriced:,} answers is not known: they are not in the cost.")
    if ungraded := totals.get("ungraded"):
        found.append(f"{ungraded:,} answers could not be graded: they are not in the accuracy.")
    return ["\n".join(f"> - {note}" for note in found)] if found else []


def _totals(totals: Entry) -> str:
    parts = [
        f"{_count(totals, 'ok')} answered in {_time(totals.get('duration_s'))}",
        f"{_count(totals, 'failed')} failed",
        f"{_count(totals, 'rate_limited')} × 429 in {_count(totals, 'attempts')} requests",
        f"{_per_second(totals, 'requests_per_s')} requests/s",
        f"{_per_second(totals, 'output_tokens_per_s')} tokens/s",
        f"accuracy {_accuracy(totals)}",
        f"cost {_cost(totals)} USD{_each_right(totals)}",
        f"efficiency {_per_cent(totals.get('efficiency'))}",
    ]
    return "**In total:** " + " · ".join(parts)


# ---------------------------------------------------------------- tables


def _columns() -> list[tuple[str, Callable[[Entry], str]]]:
    """(title, cell) of each column behind the name. Failures and 429s stand beside the times of what succeeded."""
    titles = {metric.name: metric.title for metric in (*DISTRIBUTIONS, *TOTALS)}
    return [
        (titles["ok"], lambda e: _count(e["totals"], "ok")),
        (titles["failed"], lambda e: _part(e["totals"], "failed", "jobs")),
        (titles["rate_limited"], lambda e: _part(e["totals"], "rate_limited", "attempts")),
        (f"{titles['ttft_s']} p50", lambda e: _quantile(e, "ttft_s", "p50")),
        (f"{titles['latency_s']} p50", lambda e: _quantile(e, "latency_s", "p50")),
        (f"{titles['latency_s']} p95", lambda e: _quantile(e, "latency_s", "p95")),
        (titles["output_tokens_per_s"], lambda e: _per_second(e["totals"], "output_tokens_per_s")),
        (titles["accuracy"], lambda e: _accuracy(e["totals"])),
        (f"{titles['cost_usd']} (USD)", lambda e: _cost(e["totals"])),
    ]


def _places(what: str, entries: Sequence[Entry], most: int) -> str:
    columns = _columns()
    rows = []
    for entry in entries[:most]:
        whole = {**entry, "totals": entry.get("totals") or {}}
        rows.append(row(code(str(entry.get("name", "")), _NAME), *(cell(whole) for _, cell in columns)))
    return table([what, *(title for title, _ in columns)], rows, left=(0,), more=len(entries) - most, what=f"{what}s")


def _models(summary: Entry) -> str:
    """Only where a provider has several: else it would be the table of providers again."""
    models, providers = summary.get("models") or (), summary.get("providers") or ()
    return _places("model", models, MODELS) if len(models) > len(providers) else ""


def _pairs(pairs: Sequence[Entry]) -> str:
    rows = [
        row(
            code(str(pair["a"]), _NAME), code(str(pair["b"]), _NAME), f"{pair['n']:,}", f"{pair['a_right']:,}",
            f"{pair['b_right']:,}", _difference(pair),
        )
        for pair in pairs[:PAIRS]
    ]  # fmt: skip
    titles = ["a", "b", "same prompts", "a right", "b right", "b − a, points (95 %)"]
    return _titled(
        "Accuracy on the same prompts", table(titles, rows, left=(0, 1), more=len(pairs) - PAIRS, what="pairs")
    )


def _errors(errors: Mapping[str, int], examples: Mapping[str, str]) -> str:
    kinds = sorted(errors.items(), key=lambda item: (-item[1], item[0]))
    rows = [row(code(kind, _NAME), f"{n:,}", code(examples.get(kind, ""), _EXAMPLE)) for kind, n in kinds[:KINDS]]
    shown = table(["kind", "jobs", "example"], rows, left=(0, 2), more=len(kinds) - KINDS, what="kinds")
    return _titled("Failed jobs by kind", shown)


def _out(out: Mapping[str, str]) -> str:
    rows = [row(code(name, _NAME), code(why, _EXAMPLE)) for name, why in list(out.items())[:KINDS]]
    shown = table(["provider or key", "why"], rows, left=(0, 1), more=len(out) - KINDS, what="providers and keys")
    return _titled("Not serving at the end", shown)


def _titled(title: str, shown: str) -> str:
    return f"### {title}\n\n{shown}" if shown else ""


# ---------------------------------------------------------------- words for figures


def _gate_value(gate: Entry, change: bool) -> str:
    value = gate.get("value")
    if value is None:
        return _UNDEFINED
    if change:
        return spelled_change(value)
    figure = figure_of(str(gate.get("expr", "")))
    return spelled(value, figure.metric.unit if figure else "").replace("$", "USD ")


def _count(totals: Entry, name: str) -> str:
    value = totals.get(name)
    return _UNDEFINED if value is None else f"{value:,}"


def _part(totals: Entry, name: str, of: str) -> str:
    """`3 (1.2 %)`"""
    part, whole = totals.get(name), totals.get(of)
    return f"{part:,} ({_per_cent(part / whole)})" if part and whole else _count(totals, name)


def _accuracy(totals: Entry) -> str:
    """`94 % (92 to 95.8, n = 500)`"""
    value, low, high = (totals.get(name) for name in ("accuracy", "accuracy_low", "accuracy_high"))
    if value is None:
        return _UNDEFINED
    n = (totals.get("right") or 0) + (totals.get("wrong") or 0)
    interval = f"{_hundredths(low)} to {_hundredths(high)}, " if low is not None and high is not None else ""
    return f"{_per_cent(value)} ({interval}n = {n:,})"


def _cost(totals: Entry) -> str:
    """`0.0123`, `over 0.0123` where not every price is known."""
    over = "over " if totals.get("cost_unknown") and totals.get("cost_usd") is not None else ""
    return over + _money(totals.get("cost_usd"))


def _each_right(totals: Entry) -> str:
    value = totals.get("cost_per_right_usd")
    return "" if value is None else f", {_money(value)} USD a right answer"


def _quantile(entry: Entry, name: str, quantile: str) -> str:
    return _time((entry.get(name) or {}).get(quantile))


def _time(value: float | None) -> str:
    return _UNDEFINED if value is None else spelled(value, "s")


def _per_second(totals: Entry, name: str) -> str:
    value = totals.get(name)
    return _UNDEFINED if value is None else spelled(value, "1/s").removesuffix("/s")


def _per_cent(value: float | None) -> str:
    return _UNDEFINED if value is None else spelled(value, "share")


def _hundredths(value: float) -> str:
    return f"{value * 100:.1f}"


def _difference(pair: Entry) -> str:
    """`+2.1 (-0.4 to +4.6)`"""
    return f"{_points(pair['difference'])} ({_points(pair['low'])} to {_points(pair['high'])})"


def _points(value: float) -> str:
    return f"{value * 100:+.1f}"


def _money(value: float | None) -> str:
    """Without its sign: two of them in a line are taken for a formula."""
    return _UNDEFINED if value is None else spelled(value, "USD").removeprefix("$")
