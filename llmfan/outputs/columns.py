"""The live table's columns, most important first, and how many of them a screen has room for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from rich.cells import cell_len, set_cell_size

from llmfan.outputs.rows import Figures
from llmfan.outputs.states import State
from llmfan.units import spell

#: A cell is a few pieces of text, each with its style. The text is clean.
Part = tuple[str, str]
Cell = list[Part]
_STYLES = {
    "ready": "green",
    "waits": "cyan",
    "trial": "yellow",
    "cooldown": "yellow",
    "down": "red",
    "exhausted": "magenta",
    "idle": "dim",
    "out": "bold red",
}
UNDEFINED: Part = ("—", "dim")
ROOMY = 110
_STATE_AT = 1


class Column(NamedTuple):
    title: str
    short: str
    cell: Callable[[Figures, float, int], Cell]
    left: bool = False
    least: int = 0
    most: int = 60


def columns() -> list[Column]:
    """In the order in which they are given room."""
    return [
        Column("provider", "provider", _name, left=True, most=28),
        Column("state", "state", _state, left=True, least=18, most=64),
        Column("in flight", "fly", lambda f, now, width: [_count(f.in_flight, "bold")]),
        Column("done", "done", lambda f, now, width: [_count(f.done)]),
        Column("failed", "fail", lambda f, now, width: [_count(f.failed, "red")]),
        Column("429s", "429s", lambda f, now, width: [_count(f.limited, "yellow")]),
        Column("req/min", "req/min", _requests, left=True, least=10, most=22),
        Column("tok/s", "tok/s", lambda f, now, width: [_rate(f.tokens_per_s)]),
        Column("TTFT p50", "TTFT", lambda f, now, width: [_time(f.quantiles.ttft_p50)]),
        Column("latency p50", "p50", lambda f, now, width: [_time(f.quantiles.latency_p50)]),
        Column("p95", "p95", lambda f, now, width: [_time(f.quantiles.latency_p95)]),
        Column("wait p95", "wait", lambda f, now, width: [_time(f.quantiles.wait_p95)]),
        Column("fullest", "full", _fullest),
        Column("lost", "lost", lambda f, now, width: [_count(f.lost, "yellow")]),
    ]


class Layout:
    """Chooses columns and widths for a screen. Widths only grow while the screen stays, so that nothing dances."""

    def __init__(self) -> None:
        self._columns = columns()
        self._widest = [0] * len(self._columns)
        self._screen = 0

    def lines(self, figures: Sequence[Figures], screen: int, now: float) -> list[Cell]:
        """The header and a line for each row, none wider than `screen`."""
        if screen != self._screen:
            self._screen, self._widest = screen, [0] * len(self._columns)
        roomy = screen >= ROOMY
        cells = [[column.cell(f, now, 0) for column in self._columns] for f in figures]
        widths = self._fit(cells, screen, roomy)
        gap = "  " if roomy else " "
        shown = self._columns[: len(widths)]
        titles = [[(c.title if roomy else c.short, "dim")] for c in shown]
        out = [_line(titles, shown, widths, gap)]
        for f, row in zip(figures, cells, strict=True):
            for at, column in enumerate(shown):
                if column.cell in (_state, _requests):  # those that make use of the room there is
                    row[at] = column.cell(f, now, widths[at])
            out.append(_line(row, shown, widths, gap))
        return out

    def _fit(self, cells: list[list[Cell]], screen: int, roomy: bool) -> list[int]:
        widths = []
        for at, column in enumerate(self._columns):
            title = column.title if roomy else column.short
            content = max((_width(row[at]) for row in cells), default=0)
            self._widest[at] = max(self._widest[at], min(column.most, content), column.least, len(title))
            widths.append(self._widest[at])
        if not roomy:
            widths[0] = min(widths[0], 16)
            widths[_STATE_AT] = min(widths[_STATE_AT], 22)
        gap = 2 if roomy else 1
        while len(widths) > 1 and sum(widths) + gap * (len(widths) - 1) > screen:
            if self._shorten(widths, sum(widths) + gap * (len(widths) - 1) - screen):
                break
            widths.pop()
        widths[0] = min(widths[0], screen)
        left = screen - sum(widths) - gap * (len(widths) - 1)
        for at, column in enumerate(self._columns[: len(widths)]):
            if at in (_STATE_AT, 6) and left > 0:
                wanted = self._longest(cells, at) if at == _STATE_AT else 20
                more = min(left, max(0, min(column.most, wanted) - widths[at]))
                widths[at] += more
                left -= more
        return widths

    def _shorten(self, widths: list[int], excess: int) -> bool:
        """A long state gives way before a column does."""
        spare = widths[_STATE_AT] - 28 if len(widths) > _STATE_AT else 0
        if spare < excess:
            return False
        widths[_STATE_AT] -= excess
        return True

    def _longest(self, cells: list[list[Cell]], at: int) -> int:
        return max((_width(row[at]) for row in cells), default=0)


def _name(f: Figures, now: float, width: int) -> Cell:
    return [(f"  {f.name}", "dim")] if f.child else [(f.name, "bold")]


def _state(f: Figures, now: float, width: int) -> Cell:
    """The best state first; where keys differ, how many are in it, and what the worst one says."""
    best = f.states[0]
    long = _spelled(f, best, now, True)
    cell = long if not width or _width(long) <= width else _spelled(f, best, now, False)
    return cell


def _spelled(f: Figures, best: State, now: float, long: bool) -> Cell:
    text, style = best.spell(now, long), _STYLES.get(best.kind, "")
    if len(f.states) == 1:
        head, colon, why = text.partition(": ")
        return [(head, style), (colon + why, "dim" if best.kind in ("ready", "waits") else style)]
    worst = f.states[-1]
    same = sum(1 for _ in f.states)
    head = f"{best.kind} {f.ready}/{f.lanes}" if best.kind in ("ready", "waits") else text
    return [(head, style), (" · ", "dim"), (worst.spell(now, long), _STYLES.get(worst.kind, ""))] if same else []


def _requests(f: Figures, now: float, width: int) -> Cell:
    """`28/30 ━━━━━━━╸` : what left in the last minute, of what the limit in force lets leave."""
    if f.limit is None:
        return [_count(f.sent)]
    text = f"{short_number(f.sent)}/{'~' if f.learned else ''}{short_number(f.limit)}"
    room = width - 10
    if room < 4:
        return [(text, "")]
    share = f.sent / f.limit
    return [(text.ljust(9) + " ", ""), *bar(share, min(room, 12), "cyan" if share < 0.95 else "green")]


def _fullest(f: Figures, now: float, width: int) -> Cell:
    if f.fullest is None:
        return [UNDEFINED]
    axis, share = f.fullest
    return [(f"{axis} {share:.0%}", "magenta" if share >= 0.95 else "dim")]


def bar(share: float, width: int, style: str) -> Cell:
    """A bar that can be read without colour: `━━━╸───`."""
    halves = min(2 * width, max(0, round(share * 2 * width)))
    full = "━" * (halves // 2) + ("╸" if halves % 2 else "")
    return [(full, style), ("─" * (width - len(full)), "dim")]


def short_number(value: float) -> str:
    """`7.5`, `30`, `1,319`, `14.4k`, `2M`: at most six characters."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if value >= size:
            scaled = value / (1e3 if letter == "k" else size)
            return f"{scaled:.1f}".removesuffix(".0") + letter
    return f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:.1f}"


