"""The end of a batch: a slow lane leaves the last jobs to lanes that answer them sooner.

A ready lane takes a job unless the faster lanes alone would have answered all that is left by the time it would answer
this one. For jobs of one size that is the schedule that ends first. Away from the end the rule costs one comparison.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence

from msgspec import Struct

from llmfan.scheduling.lanes import Lane
from llmfan.scheduling.reach import Reach, answers, at_most, shape

#: A lane is faster than another if it takes at most this share of its time: less is not worth a forecast.
FASTER = 0.8
#: How long a forecast stands, as a share of the service time it is for; what is sent meanwhile is counted off.
GRAIN = 0.04
#: With more lanes than so many a survey of them costs more: it then stands longer in proportion, up to a share.
MANY, COARSEST = 64, 0.5
#: A lane that waits looks again after this share of its service time: a faster one may have stopped being able.
LOOK_SHARE = 1 / 24


class _Kind(Struct, frozen=True):
    """Lanes of one kind share a forecast. `far`: with more left than this, they need none."""

    name: str
    priority: int
    paid: bool
    service: float
    far: float


class _Forecast(Struct):
    """How many jobs the faster lanes can answer within `service` seconds, less what they took since.

    `room` if asked at `at`, `most` if asked up to `until`; in between it lies between them.
    """

    at: float
    until: float
    service: float
    room: float
    most: float


class Tail:
    """The rule for lanes that share one supply of jobs.

    `service` gives a lane's typical seconds (None: not known), `reach` what it can do from now on (None: nothing, as
    far as is known; asked only near the end), `slots` how many more requests the run may have in flight, and `version`
    a number that moves when service times do.
    """

    def __init__(
        self,
        lanes: Sequence[Lane],
        *,
        service: Callable[[Lane, float], float | None],
        reach: Callable[[Lane, float, float, int], Reach | None],
        slots: Callable[[], float],
        version: Callable[[float], int],
    ):
        self._lanes = lanes
        self._grain = min(COARSEST, GRAIN * max(1.0, len(lanes) / MANY))
        self._service, self._reach, self._slots, self._version = service, reach, slots, version
        self._kinds: dict[int, _Kind] = {}
        self._forecasts: dict[_Kind, _Forecast] = {}
        self._waits: dict[int, tuple[float, float]] = {}  # since when a lane has let others go first, and last did
        self._survey: tuple[float, list[tuple[Lane, Reach]]] = (math.nan, [])
        self._far = self._concurrency = 0.0
        self._unasked, self._seen = 0, -1

    # ---------------------------------------------------------- deciding

    def better_wait(self, lane: Lane, left: int, now: float, may: Callable[[Lane], bool] | None = None) -> float | None:
        """None: the lane takes a job. Else the moment to ask again. `left`: jobs waiting, the one on offer included.

        `may` narrows the lanes that could serve it instead, for a job that is barred from some.
        """
        if left > self._far and self._unasked > 0 and self._seen == self._version(now):
            self._unasked -= 1
            return None
        if self._unasked <= 0 or self._seen != self._version(now) or not self._kinds:
            self._measure(now)
        self._unasked -= 1
        service = self._yields(lane, left, now, may)
        if service is None:
            self._waits.pop(lane.number, None)
            return None
        return now + service * LOOK_SHARE

    def took(self, lane: Lane, now: float) -> None:
        """A job was claimed by `lane`: the forecasts of slower lanes count on that much less of it."""
        if not self._forecasts:
            return
        self._survey = (math.nan, [])
        service = self._service(lane, now)
        for kind, forecast in self._forecasts.items():
            if service is not None and service < forecast.service and _goes_before(lane, kind.priority, kind.paid):
                forecast.room -= 1.0
                forecast.most -= 1.0

    def _yields(self, lane: Lane, left: int, now: float, may: Callable[[Lane], bool] | None) -> float | None:
        """The lane's service time if it should let others go first."""
        kind = self._kinds.get(lane.number)
        if kind is None or left > kind.far:
            return None  # an unknown service time speaks against nobody
        forecast = self._forecast(kind, lane, left, now)
        if forecast is None or left > forecast.room:
            return None
        if may is not None and left > self._count(lane, forecast.service, left, now, may)[0]:
            return None
        since, last = self._waits.get(lane.number, (now, now))
        if now > last + forecast.service:
            since = now
        elif now >= since + forecast.service:
            return None  # by now they should have answered everything: they cannot do what was expected of them
        self._waits[lane.number] = (since, now)
        return forecast.service

    # ---------------------------------------------------------- forecasts

    def _measure(self, now: float) -> None:
        """Sorts lanes into kinds, and finds how much left is far from the end for each."""
        self._seen, self._unasked = self._version(now), 8 * len(self._lanes) + 64
        self._concurrency = max(self._concurrency, self._slots())
        known = [(s, lane) for lane in self._lanes if (s := self._service(lane, now)) is not None]
        alike = Counter((service, shape(lane.meters)) for service, lane in known)
        kinds: dict[tuple[str, int, bool, float], _Kind] = {}
        self._kinds = {}
        for service, lane in known:
            target = lane.target
            ident = (target.name, target.priority, target.paid, round(math.log(max(service, 1e-4)), 1))
            if ident not in kinds:
                far = sum(
                    n * at_most(x, s, service, self._concurrency) for (s, x), n in alike.items() if s < FASTER * service
                )
                kinds[ident] = _Kind(target.name, target.priority, target.paid, service, far)
            self._kinds[lane.number] = kinds[ident]
        self._far = max((kind.far for kind in kinds.values()), default=0.0)
        self._forecasts.clear()
        self._survey = (math.nan, [])

    def _forecast(self, kind: _Kind, lane: Lane, left: int, now: float) -> _Forecast | None:
        old = self._forecasts.get(kind)
        if old is not None and now <= old.until and (now == old.at or not old.room < left <= old.most):
            return old
        service = self._service(lane, now)
        if service is None:
            return None
        until = now + self._grain * service
        room, most = self._count(lane, service, left, now)
        self._forecasts[kind] = _Forecast(now, until, service, room, most)
        return self._forecasts[kind]

    def _count(
        self, lane: Lane, service: float, left: int, now: float, may: Callable[[Lane], bool] | None = None
    ) -> tuple[float, float]:
        """Jobs that lanes faster than `service` can answer within it, instead of `lane`; and within a grain more."""
        faster = [
            reach
            for other, reach in self._surveyed(left, now)
            if reach.service < FASTER * service
            and _goes_before(other, lane.target.priority, lane.target.paid)
            and (may is None or may(other))
        ]
        slots = self._slots()
        end = now + service
        return answers(faster, now, end, slots), answers(faster, now, end + self._grain * service, slots)

    def _surveyed(self, left: int, now: float) -> list[tuple[Lane, Reach]]:
        """What every lane can do, fastest first; kept for as long as nothing was sent and no time passed."""
        if self._survey[0] != now:
            reaches = [
                (lane, reach)
                for lane in self._lanes
                if (service := self._service(lane, now)) is not None
                and (reach := self._reach(lane, service, now, left)) is not None
            ]
            reaches.sort(key=lambda pair: pair[1].service)
            self._survey = (now, reaches)
        return self._survey[1]


def _goes_before(lane: Lane, priority: int, paid: bool) -> bool:
    """A lane leaves jobs to lanes of its own priority or a higher one; a free one never leaves any to a paid one."""
    return lane.target.priority >= priority and paid >= lane.target.paid
