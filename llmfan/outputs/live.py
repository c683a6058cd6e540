"""The live table on stderr, and who watches a run: the table on a terminal, plain lines off one, or nobody."""

from __future__ import annotations

import datetime as dt
import math
import sys
import time
from collections.abc import Callable, Iterable
from typing import IO, cast

from rich.console import Console, ConsoleOptions, RenderResult
from rich.control import Control
from rich.live import Live
from rich.segment import ControlType, Segment
from rich.style import Style
from rich.text import Text

from llmfan.outputs.cells import Cell, cell_width
from llmfan.outputs.clean import clean
from llmfan.outputs.lines import LONGEST, PlainLines, Wall, closing_line
from llmfan.outputs.screen import Screen
from llmfan.outputs.steady import SteadyStream
from llmfan.outputs.view import RunView
from llmfan.ports import Observer

__all__ = ["LiveTable", "PlainLines", "Quiet", "RunView", "observer"]

#: At most so often, at most this share of a core, but never longer apart than this.
EVERY_S, SHARE, LONGEST_PAUSE_S = 0.25, 0.02, 5.0


def observer(view: RunView, quiet: bool, stream: IO[str] | None = None) -> Observer:
    """Who watches: nobody, plain lines, or the live table where a terminal can show one.

    `isatty` is asked as well as Rich, which takes FORCE_COLOR (set by many CI systems) for a terminal.
    """
    stream = stream or sys.stderr
    if quiet or stream is None:
        return Quiet()
    steady = SteadyStream(stream)
    console = Console(file=cast("IO[str]", steady), highlight=False, markup=False, emoji=False)
    able = console.is_terminal and console.is_interactive and not console.is_dumb_terminal
    if able and steady.isatty() and steady.encoding.lower().startswith("utf"):
        return LiveTable(view, console)
    return PlainLines(view, cast("IO[str]", steady))


class Quiet:
    """Nobody watches."""

    def tick(self, now: float) -> None: ...

    def say(self, text: str) -> None: ...

    def close(self) -> None: ...


class LiveTable:
    """Draws at most four times a second, and less often where drawing takes more than 2 % of a core.

    `close` has to be called however the run ends: the cursor is hidden until then. It leaves one line behind, as the
    summary takes the table's place.
    """

    def __init__(
        self,
        view: RunView,
        console: Console,
        clock: Callable[[], float] = time.perf_counter,
        wall: Wall = dt.datetime.now,
    ):
        if not isinstance(console.file, SteadyStream):
            console.file = cast("IO[str]", SteadyStream(console.file))
        self._view, self._console, self._clock, self._wall = view, console, clock, wall
        self._screen = Screen(view, wall)
        self._frame = Frame([])
        self._live: Live | None = None
        self._next = -math.inf
        self._last: float | None = None
        self._told = len(view.notes)  # those were told before the run began
        self._width = 0
        self.cost_s = 0.0  # of the last drawing

    def tick(self, now: float) -> None:
        self._last = now
        began = self._clock()
        if began < self._next:
            return
        self._tell_notes()
        self._draw(now)
        self.cost_s = self._clock() - began
        self._next = began + min(LONGEST_PAUSE_S, max(EVERY_S, self.cost_s / SHARE))

    def say(self, text: str) -> None:
        self._console.print(Text.assemble((f"{self._wall():%H:%M:%S}  ", "dim"), clean(text, LONGEST)))

    def close(self) -> None:
        if self._last is not None:
            self._tell_notes()
        if self._live is not None:
            self._live.stop()
            self._live = None
            line = closing_line(self._view, self._last or self._view.started, self._wall())
            self._console.print(Text(line, style="dim"), soft_wrap=True)

    def _draw(self, now: float) -> None:
        size = self._console.size
        lines = self._screen.lines(now, size.width, size.height)
        self._make_up_for_wrapping(size.width)
        self._frame = Frame(lines)
        if self._live is None:
            self._live = Live(
                console=self._console, auto_refresh=False, transient=True, redirect_stdout=False,
                redirect_stderr=False, get_renderable=lambda: self._frame,
            )  # fmt: skip
            self._live.start()
        self._live.refresh()

    def _make_up_for_wrapping(self, width: int) -> None:
        """Lines drawn on a wider screen have been wrapped by the terminal: they have to be erased as well."""
        if width < self._width:
            extra = sum(max(0, math.ceil(used / width) - 1) for used in self._frame.widths())
            up = [(ControlType.CURSOR_UP, 1), (ControlType.ERASE_IN_LINE, 2)]
            self._console.control(Control(ControlType.CARRIAGE_RETURN, (ControlType.ERASE_IN_LINE, 2), *up * extra))
        self._width = width

    def _tell_notes(self) -> None:
        while self._told < len(self._view.notes):
            self._told += 1
            self.say(self._view.notes[self._told - 1])


class Frame:
    """Lines ready to be printed. Segments at once: laying out a Rich table four times a second would be dear."""

    def __init__(self, lines: Iterable[Cell]):
        self._lines = list(lines)

    def widths(self) -> list[int]:
        return [cell_width(line) for line in self._lines]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for line in self._lines:
            for text, style in line:
                if text:
                    yield Segment(text, Style.parse(style) if style else None)
            yield Segment.line()
