"""How a batch comes to its end: who takes the last jobs, whether a deadline needs paid keys, who is a straggler."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

from llmfan.limits.axes import PLAIN, Cost
from llmfan.records import KnownTarget
from llmfan.scheduling.claim import Claim
from llmfan.scheduling.hedging import Hedges, Late, Offer
from llmfan.scheduling.lanes import Lane, Standing
from llmfan.scheduling.pulse import Pulses
from llmfan.scheduling.reach import Drip, Reach, answers, reach_of
from llmfan.scheduling.stickiness import AHEAD, PATIENCE_S
from llmfan.scheduling.tail import Tail

#: What free keys are trusted with before a deadline: this share of what they could do at best.
TRUST = 0.97
#: A forecast for the deadline stands for so long, as a share of the time left, less what was sent since.
STANDS, LOOK_S = 0.01, 0.5
#: A service time nobody knows yet, for the deadline's sake: free keys are trusted until the first answer. Seconds.
UNKNOWN_S = 0.0


class Finish:
    """`tail`: all lanes share one supply of jobs, so that a slow one may leave the last to others. `jobs`: of the run.

    `deadline` is a moment; `hedge` allows stragglers a second copy; `known`: what answers were like in earlier runs.
    """

    def __init__(
        self,
        lanes: Sequence[Lane],
        *,
        slots: Callable[[], float],
        jobs: int,
        tail: bool = True,
        deadline: float | None = None,
        hedge: bool = False,
    ):
        self._lanes, self._slots, self.deadline = lanes, slots, deadline
        self.pulses: Pulses[Claim] = Pulses()
        self.hedges: Hedges[Claim] | None = Hedges(jobs) if hedge else None
        self._tail: Tail | None = None
        self._by_number = {lane.number: lane for lane in lanes}
        self._costs: dict[int, Cost] = {}
        self._room, self._room_until = 0.0, -math.inf
        self._wants_tail = tail and len({lane.target.name for lane in lanes}) > 1
        self.recall(())

    def recall(self, known: Iterable[KnownTarget]) -> None:
        self.pulses = Pulses(known)
        if self._wants_tail:
            self._tail = Tail(
                self._lanes, service=self._service, reach=self._reach, slots=self._slots, version=self.pulses.version
            )

    # ---------------------------------------------------------- who takes a job

    def better_wait(self, lane: Lane, left: int, now: float, may: Callable[[Lane], bool] | None) -> float | None:
        """None: the lane takes a job. Else the moment to look again: faster ones will have done it all by then."""
        return None if self._tail is None else self._tail.better_wait(lane, left, now, may)

    def misses(self, left: int, now: float) -> bool:
        """Whether free keys alone would answer what waits too late for the deadline."""
        if self.deadline is None:
            return False
        if now >= self._room_until:
            self._room, self._room_until = self._free_room(left, now), self.next_look(now)
        return left > self._room

    def next_look(self, now: float) -> float:
        """When the forecast for the deadline is worth another look."""
        assert self.deadline is not None
        return now + max(LOOK_S, STANDS * (self.deadline - now))

    def _free_room(self, left: int, now: float) -> float:
        assert self.deadline is not None
        reaches = [
            reach
            for lane in self._lanes
            if not lane.target.paid and lane.able(now)
            and (reach := self._reach(lane, self._service(lane, now) or UNKNOWN_S, now, left)) is not None
        ]  # fmt: skip
        reaches.sort(key=lambda reach: reach.service)
        return TRUST * answers(reaches, now, self.deadline, self._slots())

    def _service(self, lane: Lane, now: float) -> float | None:
        return self.pulses.service(lane.target, now)

    def _reach(self, lane: Lane, service: float, now: float, left: int) -> Reach | None:
        if not lane.able(now):
            return None
        drips = []
        if lane.group.paced and (spec := lane.group.pace.spec()) is not None:
            burst, rate = spec
            drips.append((id(lane.group), Drip(max(now, lane.group.last_send + 1.0 / rate), burst, rate)))
        provider = lane.provider
        free = [] if provider.cap is None else [(id(provider), max(0.0, provider.cap - provider.in_flight))]
        return reach_of(
            lane.meters, service, self._costs.get(lane.number, PLAIN), now, left,
            opens=lane.rest_until, drips=drips, free=free, out=self.pulses.moments(lane.number),
        )  # fmt: skip

    def takes(self, number: int, now: float, within: float = PATIENCE_S) -> float:
        """How many jobs a lane can take from now on within so many seconds."""
        lane = self._by_number[number]
        reach = self._reach(lane, 0.0, now, AHEAD)
        if reach is None or reach.opens > now + within:
            return 0.0
        return min([limit.sends(now + within) for _, limit in reach.limits], default=math.inf)

    # ---------------------------------------------------------- what happens

    def took(self, claim: Claim, now: float) -> None:
        lane = claim.lane
        self._costs[lane.number] = claim.cost
        self.pulses.left(lane.number, lane.target, claim, now)
        if self._tail is not None:
            self._tail.took(lane, now)
        if not lane.target.paid:
            self._room -= 1.0

    def ended(self, claim: Claim) -> None:
        self.pulses.ended(claim.lane.number, claim.lane.target, claim)

    def answered(self, claim: Claim, seconds: float, output_tokens: float) -> None:
        self.pulses.answered(claim.lane.target, seconds, output_tokens)
        if self.hedges is not None:
            self.hedges.answered()

    def failed(self) -> None:
        if self.hedges is not None:
            self.hedges.failed()

    # ---------------------------------------------------------- stragglers

    def stragglers(
        self, now: float, may: Callable[[Claim, Lane], bool], could: Callable[[Lane, Cost, float], bool]
    ) -> tuple[list[tuple[Claim, Lane]], float]:
        """(claims to send a second time, and where to; when to look again). Asked once no job waits.

        `could`: whether a lane can send what costs so much at once.
        """
        hedges = self.hedges
        if hedges is None or not hedges.open:
            return [], math.inf
        late = [Late(claim, n, at, self.pulses.of(self._by_number[n].target)) for n, claim, at in self.pulses.flights()]
        idle = [lane for lane in self._lanes if lane.standing is Standing.IDLE and lane.able(now)]
        known = [(lane, s) for lane in idle if (s := self._service(lane, now)) is not None]
        ready = [x for x in known if not x[0].resting(now) and could(x[0], self._costs.get(x[0].number, PLAIN), now)]
        offers = [Offer(lane.number, lane.target, s) for lane, s in ready]
        chosen = hedges.choose(late, offers, now, lambda claim, n: may(claim, self._by_number[n]))
        if chosen:
            return [(claim, self._by_number[n]) for claim, n in chosen], now
        return [], hedges.next_look(late, [s for _, s in known], now)
