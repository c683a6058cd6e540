"""The sections of a run below its head, in the order in which questions come up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from llmfan.outputs.html.chart_keys import key_use, time_spent
from llmfan.outputs.html.chart_quality import trade_off
from llmfan.outputs.html.chart_speed import speed
from llmfan.outputs.html.chart_time import over_time
from llmfan.outputs.html.entry_table import entry_table
from llmfan.outputs.html.failures import failures
from llmfan.outputs.html.markup import Column, cell, fold, name, row, table
from llmfan.outputs.html.page import RunPage
from llmfan.outputs.html.prompts import prompts
from llmfan.outputs.html.spelling import number

_SECTIONS = (
    ("providers", "Providers"), ("speed", "Latency"), ("time", "Over time"), ("keys", "Limits and keys"),
    ("failures", "Failures"), ("weigh", "Speed, quality, cost"), ("prompts", "Prompts"),
)  # fmt: skip


def body(run: RunPage, ident: str, level: int) -> Iterator[str]:
    yield f'<nav class="jump" aria-label="Sections{"" if level == 2 else " of this run"}">'
    yield "".join(f'<a href="#{ident}-s-{key}">{title}</a>' for key, title in _SECTIONS) + "</nav>\n"
    parts = {
        "providers": _providers(run), "speed": speed(run, ident), "time": over_time(run, ident),
        "keys": _keys(run, ident, level), "failures": failures(run), "weigh": trade_off(run, ident),
        "prompts": prompts(run, ident),
    }  # fmt: skip
    for key, title in _SECTIONS:
        yield f'<section aria-labelledby="{ident}-s-{key}">\n<h{level} id="{ident}-s-{key}">{title}</h{level}>\n'
        yield from parts[key]
        yield "</section>\n"


def _providers(run: RunPage) -> Iterator[str]:
    summary = run.summary
    entries = summary.get("providers") or []
    if not entries:
        yield '<p class="undef">No provider was in this run.</p>\n'
        return
    caption = "By provider: latencies of what was answered, with the failures and 429s beside them"
    yield from entry_table(caption, "provider", entries, run.warmed)
    for key, head in (("models", "model"), ("keys", "key")):
        if summary.get(key):
            by = entry_table(f"By {head}", head, summary[key], run.warmed)
            yield from fold(f"By {head} ({number(len(summary[key]))})", by)
    pairs = summary.get("paired_accuracy") or []
    if pairs:
        yield from fold(f"Accuracy on the same prompts, pair by pair ({number(len(pairs))})", _pairs(pairs))


def _pairs(pairs: list[Mapping[str, Any]]) -> Iterator[str]:
    columns = [
        Column("first, second"),
        Column("prompts", True, True),
        Column("first right", True, True),
        Column("second right", True, True),
        Column("second − first", True, True),
        Column("95 % interval", True),
    ]
    yield from table(
        "Accuracy of two on the prompts that both answered; an interval without 0 is more than chance",
        columns,
        map(_pair, pairs),
    )


def _pair(pair: Mapping[str, Any]) -> str:
    difference, low, high = pair.get("difference"), pair.get("low"), pair.get("high")
    sure = f"{_points(low)} to {_points(high)}" if low is not None and high is not None else "—"
    apart = low is not None and high is not None and (low > 0 or high < 0)
    cells = [
        *(cell(number(pair.get(key)), sort=pair.get(key)) for key in ("n", "a_right", "b_right")),
        cell(f"<b>{_points(difference)}</b>" if apart else _points(difference), sort=difference),
        f'<td class="n">{sure}</td>',
    ]
    return row(f"{name(pair.get('a', ''))}, {name(pair.get('b', ''))}", cells)


def _points(value: float | None) -> str:
    """A difference of shares, in points, with its sign."""
    return "—" if value is None else f"{100 * value:+.1f}".replace("-", "−")


def _keys(run: RunPage, ident: str, level: int) -> Iterator[str]:
    yield f"<h{level + 1}>Where the time went</h{level + 1}>\n"
    yield from time_spent(run, ident)
    yield f"<h{level + 1}>Used of what was allowed</h{level + 1}>\n"
    yield from key_use(run, ident)
