"""Several runs side by side: a column a run, so that the same figure of all stands in one line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from llmfan.measures.metrics import figures
from llmfan.outputs.html.entry_table import accuracy_cell, cost_cell
from llmfan.outputs.html.markup import Column, name, row, table, text, words
from llmfan.outputs.html.page import RunPage
from llmfan.outputs.html.run_head import badge
from llmfan.outputs.html.spelling import figure_cell, titled

SHOWN = (
    "jobs", "failed_rate", "rate_limited_rate", "latency_p50", "latency_p95", "latency_p99", "ttft_p50", "ttft_p95",
    "wait_p50", "total_p95", "output_tokens_per_s", "requests_per_s", "duration_s", "efficiency", "accuracy",
    "cost_usd",
)  # fmt: skip


def runs_table(runs: Sequence[RunPage]) -> Iterator[str]:
    yield '<h2>Side by side</h2>\n<nav class="jump" aria-label="Runs">'
    for number, run in enumerate(runs):
        yield f'<a href="#run-{number}">{name(run.name)}</a>'
    yield "</nav>\n"
    columns = [Column("figure"), *(Column(name(run.name) + badge(run), True) for run in runs)]
    yield from table(
        "The runs side by side; whether a difference is more than chance is for llmfan compare",
        columns,
        _rows(runs),
        sortable=False,
    )


def _rows(runs: Sequence[RunPage]) -> Iterator[str]:
    yield row("verdict", [words(text(run.verdict, 400), "long") for run in runs])
    known = figures()
    for figure in (known[each] for each in SHOWN):
        if figure.name == "accuracy":
            cells = [accuracy_cell(run.summary) for run in runs]
        elif figure.name == "cost_usd":
            cells = [cost_cell(run.summary) for run in runs]
        else:
            values = [figure.read(run.summary) or 0.0 for run in runs]
            cells = [figure_cell(run.summary, figure, max(values) if figure.metric.better else None) for run in runs]
        yield row(titled(figure), cells)
