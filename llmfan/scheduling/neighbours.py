"""Other llmfan processes that use the same keys: what they send counts here as well, and nobody takes the same place.

The ledger tells what they have written down since the last look, in the same step in which our own is written. A claim
that leaves no room for what they took is given back before it is sent.
"""

from __future__ import annotations

from collections.abc import Iterable

from llmfan.entries import Elsewhere
from llmfan.limits.gauge import Gauge
from llmfan.limits.slots import Slots
from llmfan.limits.window import Meter
from llmfan.scheduling.claim import Claim
from llmfan.scheduling.dispatcher import Dispatcher


class Neighbours:
    """Counts for a dispatcher what others send."""

    def __init__(self, dispatcher: Dispatcher):
        self._dispatcher = dispatcher
        self._given_back: dict[Meter, float] = {}  # what others took less than said, against what they take next
        self._before = Elsewhere()
        self.stirred = False  # something was heard since it was last asked

    def heed(self, elsewhere: Elsewhere, now: float) -> set[Meter]:
        """Counts it. Gives the limits that are fuller than before.

        Moments are ours: clocks of two processes may differ, and what was written since our last look was sent since.
        """
        before, self._before = self._before, elsewhere
        if not elsewhere.booked and (before.in_flight, before.sharers) == (elsewhere.in_flight, elsewhere.sharers):
            return set()
        self.stirred = True
        by_name = meters_of(self._dispatcher)
        fuller = {m for owner, axis, n in elsewhere.booked for m in self._count(by_name.get((owner, axis)), n, now)}
        held: dict[Slots, float] = {}
        sharers: dict[Gauge, int] = {}
        for (owner, _), meter in by_name.items():  # owners that share an account have one limit
            if isinstance(meter, Slots):
                held[meter] = held.get(meter, 0.0) + elsewhere.in_flight.get(owner, 0.0)
            elif isinstance(meter, Gauge):
                sharers[meter] = max(sharers.get(meter, 0), elsewhere.sharers.get(owner, 0))
        for gauge, others in sharers.items():
            gauge.sharers = others
        for slots, taken in held.items():
            if taken > slots.elsewhere:
                fuller.add(slots)
            elif taken < slots.elsewhere:
                self._dispatcher.look_again()
            slots.elsewhere = taken
        return fuller

    def give_way(self, claims: Iterable[Claim], fuller: set[Meter], now: float) -> set[Claim]:
        """Gives back the last of these claims until the limits that others filled hold again."""
        back = set()
        for claim in reversed(list(claims)):
            if any(meter in fuller and meter.over(now) for meter in claim.meters):
                self._dispatcher.release(claim, now, left=False)
                back.add(claim)
        return back

    def _count(self, meter: Meter | None, amount: float, now: float) -> list[Meter]:
        if meter is None:
            return []
        amount += self._given_back.pop(meter, 0.0)
        if amount <= 0:
            self._given_back[meter] = amount
            return []
        meter.recall(now, now, amount)
        return [meter]


def meters_of(dispatcher: Dispatcher) -> dict[tuple[str, str], Meter]:
    """By (owner, axis) as they were made: the limit that counts it now (another one, where keys share an account)."""
    accounts = dispatcher.accounts
    return {
        (made.owner, made.axis): passed
        for lane in dispatcher.lanes
        for made, passed in (
            accounts.counters(lane) if accounts is not None else zip(lane.meters, lane.meters, strict=True)
        )
    }
