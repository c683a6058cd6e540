"""`llmfan report RUN…`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

import typer

from llmfan.cli import given
from llmfan.cli.version import show_version

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from llmfan.reporting.folder import RunFolder
    from llmfan.reporting.outlets import Outlet

#: A file's form has this name everywhere; no provider is meant.
_BATCH = "--openai-batch"
_FORMS, _GENERAL = "In place of the page, or with -o beside it", "General"


# One option a line, so that it reads as a table.
# fmt: off
def report(
    runs: Annotated[list[str] | None, typer.Argument(metavar="RUN", help="Folders of runs, ended or not; default: the newest under runs/.")] = None,
    out: Annotated[str | None, typer.Option("--out", "-o", metavar="FILE", help="The HTML page; default RUN/report.html, of several runs ./report.html. Only an earlier page is written over.")] = None,
    md: Annotated[str | None, typer.Option("--md", metavar="FILE|-", help="The summary as Markdown.", rich_help_panel=_FORMS)] = None,
    csv: Annotated[str | None, typer.Option("--csv", metavar="FILE|-", help="Every result, for spreadsheets.", rich_help_panel=_FORMS)] = None,
    parquet: Annotated[str | None, typer.Option("--parquet", metavar="FILE", help="Every result, with types.", rich_help_panel=_FORMS)] = None,
    batch_output: Annotated[str | None, typer.Option(_BATCH, metavar="FILE|-", help="Every result of one run as a line of a batch's output file.", rich_help_panel=_FORMS)] = None,
    definitions: Annotated[bool, typer.Option("--definitions", help="What every figure means: name, unit, which way is better, formula.")] = False,
    providers: Annotated[str | None, typer.Option("--providers", "-p", metavar="FILE", envvar="LLMFAN_PROVIDERS", help="Not used here: a run's folder says what its fleet was.", hidden=True)] = None,
    env_file: Annotated[str | None, typer.Option("--env-file", metavar="FILE", help="Not used here.", hidden=True)] = None,
    state: Annotated[str | None, typer.Option("--state", metavar="FILE", envvar="LLMFAN_STATE", help="Not used here.", hidden=True)] = None,
    json_: Annotated[bool, typer.Option("--json", help="The summary as JSON on stdout (of several runs a list), and nothing else there.", rich_help_panel=_GENERAL)] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No notes.", rich_help_panel=_GENERAL)] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="What the page leaves out, and why.", rich_help_panel=_GENERAL)] = False,
    version: Annotated[bool, typer.Option("--version", help="Print the version and end.", is_eager=True, callback=show_version, rich_help_panel=_GENERAL)] = False,
) -> None:
    # fmt: on
    """Show what runs did: a page that opens offline, or Markdown, CSV, Parquet. Reads their folders, sends nothing."""
    from llmfan.reporting.outlets import check_outlets, outlets

    if definitions:
        _print_definitions(json_)
        return
    opened = _opened(runs or [], quiet)
    wanted = {"--out": out, "--md": md, "--csv": csv, "--parquet": parquet, _BATCH: batch_output}
    if not json_ and not any(wanted.values()):
        wanted["--out"] = str(opened[0].path / "report.html") if len(opened) == 1 else "report.html"
    chosen = outlets(wanted, _BATCH)
    check_outlets(chosen, opened, stdout_taken=json_)
    taken = json_ or any(outlet.stdout for outlet in chosen)
    for outlet in chosen:
        _put(outlet, opened, quiet, verbose, sys.stderr if taken else sys.stdout)
    if json_:
        _print_summaries(opened)


def _opened(names: list[str], quiet: bool) -> list[RunFolder]:
    from llmfan.errors import UserError
    from llmfan.folders import RUNS
    from llmfan.outputs.clean import clean
    from llmfan.reporting.folder import newest, open_runs

    paths = [Path(name) for name in names]
    if not paths:
        found = newest(RUNS)
        if found is None:
            raise UserError(f"no run was named, and there is none under {RUNS}/")
        given.tell_lines([f"the newest run: {clean(str(found), 2000)}"], quiet)
        paths = [found]
    opened = open_runs(paths)
    open_ended = [clean(str(run.path), 2000) for run in opened if not run.ended]
    given.tell_lines([f"{path}: the run has not ended; this is what it has so far" for path in open_ended], quiet)
    return opened


def _put(outlet: Outlet, runs: list[RunFolder], quiet: bool, verbose: bool, told: IO[str]) -> None:
    """Writes one of the files and says where it is: on stdout, unless a document goes there."""
    from llmfan.outputs.clean import clean
    from llmfan.reporting.placing import place

    write, notes = outlet.made(runs)
    given.tell_lines([clean(note, 2000) for note in notes], quiet or not (verbose or outlet.tells))
    if outlet.stdout:
        write(sys.stdout.buffer)
        sys.stdout.buffer.flush()
        return
    place(Path(outlet.path), write)
    if told is sys.stdout or not quiet:
        print(clean(outlet.path, 4000), file=told)


def _print_summaries(runs: list[RunFolder]) -> None:
    import msgspec

    from llmfan.outputs.steady import SteadyStream
    from llmfan.reporting.counting import summary_of

    found = [summary_of(run) for run in runs]
    stream = SteadyStream(sys.stdout)
    stream.write(msgspec.json.encode(found[0] if len(found) == 1 else found).decode() + "\n")
    stream.flush()


def _print_definitions(as_json: bool) -> None:
    from llmfan.outputs.tables import summary_console
    from llmfan.reporting.definitions import NAMES, definitions, document, graders, unit

    console = summary_console(sys.stdout)
    if as_json:
        import msgspec

        console.file.write(msgspec.json.encode(document()).decode() + "\n")
        console.file.flush()
        return
    figures = [(each["name"], unit(each), each["better"] or "—", each["formula"]) for each in definitions()]
    console.print(_table(("figure", "unit", "better", "formula"), figures))
    console.print(f"\n{NAMES}\n")
    compared = [(each["name"], each["normalisation"]) for each in graders()]
    console.print(_table(("grader", "how an answer is compared"), compared))


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """The last column takes what is left, and wraps."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for title in titles:
        table.add_column(title, overflow="fold", no_wrap=title != titles[-1])
    for row in rows:
        table.add_row(*row)
    return table
