"""The table that `llmfan probe` ends with: how each key is, what its limits are, and what to do where one fails."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Sequence, Set
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

#: Below the first, what is said of a key stands beneath it; from the second on its model has a column (below, a heading
#: for each model), and from the third on limits, account and reason have a column each.
SLIM, MODELS, WIDE, WIDE_VERBOSE = 70, 110, 160, 200
_MODEL, _LIMITS, _ACCOUNT = 30, 44, 20
_SEPARATOR = " · "
_SAID = "limits left, or why"
_NOT_ASKED = ("missing", "retired", "unreachable")
#: So many lines of a reason, unless all of it was asked for.
_LINES, _WHOLE = 2, 1000


class Shape(NamedTuple):
    """What the table has room for. `widths`: title → columns, in order; `room`: of the widest reason.

    `headed`: the providers' models that have a heading, and their keys beneath it: those that several keys were asked.
    """

    widths: dict[str, int]
    room: int
    headed: Set[tuple[str, str]]
    gap: int
    verbose: bool
    now: float

    def has(self, title: str) -> bool:
        return title in self.widths


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
        before, heading = heading, (found.provider, found.model)
        if heading in shape.headed and heading != before:
            parts += [Text(f"{clean(found.provider, 60)}  {clean(found.model, 200)}", "dim"), _table(shape)]
        cast("Table", parts[-1]).add_row(*_row(found, shape))
        beneath = _beneath(found, shape)
        if beneath:
            parts += [*beneath, _table(shape)]
    shown = [part for part in parts if not isinstance(part, Table) or part.rows or part.show_header]
    return Group(*shown, Text(), summary(findings), *_steps(findings))


def _steps(findings: Sequence[Found]) -> list[Table]:
    """What to do next, if anything."""
    lines = advice(findings)
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for at, (head, line) in enumerate(lines):
        again = at > 0 and lines[at - 1][0] == head
        table.add_row(Text("" if again else head, words.STYLES.get(head, "dim")), Text(line))
    return [table] if lines else []


# ---------------------------------------------------------------- columns


def _shape(findings: Sequence[Found], width: int, verbose: bool, now: float) -> Shape:
    gap = 2 if width >= ROOMY else 1
    times = Counter((f.provider, f.model) for f in findings)
    headed = {one for one, count in times.items() if count > 1 and width < MODELS}
    state = _widest(([words.state(f)] for f in findings), 5)
    most = width // 3 if width >= SLIM else width - state - gap
    widths = {"key": max(3, min(most, _widest((_name(f, headed) for f in findings), 3))), "state": state}
    if width < SLIM:
        return Shape(widths, width - 2, headed, gap, verbose, now)
    widths["latency"] = 7
    if width >= MODELS:
        widths["model"] = min(_MODEL, _widest(([(clean(f.model), "")] for f in findings), 5))
    if width < (WIDE_VERBOSE if verbose else WIDE):
        widths[_SAID] = room = _rest(widths, gap, width)
        return Shape(widths, room, headed, gap, verbose, now)
    limits = _widest(([(_SEPARATOR.join(words.limits(f, now, resets=verbose)), "")] for f in findings), 6)
    account = _widest(([(_account(f, verbose), "")] for f in findings), 0)
    widths["limits left"] = max(11, min(limits, _LIMITS, _rest(widths, gap, width) // 2))
    if account:
        widths["account"] = min(max(account, 7), _ACCOUNT)
    widths["why"] = room = _rest(widths, gap, width)
    return Shape(widths, room, headed, gap, verbose, now)


def _widest(cells: Iterable[Cell], least: int) -> int:
    """`least`: the width of the header, or what would be seen of it."""
    return max([least, *(cell_width(cell) for cell in cells)])


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
    cells = [Text.assemble(*_name(found, shape.headed)), Text(*words.state(found))]
    if shape.has("latency"):
        cells.append(Text(spell(found.latency_s), "dim" if found.latency_s is None else ""))
    if shape.has("model"):
        cells.append(Text(clean(found.model), "dim"))
    if shape.has(_SAID):
        cells.append(_said(found, shape))
    if shape.has("limits left"):
        cells.append(_packed(_limits(found, shape), shape.widths["limits left"]))
    if shape.has("account"):
        cells.append(Text(_account(found, shape.verbose)))
    if shape.has("why"):
        cells.append(_why(found, shape))
    return cells


def _name(found: Found, headed: Set[tuple[str, str]]) -> Cell:
    """Beneath a heading it stands to the right."""
    indent = [("  ", "")] if (found.provider, found.model) in headed else []
    return [*indent, *words.label(found)]


def _beneath(found: Found, shape: Shape) -> list[RenderableType]:
    lines = [Text(words.measured(each), "cyan") for each in found.measured]
    if not shape.has("latency"):
        said = _said(found, shape)
        lines = [*([said] if said.plain else []), *lines]
    return [Padding(line, (0, 0, 0, 4)) for line in lines]


def _said(found: Found, shape: Shape) -> Text:
    """All that the wide table has columns for, in one; what matters most first."""
    shown = shape.has("model") or (found.provider, found.model) in shape.headed or found.state in _NOT_ASKED
    model, account = Text("" if shown else clean(found.model), "dim"), Text(_account(found, shape.verbose), "dim")
    why, limits = _why(found, shape), _limits(found, shape)
    return _packed(
        [model, *limits, account, why] if found.state == "ok" else [model, why, *limits, account], shape.room
    )


def _limits(found: Found, shape: Shape) -> list[Text]:
    return [Text(limit) for limit in words.limits(found, shape.now, resets=shape.verbose)]


def _packed(parts: Iterable[Text], width: int) -> Text:
    """As many on a line as fit."""
    lines: list[Text] = []
    for part in parts:
        if lines and part.plain and lines[-1].cell_len + len(_SEPARATOR) + part.cell_len <= width:
            lines[-1].append(_SEPARATOR, "dim").append_text(part)
        elif part.plain:
            lines.append(part)
    return Text("\n").join(lines)


def _account(found: Found, verbose: bool) -> str:
    name = clean(found.account, 60) if verbose else ""
    return " ".join(part for part in (name, words.shares(found)) if part)


def _why(found: Found, shape: Shape) -> Text:
    """`until 00:00 UTC, in 3 h 12 m: Rate limit reached`."""
    when = words.until(found.until, shape.now) if found.state != "ok" else ""
    text = Text().append(when, words.state(found)[1])
    room = _WHOLE if shape.verbose else max(20, _LINES * (shape.room - 5) - len(when))
    why = words.reason(found, room)
    return text.append(": " if when and why else "").append(why, "dim" if found.state in ("ok", "missing") else "")
