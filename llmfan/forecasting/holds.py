"""Which limits hold a batch back: looked at now and then, each lane says what it waits for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Mapping, Sequence
from random import Random

from msgspec import Struct

from llmfan.limits.axes import is_quota
from llmfan.scheduling.dispatcher import Dispatcher
from llmfan.scheduling.lanes import Lane, Standing
from llmfan.settings import AXES

#: So many looks, then twice as far between them: as dense for a batch of seconds as for one of days.
LOOKS, FIRST_STEP_S = 128, 0.02
#: A limit nobody has declared, that a run has to find out.
UNDECLARED = "undeclared"
#: What all keys together wait for: requests in flight, or money.
ALL_KEYS = None
#: What a lane waits for that could send, but for the run's own cap on requests in flight, or on cost.
CROWD, POVERTY = "--concurrency", "--max-cost"


class Bound(Struct, frozen=True):
    """A limit that holds the batch back. `gain`: the jobs that twice the limit would have let through besides.

    `shared_with`: the other keys that draw on the same limit.
    """

    key: str | None
    limit: str
    gain: float
    shared_with: list[str] = []


class Holds:
    """Time that each lane waited for each limit. `due`: the moment of the next look."""

    def __init__(self, dispatcher: Dispatcher, rng: Random):
        self._dispatcher, self._rng = dispatcher, rng
        self._waits: dict[tuple[int, str], float] = {}
        self._poor = 0.0
        self._step, self._looks = FIRST_STEP_S, 0
        self._refused: dict[int, str] = {}
        self.due = 0.0

    def refused(self, lane: Lane, axis: str) -> None:
        """Until it may send again, the lane waits for the limit that refused it."""
        self._refused[lane.number] = axis

    def look(self, until: float) -> None:
        """Books the time from `due` on, through which (to `until` at least) all stands as it does now."""
        following = max(until, self.due + self._step * self._rng.uniform(0.5, 1.5))
        span, self.due = following - self.due, following
        self._looks += 1
        if self._looks % LOOKS == 0:
            self._step *= 2
        if self._dispatcher.purse.refused:
            self._poor += span
        crowded = self._dispatcher.in_flight >= self._dispatcher.concurrency
        for lane in self._dispatcher.lanes:
            limit = self._limit(lane) or (CROWD if crowded and lane.standing is Standing.READY else "")
            if limit:
                self._waits[lane.number, limit] = self._waits.get((lane.number, limit), 0.0) + span

    def _limit(self, lane: Lane) -> str:
        """What a lane waits for, if that is a limit."""
        pace = lane.group.pace
        if lane.standing is Standing.TIMED:
            if lane.held_by is pace and pace.declared is None:
                return UNDECLARED
            if lane.waits_for in AXES:
                return lane.waits_for
            return self._refused.get(lane.number, "") if lane.waits_for == lane.rest_why else ""
        if lane.standing is not Standing.PARKED:
            return ""
        cap = lane.provider.cap
        if cap is not None and lane.provider.in_flight >= cap:
            return "concurrency"
        most = pace.most_in_flight()
        if most is not None and lane.group.in_flight >= most:
            return UNDECLARED
        if lane.group.paced and not lane.group.permit:
            return UNDECLARED if pace.declared is None else pace.axis
        full = any(m.axis == "concurrency" and m.used(self.due) + 1 > m.limit for m in lane.meters)
        return "concurrency" if full else ""

    def binding(self, answered: Sequence[int], duration: float, late: Container[int]) -> list[Bound]:
        """The limits that held the batch back, the one that would gain most by being doubled first.

        Twice a pace that bound a lane all the time would have let its jobs through once more; twice a quota at most as
        many again, and no more than the lane could have served in the time it sat without. Where a quota was spent, a
        faster pace would only have spent it sooner; where a lane waited for limits of its own as well, more requests in
        flight would only have made it wait for those; and only lanes that the batch was `late` for matter.
        """
        gains: defaultdict[tuple[str, str], float] = defaultdict(float)
        keys: defaultdict[tuple[str, str], dict[str, None]] = defaultdict(dict)
        spent, own = defaultdict[int, float](float), defaultdict[int, float](float)
        for (number, limit), span in self._waits.items():
            spent[number] += span if _quota(limit) else 0.0
            own[number] += span if limit != CROWD else 0.0
        for (number, limit), span in self._waits.items():
            lane, jobs = self._dispatcher.lanes[number], answered[number]
            if number not in late or (spent[number] and not _quota(limit)):
                continue
            if limit == CROWD:
                span = max(0.0, span - own[number])
            else:
                keys[limit, _owner(lane, limit)][lane.target.key] = None
            gains[limit, _owner(lane, limit)] += min(jobs, jobs / max(1e-9, duration - spent[number]) * span)
        gains[POVERTY, ""] = sum(answered) * self._poor / max(1e-9, duration)
        return _by_key(gains, keys)


def _by_key(gains: Mapping[tuple[str, str], float], keys: Mapping[tuple[str, str], Mapping[str, None]]) -> list[Bound]:
    """One entry a key and limit: that of models counted apart is as large as all of theirs."""
    found: dict[tuple[str | None, str], Bound] = {}
    for (limit, owner), gain in gains.items():
        first, *others = keys.get((limit, owner)) or [ALL_KEYS]
        before = found.get((first, limit))
        more = 0.0 if before is None else before.gain
        found[first, limit] = Bound(first, limit, gain + more, [key for key in others if key is not None])
    return sorted((bound for bound in found.values() if bound.gain > 0), key=lambda bound: -bound.gain)


def _owner(lane: Lane, limit: str) -> str:
    """Whose limit it is: lanes of one owner wait for one and the same."""
    if limit in (CROWD, POVERTY):
        return ""
    if limit == UNDECLARED:
        return lane.group.pace.owner
    if limit == "concurrency" and lane.provider.cap is not None:
        return lane.provider.name
    return next((meter.owner for meter in lane.meters if meter.axis == limit), lane.target.key)


def _quota(limit: str) -> bool:
    return limit in AXES and is_quota(limit)
