"""The ledger's past for a process that is asked every second: read seldom, and what it wrote itself is added.

A year of fifty keys takes some thirty milliseconds to read, which calls in flight would notice. Others' writing is what
makes it read anew; its own sums it has at hand.
"""

from __future__ import annotations

import datetime as dt
import math
import time
from collections.abc import Iterable
from typing import Protocol

from msgspec.structs import replace

from llmfan.entries import Tally
from llmfan.ledgers.stretches import merge, summed_in
from llmfan.ports import Archive
from llmfan.settings import Fleet
from llmfan.status.past import Past, beginning
from llmfan.status.windows import ROLLING, Almanac
from llmfan.units import DAY, HOUR, MINUTE

#: Between two readings while others write; longer where one takes long: this many times as long as it took.
AGAIN_S, TIMES = 15.0, 1000.0
#: Nobody else writes: then only so that the sums stay few.
AFRESH_S = 6 * HOUR
#: The finest stretches, for how long they are kept apart (both as in the ledger's file), and how often to look for
#: older ones.
FINE = 5 * MINUTE
FINE_FOR_S, LOOK_S = HOUR, 10 * MINUTE
#: Nobody has asked for so long: then nothing is kept until somebody does.
UNASKED_S = DAY


class Versioned(Archive, Protocol):
    """A ledger that is open for writing, and tells whether others have written."""

    def version(self) -> int:
        """Another one whenever another process has written."""


class Rereading:
    """`past` gives all, as of now, but for what only the process's own counters know."""

    def __init__(self, ledger: Versioned, fleet: Fleet):
        self._ledger, self._fleet = ledger, fleet
        self._base = Past()
        self._own: dict[tuple[str, str, float, float], Tally] = {}
        self._read_at = self._took = self._looked = self._asked = -math.inf
        self._version = -1
        # What keys that are not set have spent, nobody here counts.
        self._booked = any(key.missing for provider in fleet.providers for key in provider.keys)

    def told(self, tallies: Iterable[Tally]) -> None:
        """What is written into the ledger by this process. Where nobody asks, the ledger is all there has to be."""
        for each in tallies:
            if each.at - self._asked > UNASKED_S:
                self._own.clear()
                self._read_at = -math.inf
                return
            self._add(each, FINE)
            if each.at - self._looked >= LOOK_S:
                self._looked = each.at
                self._coarsen(each.at - FINE_FOR_S)

    def past(self, now: dt.datetime) -> Past:
        at = self._asked = now.timestamp()
        if self._due(at):
            self._read(now)
        own = sorted(self._own.values(), key=lambda each: each.at)
        return Past(known=self._base.known, bookings=self._base.bookings, tallies=[*self._base.tallies, *own])

    def _due(self, at: float) -> bool:
        age = at - self._read_at
        if age < max(AGAIN_S, TIMES * self._took):
            return False
        return age >= AFRESH_S or self._ledger.version() != self._version

    def _read(self, now: dt.datetime) -> None:
        started = time.perf_counter()
        self._version = self._ledger.version()
        known = self._ledger.known()
        bookings = self._ledger.booked(beginning(self._fleet, known, now)) if self._booked else []
        tallies = summed(self._ledger.tallied(0.0), self._fleet, now)
        self._base = Past(known=known, bookings=bookings, tallies=tallies)
        self._own.clear()
        self._read_at, self._took = now.timestamp(), time.perf_counter() - started

    def _add(self, tally: Tally, span: float) -> None:
        place = (tally.key, tally.model, tally.at // span * span, span)
        if place in self._own:
            merge(self._own[place], tally)
        else:
            self._own[place] = summed_in(tally, span)

    def _coarsen(self, edge: float) -> None:
        """Stretches of the same key that are long over become an hour."""
        old = [place for place in self._own if place[3] == FINE and place[2] // HOUR * HOUR + HOUR <= edge]
        for place in old:
            self._add(self._own.pop(place), HOUR)


def summed(tallies: Iterable[Tally], fleet: Fleet, now: dt.datetime) -> list[Tally]:
    """The same sums for any window from now on, in fewer entries: of what is older than any day, that of months before
    and that of this month are one each by key and model.
    """
    almanac = Almanac(now)
    resets = {limits.reset for p in fleet.providers for limits in p.limits.values()} | {"utc"}
    months = [almanac.month(reset).start for reset in resets]
    latest = math.inf if ROLLING in resets else max(months)  # what begins anew at every moment has no such sum
    day = almanac.now - DAY - 2 * HOUR  # of twenty-five hours, and some to be sure
    together: dict[tuple[str, str, bool], Tally] = {}
    apart = []
    for each in tallies:
        end = each.at + each.span
        before, within = end <= min(months), each.at >= latest
        place = (each.key, each.model, before)
        if end >= day or not (before or within):
            apart.append(each)
        elif place in together:
            whole = together[place]
            whole.at, whole.span = min(whole.at, each.at), max(whole.at + whole.span, end) - min(whole.at, each.at)
            merge(whole, each)
        else:
            together[place] = replace(each, latencies=dict(each.latencies))
    return sorted([*together.values(), *apart], key=lambda each: each.at)
