"""The tables of providers, models and keys: speeds of what was answered, with the failures and 429s beside them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from llmfan.measures.metrics import Figure, figures
from llmfan.outputs.html.markup import UNDEFINED, Column, cell, name, row, table
from llmfan.outputs.html.spelling import figure_cell, money, number, read, share, titled

Entry = Mapping[str, Any]
SPEEDS = ("latency_p50", "latency_p95", "latency_p99", "ttft_p50", "ttft_p95", "output_tokens_per_s", "requests_per_s")
#: Beyond so many rows the table has a height of its own.
TALL = 30
NOTHING = '<p class="undef">No request was sent.</p>\n'


def entry_table(caption: str, head: str, entries: Sequence[Entry], warmed: Collection[str] = ()) -> Iterator[str]:
    """A table of those that were asked; below it the names of the others. `warmed`: asked in the warm-up only."""
    known = figures()
    speeds = [known[figure] for figure in SPEEDS]
    columns = [Column(head), *_columns(speeds)]
    most = {f.name: max((f.read(entry) or 0.0 for entry in entries), default=0.0) for f in speeds}
    used = [entry for entry in entries if _count(entry, "attempts") or _count(entry, "jobs")]
    idle = [entry for entry in entries if not (_count(entry, "attempts") or _count(entry, "jobs"))]
    if used:
        yield from table(caption, columns, (_row(entry, speeds, most) for entry in used), tall=len(used) > TALL)
    else:
        yield '<p class="undef">No request was sent but for the warm-up.</p>\n' if warmed else NOTHING
    yield _named("Warm-up only", [entry for entry in idle if entry["name"] in warmed])
    yield _named("Not used", [entry for entry in idle if entry["name"] not in warmed])


def _named(what: str, entries: Sequence[Entry]) -> str:
    names = ", ".join(name(entry["name"]) for entry in entries)
    return f'<p class="soft">{what}: {names}.</p>\n' if names else ""


def _columns(speeds: Sequence[Figure]) -> list[Column]:
    titles = [("ok", "ok"), ("failed_rate", "failed"), ("rate_limited_rate", "429s")]
    first = [Column(title, True, True, figures()[figure].metric.formula) for figure, title in titles]
    middle = [Column(titled(f), True, f.metric.better == "higher", f.metric.formula) for f in speeds]
    last = [
        Column(figures()[figure].metric.title, True, figure == "accuracy", figures()[figure].metric.formula)
        for figure in ("accuracy", "cost_usd", "cost_per_right_usd")
    ]
    return [*first, *middle, *last]


def _row(entry: Entry, speeds: Sequence[Figure], most: Mapping[str, float]) -> str:
    return row(
        name(entry["name"], 80),
        [
            cell(number(_count(entry, "ok")), sort=_count(entry, "ok")),
            _rate(entry, "failed", "failed_rate"),
            _rate(entry, "rate_limited", "rate_limited_rate"),
            *(figure_cell(entry, figure, most[figure.name]) for figure in speeds),
            accuracy_cell(entry),
            cost_cell(entry),
            figure_cell(entry, figures()["cost_per_right_usd"]),
        ],
    )


def _rate(entry: Entry, count: str, rate: str) -> str:
    """`3 <small>1.2 %</small>`; nothing failed is said in a quiet colour."""
    value = read(entry, rate)
    if value is None:
        return UNDEFINED
    if not value:
        return cell('<span class="soft">0</span>', sort=0.0)
    return cell(f"{number(_count(entry, count))} <small>{share(value)}</small>", sort=value, share=value, worse=True)


def accuracy_cell(entry: Entry) -> str:
    """The share, its interval, and of how many."""
    value = read(entry, "accuracy")
    if value is None:
        return UNDEFINED
    low, high = read(entry, "accuracy_low"), read(entry, "accuracy_high")
    graded = _count(entry, "right") + _count(entry, "wrong")
    sure = f"{100 * low:.0f}–{100 * high:.0f} %, " if low is not None and high is not None else ""
    return cell(f"{share(value)}<br><small>{sure}n {number(graded)}</small>", sort=value, share=value)


def cost_cell(entry: Entry) -> str:
    """A price that is not known is said to be unknown, never 0."""
    value, unknown = read(entry, "cost_usd"), _count(entry, "cost_unknown")
    if value is None:
        return '<td class="n undef" data-v="">unknown</td>' if unknown else UNDEFINED
    more = f"<br><small>+ {number(unknown)} unpriced</small>" if unknown else ""
    return cell(money(value) + more, sort=value)


def _count(entry: Entry, total: str) -> float:
    return read(entry, total) or 0.0
