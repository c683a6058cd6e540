"""Who watches a probe: a live table on a terminal, a plain line for each key off one, or nobody."""

from __future__ import annotations

import math
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import IO

from llmfan.outputs import probe_words as words
from llmfan.outputs.canvas import Canvas, drawing_console
from llmfan.outputs.cells import UNDEFINED, Cell, bar, cell_width, fit
from llmfan.outputs.clean import clean
from llmfan.outputs.probe_words import Found
from llmfan.outputs.steady import SteadyStream
from llmfan.units import spell

EVERY_S = 0.25
#: Lines that are not rows: title, bar; and one for the cursor.
AROUND = 3
_STATE, _TIME = 12, 6


class Watch:
    """`tick` is called often and looks at the findings, which others fill in; `close` has to be called in any case."""

    def __init__(
        self,
        findings: Sequence[Found],
        quiet: bool,
        stream: IO[str] | None = None,
        clock: Callable[[], float] = time.perf_counter,
        wall: Callable[[], float] = time.time,
    ):
        self._findings, self._clock, self._wall = findings, clock, wall
        self._began, self._due = clock(), -math.inf
        self._canvas: Canvas | None = None
        self._lines: SteadyStream | None = None
        self._told: set[int] = set()
        stream = stream or sys.stderr
        if quiet or stream is None:
            return
        console = drawing_console(stream)
        if console is not None:
            self._canvas = Canvas(console)
        else:
            self._lines = SteadyStream(stream)

    def tick(self) -> None:
        now = self._clock()
        if self._lines is not None:
            self._tell(self._lines)
        elif self._canvas is not None and now >= self._due:
            self._due = now + EVERY_S
            width, height = self._canvas.size()
            self._canvas.draw(screen(self._findings, now - self._began, self._wall(), width, height), width)

    def close(self) -> None:
        """Clears the live table; off a terminal, tells what became known since the last tick."""
        if self._lines is not None:
            self._tell(self._lines)
        if self._canvas is not None:
            self._canvas.close()

    def _tell(self, stream: SteadyStream) -> None:
        for at, found in enumerate(self._findings):
            if found.state and at not in self._told:
                self._told.add(at)
                stream.write(known_line(found, self._wall(), several_models(self._findings, found)) + "\n")
                stream.flush()


def known_line(found: Found, now: float, with_model: bool) -> str:
    """`NAME#2 …x9f3: ok, 0.31 s`."""
    name = "".join(text for text, _ in words.label(found)) + (f" {clean(found.model, 80)}" if with_model else "")
    parts = [words.state(found)[0]]
    if found.latency_s is not None:
        parts.append(spell(found.latency_s))
    parts += [part for part in (words.until(found.until, now), clean(found.why)) if part]
    return f"{name}: {', '.join(parts)}"


def several_models(findings: Sequence[Found], found: Found) -> bool:
    return len({other.model for other in findings if other.key == found.key}) > 1


# ---------------------------------------------------------------- the live table


def screen(findings: Sequence[Found], elapsed: float, now: float, width: int, height: int) -> list[Cell]:
    """At most `height` - 1 lines, none wider than `width`: a line a key where there is room, else one a provider."""
    room = height - AROUND
    if len(findings) <= room:
        rows = _keys(findings, now, width)
    else:
        rows = _providers(findings)
        if len(rows) > room:
            shown = max(0, room - 1)
            rows = [*rows[:shown], [(f"… and {len(rows) - shown} more providers", "dim")]] if room > 0 else []
    known = sum(1 for found in findings if found.state)
    progress = bar(known / len(findings) if findings else 1.0, min(width, 60), "green")
    lines = [_title(findings, known, elapsed), *rows, progress]
    return [line if cell_width(line) <= width else fit(line, width) for line in lines[: max(1, height - 1)]]


def _title(findings: Sequence[Found], known: int, elapsed: float) -> Cell:
    good = sum(1 for found in findings if found.state == "ok")
    title: Cell = [("llmfan probe", "bold"), (f"  {known} of {len(findings)} known", ""), (f"  {good} ok", "green")]
    if known > good:
        title.append((f"  {known - good} not ok", "red"))
    whole = int(elapsed)
    return [*title, (f"  {f'{whole} s' if whole < 10 else spell(float(whole))}", "dim")]


def _keys(findings: Sequence[Found], now: float, width: int) -> list[Cell]:
    first = min(max((cell_width(words.label(found)) for found in findings), default=0), max(8, width // 3))
    times = Counter(found.key for found in findings)
    return [_key(found, first, now, clean(found.model, 80) if times[found.key] > 1 else "") for found in findings]


def _key(found: Found, first: int, now: float, model: str) -> Cell:
    """What it is asked, until its state is known."""
    row = [*fit(words.label(found), first), ("  ", "")]
    if not found.state:
        doing = clean(found.doing, 80)
        return [*row, (doing or "waits", "cyan" if doing else "dim"), (f"  {model}" if model else "", "dim")]
    took = [(spell(found.latency_s), "")] if found.latency_s is not None else [UNDEFINED]
    row += [*fit([words.state(found)], _STATE), ("  ", ""), *fit(took, _TIME, left=False)]
    good = found.state == "ok"
    said = [
        model,
        words.until(found.until, now) if not good else "",
        words.reason(found, 120) if not good else "",
        *words.limits(found, now),
        words.shares(found),
    ]
    return [*row, ("  " + " · ".join(part for part in said if part), "")]


def _providers(findings: Sequence[Found]) -> list[Cell]:
    """`NAME  3 ok · 1 exhausted · 2 to go`."""
    by_name: dict[str, list[Found]] = {}
    for found in findings:
        by_name.setdefault(found.provider, []).append(found)
    first = min(max((len(clean(name, 24)) for name in by_name), default=0), 24)
    return [_provider(name, mine, first) for name, mine in by_name.items()]


def _provider(name: str, mine: Sequence[Found], first: int) -> Cell:
    row: Cell = [*fit([(clean(name, 24), "bold")], first), ("  ", "")]
    states = Counter(words.state(found) for found in mine if found.state)
    for (word, style), count in states.items():
        row += [(f"{count} {word}", style), (" · ", "dim")]
    left = len(mine) - states.total()
    if not left:
        row.pop()
        return row
    doing = next((clean(found.doing, 80) for found in mine if found.doing and not found.state), "")
    return [*row, (f"{left} to go", "cyan"), (f": {doing}" if doing else "", "dim")]
