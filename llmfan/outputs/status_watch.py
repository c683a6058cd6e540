"""`status --watch`: the table drawn anew every two seconds on a terminal, until `q` or Ctrl-C."""

from __future__ import annotations

import select
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from llmfan.outputs.status_table import Entry, status_console, status_table

EVERY_S = 2.0
#: Differences that are told: here it is the keys one looks at.
TOLD = 2


def watch(read: Callable[[], Entry], *, details: bool, console: Console | None = None) -> None:
    """`read` gives the document of now. What was seen last stays on the screen."""
    console = console or status_console(sys.stdout)
    with (
        _keys() as pressed,
        Live(console=console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False) as live,
    ):
        while True:
            live.update(_page(read(), console.width, details), refresh=True)
            if pressed(EVERY_S) in ("q", "Q", "\x1b", "\x04"):
                return


def can_watch() -> bool:
    """Whether there is a screen that can be drawn on again."""
    console = status_console(sys.stdout)
    return console.is_terminal and console.file.isatty() and not console.is_dumb_terminal


def _page(status: Entry, width: int, details: bool) -> Group:
    title = Text(f"llmfan status  {status['at'][11:19]} UTC, every {EVERY_S:g} s, q ends it", "dim")
    return Group(title, Text(), status_table(status, width, details=details, told=TOLD))


@contextmanager
def _keys() -> Iterator[Callable[[float], str]]:
    """Waits so long for a key; gives it, or "". Where keys cannot be read one by one it only waits."""
    try:
        import termios
        import tty

        stream = sys.stdin.fileno()
        before: list[Any] = termios.tcgetattr(stream)
    except (ImportError, OSError, ValueError, AttributeError, termios.error):
        yield _asleep
        return

    def pressed(seconds: float) -> str:
        ready, _, _ = select.select([stream], [], [], seconds)
        return sys.stdin.read(1) if ready else ""

    tty.setcbreak(stream)
    try:
        yield pressed
    finally:
        termios.tcsetattr(stream, termios.TCSADRAIN, before)


def _asleep(seconds: float) -> str:
    time.sleep(seconds)
    return ""
