"""The report's page, in pieces: what a person should know first stands first, and is there without any script."""

from __future__ import annotations

from collections.abc import Iterator

from llmfan.outputs.html.charts import bundle
from llmfan.outputs.html.markup import Column, fold, name, row, table, text, words
from llmfan.outputs.html.page import Page, RunPage
from llmfan.outputs.html.run_body import body
from llmfan.outputs.html.run_head import badge, facts, gates, notes, tiles, verdict
from llmfan.outputs.html.runs_table import runs_table
from llmfan.outputs.html.shell import asset, shell


def render(page: Page) -> Iterator[str]:
    """The pieces of the file. What is missing for it is said before the first one, so that no half file is left."""
    scripts = [bundle(), asset("report.js") + asset("charts.js")]
    return shell(page.title, _body(page), scripts=scripts)


def _body(page: Page) -> Iterator[str]:
    yield '<a class="skip" href="#main">To the figures</a>\n<header class="top">\n'
    yield f"<h1>{name(page.title, 200)}{badge(page.runs[0]) if len(page.runs) == 1 else ''}</h1>\n"
    yield '<noscript><p class="warn">Charts, sorting and the table of prompts need JavaScript; the rest is here.</p>'
    yield "</noscript>\n"
    yield '</header>\n<main id="main">\n'
    if len(page.runs) == 1:
        yield from _run(page.runs[0], 0, 2)
    else:
        yield from runs_table(page.runs)
        for number, run in enumerate(page.runs):
            yield f'<article class="run" id="run-{number}" aria-labelledby="run-{number}-title">\n'
            yield f'<h2 id="run-{number}-title">{name(run.name, 200)}{badge(run)}</h2>\n'
            yield from _run(run, number, 3)
            yield "</article>\n"
    yield from _definitions(page)
    yield f"</main>\n<footer><p>Made {text(page.made_at)} by llmfan {text(page.version)}. "
    yield "This file holds everything it shows and asks nothing of the network.</p></footer>\n"


def _run(run: RunPage, number: int, level: int) -> Iterator[str]:
    yield from facts(run)
    yield verdict(run)
    yield from notes(run)
    yield from tiles(run)
    yield from gates(run, level)
    yield from body(run, f"r{number}", level)


def _definitions(page: Page) -> Iterator[str]:
    if not page.definitions:
        return
    columns = [Column("figure"), Column("title"), Column("unit"), Column("formula")]
    rows = (
        row(
            f"<code>{text(d.get('name', ''))}</code>",
            [words(text(d.get(key, ""), 500)) for key in ("title", "unit", "formula")],
        )
        for d in page.definitions
    )
    yield "<h2>Definitions</h2>\n"
    yield from fold("What each figure means", table("Every figure, with its formula", columns, rows))
