"""Pieces of HTML: what is not ours is escaped here, and control and direction characters are made visible."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from msgspec import Struct

from llmfan.outputs.clean import clean

UNDEFINED = '<td class="n undef" data-v="">—</td>'


class Column(Struct, frozen=True):
    """`number`: its cells are figures, which stand to the right. `down`: sorted from the highest at the first press."""

    title: str
    number: bool = False
    down: bool = False
    hint: str = ""


def text(value: object, limit: int = 300) -> str:
    """One line of somebody else's text, harmless."""
    return html.escape(clean(str(value), limit))


def name(value: object, limit: int = 120) -> str:
    """A name that does not disturb the direction of the words around it."""
    return f'<bdi class="name">{text(value, limit)}</bdi>'


def cell(value: str, *, sort: float | None = None, share: float | None = None, worse: bool = False) -> str:
    """A figure: `value` is HTML; `share` (0 to 1) draws a bar behind it, in the colour of trouble where `worse`."""
    bar = "" if share is None else f' style="--share: {min(1.0, max(0.0, share)):.3f}"'
    order = "" if sort is None else f' data-v="{sort:.6g}"'
    return f'<td class="n{" worse" if worse else ""}"{order}{bar}>{value}</td>'


def words(value: str, style: str = "") -> str:
    return f'<td class="{style}">{value}</td>' if style else f"<td>{value}</td>"


def row(head: str, cells: Iterable[str]) -> str:
    return f'<tr><th scope="row">{head}</th>{"".join(cells)}</tr>\n'


def table(
    caption: str, columns: Sequence[Column], rows: Iterable[str], *, sortable: bool = True, tall: bool = False
) -> Iterator[str]:
    """In a box of its own, which scrolls where the screen is narrow; a `tall` one scrolls below its headers too."""
    yield f'<div class="scroll{" tall" if tall else ""}" role="region" aria-label="{caption}" tabindex="0">\n'
    yield f"<table{' data-sortable' if sortable else ''}>\n<caption><span>{caption}</span></caption>\n<thead><tr>"
    for column in columns:
        yield _header(column, sortable)
    yield "</tr></thead>\n<tbody>\n"
    yield from rows
    yield "</tbody>\n</table>\n</div>\n"


def _header(column: Column, sortable: bool) -> str:
    order = f' data-sort="{"down" if column.down else "up"}"' if sortable else ""
    hint = f' title="{html.escape(column.hint)}"' if column.hint else ""
    style = ' class="n"' if column.number else ""
    return f'<th scope="col"{style}{order}{hint}>{column.title}</th>'


def fold(summary: str, body: Iterable[str], *, open_: bool = False) -> Iterator[str]:
    yield f"<details{' open' if open_ else ''}>\n<summary>{summary}</summary>\n"
    yield from body
    yield "</details>\n"


def data(document: Any) -> str:
    """JSON for a script element: nothing in it can end the element, begin a comment, or fail to be written."""
    return _ENDING.sub(_escaped, json.dumps(document, ensure_ascii=False, separators=(",", ":"), allow_nan=False))


_ENDING = re.compile("[<>&\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def _escaped(match: re.Match[str]) -> str:
    return f"\\u{ord(match[0]):04x}"
