"""The ledger's clerk: writes spending down before it is sent, and what was learned now and then and at the end."""

from __future__ import annotations

from collections.abc import Callable

from llmfan.ports import Ledger
from llmfan.records import Booking
from llmfan.scheduling.dispatcher import Dispatcher
from llmfan.scheduling.memory import known_of, recall


class Bookkeeper:
    """`wall` turns a moment of the run's clock into Unix time; `speed`: how much faster than real time the run is."""

    def __init__(self, ledger: Ledger, dispatcher: Dispatcher, wall: Callable[[float], float], speed: float = 1.0):
        self._ledger, self._dispatcher, self._wall, self._speed = ledger, dispatcher, wall, speed

    def recall(self, now: float) -> set[tuple[str, str]]:
        """Tells the limits what earlier runs learned and spent. Gives the (owner, axis) of those that had spent."""
        wall = self._wall(now)
        return recall(self._dispatcher, self._ledger.known(), self._ledger.booked, now, wall, self._speed)

    def write_ahead(self, now: float) -> None:
        """Before the send: a crash at two in the afternoon must not hand the day's allowance back."""
        spent = self._dispatcher.unbooked
        if spent:
            at = self._wall(now)
            self._ledger.book(
                lambda _: [Booking(owner=m.owner, axis=m.axis, amount=amount, at=at) for m, amount in spent]
            )
            spent.clear()

    def keep(self, now: float) -> None:
        """What is known by now of limits, answers and accounts."""
        self.write_ahead(now)
        self._ledger.keep(known_of(self._dispatcher, self._wall(now)))
