"""Runs a command to its end and gives what the kernel booked for it: wall, CPU, peak memory.

The kernel's peak of a child begins at what its parent held when it was started, so a benchmark's own process imports
nothing large and keeps no prompts in memory.
"""

from __future__ import annotations

import fcntl
import os
import pty
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
MIB = 1024 * 1024


class Figures(NamedTuple):
    wall: float
    cpu: float
    peak_mib: float


def cores() -> tuple[int | None, int | None]:
    """(the client's core, the server's): one each where there are two, else no pinning."""
    usable = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    return (usable[0], usable[-1]) if len(usable) > 1 else (None, None)


def run(
    command: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    cpu: int | None = None,
    terminal: bool = False,
) -> Figures:
    """One run; the benchmark ends if it fails. `terminal`: its stderr is one, so a live table is drawn."""
    with tempfile.TemporaryFile() as said:
        screen = _Screen() if terminal else None
        started = time.perf_counter()
        child = subprocess.Popen(
            list(command), stdin=subprocess.DEVNULL, stdout=said, stderr=screen.end if screen else said,
            cwd=cwd, env={**os.environ, "PYTHONPATH": str(ROOT), **(env or {})},
        )  # fmt: skip
        if cpu is not None:
            os.sched_setaffinity(child.pid, {cpu})
        if screen:
            screen.watch()
        _, status, usage = os.wait4(child.pid, 0)
        wall = time.perf_counter() - started
        child.returncode = os.waitstatus_to_exitcode(status)
        if screen:
            screen.close()
        if child.returncode:
            said.seek(0)
            tail = said.read()[-2000:] + (screen.tail if screen else b"")
            sys.exit(f"{' '.join(command)}\nended with {child.returncode}:\n{tail.decode(errors='replace')}")
    peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / MIB
    return Figures(wall, usage.ru_utime + usage.ru_stime, peak)


def interleaved(runs: int, things: Mapping[str, Callable[[], Figures]], warm_up: int = 1) -> dict[str, list[Figures]]:
    """A B C, A B C, …: a machine that drifts then drifts for all alike. The first rounds are not counted."""
    found: dict[str, list[Figures]] = {name: [] for name in things}
    for number in range(-warm_up, runs):
        for name, measure in things.items():
            figures = measure()
            if number >= 0:
                found[name].append(figures)
            print(f"  round {number + 1 if number >= 0 else 'warm-up'}: {name}: {figures.wall:.2f} s", file=sys.stderr)
    return found


def median(values: Iterable[float]) -> float:
    return statistics.median(values)


def llmfan(*args: str) -> list[str]:
    return [sys.executable, "-m", "llmfan", *args]


def verdict(label: str, value: float, target: float, unit: str = "") -> bool:
    held = value <= target
    print(f"{label}: {value:.2f}{unit} (target: at most {target:g}{unit}) {'held' if held else 'NOT HELD'}")
    return held


class _Screen:
    """A terminal nobody looks at; its last words are kept for a failure."""

    def __init__(self) -> None:
        self._ours, self.end = pty.openpty()
        fcntl.ioctl(self.end, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        self.tail = b""
        self._reader = threading.Thread(target=self._read, daemon=True)

    def watch(self) -> None:
        os.close(self.end)  # the child has its own; the last to close it ends the reading
        self._reader.start()

    def close(self) -> None:
        self._reader.join(timeout=10)
        os.close(self._ours)

    def _read(self) -> None:
        while True:
            try:
                piece = os.read(self._ours, 65536)
            except OSError:  # how Linux says that the other end is closed
                return
            if not piece:
                return
            self.tail = (self.tail + piece)[-2000:]