def _count(value: int, style: str = "") -> Part:
    return (short_number(value), style if value else "dim")


def _rate(value: float | None) -> Part:
    return UNDEFINED if value is None else (short_number(round(value, 1) if value < 10 else round(value)), "")


def _time(value: float | None) -> Part:
    return UNDEFINED if value is None else (spell(value), "")


def _line(cells: Sequence[Cell], shown: Sequence[Column], widths: Sequence[int], gap: str) -> Cell:
    line: Cell = []
    for at, (column, width) in enumerate(zip(shown, widths, strict=True)):
        if at:
            line.append((gap, ""))
        line += fit(cells[at], width, column.left)
    return line


def fit(cell: Cell, width: int, left: bool = True) -> Cell:
    """Exactly `width` columns wide: padded, or cut with `…`."""
    used = _width(cell)
    if used <= width:
        padding = (" " * (width - used), "")
        return [*cell, padding] if left else [padding, *cell]
    kept: Cell = []
    room = width - 1
    for text, style in cell:
        if room <= 0:
            break
        piece = text if _len(text) <= room else set_cell_size(text, room)
        kept.append((piece, style))
        room -= _len(piece)
    return [*kept, ("…", "dim")] if width > 0 else []


def _width(cell: Cell) -> int:
    return sum(_len(text) for text, _ in cell)


def _len(text: str) -> int:
    return len(text) if text.isascii() else cell_len(text)
