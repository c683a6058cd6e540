"""A run: pump the dispatcher whenever something changed, keep one pacer a limit group, stop and drain.

`pump` is synchronous: it asks for claims and starts a task for each. Everything that changes the scheduler's state
(a settlement, a permit, a timer) ends with a pump.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine
from typing import Any, Literal

from llmfan.conduct.attempt import Attempts
from llmfan.conduct.bookkeeper import Bookkeeper
from llmfan.conduct.bounds import Bounds
from llmfan.conduct.pacer import Pacers
from llmfan.conduct.scribe import Scribe
from llmfan.errors import UserError
from llmfan.measures.sketch import Sketch
from llmfan.ports import Clock, Observer
from llmfan.scheduling.claim import Claim
from llmfan.scheduling.dispatcher import Dispatcher
from llmfan.scheduling.lanes import Lane, Standing
from llmfan.scheduling.losses import Losses
from llmfan.scheduling.outlook import SHORT_RESET_S, comes_by_itself, reasons, resets, waits_for_known

Ending = Literal["done", "interrupted", "bound", "nothing_left", "storage", "gate"]
TICK_S, LAG_S = 0.25, 0.1
#: A timer under a millisecond fires at once on uvloop: a little more than asked for keeps it from spinning.
TIMER_S = 0.001


class Run:
    """`go` runs until every job has ended or something ends the run; `why` then says what, in plain words."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        attempts: Attempts,
        scribe: Scribe,
        observer: Observer,
        clock: Clock,
        bounds: Bounds,
        clerk: Bookkeeper,
        *,
        audit: bool = True,
        describe_wait: Callable[[float], str] = lambda until: "",
        tripped: Callable[[float], str] = lambda now: "",
    ):
        self.dispatcher, self.attempts, self.scribe, self.observer = dispatcher, attempts, scribe, observer
        self.ending: Ending = "done"
        self.why = ""
        self.signal = 0
        self.lag = Sketch()
        self._clock, self._bounds, self._audit, self._describe_wait = clock, bounds, audit, describe_wait
        self._clerk, self._tripped = clerk, tripped
        self._tasks: asyncio.TaskGroup | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._finished = asyncio.Event()
        self._pacers = Pacers(dispatcher, self.pump, self._chore)
        self._chores: list[asyncio.Task[None]] = []
        self._last_end = 0.0
        self._asleep_until = -math.inf
        self.started = clock()
        self.losses = Losses(dispatcher.groups, self.started)
        self._flying: set[asyncio.Task[None]] = set()
        self._carrying: dict[Claim, asyncio.Task[None]] = {}
        attempts.cancel = self.cancel

    async def go(self) -> Ending:
        started = self.started = self._clock()
        self._last_end = started
        try:
            await self._all_tasks(started)
        except BaseExceptionGroup as group:
            mistakes = group.subgroup(UserError)
            if mistakes is None:
                raise  # a fault of ours
            first: BaseException = mistakes
            while isinstance(first, BaseExceptionGroup):
                first = first.exceptions[0]
            raise first from None
        if self._timer is not None:
            self._timer.cancel()
        self._clerk.keep(self._clock())
        return self.ending

    async def _all_tasks(self, started: float) -> None:
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            self._pacers.start()
            self._chore(self._watch(started))
            if self._audit:
                self._chore(self.scribe.journal.keep_synced())
                self._chore(self._measure_lag())
            self.pump()
            await self._finished.wait()
            for chore in self._chores:
                chore.cancel()

    def late(self) -> float:
        """Seconds by which this process itself was behind, as far as its own samples tell."""
        return self.lag.total

    def stop(self, ending: Ending, why: str) -> None:
        """Sends nothing more; those in flight may finish, for `grace` seconds at most."""
        if self.dispatcher.stopped:
            return
        self.ending, self.why = ending, why
        self.dispatcher.stopped = True
        if ending == "gate":
            self.observer.say(f"stopping: {why}")
        grace = self._bounds.gate_grace if ending == "gate" else self._bounds.grace
        asyncio.get_running_loop().call_later(grace, self.leave_at_once)
        self.pump()

    def leave_at_once(self) -> None:
        """Cancels what is in flight; each is written down as cancelled, and may have been billed."""
        for task in list(self._flying):
            task.cancel()

    def interrupted(self, number: int) -> None:
        """A signal: the first drains, the second leaves at once."""
        if self.signal or self.dispatcher.stopped:
            self.signal = self.signal or number
            self.leave_at_once()
            return
        self.signal = number
        self.observer.say("stopping: waiting for the requests in flight (another signal leaves at once)")
        self.stop("interrupted", "interrupted")

    def pump(self) -> None:
        """Starts all that can be started now, and looks whether the run is over."""
        for claim in self._advance():
            self._start(claim)

    def _advance(self) -> list[Claim]:
        """What may be sent now; everything that depends on it is brought up to date."""
        if self._finished.is_set() or self._tasks is None:
            return []
        now = self._clock()
        dispatcher, journal = self.dispatcher, self.scribe.journal
        claims = self._clerk.claims(now)
        self._pacers.used(claims)
        for job, failure in dispatcher.ended:
            self.scribe.never_served(job, failure)
        dispatcher.ended.clear()
        if journal.broken is not None:
            self.stop("storage", f"the run's folder cannot be written: {journal.broken.strerror or journal.broken}")
        if (fault := dispatcher.waiting.fault) is not None:
            self.stop("storage", fault)
        if not dispatcher.in_flight and not claims:
            self._look_whether_over(now)
        self._arm(now)
        return claims

    def _start(self, claim: Claim) -> None:
        assert self._tasks is not None
        task = self._tasks.create_task(self._carry(claim))
        self._carrying[claim] = task
        self._flying.add(task)
        task.add_done_callback(lambda t: self._never_began(t, claim))

    def _never_began(self, task: asyncio.Task[None], claim: Claim) -> None:
        """A task cancelled before its first step runs nothing of `_carry`: its claim is given back here."""
        if task in self._flying:
            self._flying.discard(task)
            if task.cancelled():
                self._carrying.pop(claim, None)
                self.dispatcher.release(claim, self._clock(), left=False)
                self.pump()

    async def _carry(self, claim: Claim) -> None:
        """One request after another: the claim that a settlement makes possible needs no task of its own."""
        task = asyncio.current_task()
        assert task is not None
        while True:
            self._carrying[claim] = task
            try:
                await self.attempts.carry_out(claim)
            except asyncio.CancelledError:  # leave_at_once, or its twin has answered; the attempt is written down
                self._flying.discard(task)
                self.pump()
                return
            finally:
                del self._carrying[claim]
            if self.dispatcher.changed:  # a refusal may have given any group of its scope a pace
                self._pacers.start()
            claims = self._advance()
            if not claims:
                self._flying.discard(task)
                return
            claim = claims[0]
            for other in claims[1:]:
                self._start(other)

    def _chore(self, work: Coroutine[Any, Any, None]) -> None:
        assert self._tasks is not None
        self._chores.append(self._tasks.create_task(work))

    def cancel(self, claim: Claim) -> None:
        """Ends a request that is in flight; it is written down as cancelled."""
        task = self._carrying.get(claim)
        if task is not None:
            task.cancel()

    def _look_whether_over(self, now: float) -> None:
        """Nothing is in flight and nothing could be claimed: done, stopped, out of keys, or waiting for a moment."""
        dispatcher = self.dispatcher
        if dispatcher.waiting.empty or dispatcher.stopped:
            whole = dispatcher.waiting.empty and dispatcher.waiting.fault is None
            if whole and self.ending != "storage" and not self.signal:
                self.ending, self.why = "done", ""  # what was in flight when it was to stop was all there was
            self._finished.set()
            return
        if dispatcher.changed:
            asyncio.get_running_loop().call_soon(self.pump)
            return
        if dispatcher.purse.refused and not any(comes_by_itself(lane) for lane in dispatcher.lanes):
            self._end_now("bound", dispatcher.purse.words())
            return
        alive = [lane for lane in dispatcher.lanes if not lane.out]
        if not alive:
            self._end_now("nothing_left", "no usable key is left: " + reasons(dispatcher.lanes))
            return
        if all(lane.provider.hopeless for lane in alive):
            if dispatcher.give_up():
                asyncio.get_running_loop().call_soon(self.pump)
                return
            why = dict.fromkeys(f"{lane.provider.name}: {lane.provider.circuit.why}" for lane in alive)
            self._end_now("nothing_left", "no provider has ever answered: " + "; ".join(why))
            return
        wanted = [lane for lane in alive if lane.standing is not Standing.IDLE] or alive
        soonest = min(self._comes_back(lane, now) for lane in wanted)
        if math.isinf(soonest):
            self._end_now("nothing_left", "no key can serve what is left")
        elif soonest - now > SHORT_RESET_S and all(lane.standing is Standing.TIMED and lane.spent for lane in wanted):
            when = self._describe_wait(soonest)
            if not self._bounds.wait:
                self._end_now("nothing_left", f"every quota is spent; the first comes back {when} ({resets(wanted)})")
            elif self._asleep_until != soonest:
                self._asleep_until = soonest
                self.observer.say(f"every quota is spent: asleep until the first comes back {when} (--wait)")

    def _comes_back(self, lane: Lane, now: float) -> float:
        """When a lane may be ready; `now` for one that only waits for its pacer."""
        if lane.standing is Standing.TIMED:
            return max(now, lane.wakes)
        return math.inf if lane.standing in (Standing.IDLE, Standing.OUT) else now

    def _end_now(self, ending: Ending, why: str) -> None:
        self.ending, self.why = ending, why
        self.dispatcher.stopped = True
        self._finished.set()

    def _arm(self, now: float) -> None:
        """One timer for the whole fleet: the next moment at which some lane may be ready."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        at = self.dispatcher.next_wake()
        if not math.isinf(at) and not self._finished.is_set():
            self._timer = asyncio.get_running_loop().call_later(max(0.0, at - now) + TIMER_S, self.pump)

    async def _watch(self, started: float) -> None:
        """Ticks the screen, and ends a run that passes a bound."""
        bounds, done = self._bounds, -1
        while True:
            await asyncio.sleep(TICK_S)
            now = self._clock()
            self.losses.look(now)
            if self._clerk.look(now):
                self.pump()
            self.observer.tick(now)
            if done != self.scribe.accumulator.done or self._known_wait(now):
                done, self._last_end = self.scribe.accumulator.done, now
            if bounds.max_duration is not None and now - started >= bounds.max_duration:
                self.stop("bound", f"--max-duration {bounds.max_duration:g} s is reached")
            elif now - self._last_end >= bounds.max_stall:
                self.stop("bound", f"no job has ended for {bounds.max_stall:g} s (--max-stall)")
            elif why := self._tripped(now):
                self.stop("gate", why)

    def _known_wait(self, now: float) -> bool:
        """Whether some lane waits for what has a known end: a reset a server named, or a limit we count ourselves."""
        patient = self._bounds.wait
        return any(waits_for_known(lane, now, patient) for lane in self.dispatcher.lanes)

    async def _measure_lag(self) -> None:
        while True:
            before = self._clock()
            await asyncio.sleep(LAG_S)
            self.lag.add(max(0.0, self._clock() - before - LAG_S))
