"""How many requests one owner may have in flight, learned from overloads, lost requests and rising service times.

A cut is made once for a wave, judged by when its requests left. What follows is a climb of one at a time; the count
that was refused is tried again ever more seldom, so that a server that takes exactly so many refuses hardly any.
"""

from __future__ import annotations

import math
from collections import deque
from statistics import median

from llmfan.limits.window import SETTLE, Entry
from llmfan.records import KnownLimit, Report

CUT = 0.8
#: So many lost without an answer between them (timeouts, broken connections) are an overload nobody spoke of.
LOST_IN_A_ROW = 3
#: The refused count is tried again after so many rounds of clean answers at most; it doubles with each refusal.
PATIENCE = 128.0
#: Answers of a load before it is judged, and how many are kept.
ENOUGH, KEPT = 32, 64
#: A load is too much if one of a quarter of it, or less, brought as many answers but for so much noise.
CROWD, NOISE = 4.0, 1.1
#: Rising service times lower the cap no further.
LEAST_CROWD = 4.0


class Slot(Entry):
    """One request in flight. `beside`: how many there were with it when it left."""

    __slots__ = ("beside",)

    def __init__(self, at: float, beside: int):
        super().__init__(at, 1.0)
        self.beside = beside


class Slots:
    """A cap on requests in flight, infinite until something speaks for one.

    `gradient`: rising service times lower it too; for servers of one's own, where nobody says how many are too many.
    """

    axis, unit, period, hold = "concurrency", 0, 0.0, -math.inf

    def __init__(self, owner: str, declared: float | None, *, gradient: bool = False):
        self.owner, self.declared = owner, declared
        self.limit = self._most = math.inf if declared is None else declared
        self.reported: float | None = None
        self._crowding = Crowding() if gradient else None
        self._now = 0
        self.elsewhere = 0.0  # in flight from other processes
        self._cut_at = -math.inf
        self._wall = math.inf  # so many were too many when it was last tried
        self._patience = 1.0
        self._good = 0  # answers at the full cap since it last changed
        self._lost = 0
        self._learned = False

    # --- a meter ---

    def ready(self, now: float, amount: float) -> float:
        return now if self._now + self.elsewhere + 1 <= self.limit else SETTLE

    def take(self, now: float, amount: float) -> Slot:
        self._now += 1
        return Slot(now, self._now)

    def settle(self, entry: Entry, amount: float, now: float) -> None:
        self._now -= 1

    def used(self, now: float) -> float:
        return self._now

    def over(self, now: float) -> bool:
        return self._now + self.elsewhere > self.limit

    def withdrawn(self, entry: Entry) -> None:
        """`settle` has freed its place."""

    def recall(self, at: float, now: float, amount: float) -> None:
        """Nothing of an earlier process is in flight any more."""

    # --- what came back ---

    def refused(self, entry: Entry, now: float, hint: float | None) -> None:
        """A 503 or 529, or a 429 that names concurrency. Who rests, and for how long, is not its matter."""
        assert isinstance(entry, Slot)
        if entry.at <= self._cut_at:
            return
        self._cut_at, self._good, self._lost = now, 0, 0
        if entry.beside == 1:
            return  # it was alone: the server is down, which is no matter of how many
        self._patience = min(PATIENCE, 2.0 * self._patience) if entry.beside >= self._wall - 1 else 1.0
        self._wall = float(entry.beside)
        self._lower(max(1.0, math.floor(CUT * entry.beside)))

    def accepted(self, entry: Entry, now: float) -> None:
        assert isinstance(entry, Slot)
        self._lost = 0
        if entry.at <= self._cut_at:
            return
        if self._crowding is not None:
            self._crowding.note((entry.beside + self._now) / 2, now - entry.at)
            enough = self._crowding.enough()
            if enough < self.limit:
                self._cut_at, self._good = now, 0
                self._lower(max(LEAST_CROWD, math.floor(enough)))
                return
        if math.isfinite(self.limit):
            self._climb(entry)

    def lost(self, entry: Entry, now: float) -> None:
        """It timed out or broke off."""
        self._good = 0
        self._lost += 1
        if self._lost >= LOST_IN_A_ROW:
            self.refused(entry, now, None)

    def told(self, entry: Entry, report: Report, now: float) -> None:
        """The server's own figure wins at once."""
        if report.limit is not None and report.limit >= 1:
            self.limit = self._most = self.reported = report.limit

    # --- memory ---

    def known(self, at: float) -> KnownLimit:
        measured = self.limit if self._learned and math.isfinite(self.limit) else None
        return KnownLimit(
            owner=self.owner,
            axis=self.axis,
            declared=self.declared,
            reported=self.reported,
            measured=measured,
            confidence=0.0 if measured is None else 1.0 - 0.5 / self._patience,
            at=at,
        )

    def remember(self, known: KnownLimit) -> None:
        if known.measured is not None:
            self.limit, self._learned = max(1.0, min(self._most, known.measured)), True
            self._wall = self.limit + 1
            self._patience = min(PATIENCE, 0.5 / max(1e-9, 1.0 - known.confidence))

    # --- inside ---

    def _lower(self, cap: float) -> None:
        self.limit, self._learned = min(self.limit, cap), True

    def _climb(self, entry: Slot) -> None:
        """One more for a cap's worth of answers at the full cap; less use says nothing of more."""
        if entry.beside < math.floor(self.limit):
            return
        if entry.beside >= self._wall:
            self._wall, self._patience = math.inf, 1.0  # what was too many is taken now
        self._good += 1
        rounds = self._patience if self.limit + 1 >= self._wall else 1.0
        if self._good >= rounds * self.limit:
            self.limit, self._good = min(self._most, self.limit + 1), 0


class Crowding:
    """Service times by load, to see where more in flight only wait longer.

    By Little's law the load over the time of an answer is the throughput, so two loads can be compared without a clock:
    if a quarter of the load brought as many answers a second, twice that quarter is enough. On a server whose
    throughput levels off, that is beyond the bend. Without a lower load ever seen nothing is concluded: a
    trial of fewer would cost what it is to save.
    """

    def __init__(self) -> None:
        self._bands: dict[int, deque[tuple[float, float]]] = {}
        self._since = 0

    def note(self, load: float, seconds: float) -> None:
        """One answer: how many were in flight with it on average, and how long it took for its length."""
        band = int(max(1.0, load)).bit_length()
        self._bands.setdefault(band, deque(maxlen=KEPT)).append((load, seconds))
        self._since += 1

    def enough(self) -> float:
        """As many in flight as bring all there is to have; inf where that is not known. Judged now and then."""
        if self._since < ENOUGH:
            return math.inf
        self._since = 0
        seen = {n: band for n, band in self._bands.items() if len(band) >= ENOUGH}
        if len(seen) < 2:
            return math.inf
        loads = sorted((median(load for load, _ in band), median(s for _, s in band)) for band in seen.values())
        top, slow = loads[-1]
        fits = [load for load, s in loads[:-1] if top >= CROWD * load and top / slow <= NOISE * load / s]
        if not fits:
            return math.inf
        enough = 2.0 * max(fits)
        for n in [n for n, band in seen.items() if median(load for load, _ in band) > enough]:
            del self._bands[n]  # to be found again, should the server have grown by the time the cap gets there
        return enough
