"""What there is to see of a fleet at work, as documents: of a run, and of a fleet that is kept running."""

from __future__ import annotations

import asyncio
import datetime as dt
import math
from collections.abc import Generator
from typing import Any, cast

from llmfan.conduct.bookkeeper import Bookkeeper
from llmfan.measures.accumulate import Accumulator, Tally
from llmfan.measures.recent import KEPT, STRETCH_S, Recent
from llmfan.outputs.states import state_of
from llmfan.ports import Ledger
from llmfan.records import Known
from llmfan.scheduling.dispatcher import Dispatcher
from llmfan.scheduling.lanes import Lane
from llmfan.scheduling.queue import Queue
from llmfan.secret import Redactor
from llmfan.settings import Fleet
from llmfan.status.document import status_steps
from llmfan.status.figures import moment
from llmfan.status.live import counted, known_now, states_now, with_states
from llmfan.status.past import Past
from llmfan.status.rereading import Rereading, Versioned
from llmfan.wiring import Moments

#: A document holds for so long, so that who asks often costs nothing, and two who ask at once see the same figures.
FRESH_S = 0.75
#: What limits have turned out to be is looked at anew after so long.
LEARNED_S = 2.0
#: Nobody else waits longer than this for one of the steps in which a document is made.
STEP_S = 0.001
#: A median is read anew when there are this many times as many answers.
GROWN = 1.02


