"""What a process that is sending knows better than its ledger: what its counters have used, how its keys are now."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable
from typing import Protocol, cast

from msgspec.structs import replace

from llmfan.entries import KeyState
from llmfan.ledgers.learned import laid_over, merged
from llmfan.limits.window import Calendar, Meter
from llmfan.records import Known
from llmfan.scheduling.conditions import conditions
from llmfan.scheduling.dispatcher import Dispatcher
from llmfan.scheduling.lanes import Lane
from llmfan.scheduling.memory import known_of
from llmfan.scheduling.neighbours import meters_of
from llmfan.settings import AXES
from llmfan.status.owners import Counted


class _Rolling(Meter, Protocol):
    period: float

    def next_free(self, now: float) -> float: ...


def counted(dispatcher: Dispatcher, now: float, speed: float) -> dict[tuple[str, str], Counted]:
    """(owner, axis) → what its counter has used. Seconds are of the process's clock, however fast it runs."""
    made: dict[int, Counted] = {}
    found = {}
    for (owner, axis), meter in meters_of(dispatcher).items():
        if axis in AXES and axis != "concurrency" and not owner.endswith(" burst"):
            if id(meter) not in made:
                made[id(meter)] = _counted(meter, axis, now, speed)
            found[owner, axis] = made[id(meter)]
    return found


def _counted(meter: Meter, axis: str, now: float, speed: float) -> Counted:
    used = meter.used(now)
    if isinstance(meter, Calendar):
        return Counted(used, None if speed == 1 else meter.resets_in(now))
    rolling = cast(_Rolling, meter)
    windows = AXES[axis][1] / speed / rolling.period  # half a request a second is counted as one in two
    back = rolling.next_free(now)
    return Counted(used * windows, back - now if now < back < math.inf else None)


def states_now(
    lanes: Iterable[Lane],
    answered: Collection[tuple[str, str]],
    now: float,
    wall: Callable[[float], float],
    speed: float,
) -> list[KeyState]:
    """As `conditions`, but for those who look at this moment: short rests count too, and time is the process's own."""
    lanes = list(lanes)
    found = {}
    for state in conditions(lanes, answered, now, wall, speed):
        until = None if state.until is None else state.at + (state.until - state.at) / speed
        found[state.key, state.model] = replace(state, until=until)
    for lane in lanes:
        place = (lane.target.key, lane.target.model)
        if not lane.out and lane.rest_until > now:
            found[place] = KeyState(
                key=place[0], model=place[1], state="exhausted" if lane.rest_kind == "exhausted" else "rate_limited",
                why=lane.rest_why, until=None if math.isinf(lane.rest_until) else wall(lane.rest_until), at=wall(now),
            )  # fmt: skip
    return list(found.values())


def known_now(known: Known, dispatcher: Dispatcher, at: float) -> Known:
    """What stands in the ledger, and over it what has been learned since, as the ledger would keep it."""
    limits = {(limit.owner, limit.axis): limit for limit in known.limits}
    news = known_of(dispatcher, at)
    for new in news.limits:
        old = limits.get((new.owner, new.axis))
        limits[new.owner, new.axis] = new if old is None else merged(old, old.at, new)[0]
    more = replace(news, limits=list(limits.values()))
    return laid_over(known, more)


def with_states(known: Known, *states: Iterable[KeyState]) -> Known:
    """Of several for the same key and model the last one holds."""
    together = {(state.key, state.model): state for those in states for state in those}
    return replace(known, states=list(together.values()))
