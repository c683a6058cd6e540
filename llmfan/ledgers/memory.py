"""A ledger that is gone with the process: for simulated runs, forecasts and tests."""

from __future__ import annotations

from collections.abc import Iterable

from llmfan.records import Booking, Known, KnownLimit, KnownTarget
from llmfan.units import MINUTE


class MemoryLedger:
    """Bookings are summed by the minute, so that it does not grow with a run's length times its size."""

    def __init__(self) -> None:
        self._limits: dict[tuple[str, str], KnownLimit] = {}
        self._targets: dict[str, KnownTarget] = {}
        self._shared: dict[str, str] = {}
        self._booked: dict[tuple[int, str, str], float] = {}

    def known(self) -> Known:
        return Known(
            limits=list(self._limits.values()), targets=list(self._targets.values()), shared=list(self._shared.items())
        )

    def booked(self, since: float) -> list[Booking]:
        first = int(since // MINUTE)
        return [
            Booking(owner=owner, axis=axis, amount=amount, at=max(since, minute * MINUTE))
            for (minute, owner, axis), amount in sorted(self._booked.items())
            if minute >= first and amount > 0
        ]

    def book(self, bookings: Iterable[Booking]) -> None:
        for each in bookings:
            place = (int(each.at // MINUTE), each.owner, each.axis)
            self._booked[place] = self._booked.get(place, 0.0) + each.amount

    def keep(self, known: Known) -> None:
        self._limits.update({(limit.owner, limit.axis): limit for limit in known.limits})
        self._targets.update({target.name: target for target in known.targets})
        self._shared.update(known.shared)
