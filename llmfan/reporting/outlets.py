"""The forms a report can take, each with where it goes and what writes it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import IO

import msgspec
from msgspec import Struct

from llmfan.errors import UserError
from llmfan.records import ResultLine
from llmfan.reporting.counting import summary_of
from llmfan.reporting.folder import RunFolder
from llmfan.reporting.placing import check_place, pieces

Write = Callable[[IO[bytes]], None]
#: What writes it, and what there is to say about it.
Made = tuple[Write, list[str]]
_RESULT = msgspec.json.Decoder(ResultLine)


class Outlet(Struct, frozen=True, kw_only=True):
    """`option` names it to the user, `path` may be `-`; `tells`: its notes are wanted unless all are unwanted.

    `needs` raises where a library for it is missing.
    """

    option: str
    path: str
    made: Callable[[Sequence[RunFolder]], Made]
    needs: Callable[[], None] | None = None
    page: bool = False
    tells: bool = False
    one_run: bool = False

    @property
    def stdout(self) -> bool:
        return self.path == "-"


def outlets(wanted: Mapping[str, str | None], batch: str) -> list[Outlet]:
    """Those of `wanted` (option → file) that were asked for; `batch` is the option for a batch's output file."""
    known: dict[str, Callable[[str, str], Outlet]] = {
        "--out": lambda option, path: Outlet(option=option, path=path, made=_page, needs=_page_needs, page=True),
        "--md": lambda option, path: Outlet(option=option, path=path, made=_markdown),
        "--csv": lambda option, path: Outlet(option=option, path=path, made=_csv),
        "--parquet": lambda option, path: Outlet(option=option, path=path, made=_parquet, needs=_parquet_needs),
        batch: lambda option, path: Outlet(option=option, path=path, made=_batch, tells=True, one_run=True),
    }
    return [known[option](option, path) for option, path in wanted.items() if path]


def check_outlets(chosen: Sequence[Outlet], runs: Sequence[RunFolder], *, stdout_taken: bool) -> None:
    """All of them can be written, before the first one is."""
    on_stdout = (["--json"] if stdout_taken else []) + [f"{each.option} -" for each in chosen if each.stdout]
    if len(on_stdout) > 1:
        raise UserError(f"{' and '.join(on_stdout)} cannot share stdout")
    places: dict[Path, str] = {}
    for outlet in chosen:
        if outlet.one_run and len(runs) > 1:
            raise UserError(f"{outlet.option} takes one run: ids of several would meet in one file")
        if outlet.stdout:
            continue
        check_place(Path(outlet.path), runs, page=outlet.page)
        other = places.setdefault(Path(outlet.path).resolve(), outlet.option)
        if other != outlet.option:
            raise UserError(f"{other} and {outlet.option} name the same file, {outlet.path}")
    for outlet in chosen:
        if outlet.needs:
            outlet.needs()


def _page_needs() -> None:
    from llmfan.outputs.html.charts import need_charts

    need_charts()


def _parquet_needs() -> None:
    from llmfan.outputs.exports.parquet import need_parquet

    need_parquet()


def _page(runs: Sequence[RunFolder]) -> Made:
    from llmfan.outputs.html.render import render
    from llmfan.reporting.pages import page_of_runs

    page = page_of_runs(runs, dt.datetime.now(dt.UTC))
    several = len(runs) > 1
    notes = [f"{run.name}: {note}" if several else note for run in page.runs for note in run.notes]
    return pieces(render(page)), notes


def _markdown(runs: Sequence[RunFolder]) -> Made:
    from llmfan.outputs.markdown import markdown
    from llmfan.outputs.markdown_text import code

    texts = [markdown(summary_of(run)) for run in runs]
    if len(runs) > 1:
        texts = [f"# {code(run.name, 200)}\n\n{text}\n" for run, text in zip(runs, texts, strict=True)]
    return pieces(texts), []


def _csv(runs: Sequence[RunFolder]) -> Made:
    from llmfan.outputs.exports.csv import csv_text

    return pieces(csv_text(_results(runs))), []


def _parquet(runs: Sequence[RunFolder]) -> Made:
    from llmfan.outputs.exports.parquet import write_parquet

    return partial(write_parquet, _results(runs)), []


def _batch(runs: Sequence[RunFolder]) -> Made:
    from llmfan.outputs.exports.batch_output import BatchNames, batch_lines

    (run,) = runs
    said = "each prompt was asked several times: a custom_id is the prompt's id and who answered (ID @ NAME)"
    notes = [] if BatchNames(run.shaping).plain else [said]
    return pieces(batch_lines(run.results(_RESULT.decode), run.header)), notes


def _results(runs: Sequence[RunFolder]) -> Iterator[tuple[str, ResultLine]]:
    names = [run.name for run in runs]
    for run in runs:
        name = run.name if names.count(run.name) == 1 else str(run.path)
        for result in run.results(_RESULT.decode):
            yield name, result
