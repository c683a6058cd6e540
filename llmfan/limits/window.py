"""Counters that say when the next request may leave, and what it then takes.

A job passes every counter that applies to it in one step, or none: `ready` is asked of all, then `take` is called on
all, without an await between. `ready` gives a moment, `SETTLE` (wait until something in flight ends) or `NEVER`.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import Protocol, TypeGuard

from llmfan.records import KnownLimit, Report
from llmfan.units import DAY, HOUR, MINUTE

NEVER = math.inf
SETTLE = -math.inf
#: Arrival jitter allowed for: half a second, or this share of a short window.
JITTER_S, JITTER_SHARE = 0.5, 0.05


def guard(period: float, speed: float = 1.0) -> float:
    """Seconds by which a window is widened: a request may arrive that much later than it left."""
    return min(JITTER_S / speed, JITTER_SHARE * period)


class Entry:
    """What one request holds of one counter."""

    __slots__ = ("amount", "at")

    def __init__(self, at: float, amount: float):
        self.at, self.amount = at, amount


class Meter(Protocol):
    """One limit of one owner (a key, an account, a model of either)."""

    axis: str
    unit: int
    limit: float
    owner: str

    def ready(self, now: float, amount: float) -> float: ...

    def take(self, now: float, amount: float) -> Entry: ...

    def settle(self, entry: Entry, amount: float, now: float) -> None: ...

    def used(self, now: float) -> float: ...

    def over(self, now: float) -> bool:
        """Whether more is taken than the limit allows: others have sent since the last of ours was let out."""

    def recall(self, at: float, now: float, amount: float) -> None:
        """Counts what another process sent at `at`, or an earlier one, if it still counts. Oldest first."""


class Learner(Meter, Protocol):
    """A limit that learns from what comes back. `hold`: nothing leaves before."""

    hold: float

    def withdrawn(self, entry: Entry) -> None:
        """It never left: another process was faster."""

    def accepted(self, entry: Entry, now: float) -> None: ...

    def refused(self, entry: Entry, now: float, hint: float | None) -> None:
        """A 429 that this limit caused. `hint`: seconds the server asked for."""

    def lost(self, entry: Entry, now: float) -> None:
        """It ended otherwise: nothing is known of whether it was counted."""

    def told(self, entry: Entry, report: Report, now: float) -> None: ...

    def known(self, at: float) -> KnownLimit: ...

    def remember(self, known: KnownLimit) -> None: ...


def learns(meter: Meter) -> TypeGuard[Learner]:
    return hasattr(meter, "refused")


class WindowLog:
    """At most `limit` in any window of `period` seconds, whatever the server's kind (sliding, fixed, refill of capacity
    `limit`): the (n+limit)-th send leaves no sooner than `period + guard` after the n-th.
    """

    def __init__(self, axis: str, unit: int, owner: str, limit: float, period: float, margin: float):
        self.axis, self.unit, self.owner, self.limit, self.period = axis, unit, owner, limit, period
        self.span = period + margin
        self._log: deque[Entry] = deque()
        self._total = 0.0

    def ready(self, now: float, amount: float) -> float:
        if amount > self.limit + 1e-9:
            return NEVER
        self._expire(now)
        excess = self._total + amount - self.limit
        if excess <= 1e-9:
            return now
        for entry in self._log:
            excess -= entry.amount
            if excess <= 1e-9:
                return entry.at + self.span
        return now + self.span

    def take(self, now: float, amount: float) -> Entry:
        entry = Entry(now, amount)
        self._log.append(entry)
        self._total += amount
        return entry

    def settle(self, entry: Entry, amount: float, now: float) -> None:
        # An entry that has left the log weighs nothing any more; `_expire` marks it so.
        if entry.at > -math.inf:
            self._total += amount - entry.amount
            entry.amount = amount

    def used(self, now: float) -> float:
        self._expire(now)
        return self._total

    def next_free(self, now: float) -> float:
        """When the first of what is used is no more; inf if nothing is."""
        self._expire(now)
        return next((entry.at + self.span for entry in self._log if entry.amount > 0), math.inf)

    def over(self, now: float) -> bool:
        return self.used(now) > self.limit + 1e-9

    def recall(self, at: float, now: float, amount: float) -> None:
        if amount > 0 and at > now - self.span:
            self.take(at, amount)

    def _expire(self, now: float) -> None:
        log, edge = self._log, now - self.span
        while log and log[0].at <= edge:
            entry = log.popleft()
            self._total -= entry.amount
            entry.at = -math.inf
        if not log:
            self._total = 0.0


class Calendar:
    """At most `limit` until the next reset (a day or a month that begins at a place's midnight)."""

    def __init__(
        self, axis: str, unit: int, owner: str, limit: float, next_reset: Callable[[float], float], period: float = DAY
    ):
        self.axis, self.unit, self.owner, self.limit, self.period = axis, unit, owner, limit, period
        self.declared: float | None = limit
        self.reported: float | None = None
        self._next_reset = next_reset
        self._resets_at = -math.inf
        self._used = 0.0
        self.strangers = 0.0  # what others have spent of it, not in the ledger yet

    def ready(self, now: float, amount: float) -> float:
        if amount > self.limit + 1e-9:
            return NEVER
        self._roll(now)
        return now if self._used + amount <= self.limit + 1e-9 else self._resets_at

    def take(self, now: float, amount: float) -> Entry:
        self._roll(now)
        self._used += amount
        return Entry(self._resets_at, amount)

    def settle(self, entry: Entry, amount: float, now: float) -> None:
        if entry.at == self._resets_at:  # else its day is over
            self._used += amount - entry.amount
            entry.amount = amount

    def resets_in(self, now: float) -> float:
        """Seconds from a moment to the reset that follows it."""
        return self._next_reset(now) - now

    def told(self, entry: Entry, report: Report, now: float) -> None:
        """The server's own figures win; what it has counted and we have not was spent by somebody else."""
        self._roll(now)
        if report.limit is not None and report.limit >= 1:
            self.limit = self.reported = report.limit
        if report.remaining is None or entry.at != self._resets_at or self._is_of_before(report, now):
            return
        if (more := self.limit - report.remaining - self._used) > 0:
            self._used += more
            self.strangers += more

    def known(self, at: float) -> KnownLimit:
        return KnownLimit(owner=self.owner, axis=self.axis, declared=self.declared, reported=self.reported, at=at)

    def remember(self, known: KnownLimit) -> None:
        if known.reported is not None:
            self.limit = self.reported = known.reported

    def used(self, now: float) -> float:
        self._roll(now)
        return self._used

    def over(self, now: float) -> bool:
        return self.used(now) > self.limit + 1e-9

    def recall(self, at: float, now: float, amount: float) -> None:
        """What others write down now may be what the server has told of already."""
        if self._next_reset(at) > now:
            told = min(self.strangers, amount)
            self.strangers -= told
            self.take(now, amount - told)

    def _is_of_before(self, report: Report, now: float) -> bool:
        """Told of the window that ends this moment by the server's clock, while ours says that it is over."""
        return report.resets_in is not None and report.resets_in < MINUTE and self._resets_at - now > HOUR

    def shift(self, seconds: float) -> None:
        """The day is further on than was known."""
        self._resets_at -= seconds

    def _roll(self, now: float) -> None:
        if now >= self._resets_at:
            self._used, self._resets_at = 0.0, self._next_reset(now)
