"""The ledger's clerk for a probe: what it sends is written down before, and what others spent of a day after."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from llmfan.limits.axes import is_quota, last_boundary, next_boundary, owner_of
from llmfan.ports import Ledger
from llmfan.probing.counters import Counters
from llmfan.probing.findings import Finding, Reading
from llmfan.records import Booking
from llmfan.settings import AXES, Fleet, KeySettings, LimitSet, Provider
from llmfan.units import DAY, MINUTE

#: So soon after its midnight a provider may still tell of the day before.
_DAWN_S = MINUTE
_ROLLING = "rolling"


class _Place(NamedTuple):
    provider: Provider
    key: KeySettings
    limits: LimitSet


class _Books:
    """What is booked, by counter; the ledger is asked once for each moment that a window began at."""

    def __init__(self, ledger: Ledger, counters: Counters):
        self._ledger, self._counters = ledger, counters
        self._sums: dict[float, dict[tuple[str, str], float]] = {}

    def spent(self, owner: str, axis: str, since: float) -> float:
        if since not in self._sums:
            sums = self._sums[since] = {}
            for each in self._ledger.booked(since):
                place = (self._counters.of(each.owner, each.axis), each.axis)
                sums[place] = sums.get(place, 0.0) + each.amount
        return self._sums[since].get((self._counters.of(owner, axis), axis), 0.0)


class Clerk:
    """One token more or less counts against none but the limits on requests. `wall` gives Unix time."""

    def __init__(self, ledger: Ledger, fleet: Fleet, wall: Callable[[], float]):
        self._ledger, self._fleet, self._wall = ledger, fleet, wall
        self._places = {
            (key.label, m.name): _Place(p, key, p.limits[key.label, m.name])
            for p in fleet.providers for key in p.keys for m in p.models
        }  # fmt: skip

    def ahead(self, key: str, model: str) -> None:
        """Before the send: a measurement that is cut off has spent what it sent."""
        self._book(key, model, 1.0)

    def back(self, key: str, model: str) -> None:
        """It was refused, so it counts nowhere."""
        self._book(key, model, -1.0)

    def hear(self, findings: Iterable[Finding]) -> None:
        """A provider that reports less left of a calendar day or month than we know of speaks for others' spending.

        Once for each counter, whichever of its keys told of it, and by the one that told of most. What refills all
        the time is left alone: booked now, it would stand for a whole day. So is what was told of a day that is over.
        """
        findings = list(findings)
        counters = Counters(self._fleet, findings, self._ledger.known().shared)
        most: dict[tuple[str, str, float], float] = {}
        for place, axis, reading, found in self._told(findings):
            since = self._since(axis, place.limits)
            if reading.limit is None or reading.remaining is None or (reading.at or self._wall()) < since + _DAWN_S:
                continue
            counter = (counters.of(self._owner(axis, place, found.model), axis), axis, since)
            most[counter] = max(most.get(counter, 0.0), reading.limit - max(0.0, reading.remaining))
        now, books = self._wall(), _Books(self._ledger, counters)
        made = [
            Booking(owner=owner, axis=axis, amount=spent - known, at=now)
            for (owner, axis, since), spent in most.items()
            if spent > (known := books.spent(owner, axis, since))
        ]
        if made:
            self._ledger.book(lambda _: made)

    def warn(self, findings: Iterable[Finding]) -> None:
        """A key may answer though its day is spent as far as we know: `run` sends nothing then, and one has to know."""
        findings = list(findings)
        books = _Books(self._ledger, Counters(self._fleet, findings, self._ledger.known().shared))
        for found in findings:
            place = self._places.get((found.key, found.model))
            if found.state == "ok" and place is not None:
                said = next(self._spent_quotas(place, found, books), "")
                found.why = "; ".join(part for part in (found.why, said) if part)

    # ---------------------------------------------------------- counting

    def _told(self, findings: Iterable[Finding]) -> Iterator[tuple[_Place, str, Reading, Finding]]:
        for found in findings:
            place = self._places.get((found.key, found.model))
            if place is not None and place.limits.reset != _ROLLING:
                yield from ((place, axis, each, found) for axis, each in found.limits.items() if is_quota(axis))

    def _spent_quotas(self, place: _Place, found: Finding, books: _Books) -> Iterator[str]:
        for axis, declared in place.limits.axes.items():
            if not is_quota(axis):
                continue
            told = found.limits.get(axis, Reading()).limit
            limit = declared if told is None else told
            spent = books.spent(self._owner(axis, place, found.model), axis, self._since(axis, place.limits))
            if spent > 0 and limit - spent < (1 if AXES[axis][0] == "requests" else 1e-6):
                span = "month" if AXES[axis][1] > DAY else "day"
                back = self._back(place.limits.reset, axis)
                yield f"its {span} is spent by our own count ({axis} {spent:,.10g}/{limit:,.10g}){back}"

    def _owner(self, axis: str, place: _Place, model: str) -> str:
        return owner_of(axis, place.limits, place.provider.name, place.key, model)

    def _since(self, axis: str, limits: LimitSet) -> float:
        now = self._wall()
        if limits.reset == _ROLLING:
            return now - AXES[axis][1]
        return last_boundary(dt.datetime.fromtimestamp(now, dt.UTC), limits.reset, AXES[axis][1] > DAY).timestamp()

    def _back(self, reset: str, axis: str) -> str:
        if reset == _ROLLING:
            return ", back bit by bit"
        now, month = dt.datetime.fromtimestamp(self._wall(), dt.UTC), AXES[axis][1] > DAY
        return f", back at {next_boundary(now, reset, month):{'%Y-%m-%d ' if month else ''}%H:%M} UTC"

    def _book(self, label: str, model: str, amount: float) -> None:
        place, at = self._places[label, model], self._wall()
        made = [
            Booking(owner=self._owner(axis, place, model), axis=axis, amount=amount, at=at)
            for axis in place.limits.axes
            if AXES[axis][0] == "requests"
        ]
        if made:
            self._ledger.book(lambda _: made)
