"""One line a key: its columns, most important first, and how many of them a screen has room for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from rich.table import Table
from rich.text import Text

from llmfan.outputs import status_words as words
from llmfan.outputs.clean import clean
from llmfan.outputs.status_words import Entry

#: From here on there are two spaces between columns and one for reasons; from here on states are told at length.
ROOMY, LONG = 130, 160
#: The reason gets what the others leave, which is seen to be this share of a roomy screen if it needs so much.
_REASON = 1 / 5


class Column(NamedTuple):
    """`rank`: those of a low one are given room first; they stand in the order of the list."""

    title: str
    rank: int
    cell: Callable[[Entry], Text]
    left: bool = False


def key_table(keys: Sequence[Entry], width: int) -> Table:
    roomy = width >= ROOMY
    gap = 2 if roomy else 1
    columns = _columns(width)
    cells = [[column.cell(key) for column in columns] for key in keys]
    reasons = max((len(words.parted(key)[1]) for key in keys), default=0) if roomy else 0
    spare = min(round(width * _REASON), reasons)
    shown, left = _fit(columns, cells, width - spare, gap)
    room = left + spare
    table = Table(box=None, padding=(0, gap, 0, 0), pad_edge=False, header_style="dim")
    for at in shown:
        column = columns[at]
        table.add_column(column.title, justify="left" if column.left else "right", no_wrap=True, overflow="ellipsis")
    if spare:
        table.add_column("why", no_wrap=True, overflow="ellipsis", max_width=room)
    for key, row in zip(keys, cells, strict=True):
        table.add_row(*(row[at] for at in shown), *([words.why(key, room)] if spare else []))
    return table


def _columns(width: int) -> list[Column]:
    roomy, long = width >= ROOMY, width >= LONG
    return [
        Column("key", 0, lambda key: Text(clean(key["key"], 28 if roomy else 18), "bold"), left=True),
        Column("", 7, lambda key: Text(key["mask"], "dim"), left=True),
        Column("state", 1, lambda key: words.state(key, long, reason=not roomy), left=True),
        Column("fullest limit" if roomy else "limit", 2, lambda key: _limit(key, roomy), left=True),
        Column("", 4, lambda key: _bar(key, roomy), left=True),
        Column("resets in" if roomy else "resets", 8, _resets),
        Column("today", 3, lambda key: _count(key["calls_today"])),
        Column("tokens", 9, lambda key: _count(key["tokens_today"])),
        Column("month", 11, lambda key: _count(key["calls_month"])),
        Column("month tokens", 12, lambda key: _count(key["tokens_month"])),
        Column("ok", 5, lambda key: _good(key["last_day"]["success_rate"])),
        Column("429s", 10, lambda key: _bad(key["last_day"]["refused_rate"])),
        Column("p50", 6, lambda key: _time(key["last_day"]["p50_latency_s"])),
        Column("p95", 13, lambda key: _time(key["last_day"]["p95_latency_s"])),
    ]


def _fit(columns: Sequence[Column], cells: Sequence[Sequence[Text]], width: int, gap: int) -> tuple[list[int], int]:
    """(the columns there is room for, in their order; what is left). One nobody has anything in is left out."""
    left, shown = width, []
    for at in sorted(range(len(columns)), key=lambda at: columns[at].rank):
        if not _says_something(cells, at):
            continue
        need = max(len(columns[at].title), *(row[at].cell_len for row in cells)) + gap
        if columns[at].rank <= 1 or need <= left:
            shown.append(at)
            left -= need
    return sorted(shown), left


def _says_something(cells: Sequence[Sequence[Text]], at: int) -> bool:
    return any(row[at].plain not in ("", words.UNDEFINED) for row in cells)


def _limit(key: Entry, roomy: bool) -> Text:
    """`rpd 312/1,000`."""
    found = words.fullest(key)
    if found is None:
        return Text(words.UNDEFINED, "dim")
    name, limit = found
    return Text(f"{words.axis(name, short=not roomy)} {words.figure(limit['used'])}/{words.figure(limit['in_force'])}")


def _bar(key: Entry, roomy: bool) -> Text:
    found = words.fullest(key)
    return Text() if found is None else words.filled(found[1], words.BAR if roomy else words.SHORT_BAR)


def _resets(key: Entry) -> Text:
    found = words.fullest(key)
    return _dimmed(words.wait(None if found is None or not found[1]["used"] else found[1]["resets_in_s"]))


def _count(value: int) -> Text:
    return Text(words.figure(value), "" if value else "dim")


def _good(value: float | None) -> Text:
    return Text(words.percent(value), "dim" if value is None else "" if value >= 0.95 else "yellow")


def _bad(value: float | None) -> Text:
    return Text(words.percent(value), "yellow" if value else "dim")


def _time(value: float | None) -> Text:
    return _dimmed(words.time(value))


def _dimmed(text: str) -> Text:
    return Text(text, "dim" if text == words.UNDEFINED else "")
