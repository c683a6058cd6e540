"""What a ledger tells of a fleet, read at once: what is known, what was spent in the windows of now, what was sent."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence

from msgspec import Struct, field

from llmfan.entries import Tally
from llmfan.ports import Archive
from llmfan.records import Booking, Known
from llmfan.settings import AXES, Fleet
from llmfan.status.windows import Almanac
from llmfan.units import DAY


class Past(Struct, frozen=True, kw_only=True):
    """Of all keys. `bookings` reach back to the beginning of the longest window that a limit has now."""

    known: Known = field(default_factory=Known)
    bookings: Sequence[Booking] = ()
    tallies: Sequence[Tally] = ()

    @property
    def nothing(self) -> bool:
        known = self.known
        return not (self.tallies or self.bookings or known.states or known.limits or known.targets)


def read_past(archive: Archive, fleet: Fleet, now: dt.datetime) -> Past:
    known = archive.known()
    almanac = Almanac(now)
    months = any(AXES[axis][1] > DAY for axis in _axes(fleet, known))
    resets = {limits.reset for p in fleet.providers for limits in p.limits.values()} | {"utc"}
    windows = [almanac.month(reset) if months else almanac.day(reset) for reset in resets]
    since = min(window.start for window in windows)
    return Past(known=known, bookings=archive.booked(since), tallies=archive.tallied(0.0))


def _axes(fleet: Fleet, known: Known) -> Iterator[str]:
    for provider in fleet.providers:
        for limits in provider.limits.values():
            yield from limits.axes
    yield from (limit.axis for limit in known.limits)
