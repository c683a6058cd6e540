"""The table that `llmfan compare` prints: what changed, by how much, how sure that is, and which gates held."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import IO, Any, cast

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from llmfan.outputs import compare_words as words
from llmfan.outputs.clean import clean
from llmfan.outputs.compare_words import Entry
from llmfan.outputs.steady import SteadyStream
from llmfan.outputs.tables import PIPE_WIDTH, ROOMY, summary_console

_STYLES = {"worse": "bold red", "better": "bold green", words.NO_CHANGE: "dim"}
#: A column has room for a word.
_VERDICTS = {words.LONGER: "longer", words.SHORTER: "shorter"}
#: Columns that a narrow screen has no room for.
_P_FROM, _N_FROM = 90, 110


def print_comparisons(documents: Sequence[Entry], console: Console | None = None, *, verbose: bool = False) -> bool:
    """Prints to stdout, or where `console` does; False if nobody reads it any more."""
    console = console or summary_console(sys.stdout)
    if not isinstance(console.file, SteadyStream):
        console.file = cast("IO[str]", SteadyStream(console.file))
    with console.capture() as page:
        for number, document in enumerate(documents):
            if number:
                console.print()
            console.print(comparison_table(document, console.width, verbose=verbose))
    for line in page.get().rstrip("\n").split("\n"):
        console.file.write(line.rstrip(" ") + "\n")
    console.file.flush()
    return not cast("SteadyStream", console.file).gone


def comparison_table(document: Entry, width: int = PIPE_WIDTH, *, verbose: bool = False) -> RenderableType:
    """The document of `compare --json`, the line that can be read out first."""
    pieces: list[RenderableType] = [_headline(document), *_between(document)]
    shown, _ = words.rows(document, verbose=verbose)
    if shown:
        pieces += [Text(), _rows(shown, width)]
    if not verbose and (left_out := words.left_out(document)):
        pieces += [Text(), Text(f"{left_out} (-v shows them)", "dim")]
    if document["figures"] and (verbose or not document["metrics"]):
        pieces += [Text(), Text("side by side, untested", "dim"), _figures(document["figures"], width)]
    if document["gates"]:
        pieces += [Text(), _gates(document["gates"], width)]
    if closing := words.closing(document):
        pieces += [Text(), Text(closing, "dim")]
    return Group(*pieces)


def _headline(document: Entry) -> Text:
    style = {"worse": "red", "better": "green"}.get(words.tone(document), "")
    return Text(clean(words.headline(document), 1000), f"bold {style}".strip())


def _between(document: Entry) -> list[Text]:
    lines = [Text(f"{clean(document['new'], 500)} against {clean(document['base'], 500)}", "dim")]
    lines += [Text(f"not comparable: {clean(why, 400)}", "yellow") for why in document["why"]]
    return lines + [Text(clean(note, 400), "dim") for note in document["notes"]]


def _rows(shown: Sequence[Entry], width: int) -> Table:
    table = _table(width)
    table.add_column("figure", overflow="fold", min_width=10)
    for title in ("before", "after", "change"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("95 % interval", justify="right", no_wrap=True)
    if width >= _P_FROM:
        table.add_column("p", justify="right", no_wrap=True)
    if width >= _N_FROM:
        table.add_column("answers", justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for each in shown:
        verdict = words.said_verdict(each)
        style = _STYLES.get(verdict, "bold")
        cells = [words.value(each, "base"), words.value(each, "new"), words.change(each), words.interval(each)]
        if width >= _P_FROM:
            cells.append(words.probability(each))
        if width >= _N_FROM:
            cells.append(_count(each))
        figure = Text(clean(each["metric"], 120), "" if style == "dim" else "bold")
        table.add_row(figure, *cells, Text(_VERDICTS.get(verdict, verdict), style))
    return table


def _count(entry: Entry) -> str:
    if entry["paired"]:
        return f"{entry['n_base']:,} pairs"
    return f"{entry['n_base']:,}, {entry['n_new']:,}"


def _figures(figures: Sequence[Entry], width: int) -> Table:
    table = _table(width)
    table.add_column("figure", overflow="fold", min_width=10)
    for title in ("before", "after", "change"):
        table.add_column(title, justify="right", no_wrap=True)
    for each in figures:
        cells = (words.value(each, "base"), words.value(each, "new"), words.change(each))
        table.add_row(clean(each["metric"], 120), *cells, style="dim")
    return table


def _gates(gates: Sequence[Entry], width: int) -> Table:
    table = _table(width)
    table.add_column("gate", overflow="fold", min_width=12)
    table.add_column("held", no_wrap=True)
    table.add_column("why", overflow="fold")
    for gate in gates:
        held = Text("yes", "green") if gate["held"] else Text("no", "bold red")
        table.add_row(clean(gate["expr"], 120), held, clean(gate["why"], 300))
    return table


def _table(width: int) -> Table:
    options: dict[str, Any] = {"box": None, "pad_edge": False, "header_style": "dim"}
    return Table(padding=(0, 2 if width >= ROOMY else 1, 0, 0), **options)
