"""A ledger that is gone with the process: for simulated runs, forecasts, tests, and where no file can be written."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from msgspec.structs import replace

from llmfan.entries import Change, Elsewhere, KeyState, Tally
from llmfan.ledgers.netting import netted
from llmfan.ledgers.stretches import merge, summed_in
from llmfan.records import Booking, Known, KnownLimit, KnownTarget
from llmfan.units import DAY, HOUR, MINUTE

#: What `forget` gives where nothing could be dropped in the file.
NOT_WRITTEN = -1
#: Minutes of what no window of minutes or hours looks at any more are summed by the hour (a day begins at one).
_LONG_OVER = 2 * DAY
_NOBODY = Elsewhere()


class MemoryLedger:
    """Bookings are summed by the minute, and after two days by the hour, so that it does not grow with a run's size,
    and only slowly with its length.

    `kept`: False where it stands for a file that cannot be used, so that what is dropped here is not dropped there.
    """

    def __init__(self, kept: bool = True) -> None:
        self._kept = kept
        self._limits: dict[tuple[str, str], KnownLimit] = {}
        self._targets: dict[str, KnownTarget] = {}
        self._shared: dict[str, str] = {}
        self._states: dict[tuple[str, str], KeyState] = {}
        self._booked: dict[tuple[int, str, str], float] = {}
        self._tallies: dict[tuple[str, str, float, float], Tally] = {}
        self._summed = self._folded = 0.0  # the last moment at which old ones were summed

    def known(self) -> Known:
        return Known(
            limits=list(self._limits.values()), targets=list(self._targets.values()),
            shared=list(self._shared.items()), states=list(self._states.values()),
        )  # fmt: skip

    def keep(self, known: Known) -> None:
        self._limits.update({(limit.owner, limit.axis): limit for limit in known.limits})
        self._targets.update({target.name: target for target in known.targets})
        self._shared.update(known.shared)
        self._states.update({(state.key, state.model): state for state in known.states})

    def booked(self, since: float) -> list[Booking]:
        """A minute in which `since` lies counts as a whole, at that moment."""
        first = int(since // MINUTE)
        bookings = [
            Booking(owner=owner, axis=axis, amount=amount, at=since if minute == first else minute * MINUTE)
            for (minute, owner, axis), amount in self._booked.items()
        ]
        return netted(bookings, since)

    def book(self, decide: Callable[[Elsewhere], Iterable[Booking]]) -> None:
        for each in decide(_NOBODY):
            if each.axis != "concurrency":
                place = (int(each.at // MINUTE), each.owner, each.axis)
                self._booked[place] = self._booked.get(place, 0.0) + each.amount
                if each.at - self._folded >= HOUR:
                    self._folded = each.at
                    self._fold(int((each.at - _LONG_OVER) // HOUR))

    def elsewhere(self) -> Elsewhere | None:
        return None

    def tally(self, tallies: Iterable[Tally]) -> None:
        for each in tallies:
            self._add(each)
            if each.at - self._summed >= HOUR:
                self._summed = each.at
                self._sum_up(each.at - 2 * HOUR)

    def tallied(self, since: float) -> list[Tally]:
        found = [replace(each, latencies=dict(each.latencies)) for each in self._tallies.values()]
        return sorted((each for each in found if each.at + each.span > since), key=lambda each: each.at)

    def changes(self, since: float) -> list[Change]:
        return []

    def forget(self, owners: Iterable[str], keys: Iterable[str]) -> int:
        dropped = [place for place in self._limits if place[0] in set(owners)]
        lifted = [place for place in self._states if place[0] in set(keys)]
        for place in dropped:
            del self._limits[place]
        for state in lifted:
            del self._states[state]
        return len(dropped) + len(lifted) if self._kept else NOT_WRITTEN

    def version(self) -> int:
        """There is nobody else."""
        return 0

    def close(self) -> None:
        """Nothing is held."""

    def _add(self, tally: Tally) -> None:
        place = (tally.key, tally.model, tally.at, tally.span)
        if place in self._tallies:
            merge(self._tallies[place], tally)
        else:
            self._tallies[place] = replace(tally, latencies=dict(tally.latencies))

    def _fold(self, edge: int) -> None:
        """Into the first minute of its hour, of hours before that one."""
        each = int(HOUR // MINUTE)
        for place in [p for p in self._booked if p[0] % each and p[0] // each < edge]:
            hour = (place[0] // each * each, *place[1:])
            self._booked[hour] = self._booked.get(hour, 0.0) + self._booked.pop(place)

    def _sum_up(self, edge: float) -> None:
        """What is long over counts by the hour."""
        for place in [p for p, each in self._tallies.items() if each.span < HOUR and each.at < edge]:
            self._add(summed_in(self._tallies.pop(place), HOUR))
