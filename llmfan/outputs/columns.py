"""The live table's columns, most important first, and how many of them a screen has room for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from llmfan.measures.metrics import titles
from llmfan.outputs import cells
from llmfan.outputs.cells import Cell, cell_width, count, fit, joined, rate, time
from llmfan.outputs.rows import Figures

ROOMY = 110


class Column(NamedTuple):
    """`cell` gives the shortest form that says it all for width 0, and a longer one where there is room.

    `least` and `most` bound its width before what is left over is dealt out; `grown` does after, where it can grow.
    """

    title: str
    short: str
    cell: Callable[[Figures, float, int], Cell]
    left: bool = False
    least: int = 0
    most: int = 60
    grown: int = 0


def columns() -> list[Column]:
    """In the order in which they are given room."""
    return [
        Column("provider", "provider", cells.name, left=True, most=16, grown=28),
        Column("state", "state", cells.state, left=True, least=18, most=26, grown=64),
        Column("in flight", "busy", lambda f, now, width: [count(f.in_flight, "bold")]),
        Column("done", "done", lambda f, now, width: [count(f.done)]),
        Column(*titles("failed"), lambda f, now, width: [count(f.failed, "bold red")]),
        Column(*titles("rate_limited"), lambda f, now, width: [count(f.limited, "yellow")]),
        Column("req/min", "req/min", cells.requests, left=True, least=16, grown=22),
        Column(*titles("output_tokens_per_s"), lambda f, now, width: [rate(f.tokens_per_s)], least=5),
        Column(titles("ttft_s", "p50")[0], "TTFT", lambda f, now, width: [time(f.quantiles.ttft_p50)], least=6),
        Column(*titles("latency_s", "p50"), lambda f, now, width: [time(f.quantiles.latency_p50)], least=6),
        Column("p95", "p95", lambda f, now, width: [time(f.quantiles.latency_p95)], least=6),
        Column(titles("wait_s", "p95")[0], "wait", lambda f, now, width: [time(f.quantiles.wait_p95)], least=8),
        Column("fullest", "full", cells.fullest, least=8),
        Column(*titles("cost_usd"), lambda f, now, width: [cells.money(f.cost)], least=7),
        Column(*titles("accuracy"), lambda f, now, width: [cells.share(f.right, f.graded)], least=5),
        Column("lost", "lost", lambda f, now, width: [count(f.lost, "yellow")]),
    ]


class Layout:
    """Chooses columns and widths for a screen. Widths only grow while the screen stays, so that nothing dances."""

    def __init__(self) -> None:
        self._columns = columns()
        self._screen = 0
        self._base: list[int] = []
        self._wanted: list[int] = []

    def lines(self, figures: Sequence[Figures], screen: int, now: float) -> list[Cell]:
        """The header and a line for each row, each as wide as the table and none wider than `screen`."""
        if screen != self._screen:
            self._screen = screen
            self._base, self._wanted = [0] * len(self._columns), [0] * len(self._columns)
        roomy = screen >= ROOMY
        gap = 2 if roomy else 1
        titles = [column.title if roomy else column.short for column in self._columns]
        rows = [[column.cell(f, now, 0) for column in self._columns] for f in figures]
        self._measure(figures, rows, titles, now)
        widths = self._fit(gap)
        shown = self._columns[: len(widths)]
        lines: list[Cell] = [_line([[(title, "dim")] for title in titles], shown, widths, gap)]
        for f, row in zip(figures, rows, strict=True):
            for at, column in enumerate(shown):
                if column.grown:
                    row[at] = column.cell(f, now, widths[at])
            lines.append(_line(row, shown, widths, gap))
        return lines

    def _measure(self, figures: Sequence[Figures], rows: list[list[Cell]], titles: Sequence[str], now: float) -> None:
        for at, column in enumerate(self._columns):
            short = max((cell_width(row[at]) for row in rows), default=0)
            base = max(column.least, len(titles[at]), min(column.most, short))
            self._base[at] = max(self._base[at], base)
            if column.grown:
                wide = max((cell_width(column.cell(f, now, column.grown)) for f in figures), default=0)
                self._wanted[at] = max(self._wanted[at], min(column.grown, wide))

    def _fit(self, gap: int) -> list[int]:
        """As many columns as there is room for; what is left over goes to those that can use it, first come first."""
        widths: list[int] = []
        left = self._screen
        for base in self._base:
            need = base + (gap if widths else 0)
            if widths and need > left:
                break
            widths.append(min(base, self._screen))
            left -= need
        for at in range(len(widths)):
            more = max(0, min(left, self._wanted[at] - widths[at]))
            widths[at] += more
            left -= more
        return widths


def _line(row: Sequence[Cell], shown: Sequence[Column], widths: Sequence[int], gap: int) -> Cell:
    line: Cell = []
    for at, (column, width) in enumerate(zip(shown, widths, strict=True)):
        if at:
            line.append((" " * gap, ""))
        line += fit(row[at], width, column.left)
    return joined(line)
