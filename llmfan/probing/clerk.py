"""The ledger's clerk for a probe: what it sends is written down before, and what others spent of a day after."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Iterator

from llmfan.limits.axes import is_quota, last_boundary, owner_of
from llmfan.ports import Ledger
from llmfan.probing.findings import Finding
from llmfan.records import Booking
from llmfan.settings import AXES, Fleet, KeySettings, LimitSet, Provider
from llmfan.units import DAY


class Clerk:
    """One token more or less counts against none but the limits on requests. `wall` gives Unix time."""

    def __init__(self, ledger: Ledger, fleet: Fleet, wall: Callable[[], float]):
        self._ledger, self._wall = ledger, wall
        self._places = {(key.label, m.name): (p, key) for p in fleet.providers for key in p.keys for m in p.models}

    def ahead(self, key: str, model: str) -> None:
        """Before the send: a measurement that is cut off has spent what it sent."""
        self._book(key, model, 1.0)

    def back(self, key: str, model: str) -> None:
        """It was refused, so it counts nowhere."""
        self._book(key, model, -1.0)

    def hear(self, findings: Iterable[Finding]) -> None:
        """A provider that reports less left of a calendar day or month than we know of speaks for others' spending.

        What refills all the time is left alone: booked now, it would stand for a whole day.
        """
        for finding in findings:
            if (finding.key, finding.model) in self._places:
                provider, key = self._places[finding.key, finding.model]
                made = list(self._of_others(finding, provider, key, provider.limits[finding.key, finding.model]))
                if made:
                    self._ledger.book(lambda _, made=made: made)  # type: ignore[misc]

    def _of_others(self, finding: Finding, provider: Provider, key: KeySettings, limits: LimitSet) -> Iterator[Booking]:
        for axis, reading in finding.limits.items():
            if reading.limit is None or reading.remaining is None or limits.reset == "rolling" or not is_quota(axis):
                continue
            now, owner = self._wall(), owner_of(axis, limits, provider.name, key, finding.model)
            start = last_boundary(dt.datetime.fromtimestamp(now, dt.UTC), limits.reset, AXES[axis][1] > DAY)
            booked = self._ledger.booked(start.timestamp())
            more = (
                reading.limit - reading.remaining - sum(b.amount for b in booked if (b.owner, b.axis) == (owner, axis))
            )
            if more > 0:
                yield Booking(owner=owner, axis=axis, amount=more, at=now)

    def _book(self, label: str, model: str, amount: float) -> None:
        provider, key = self._places[label, model]
        limits, at = provider.limits[label, model], self._wall()
        made = [
            Booking(owner=owner_of(axis, limits, provider.name, key, model), axis=axis, amount=amount, at=at)
            for axis in limits.axes
            if AXES[axis][0] == "requests"
        ]
        if made:
            self._ledger.book(lambda _: made)
