"""What there is to watch of a run: how far it is, how fast it was in the last minute, when it may end."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from llmfan.measures.accumulate import Accumulator
from llmfan.scheduling.dispatcher import Dispatcher
from llmfan.units import MINUTE

#: So many jobs must have ended, over so many seconds, before a rate says anything.
FEWEST, SHORTEST_S = 2, 1.0


class RunView:
    """A run as the observers see it; they only read, but for `notes` they have said.

    `done_before`: jobs of `total` that an earlier run has finished. What the accumulator counts when the view is made
    is taken to be theirs, so it makes no difference whether their lines were read into it.
    """

    __slots__ = (
        "accumulator", "counted", "dispatcher", "done_before", "folder", "notes", "simulated", "speed", "started",
        "stopping", "total",
    )  # fmt: skip

    def __init__(
        self,
        dispatcher: Dispatcher,
        accumulator: Accumulator,
        *,
        total: int,
        started: float,
        done_before: int = 0,
        folder: str = "",
        simulated: bool = False,
        speed: float = 1.0,
        notes: list[str] | None = None,
        stopping: str = "",
    ):
        self.dispatcher, self.accumulator, self.total, self.started = dispatcher, accumulator, total, started
        self.done_before, self.folder, self.simulated, self.speed = done_before, folder, simulated, speed
        self.notes = [] if notes is None else notes
        self.stopping = stopping
        self.counted = accumulator.done

    @property
    def done(self) -> int:
        return self.done_before + self.accumulator.done - self.counted

    @property
    def failed(self) -> int:
        return sum(tally.failed for tally in self.accumulator.tallies.values())

    @property
    def rate_limited(self) -> int:
        return sum(tally.rate_limited for tally in self.accumulator.tallies.values())

    @property
    def cost(self) -> float | None:
        known = [tally.cost for tally in self.accumulator.tallies.values() if tally.cost is not None]
        return sum(known) if known else None

    @property
    def graded(self) -> tuple[int, int]:
        """(right answers, graded answers)."""
        tallies = self.accumulator.tallies.values()
        return sum(t.right for t in tallies), sum(t.right + t.wrong for t in tallies)

    @property
    def minute(self) -> float:
        """Seconds of the run's clock in which a server's minute passes."""
        return MINUTE / self.speed


class Mark(NamedTuple):
    """The counts at one moment; `sent` and `tokens` by lane, in the dispatcher's order."""

    at: float
    done: int
    sent: list[int]
    tokens: list[int]


class History:
    """The counts as they stood through the last minute, for rates. The first mark is the run's beginning."""

    def __init__(self, view: RunView):
        self._view = view
        self._idents = [(t.provider, t.model, t.key) for t in (lane.target for lane in view.dispatcher.lanes)]
        self._marks = deque([self.count(view.started)])

    def count(self, now: float) -> Mark:
        """What has been sent is what has ended and what is in flight: a request counts when it leaves."""
        tallies = self._view.accumulator.tallies
        sent, tokens = [], []
        for ident, lane in zip(self._idents, self._view.dispatcher.lanes, strict=True):
            tally = tallies.get(ident)
            sent.append(lane.in_flight + (tally.attempts if tally else 0))
            tokens.append(tally.output_tokens if tally else 0)
        return Mark(now, self._view.done, sent, tokens)

    def note(self, now: float) -> tuple[Mark, Mark]:
        """(the counts at most a minute ago, the counts now)."""
        marks, minute, mark = self._marks, self._view.minute, self.count(now)
        if now - marks[-1].at >= minute / 60:
            marks.append(mark)
        while len(marks) > 1 and marks[0].at < now - minute:  # not older: more than the limit would seem to have left
            marks.popleft()
        return marks[0], mark


class Progress(NamedTuple):
    """Jobs a second in the last minute, and what is left at that rate; None while undefined."""

    done: int
    total: int
    rate: float | None
    eta: float | None

    @property
    def share(self) -> float:
        return min(1.0, self.done / self.total) if self.total else 1.0


def progress(view: RunView, before: Mark, after: Mark) -> Progress:
    ended, elapsed = after.done - before.done, after.at - before.at
    rate = ended / elapsed if ended >= FEWEST and elapsed >= SHORTEST_S else None
    left = max(0, view.total - after.done)
    eta = 0.0 if not left else left / rate if rate else None
    return Progress(after.done, view.total, rate, eta)
