"""The table that `llmfan probe` ends with: how each key is, what its limits are, and what to do where one fails."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import IO, NamedTuple, cast

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from llmfan.outputs import probe_words as words
from llmfan.outputs.cells import Cell, cell_width
from llmfan.outputs.clean import clean
from llmfan.outputs.probe_advice import advice, summary
from llmfan.outputs.probe_words import Found
from llmfan.outputs.steady import SteadyStream
from llmfan.outputs.tables import PIPE_WIDTH, ROOMY, summary_console
from llmfan.units import spell

#: From here on model, limits, account and reason have columns of their own; below, what is said stands in one.
WIDE = 110
#: Below this, what is said of a key stands beneath it.
SLIM = 60
_STATE, _TIME, _MODEL, _LIMITS, _ACCOUNT = 12, 7, 30, 44, 20
#: So much of a reason, unless all of it was asked for.
_WHY, _WHOLE = 160, 1000


class Shape(NamedTuple):
    """What the table has room for. `widths`: title → columns, in order."""

    widths: dict[str, int]
    gap: int
    verbose: bool
    now: float

    @property
    def wide(self) -> bool:
        return "model" in self.widths


def print_probe(findings: Sequence[Found], console: Console | None = None, *, verbose: bool, now: float) -> bool:
    """Prints to stdout, or where `console` does; False if nobody reads it any more. `now`: Unix time."""
    console = console or summary_console(sys.stdout)
    if not isinstance(console.file, SteadyStream):
        console.file = cast("IO[str]", SteadyStream(console.file))
    with console.capture() as page:
        console.print(probe_table(findings, console.width, verbose=verbose, now=now))
    for line in page.get().rstrip("\n").split("\n"):
        console.file.write(line.rstrip(" ") + "\n")
    console.file.flush()
    return not cast("SteadyStream", console.file).gone


def probe_table(
    findings: Sequence[Found], width: int = PIPE_WIDTH, *, verbose: bool = False, now: float
) -> RenderableType:
    """A row a key and model; beneath a row what was measured; beneath all what to make of it."""
    shape = _shape(findings, width, verbose, now)
    parts: list[RenderableType] = [_table(shape, header=True)]
    heading = ("", "")
    for found in findings:
        if not shape.wide and (found.provider, found.model) != heading:
            heading = (found.provider, found.model)
            parts += [Text.assemble((clean(found.provider, 60), "dim"), (f"  {clean(found.model, 200)}", "dim"))]
            parts.append(_table(shape))
        cast("Table", parts[-1]).add_row(*_row(found, shape))
        beneath = [*_beneath(found, shape)]
        if beneath:
            parts += [*beneath, _table(shape)]
    said = [Text(), summary(findings), *(Text(line) for line in advice(findings))]
    return Group(*(part for part in parts if not isinstance(part, Table) or part.rows or part.show_header), *said)


# ---------------------------------------------------------------- columns


def _shape(findings: Sequence[Found], width: int, verbose: bool, now: float) -> Shape:
    gap = 2 if width >= ROOMY else 1
    widths = {"key": min(_widest(map(words.label, findings), 3), max(8, width // 3)), "state": _STATE}
    if width < SLIM:
        return Shape(widths, gap, verbose, now)
    widths["latency"] = _TIME
    if width < WIDE:
        widths["limits left, or why"] = _rest(widths, gap, width)
        return Shape(widths, gap, verbose, now)
    widths["model"] = min(_MODEL, _widest(([(clean(f.model), "")] for f in findings), 5))
    limits = _widest(([(words.limits(f, now, resets=verbose), "")] for f in findings), 6)
    account = _widest(([(_account(f, verbose), "")] for f in findings), 0)
    widths["limits left"] = min(limits, _LIMITS, max(18, _rest(widths, gap, width) // 2))
    if account:
        widths["account"] = min(max(account, 7), _ACCOUNT)
    widths["why"] = _rest(widths, gap, width)
    return Shape(widths, gap, verbose, now)


def _widest(cells: Iterable[Cell], least: int) -> int:
    return max((cell_width(cell) for cell in cells), default=least) or least


def _rest(widths: dict[str, int], gap: int, width: int) -> int:
    return max(10, width - sum(widths.values()) - gap * len(widths))


def _table(shape: Shape, header: bool = False) -> Table:
    table = Table(box=None, padding=(0, shape.gap, 0, 0), pad_edge=False, header_style="dim", show_header=header)
    for title, width in shape.widths.items():
        cut = title in ("key", "state", "latency", "model")
        table.add_column(
            title, width=width, no_wrap=cut, overflow="ellipsis" if cut else "fold",
            justify="right" if title == "latency" else "left",
        )  # fmt: skip
    return table


# ---------------------------------------------------------------- rows


def _row(found: Found, shape: Shape) -> list[Text]:
    cells = [Text.assemble(*words.label(found)), Text(*words.state(found))]
    if "latency" in shape.widths:
        took = found.latency_s
        cells.append(Text(spell(took), "" if took is not None else "dim"))
    if shape.wide:
        cells += [Text(clean(found.model), "dim"), _limits(found, shape)]
        if "account" in shape.widths:
            cells.append(Text(_account(found, shape.verbose)))
        cells.append(_why(found, shape))
    elif "latency" in shape.widths:
        cells.append(_said(found, shape))
    return cells


def _beneath(found: Found, shape: Shape) -> list[RenderableType]:
    lines = [Text(words.measured(each), "cyan") for each in found.measured]
    if "latency" not in shape.widths:
        said = _said(found, shape)
        lines = [*([said] if said.plain else []), *lines]
    return [Padding(line, (0, 0, 0, 2)) for line in lines]


def _said(found: Found, shape: Shape) -> Text:
    """All that the wide table has columns for, in one; what matters most first."""
    bad = found.state != "ok"
    parts = [_why(found, shape), _limits(found, shape)]
    parts = [*(parts if bad else reversed(parts)), Text(_account(found, shape.verbose))]
    return Text(" · ", "").join(part for part in parts if part.plain)


def _limits(found: Found, shape: Shape) -> Text:
    return Text(words.limits(found, shape.now, resets=shape.verbose))


def _account(found: Found, verbose: bool) -> str:
    name = clean(found.account, 60) if verbose else ""
    return " ".join(part for part in (name, words.shares(found)) if part)


def _why(found: Found, shape: Shape) -> Text:
    """`until 00:00 UTC, in 3 h 12 m: Rate limit reached`. A reason that fills its room is cut."""
    when = words.until(found.until, shape.now) if found.state != "ok" else ""
    why = clean(found.why, _WHOLE if shape.verbose else _WHY)
    text = Text(when, words.state(found)[1])
    text.append(": " if when and why else "").append(why, "dim" if found.state in ("ok", "missing") else "")
    return text
