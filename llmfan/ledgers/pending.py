"""What is to be written: emptied by each transaction that holds, and kept for the next one by each that does not."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from msgspec.structs import replace

from llmfan.entries import KeyState, Tally
from llmfan.ledgers.spending import HELD, first_span
from llmfan.ledgers.stretches import merge
from llmfan.records import Booking, Known, KnownLimit, KnownTarget
from llmfan.units import HOUR, MINUTE

_Sums = dict[tuple[str, str, int], Booking]


class Own:
    """What this process has booked, by the hour: it is booked again where the ledger is begun anew meanwhile."""

    def __init__(self) -> None:
        self._sums: _Sums = {}

    def book(self, bookings: Iterable[Booking]) -> None:
        _add_up(self._sums, bookings, lambda axis: HOUR)

    def all(self) -> list[Booking]:
        return list(self._sums.values())


class Pending:
    """Bookings and tallies are summed, so that a disk that stays full for hours does not fill the memory as well."""

    def __init__(self) -> None:
        self.bookings: _Sums = {}
        self.tallies: dict[tuple[str, str, int], Tally] = {}
        self._states: dict[tuple[str, str], KeyState] = {}
        self._limits: dict[tuple[str, str], KnownLimit] = {}
        self._targets: dict[str, KnownTarget] = {}
        self._shared: dict[str, str] = {}

    def __bool__(self) -> bool:
        return bool(self.bookings or self.tallies or self.learned())

    def book(self, bookings: Iterable[Booking]) -> None:
        _add_up(self.bookings, bookings, first_span)

    def tally(self, tallies: Iterable[Tally]) -> None:
        for each in tallies:
            place = (each.key, each.model, int(each.at // MINUTE))
            if place in self.tallies:
                merge(self.tallies[place], each)
            else:
                self.tallies[place] = replace(each, latencies=dict(each.latencies))

    def keep(self, known: Known) -> None:
        self._states.update({(state.key, state.model): state for state in known.states})
        self._limits.update({(limit.owner, limit.axis): limit for limit in known.limits})
        self._targets.update({target.name: target for target in known.targets})
        self._shared.update(known.shared)

    def learned(self) -> Known | None:
        if not (self._states or self._limits or self._targets or self._shared):
            return None
        return Known(
            states=list(self._states.values()), limits=list(self._limits.values()),
            targets=list(self._targets.values()), shared=list(self._shared.items()),
        )  # fmt: skip

    def clear(self) -> None:
        for each in (self.bookings, self.tallies, self._states, self._limits, self._targets, self._shared):
            each.clear()


def _add_up(sums: _Sums, bookings: Iterable[Booking], span: Callable[[str], float]) -> None:
    """`span`: the stretch of an axis that one sum stands for; it counts at its latest moment."""
    for each in bookings:
        if each.axis == HELD:
            continue
        place = (each.owner, each.axis, int(each.at // span(each.axis)))
        before = sums.get(place)
        if before is not None:
            each = replace(each, amount=before.amount + each.amount, at=max(before.at, each.at))
        sums[place] = each
