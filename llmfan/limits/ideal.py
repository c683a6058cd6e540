"""The least time in which the limits in force permit a batch: a lower bound that no client can beat.

Each lane's capacity by time t is counted as if it sent at the first moment every limit allows; the bound is the
smallest t at which all lanes together could have answered the batch. Token limits are taken as a fluid.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from msgspec import Struct

from llmfan.limits.axes import Cost


class Flow(Struct, frozen=True, kw_only=True):
    """One owner's limit: `limit` per `period` seconds (inf: it never comes back), for the cost at position `unit`."""

    owner: str
    unit: int
    limit: float
    period: float


class LaneFlow(Struct, frozen=True, kw_only=True):
    """What one target can carry: its flows, its typical service time in seconds, its cap on requests in flight."""

    flows: tuple[Flow, ...]
    service: float
    in_flight: tuple[tuple[str, float], ...] = ()


def ideal_duration(jobs: int, cost: Cost, lanes: Sequence[LaneFlow], concurrency: int) -> float | None:
    """Seconds; None if the limits never permit the batch. `cost`: what a job costs on average."""
    if jobs <= 0 or not lanes:
        return 0.0 if jobs <= 0 else None
    fastest = min(lane.service for lane in lanes)
    high = max(fastest, 1e-3)
    while _capacity(high, cost, lanes, concurrency, fastest) < jobs:
        high *= 2
        if high > 1e9:
            return None
    low = 0.0
    for _ in range(60):
        middle = (low + high) / 2
        if _capacity(middle, cost, lanes, concurrency, fastest) >= jobs:
            high = middle
        else:
            low = middle
    return high


def _capacity(t: float, cost: Cost, lanes: Sequence[LaneFlow], concurrency: int, fastest: float) -> float:
    """Most jobs that can be answered by time t. A limit shared by lanes is spent once."""
    left: dict[tuple[str, int, float], float] = {}
    slots: dict[str, float] = {}
    total = 0.0
    for lane in lanes:
        if t < lane.service:
            continue
        room = math.inf
        for flow in lane.flows:
            if cost[flow.unit] > 0:
                ident = (flow.owner, flow.unit, flow.period)
                room = min(room, left.setdefault(ident, _units(flow, t - lane.service) / cost[flow.unit]))
        for owner, cap in lane.in_flight:
            room = min(room, slots.setdefault(owner, _turns(cap, t, lane.service)))
        room = min(room, _turns(concurrency, t, lane.service))
        for flow in lane.flows:
            if cost[flow.unit] > 0:
                left[flow.owner, flow.unit, flow.period] -= room
        for owner, _ in lane.in_flight:
            slots[owner] -= room
        total += room
    return min(total, _turns(concurrency, t, fastest))


def _turns(cap: float, t: float, service: float) -> float:
    return math.inf if service <= 0 else cap * math.floor(t / service + 1e-9)


def _units(flow: Flow, d: float) -> float:
    return flow.limit if math.isinf(flow.period) else flow.limit * (math.floor(d / flow.period + 1e-9) + 1)
