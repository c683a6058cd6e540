"""The ledger's clerk: writes spending down before it is sent, and what was learned now and then and at the end."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from llmfan.conduct.tallies import Tallies
from llmfan.entries import Elsewhere, KeyState, Tally
from llmfan.limits.window import Calendar
from llmfan.ports import Ledger
from llmfan.records import Booking, Known
from llmfan.scheduling.claim import Claim
from llmfan.scheduling.conditions import conditions
from llmfan.scheduling.dispatcher import Dispatcher
from llmfan.scheduling.memory import known_of, recall
from llmfan.scheduling.neighbours import Neighbours

#: Between two writes of what was learned, and of what was answered and how the keys are. Seconds.
KEEP_S, FLUSH_S = 30.0, 0.5


class Bookkeeper:
    """`wall` turns a moment of the run's clock into Unix time; `speed`: how much faster than real time the run is."""

    def __init__(self, ledger: Ledger, dispatcher: Dispatcher, wall: Callable[[float], float], speed: float = 1.0):
        self._ledger, self._dispatcher, self._wall, self._speed = ledger, dispatcher, wall, speed
        self._neighbours = Neighbours(dispatcher)
        self.tallies = Tallies()
        self._kept_at = self._flushed_at = -math.inf
        self._told: dict[tuple[str, str], KeyState] = {}
        #: Told of every lot of tallies that goes into the ledger, where somebody keeps count.
        self.tallied: Callable[[Sequence[Tally]], None] = lambda tallies: None

    def recall(self, now: float) -> set[tuple[str, str]]:
        """Tells the limits what earlier runs learned and spent. Gives the (owner, axis) of those that had spent."""
        self._kept_at = self._flushed_at = now
        wall = self._wall(now)
        return recall(self._dispatcher, self._ledger.known(), self._ledger.booked, now, wall, self._speed)

    def claims(self, now: float) -> list[Claim]:
        """What the dispatcher decides to send, written down; what another process was faster with is decided anew."""
        kept: list[Claim] = []
        while True:
            claims = self._dispatcher.match(now)
            written = self._write_ahead(claims, now)
            kept += written
            if len(written) == len(claims):
                return kept

    def _write_ahead(self, claims: list[Claim], now: float) -> list[Claim]:
        """Before the send: a crash at two in the afternoon must not hand the day's allowance back.

        Gives those that may be sent: all, but where another process has just taken their place.
        """
        back: set[Claim] = set()

        def decide(elsewhere: Elsewhere) -> Sequence[Booking]:
            if fuller := self._neighbours.heed(elsewhere, now):
                back.update(self._neighbours.give_way(claims, fuller, now))
            return self._bookings(now)

        if claims and self._dispatcher.unbooked:
            self._ledger.book(decide)
        return [claim for claim in claims if claim not in back] if back else claims

    def look(self, now: float) -> bool:
        """To be called now and then. True: others left room, or took some, so the scheduler has to look again."""
        elsewhere = self._ledger.elsewhere()
        if elsewhere is not None:
            self._neighbours.heed(elsewhere, now)
        self._write_after(now)
        if now - self._kept_at >= KEEP_S:
            self.keep(now)
        elif now - self._flushed_at >= FLUSH_S:
            self.flush(now)
        stirred, self._neighbours.stirred = self._neighbours.stirred, False  # by what was heard while writing as well
        return stirred or elsewhere is not None

    def keep(self, now: float) -> None:
        """What is known by now of limits, answers and accounts."""
        self._kept_at = now
        self.flush(now)
        self._ledger.keep(known_of(self._dispatcher, self._wall(now)))

    def flush(self, now: float) -> None:
        """What was answered, what others were heard to have spent, and which keys are otherwise than they were."""
        self._flushed_at = now
        days = {m for lane in self._dispatcher.lanes for m in lane.meters if isinstance(m, Calendar)}
        self._write_after(now, [meter for meter in days if meter.strangers])
        if tallies := self.tallies.taken():
            self._ledger.tally(tallies)
            self.tallied(tallies)
        states = conditions(self._dispatcher.lanes, self.tallies.answered, now, self._wall, self._speed)
        news = [state for state in states if _differs(self._told.get((state.key, state.model)), state)]
        if news:
            self._told.update({(state.key, state.model): state for state in news})
            self._ledger.keep(Known(states=news))

    def _write_after(self, now: float, heard: Sequence[Calendar] = ()) -> None:
        """What was given back or turned out dearer since the last send; and what others were heard to have spent, but
        for what they have written down themselves.
        """

        def decide(elsewhere: Elsewhere) -> Sequence[Booking]:
            self._neighbours.heed(elsewhere, now)
            for meter in heard:
                if meter.strangers:
                    self._dispatcher.unbooked.append((meter, meter.strangers))
                    meter.strangers = 0.0
            return self._bookings(now)

        if self._dispatcher.unbooked or heard:
            self._ledger.book(decide)

    def _bookings(self, now: float) -> list[Booking]:
        at, spent = self._wall(now), self._dispatcher.unbooked
        made = [Booking(owner=m.owner, axis=m.axis, amount=amount, at=at) for m, amount in spent]
        spent.clear()
        return made


def _differs(told: KeyState | None, state: KeyState) -> bool:
    if told is None or (told.state, told.until is None) != (state.state, state.until is None):
        return True
    return told.until is not None and state.until is not None and abs(told.until - state.until) > 1.0
