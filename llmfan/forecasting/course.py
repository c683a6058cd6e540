"""One batch through the scheduler in virtual time: its own decisions, from a heap of events instead of a loop.

What a run learns of from the network comes from a made-up far end here; what it sleeps for is jumped over.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Sequence
from typing import Literal

from msgspec import Struct

from llmfan.forecasting.far_end import REFUSED_S, FarEnd
from llmfan.forecasting.holds import Bound, Holds
from llmfan.forecasting.permits import Permits
from llmfan.forecasting.priors import Answers
from llmfan.forecasting.progress import Progress
from llmfan.limits.axes import is_quota
from llmfan.records import Failure, Usage
from llmfan.scheduling.claim import Claim
from llmfan.scheduling.dispatcher import Dispatcher
from llmfan.scheduling.jobs import Job
from llmfan.scheduling.lanes import Group, Lane, Standing
from llmfan.scheduling.outlook import SHORT_RESET_S, comes_by_itself
from llmfan.simulation.counters import Charge
from llmfan.units import DAY

#: A run's own timer fires so much after the moment it waits for.
TIMER_S = 0.001
#: Who would have to wait longer than this is told "never".
HORIZON_S = 100 * 365 * DAY
#: Of several parts of a batch, those that end after this share of the time are what it waits for.
LATE_SHARE = 0.95
_UNCOUNTED = Usage(0, 0)
#: What comes back: an answer (what it was charged, tokens in, tokens out), or a refusal.
_Outcome = tuple[Charge | None, int, int] | Failure


class Ran(Struct, kw_only=True):
    """How it went. Moments are seconds from the start; lists go by lane number.

    `stops`: when a run that does not wait for quotas would end, with `before` jobs answered; None if it never would.
    """

    ending: Literal["done", "cost", "never"]
    duration: float
    answered: list[int]
    refused: int
    unservable: int
    why: str
    cost: float | None
    stops: float | None
    before: int
    progress: Progress
    binding: list[Bound]

    @property
    def finished(self) -> float | None:
        """The duration, where it comes to an end at all."""
        return self.duration if self.ending == "done" else None


class Course:
    """`run` carries the batch to its end, over the resets of quotas where it must."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        answers: Sequence[Answers],
        far: FarEnd,
        max_tokens: Callable[[Job, Lane], int],
        holds: Holds,
    ):
        self._dispatcher, self._answers, self._far, self._holds = dispatcher, answers, far, holds
        self._max_tokens = max_tokens
        self._events: list[tuple[float, int, Claim | Permits, _Outcome | None]] = []
        self._permits: dict[Group, Permits] = {}
        self._number = 0
        self._now = self._last = 0.0
        self._answered = [0] * len(dispatcher.lanes)
        self._ended = [0.0] * len(dispatcher.lanes)
        self._unservable = self._refused = 0
        self._why = ""
        self._cost: float | None = None
        self._stops: float | None = None
        self._before = 0
        self._progress = Progress(dispatcher.lanes)

    def run(self) -> Ran:
        self._start_pacers()
        ending: Literal["done", "cost", "never"] | None = None
        while ending is None:
            ending = self._step()
        self._progress.note(self._last, self._answered, False)
        return Ran(
            ending=ending, duration=self._last, answered=self._answered, refused=self._refused,
            unservable=self._unservable, why=self._why, cost=self._cost, stops=self._stops, before=self._before,
            progress=self._progress, binding=self._holds.binding(self._answered, self._now, self._late()),
        )  # fmt: skip

    def _step(self) -> Literal["done", "cost", "never"] | None:
        """All that can be sent now, then on to the next moment at which something happens."""
        dispatcher, now = self._dispatcher, self._now
        claims = dispatcher.match(now)
        for claim in claims:
            self._send(claim, now)
        dispatcher.unbooked.clear()  # nothing of this is to stand in a ledger
        if dispatcher.ended:
            self._give_up(dispatcher.ended)
            dispatcher.ended.clear()
        if not dispatcher.in_flight and not claims and (over := self._over(now)) is not None:
            return over
        events, wake = self._events, dispatcher.next_wake() + TIMER_S
        at = min(wake, events[0][0]) if events else wake
        if dispatcher.changed and not dispatcher.in_flight:
            at = now  # who waits for a better place looks again first
        if at > HORIZON_S:
            return "never"
        if at >= self._holds.due:
            self._holds.look(at)
            self._progress.note(now, self._answered, dispatcher.in_flight >= dispatcher.concurrency)
        self._now = at = max(now, at)
        if events and events[0][0] <= at:  # one at a time, as a run meets them
            self._happen(*heapq.heappop(events))
        return None

    def _send(self, claim: Claim, now: float) -> None:
        lane, answers = claim.lane, self._answers[claim.lane.number]
        tokens_in, most = answers.input_tokens(claim.job.size()), self._max_tokens(claim.job, lane)
        verdict = self._far.ask(now, lane, tokens_in, most)
        outcome: _Outcome
        if isinstance(verdict, Failure):
            service, outcome = REFUSED_S, verdict
        else:
            service, tokens_out = answers.draw(most)
            outcome = (verdict, tokens_in, tokens_out)
        self._number += 1
        heapq.heappush(self._events, (now + service, self._number, claim, outcome))
        permits = self._permits.get(lane.group)
        if permits is not None:
            self._ask(permits, now)

    def _happen(self, at: float, number: int, what: Claim | Permits, outcome: _Outcome | None) -> None:
        if isinstance(what, Permits):
            self._dispatcher.grant(what.group)
        elif what.dropped:
            return  # its twin has answered; it was given back then
        elif isinstance(outcome, tuple):
            self._answer(what, outcome, at)
        elif outcome is not None:
            self._refuse(what, outcome, at)

    def _refuse(self, claim: Claim, failure: Failure, now: float) -> None:
        self._refused += 1
        self._holds.refused(claim.lane, failure.axis)
        if self._dispatcher.settle_failure(claim, failure, now):
            self._give_up([(claim.job, failure)])
        self._start_pacers()

    def _answer(self, claim: Claim, outcome: tuple[Charge | None, int, int], now: float) -> None:
        dispatcher, lane, job = self._dispatcher, claim.lane, claim.job
        charge, tokens_in, tokens_out = outcome
        if charge is not None:
            self._far.ends(now, lane, charge, tokens_out)
        usage = Usage(tokens_in, tokens_out) if lane.counts_tokens else _UNCOUNTED
        if dispatcher.pairs is not None and (twin := dispatcher.pairs.drop(claim, usage)) is not None:
            dispatcher.release(twin, now)
        spent = dispatcher.settle_answer(claim, usage, now)
        if spent is not None:
            self._cost = (self._cost or 0.0) + spent
        if dispatcher.changed:
            self._start_pacers()
        self._last = now
        if job.prompt.turns:
            job.answers.append(" " * (4 * tokens_out))
            if job.turn <= len(job.prompt.turns):
                job.pinned = lane.target.name
                dispatcher.go_on(job)
                return
        self._answered[lane.number] += 1
        self._ended[lane.number] = now

    def _start_pacers(self) -> None:
        for group in self._dispatcher.groups:
            if group.paced and group not in self._permits:
                self._permits[group] = Permits(group)
                self._ask(self._permits[group], self._now)

    def _ask(self, permits: Permits, now: float) -> None:
        at = permits.next(now)
        if at is None:
            del self._permits[permits.group]
            return
        self._number += 1
        heapq.heappush(self._events, (at, self._number, permits, None))

    def _late(self) -> set[int]:
        """The lanes that a batch may wait for: where prompts go to each provider, model or key, those of the last."""
        lanes, late = self._dispatcher.lanes, set()
        for scope in self._dispatcher.waiting.feeds:
            own = {lane.number for lane in lanes if scope in lane.names}
            if max((self._ended[number] for number in own), default=0.0) >= LATE_SHARE * self._last:
                late |= own
        return late

    def _give_up(self, ended: Sequence[tuple[Job, Failure]]) -> None:
        self._unservable += len(ended)
        self._why = self._why or ended[0][1].message

    # -------------------------------------------------------------- the end

    def _over(self, now: float) -> Literal["done", "cost", "never"] | None:
        """Nothing is in flight and nothing could be claimed: the end, or a wait; a long one for quotas is noted."""
        dispatcher = self._dispatcher
        if dispatcher.waiting.empty:
            return "done"
        if dispatcher.changed:
            return None
        if dispatcher.purse.refused and not any(comes_by_itself(lane) for lane in dispatcher.lanes):
            return "cost"
        wanted = [lane for lane in dispatcher.lanes if lane.standing not in (Standing.IDLE, Standing.OUT)]
        if not wanted:
            return "never"
        soonest = min(lane.wakes for lane in wanted)
        spent = all(lane.standing is Standing.TIMED and lane.spent for lane in wanted)
        if self._stops is None and spent and soonest - now > SHORT_RESET_S:
            self._stops, self._before = self._last, sum(self._answered)
        return None


def quota_together(lanes: Sequence[Lane], now: float) -> dict[str, dict[str, float]]:
    """By provider: what is left of all its days' and months' allowances, each counted once whoever shares it."""
    meters = {meter: lane.target.provider for lane in lanes for meter in lane.meters if is_quota(meter.axis)}
    left: dict[str, dict[str, float]] = {lane.target.provider: {} for lane in lanes}
    for meter, provider in meters.items():
        own = left[provider]
        own[meter.axis] = own.get(meter.axis, 0.0) + max(0.0, meter.limit - meter.used(now))
    return left


def quota_left(lanes: Sequence[Lane], now: float) -> dict[str, dict[str, float]]:
    """By key: what is left of each day's and month's allowance, the least where models have their own."""
    left: dict[str, dict[str, float]] = {}
    for lane in lanes:
        own = left.setdefault(lane.target.key, {})
        for meter in lane.meters:
            if is_quota(meter.axis):
                rest = max(0.0, meter.limit - meter.used(now))
                own[meter.axis] = min(own.get(meter.axis, math.inf), rest)
    return left
