"""What is to be written: emptied by each transaction that holds, and kept for the next one by each that does not."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from llmfan.entries import KeyState, Tally
from llmfan.ledgers.spending import HELD, first_span
from llmfan.ledgers.tallying import merge
from llmfan.records import Booking, Known, KnownLimit, KnownTarget
from llmfan.units import MINUTE


class Pending:
    """Bookings and tallies are summed, so that a disk that stays full for hours does not fill the memory as well."""

    def __init__(self) -> None:
        self.bookings: dict[tuple[str, str, int], Booking] = {}
        self.tallies: dict[tuple[str, str, int], Tally] = {}
        self._states: dict[tuple[str, str], KeyState] = {}
        self._limits: dict[tuple[str, str], KnownLimit] = {}
        self._targets: dict[str, KnownTarget] = {}
        self._shared: dict[str, str] = {}

    def __bool__(self) -> bool:
        return bool(self.bookings or self.tallies or self.learned())

    def book(self, bookings: Iterable[Booking]) -> None:
        for each in bookings:
            if each.axis == HELD:
                continue
            place = (each.owner, each.axis, int(each.at // first_span(each.axis)))
            before = self.bookings.get(place)
            if before is not None:
                each = replace(each, amount=before.amount + each.amount, at=max(before.at, each.at))
            self.bookings[place] = each

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
