"""Progress where there is no terminal: one plain line now and then, fit for a log."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import IO

from llmfan.outputs.clean import clean
from llmfan.outputs.states import countdown, holds, spell_holds, standstill
from llmfan.outputs.steady import SteadyStream
from llmfan.outputs.view import History, Progress, RunView, progress
from llmfan.units import DAY, dollars, spell

Wall = Callable[[], dt.datetime]
#: Longer than this, a line that is said is cut.
LONGEST = 2000


class PlainLines:
    """A line every `every_s` seconds, one for each thing said, and one at the end."""

    def __init__(self, view: RunView, stream: IO[str], every_s: float = 10.0, wall: Wall = dt.datetime.now):
        self._view, self._every, self._wall = view, every_s, wall
        self._stream = stream if isinstance(stream, SteadyStream) else SteadyStream(stream)
        self._history = History(view)
        self._due = view.started + every_s
        self._last: float | None = None
        self._told = len(view.notes)  # those were told before the run began
        self._opened = self._closed = False

    def tick(self, now: float) -> None:
        self._open()
        self._last = now
        self._tell_notes()
        before, after = self._history.note(now)
        if now >= self._due:
            self._due += self._every * (1 + (now - self._due) // self._every)
            self._write(progress_line(self._view, progress(self._view, before, after), now, self._wall()))

    def say(self, text: str) -> None:
        self._open()
        self._write(f"{self._wall():%H:%M:%S}  {clean(text, LONGEST)}")

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._tell_notes()
        if self._last is not None:
            self._write(closing_line(self._view, self._last, self._wall()))

    def _open(self) -> None:
        """The first line says what is about to run."""
        if not self._opened:
            self._opened = True
            self.say(opening(self._view))

    def _tell_notes(self) -> None:
        while self._told < len(self._view.notes):
            self._told += 1
            self.say(self._view.notes[self._told - 1])

    def _write(self, line: str) -> None:
        self._stream.write(line + "\n")
        self._stream.flush()


def opening(view: RunView) -> str:
    """`simulated fleet ×10: 1,319 jobs, 15 providers, 45 keys → runs/…`."""
    providers = len(view.dispatcher.providers)
    keys = len({lane.target.key for lane in view.dispatcher.lanes})
    fleet = f"{simulated(view)}: " if view.simulated else ""
    jobs = counted(view.total, "job") + (f" ({view.done_before:,} done before)" if view.done_before else "")
    folder = f" → {clean(view.folder, LONGEST)}" if view.folder else ""
    return f"{fleet}{jobs}, {counted(providers, 'provider')}, {counted(keys, 'key')}{folder}"


def simulated(view: RunView) -> str:
    return "simulated fleet" + (f" ×{view.speed:g}" if view.speed != 1 else "")


def counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def progress_line(view: RunView, at: Progress, now: float, wall: dt.datetime) -> str:
    """`12:03:10  410/1319 (31 %)  3.4/s  ETA 4 m 27 s  in flight 24  failed 2  429s 3  waiting: NAME rpm`."""
    parts = [
        *_beginning(view, at.done, wall),
        "—/s" if at.rate is None else f"{at.rate:.1f}/s",
        f"ETA {spell(at.eta)}",
        f"in flight {view.dispatcher.in_flight}",
        f"failed {view.failed}",
        f"429s {view.rate_limited}",
    ]
    if view.cost is not None:
        parts.append(dollars(view.cost))
    still = standstill(view, now)
    if view.stopping:
        parts.append(f"stopping: {clean(view.stopping)}")
    elif still is not None:
        parts.append(still.what + until(still.until, now, wall))
    elif found := holds(view):
        parts.append(f"waiting: {spell_holds(found)}")
    return "  ".join(parts)


def closing_line(view: RunView, now: float, wall: dt.datetime) -> str:
    """How far it came, and in what time."""
    parts = [*_beginning(view, view.done, wall), f"in {spell(now - view.started)}"]
    parts += [f"failed {view.failed}", f"429s {view.rate_limited}"]
    if view.cost is not None:
        parts.append(dollars(view.cost))
    if view.stopping:
        parts.append(f"stopped: {clean(view.stopping)}")
    return "  ".join(parts)


def until(moment: float | None, now: float, wall: dt.datetime) -> str:
    """` until 12:34:05 (in 12 s)`; the day as well where it is another one."""
    if moment is None:
        return ""
    try:
        then = wall + dt.timedelta(seconds=moment - now)
    except OverflowError:  # never, as far as anybody can say
        return ""
    clock = f"{then:%H:%M:%S}" if moment - now < DAY and then.date() == wall.date() else f"{then:%Y-%m-%d %H:%M}"
    return f" until {clock} (in {countdown(moment - now)})"


def percent(done: int, total: int) -> str:
    """Whole percents, and 100 only when all is done."""
    return f"{done * 100 // total if total else 100} %"


def _beginning(view: RunView, done: int, wall: dt.datetime) -> list[str]:
    mark = ["simulated"] if view.simulated else []
    return [f"{wall:%H:%M:%S}", *mark, f"{done}/{view.total} ({percent(done, view.total)})"]