class Overview:
    """Only reads, but for what the clerk has not written into the ledger yet. `total`: jobs of a run; None: no end.
    `folder`: where its results are.

    Seconds are those of the clock that the fleet runs by, at any speed of a simulated one.
    """

    def __init__(
        self,
        fleet: Fleet,
        dispatcher: Dispatcher,
        clerk: Bookkeeper,
        ledger: Ledger,
        accumulator: Accumulator,
        recent: Recent,
        moments: Moments,
        redact: Redactor,
        *,
        total: int | None = None,
        simulated: bool = False,
        speed: float = 1.0,
        folder: str = "",
    ):
        self.fleet, self.dispatcher, self.clerk, self.ledger = fleet, dispatcher, clerk, ledger
        self.accumulator, self.recent, self.moments, self.redact = accumulator, recent, moments, redact
        self.total, self.simulated, self.speed, self.folder = total, simulated, speed, folder
        self._past = Rereading(cast(Versioned, ledger), fleet)
        clerk.tallied = self._past.told
        self._known, self._known_at = Known(), -math.inf
        self._status: dict[str, Any] = {}
        self._status_at = -math.inf
        self._making = asyncio.Lock()
        self._lines: list[str] | None = None
        self._nothing = Tally()
        self._medians: dict[tuple[str, str, str], tuple[int, float | None]] = {}

    # ---------------------------------------------------------------- as `llmfan status --json`

    def status(self) -> dict[str, Any]:
        """The document of `llmfan status --json`, as things stand now: not to be changed by who is given it."""
        for _ in self._steps():
            pass
        return self._status

    async def refreshed(self, fresh: float = FRESH_S) -> dict[str, Any]:
        """The same, made in steps between which others get on with their work. `fresh`: it may be so old."""
        async with self._making:
            clock = self.moments.clock
            began = clock()
            for _ in self._steps(fresh):
                if clock() - began >= STEP_S:
                    await asyncio.sleep(0)
                    began = clock()
        return self._status

    def _steps(self, fresh: float = FRESH_S) -> Generator[None]:
        now = self.moments.clock()
        if now - self._status_at < fresh:
            return
        self.clerk.flush(now)
        yield
        at = dt.datetime.fromtimestamp(self.moments.unix(now), dt.UTC)
        past = self._past.past(at)
        yield
        status = yield from status_steps(self.fleet, self._live(past, now), at, lines=self._file())
        for name, entry in status["quota_status"].items():
            status["quota_status"][name] = self.redact.document(entry)
            yield
        status["differences"] = self.redact.document({"": status["differences"]})[""]
        self._status, self._status_at = status, now

    def _live(self, past: Past, now: float) -> Past:
        """What the ledger tells, and in its place what is known here and now."""
        if now - self._known_at >= LEARNED_S:
            self._known, self._known_at = known_now(past.known, self.dispatcher, self.moments.unix(now)), now
        answered = self.clerk.tallies.answered
        states = states_now(self.dispatcher.lanes, answered, now, self.moments.unix, self.speed)
        known = with_states(self._known, past.known.states, states)
        counters = counted(self.dispatcher, now, self.speed)
        return Past(known=known, bookings=past.bookings, tallies=past.tallies, counted=counters)

    def _file(self) -> list[str]:
        """The lines of the providers file: what is to be changed in it stands in one of them."""
        if self._lines is None:
            try:
                with open(self.fleet.file, encoding="utf-8-sig") as file:
                    self._lines = file.read().splitlines()
            except (OSError, UnicodeDecodeError):
                self._lines = []
        return self._lines

    # ---------------------------------------------------------------- as the dashboard shows it

    def document(self) -> dict[str, Any]:
        """What the dashboard shows: `status` and, beside it, what changes from second to second."""
        status = self.status()
        now = self.moments.clock()
        since = now - self.moments.start
        document = {
            "at": moment(self.moments.unix(now)),
            "what": "serve" if self.total is None else "run",
            "simulated": self.simulated,
            "speed": self.speed,
            "uptime_s": round(since, 3),
            "folder": self.folder or None,
            "now": self._now(since),
            "minutes": {"bucket_s": STRETCH_S, "span_s": KEPT * STRETCH_S, "rows": self._rows(since)},
            "keys": [self._key(lane, now) for lane in self.dispatcher.lanes],
            "failures": self._failures(),
        }
        return {**self.redact.document(document), "status": status}

    def _now(self, since: float) -> dict[str, Any]:
        accumulator, dispatcher = self.accumulator, self.dispatcher
        tallies = list(accumulator.tallies.values())
        costs = [tally.cost for tally in tallies if tally.cost is not None]
        minute = self.recent.minute(since)
        return {
            "in_flight": dispatcher.in_flight,
            "waiting": self.waiting(),
            "done": accumulator.done,
            "total": self.total,
            "ok": sum(tally.ok for tally in tallies),
            "failed": sum(tally.failed for tally in tallies),
            "rate_limited": sum(tally.rate_limited for tally in tallies),
            "attempts": accumulator.attempts,
            "attempts_failed": sum(map(_failed_attempts, tallies)),
            "input_tokens": sum(tally.input_tokens for tally in tallies),
            "output_tokens": sum(tally.output_tokens for tally in tallies),
            "cost_usd": round(sum(costs), 8) if costs else None,
            **{name: _rounded(value) for name, value in minute._asdict().items()},
        }

    def waiting(self) -> dict[str, int]:
        """Jobs that wait for a permit, by how urgent they are."""
        waiting = self.dispatcher.waiting
        if isinstance(waiting, Queue):
            return {"interactive": waiting.count(False), "batch": waiting.count(True)}
        return {"batch": waiting.left}

    def _rows(self, since: float) -> list[dict[str, Any]]:
        return [{name: _rounded(value) for name, value in row._asdict().items()} for row in self.recent.rows(since)]

    def _key(self, lane: Lane, now: float) -> dict[str, Any]:
        target, state = lane.target, state_of(lane, now, self.speed)
        tally = self.accumulator.tallies.get((target.provider, target.model, target.key), self._nothing)
        back = None if state.until is None or math.isinf(state.until) else round(max(0.0, state.until - now), 3)
        return {
            "key": target.key, "provider": target.provider, "model": target.model, "state": state.kind,
            "why": state.why, "back_in_s": back, "in_flight": lane.in_flight, "ok": tally.ok, "failed": tally.failed,
            "rate_limited": tally.rate_limited,
            "latency_p50_s": self._median((target.provider, target.model, target.key), tally),
        }  # fmt: skip

    def _median(self, ident: tuple[str, str, str], tally: Tally) -> float | None:
        counted, value = self._medians.get(ident, (0, None))
        if tally.ok and (not counted or tally.ok >= counted * GROWN):
            value = _rounded(tally.sketches["latency_s"].quantile(0.5))
            self._medians[ident] = tally.ok, value
        return value

    def _failures(self) -> list[dict[str, Any]]:
        start = self.moments.unix(self.moments.start)
        return [{**each._asdict(), "at": moment(start + each.at)} for each in self.recent.failures()]


def _failed_attempts(tally: Tally) -> int:
    """Those that no limit refused and nobody broke off; their calls may have been answered all the same."""
    return tally.problems.total() - tally.rate_limited - tally.problems["cancelled"]


def _rounded(value: float | None) -> float | None:
    return round(value, 6) if isinstance(value, float) else value
