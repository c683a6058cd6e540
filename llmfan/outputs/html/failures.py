"""What failed: each kind with how often, and what was said then."""

from __future__ import annotations

from collections.abc import Iterator

from llmfan.outputs.html.markup import Column, cell, name, row, table, text, words
from llmfan.outputs.html.page import Example, FailureKind, RunPage
from llmfan.outputs.html.spelling import number, span

_COLUMNS = (
    Column("kind"),
    Column("jobs", True, True, "jobs that ended so, without an answer"),
    Column("tries", True, True, "attempts that did; the job may have been answered later"),
    Column("examples"),
)


def failures(run: RunPage) -> Iterator[str]:
    if not run.failures:
        yield '<p class="good">Nothing failed.</p>\n'
        return
    most = max((kind.attempts for kind in run.failures), default=0) or 1
    yield from table("Failures by kind, with what was said", _COLUMNS, (_kind(kind, most) for kind in run.failures))


def _kind(kind: FailureKind, most: int) -> str:
    examples = "<br>".join(map(_example, kind.examples)) or "—"
    cells = [
        cell(number(kind.jobs), sort=kind.jobs),
        cell(number(kind.attempts), sort=kind.attempts, share=kind.attempts / most, worse=True),
        words(examples, "long"),
    ]
    return row(text(kind.kind), cells)


def _example(example: Example) -> str:
    asked = example.key or example.provider  # nobody, where it was never sent
    where = [name(asked)] if asked else []
    where.append(name(example.id, 60))
    if example.http_status is not None:
        where.append(f"HTTP {example.http_status}")
    if example.at_s is not None:
        where.append(f"at {span(example.at_s)}")
    return f'<bdi class="name">{text(example.message, 400)}</bdi> <small>({", ".join(where)})</small>'
