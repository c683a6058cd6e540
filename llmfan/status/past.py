"""What a ledger tells of a fleet, read at once: what is known, what was spent in the windows of now, what was sent."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct, field

from llmfan.entries import Tally
from llmfan.ports import Archive
from llmfan.records import Booking, Known
from llmfan.settings import AXES, Fleet
from llmfan.status.owners import Counted
from llmfan.status.windows import Almanac
from llmfan.units import DAY


class Past(Struct, frozen=True, kw_only=True):
    """Of all keys. `bookings` reach back to the beginning of the longest window that a limit has now. `counted`: by
    (owner, axis), in place of bookings where this process itself is sending.
    """

    known: Known = field(default_factory=Known)
    bookings: Sequence[Booking] = ()
    tallies: Sequence[Tally] = ()
    counted: Mapping[tuple[str, str], Counted] = field(default_factory=dict)

    @property
    def nothing(self) -> bool:
        known = self.known
        return not (self.tallies or self.bookings or known.states or known.limits or known.targets)


def read_past(archive: Archive, fleet: Fleet, now: dt.datetime) -> Past:
    known = archive.known()
    return Past(known=known, bookings=archive.booked(beginning(fleet, known, now)), tallies=archive.tallied(0.0))


def beginning(fleet: Fleet, known: Known, now: dt.datetime) -> float:
    """Of the longest window that a limit has now."""
    almanac = Almanac(now)
    months = any(AXES[axis][1] > DAY for axis in _axes(fleet, known))
    resets = {limits.reset for p in fleet.providers for limits in p.limits.values()} | {"utc"}
    windows = [almanac.month(reset) if months else almanac.day(reset) for reset in resets]
    return min(window.start for window in windows)


def _axes(fleet: Fleet, known: Known) -> Iterator[str]:
    for provider in fleet.providers:
        for limits in provider.limits.values():
            yield from limits.axes
    yield from (limit.axis for limit in known.limits)
