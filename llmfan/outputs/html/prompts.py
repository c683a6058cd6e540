"""The prompts worth a look, as data: the page's script makes the table, a page of it at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from llmfan.outputs.html.markup import data, text
from llmfan.outputs.html.page import Row, RunPage
from llmfan.outputs.html.spelling import number

FIELDS = tuple(name for name in Row.__struct_fields__ if name != "index")
_COLUMNS = (
    ("id", "prompt", ""), ("why", "why", ""), ("provider", "provider", ""),
    ("latency_s", "latency", "s"), ("ttft_s", "TTFT", "s"), ("wait_s", "wait", "s"), ("retry_s", "retries", "s"),
    ("total_s", "total", "s"), ("output_tokens", "tokens out", "n"), ("cost_usd", "cost", "usd"),
    ("attempts", "tries", "n"), ("error", "error", ""),
)  # fmt: skip
_FILTERS = (("why", "Why"), ("status", "Status"), ("provider", "Provider"))
_WHY = {"failed": "failed", "wrong": "wrong", "slow": "slowest", "sample": "a sample", "other": "others"}


def prompts(run: RunPage, ident: str) -> Iterator[str]:
    if not run.rows:
        yield '<p class="undef">No result to show.</p>\n'
        return
    yield f'<section class="prompts" id="{ident}-prompts" aria-label="Prompts">\n'
    yield f"<p>{_heading(run)}. A press on a prompt's name opens its texts.</p>\n"
    yield '<div class="bar"><label class="wide">Search in prompts, answers and errors'
    yield '<input type="search" disabled></label>'
    for field, title in _FILTERS:
        yield _filter(run.rows, field, title)
    yield "</div>\n"
    yield from _table(_caption(run))
    yield '<script type="application/json" class="rows">{"fields":' + data(FIELDS) + ',"rows":[\n'
    for place, row in enumerate(run.rows):
        yield (",\n" if place else "") + data([_value(row, field) for field in FIELDS])
    yield "\n]}</script>\n</section>\n"


def _heading(run: RunPage) -> str:
    """How many are here and why; one that is slow as well as wrong counts as both, and is said to."""
    reasons = [row.why.split() for row in run.rows]
    both = sum("slow" in each and "wrong" in each for each in reasons)
    more = {"slow": f" ({number(both)} of them wrong)" if both else ""}
    counts = [(why, sum(why in each for each in reasons)) for why in _WHY]
    said = ", ".join(f"{number(n)} {_WHY[why]}{more.get(why, '')}" for why, n in counts if n)
    there = f"{number(len(run.rows))} of {number(run.results)} results"
    return f"{there if len(run.rows) < run.results else f'All {number(run.results)} results'}: {said}"


def _caption(run: RunPage) -> str:
    if len(run.rows) >= run.results:
        return "All results"
    there = {reason for row in run.rows for reason in row.why.split()}
    kinds = [title for why, title in _WHY.items() if why in there]
    said = " and ".join([*filter(None, [", ".join(kinds[:-1])]), *kinds[-1:]])
    return said[:1].upper() + said[1:]


def _filter(rows: Sequence[Row], field: str, title: str) -> str:
    found = [value for row in rows if (value := getattr(row, field)) is not None]
    if field == "why":
        found = [reason for value in found for reason in value.split()]
    values = list(dict.fromkeys(found))
    if len(values) < 2:
        return ""
    options = "".join(f'<option value="{_attribute(value)}">{text(value, 80)}</option>' for value in values)
    return (
        f'<label>{title}<select data-field="{field}" disabled><option value="">all</option>{options}</select></label>'
    )


def _table(caption: str) -> Iterator[str]:
    yield '<div class="scroll" role="region" aria-label="Table of prompts" tabindex="0">\n<table>\n'
    yield f"<caption><span>{caption}</span></caption>\n<thead><tr>"
    for field, title, kind in _COLUMNS:
        style = ' class="n"' if kind else ""
        order = "down" if kind else "up"
        yield f'<th scope="col"{style} data-field="{field}" data-as="{kind}" data-sort="{order}">{title}</th>'
    yield "</tr></thead>\n<tbody></tbody>\n</table>\n</div>\n"
    yield '<p class="bar pager"><button type="button" disabled>Previous</button>'
    yield '<button type="button" disabled>Next</button>'
    yield '<span role="status">This table needs JavaScript.</span></p>\n'


def _value(row: Row, field: str) -> Any:
    value = getattr(row, field)
    return float(f"{value:.5g}") if isinstance(value, float) else value


def _attribute(value: str) -> str:
    """Whole and exact, since it is compared with the row's own."""
    return "".join(f"&#{ord(c)};" if c in "&\"<>'\r\n" else c for c in value)
