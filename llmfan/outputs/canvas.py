"""Lines that are drawn over and over in one place of a terminal, and where that can be done at all."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import IO, cast

from rich.console import Console
from rich.control import Control
from rich.live import Live
from rich.segment import ControlType

from llmfan.outputs.cells import Cell
from llmfan.outputs.live import Frame
from llmfan.outputs.steady import SteadyStream


def drawing_console(stream: IO[str]) -> Console | None:
    """A console on `stream` if a table can be drawn over there, again and again; else None.

    `isatty` is asked as well as Rich, which takes FORCE_COLOR (set by many CI systems) for a terminal.
    """
    steady = SteadyStream(stream)
    console = Console(file=cast("IO[str]", steady), highlight=False, markup=False, emoji=False)
    able = console.is_terminal and console.is_interactive and not console.is_dumb_terminal
    return console if able and steady.isatty() and steady.encoding.lower().startswith("utf") else None


class Canvas:
    """`close` has to be called however it ends: the cursor is hidden until then. It leaves nothing behind."""

    def __init__(self, console: Console):
        self._console = console
        self._frame = Frame([])
        self._live: Live | None = None
        self._width = 0

    def size(self) -> tuple[int, int]:
        """(columns, lines) as they are now."""
        size = self._console.size
        return size.width, size.height

    def draw(self, lines: Sequence[Cell], width: int) -> None:
        """`width`: the screen's, when the lines were made."""
        self._make_up_for_wrapping(width)
        self._frame = Frame(lines)
        if self._live is None:
            self._live = Live(
                console=self._console, auto_refresh=False, transient=True, redirect_stdout=False,
                redirect_stderr=False, get_renderable=lambda: self._frame,
            )  # fmt: skip
            self._live.start()
        self._live.refresh()

    def close(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _make_up_for_wrapping(self, width: int) -> None:
        """Lines drawn on a wider screen have been wrapped by the terminal: they have to be erased as well."""
        if width < self._width:
            extra = sum(max(0, math.ceil(used / width) - 1) for used in self._frame.widths())
            up = [(ControlType.CURSOR_UP, 1), (ControlType.ERASE_IN_LINE, 2)]
            self._console.control(Control(ControlType.CARRIAGE_RETURN, (ControlType.ERASE_IN_LINE, 2), *up * extra))
        self._width = width
