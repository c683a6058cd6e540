"""Where each lane stands: ready, waiting for a moment, parked until something ends, or idle for want of a job.

Two heaps with lazy deletion: a lane that moves gets a new stamp, and its old entries are passed over.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable

from llmfan.scheduling.lanes import Lane, Standing


class Board:
    """Ready lanes come out by priority, then least recently used first; timed ones when their moment has come."""

    def __init__(self, lanes: Iterable[Lane]):
        self._ready: list[tuple[int, int, int, Lane]] = []
        self._timed: list[tuple[float, int, int, Lane]] = []
        self._idle: list[Lane] = []
        self.parked: dict[str, dict[Lane, None]] = {}  # by provider; "" for those that wait for any end at all
        for lane in lanes:
            self.ready(lane)

    def ready(self, lane: Lane) -> None:
        lane.stamp += 1
        lane.standing = Standing.READY
        lane.waits_for = ""
        if lane.parked_at is not None:
            del self.parked[lane.parked_at][lane]
            lane.parked_at = None
        heapq.heappush(self._ready, (-lane.target.priority, lane.last_used, lane.stamp, lane))

    def wait(self, lane: Lane, until: float, why: str) -> None:
        lane.stamp += 1
        lane.standing, lane.waits_for, lane.wakes = Standing.TIMED, why, until
        heapq.heappush(self._timed, (until, lane.number, lane.stamp, lane))

    def park(self, lane: Lane, why: str, anywhere: bool = False) -> None:
        """Until something that is in flight ends: at its provider, or anywhere."""
        lane.standing, lane.waits_for = Standing.PARKED, why
        lane.parked_at = "" if anywhere else lane.provider.name
        self.parked.setdefault(lane.parked_at, {})[lane] = None

    def pace(self, lane: Lane, why: str) -> None:
        """Until its pacer grants a departure: nothing that ends changes that."""
        lane.standing, lane.waits_for = Standing.PARKED, why

    def idle(self, lane: Lane) -> None:
        lane.standing = Standing.IDLE
        self._idle.append(lane)

    def wake(self, lanes: Iterable[Lane]) -> None:
        for lane in lanes:
            self.ready(lane)

    def wake_idle(self) -> None:
        idle, self._idle = self._idle, []
        self.wake(idle)

    def wake_due(self, now: float) -> None:
        """Lanes whose moment has come are ready."""
        while self._timed and self._timed[0][0] <= now:
            _, _, stamp, lane = heapq.heappop(self._timed)
            if lane.stamp == stamp and lane.standing is Standing.TIMED:
                self.ready(lane)

    def next_ready(self) -> Lane | None:
        """Takes the lane whose turn it is off the board; it has to be put back somewhere."""
        while self._ready:
            _, _, stamp, lane = heapq.heappop(self._ready)
            if lane.stamp == stamp and lane.standing is Standing.READY:
                return lane
        return None

    def next_wake(self) -> float:
        """The moment at which a lane that waits for one may be ready; inf if none does."""
        while self._timed:
            until, _, stamp, lane = self._timed[0]
            if lane.stamp == stamp and lane.standing is Standing.TIMED:
                return until
            heapq.heappop(self._timed)
        return math.inf
