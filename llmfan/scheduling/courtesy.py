"""What a batch leaves for callers who wait, in a fleet that serves both: room in every window, and even departures.

A window that a batch has used up at once would make the next caller wait for its end. So a batch goes ahead only as
far as calls that come evenly, at a share of the limit's rate, still find room at any time; and while calls do come, it
leaves evenly spaced, so that the next permit is never further off than one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from llmfan.limits.axes import Cost
from llmfan.limits.window import Meter
from llmfan.scheduling.lanes import Lane

#: The share of a limit's rate that callers find room for; part of a request that may lack.
SHARE, SLACK = 0.5, 0.5
#: One place is always left where so many or more fit.
FEW = 10
#: A batch leaves evenly spaced for so long after a call. Seconds.
AFTER_S = 600.0
#: How many of the places that come free are looked at.
LOOKS = 16
#: What a lane waits for then, for the eye.
ROOM = "room for callers"


class Courtesy:
    def __init__(self, speed: float = 1.0):
        self._after = AFTER_S / speed
        self._called = -math.inf

    def called(self, now: float) -> None:
        """Somebody calls and waits."""
        self._called = now

    def until(self, lane: Lane, cost: Cost, now: float) -> float:
        """When a batch's request may leave, by what it leaves for callers; `now` if at once."""
        at = max((room_at(meter, cost[meter.unit], now) for meter in lane.meters), default=now)
        pace = lane.group.pace
        if now - self._called < self._after and math.isfinite(pace.limit):
            at = max(at, lane.group.last_send + (pace.period + pace.margin) / pace.limit)
        return at


def room_at(meter: Meter, amount: float, now: float) -> float:
    """When so much may be taken of a limit, so that a flow of `SHARE` of its rate finds room at any time after.

    Before each moment at which something comes free, what is free by then has to be what will have flowed by then.
    """
    returning: Sequence[tuple[float, float]] | None = getattr(meter, "returning", None)
    if returning is None or amount <= 0 or math.isinf(meter.limit):
        return now
    held: Sequence[tuple[float, float]] = meter.returning(now, LOOKS)  # type: ignore[attr-defined]
    flow = SHARE * meter.limit / meter.period  # type: ignore[attr-defined]
    free = meter.limit - sum(part for _, part in held) - amount + SLACK * amount
    least = amount * (1 + SLACK) if meter.limit >= FEW * amount else 0.0
    until = now
    for at, part in held:
        until = max(until, at if free < least else at - free / flow)
        free += part
    return until
