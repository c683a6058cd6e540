"""A fleet that is kept running: the pump of a run, but calls come in at any time and nothing but `close` ends it.

A run ends when no key can serve what is left; here the calls that wait for it end, each with its reason.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from llmfan.conduct.patience import CLOSING, NEARLY_S, Patience
from llmfan.conduct.run import TICK_S, Run
from llmfan.conduct.ticket import Refusal, Ticket
from llmfan.records import Failure, ResultLine
from llmfan.scheduling.claim import Claim
from llmfan.scheduling.jobs import Job
from llmfan.scheduling.lanes import Lane
from llmfan.scheduling.prospects import prospect, rate
from llmfan.scheduling.queue import Queue

#: A provider that is down is tried so often at least; a key that was refused for good is asked again after so long.
LONGEST_REST_S, AGAIN_S = 30.0, 600.0
#: What one look has changed is looked at again, so often at most in one go.
ROUNDS = 10
_FAULT = Failure(kind="bad_response", scope="request", message="a fault of llmfan itself; its log says more")


class Service(Run):
    """`queue`: the dispatcher's. `bound`: how many may wait, of those that somebody waits for and of batches.

    `fault` is told of faults of ours; `shift` looks whether the wall clock has gone another way than this process's.
    """

    queue: Queue
    bound: int
    fault: Callable[[BaseException], None]
    shift: Callable[[float], None]

    def begin(
        self, queue: Queue, bound: int, fault: Callable[[BaseException], None], shift: Callable[[float], None]
    ) -> None:
        self.queue, self.bound, self.fault, self.shift = queue, bound, fault, shift
        self.closing = False
        self._patience = Patience(self.dispatcher)
        self._tickets: dict[Job, Ticket] = {}
        self._claims: dict[Job, Claim] = {}
        self._timers: dict[Job, asyncio.TimerHandle] = {}
        self._out_since: dict[Lane, float] = {}
        self.dispatcher.keep_running(LONGEST_REST_S, f"out, and asked again in {AGAIN_S / 60:.0f} minutes")
        self.quiet = asyncio.Event()  # no call is left
        self.quiet.set()

    # ---------------------------------------------------------------- calls

    def submit(self, ticket: Ticket) -> None:
        """Takes a call, or refuses it at once; then its result is there already."""
        job, now = ticket.job, self._clock()
        job.size()  # what cannot be measured is a fault of its own, before it stands in anybody's way
        self._tickets[job] = ticket
        self.quiet.clear()
        ticket.result.add_done_callback(lambda result: self._over(ticket, result))
        if self.closing:
            self._refuse(job, CLOSING)
            return
        if self.queue.count(job.batch) >= self.bound:
            self._refuse(job, self._patience.full(ticket, self.bound, now))
            return
        self.dispatcher.submit(job, now)
        self.pump()
        if self.queue.holds(job):
            self._weigh(job, now, first=False)
        if ticket.max_wait is not None and not ticket.result.done():
            loop, after = asyncio.get_running_loop(), max(NEARLY_S, ticket.max_wait)
            self._timers[job] = loop.call_later(after, self._waited, job)

    def withdraw(self, ticket: Ticket) -> None:
        """Its caller is gone: it waits no longer, or its request ends and gives back what it holds."""
        job = ticket.job
        if job not in self._tickets:
            return
        job.gone = True
        waited = self._take_out(job)
        claim = self._claims.get(job)
        if claim is not None:
            self.cancel(claim)
        ticket.result.cancel()
        ticket.begun.cancel()
        self._forget(job)
        if waited:
            self.pump()

    def close(self) -> None:
        """Takes no more calls, ends those that wait, and leaves what is in flight."""
        self.closing = True
        self.dispatcher.stopped = True
        for job in list(self._tickets):
            job.gone = True
            self.queue.withdraw(job)
        self.leave_at_once()
        for job in list(self._tickets):
            self._refuse(job, CLOSING)
        self._finished.set()

    # ---------------------------------------------------------------- the pump

    def _advance(self) -> list[Claim]:
        claims = super()._advance()
        for _ in range(ROUNDS):
            if not self.dispatcher.changed or self._finished.is_set():
                break
            claims += super()._advance()
        for claim in claims:
            self._claims[claim.job] = claim
        returned, self.queue.returned = self.queue.returned, []
        for job in returned:
            if self.queue.holds(job):
                self._weigh(job, self._clock(), first=True)
        return claims

    async def _carry(self, claim: Claim) -> None:
        """A fault of ours in one call must not take the others with it."""
        try:
            await super()._carry(claim)
        except Exception as error:
            self.fault(error)
            task = asyncio.current_task()
            if task is not None:
                self._flying.discard(task)
            self._broke()

    def _broke(self) -> None:
        """Ends the calls whose task died: those that are neither waiting nor carried by any task."""
        carried = {claim.job for claim in self._carrying}
        for job, claim in list(self._claims.items()):
            if job in carried or job not in self._tickets or self.queue.holds(job):
                continue
            job.gone = True
            if not claim.settled:
                self.dispatcher.release(claim, self._clock())
            self.scribe.never_served(job, _FAULT)
        self.pump()

    def _chore(self, work: Coroutine[Any, Any, None]) -> None:
        super()._chore(self._guarded(work))

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        """What dies here takes everything with it: then nothing is sent any more."""
        try:
            await work
        except Exception:
            self.dispatcher.stopped = True
            raise

    def _look_whether_over(self, now: float) -> None:
        """Nothing in flight is no end here."""

    async def _watch(self, started: float) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            try:
                self._look_after(self._clock())
            except Exception as error:  # the next look may go better; without any, calls would wait for ever
                self.fault(error)

    def _look_after(self, now: float) -> None:
        self.shift(now)
        self._ask_again(now)
        if self._clerk.look(now) or self.dispatcher.changed:
            self.pump()
        self.observer.tick(now)
        turned = False
        for head in self.queue.heads():
            found, pace = prospect(self.dispatcher, head, now), rate(self.dispatcher, head, now)
            for before, job in () if found.state == "soon" else enumerate(self.queue.at(head)):
                if (refusal := self._patience.refusal(self._tickets[job], now, found, before / pace)) is not None:
                    self._turn_away(job, refusal)
                    turned = True
        if turned:
            self.pump()

    def _ask_again(self, now: float) -> None:
        """A key that was refused for good may have been paid for, or let in again."""
        for lane in self.dispatcher.lanes:
            if not lane.out:
                self._out_since.pop(lane, None)
            elif now - self._out_since.setdefault(lane, now) > AGAIN_S:
                self.dispatcher.readmit([lane])

    # ---------------------------------------------------------------- turning away

    def _weigh(self, job: Job, now: float, *, first: bool) -> None:
        if (refusal := self._patience.weighed(self._tickets[job], now, first=first)) is not None:
            self._turn_away(job, refusal)

    def _waited(self, job: Job) -> None:
        """It has waited as long as it was to. One in flight is weighed when it comes back."""
        if self.queue.holds(job):
            self._turn_away(job, self._patience.late(self._tickets[job], self._clock()))
            self.pump()

    def _turn_away(self, job: Job, refusal: Refusal) -> None:
        self._take_out(job)
        self._refuse(job, refusal)

    def _take_out(self, job: Job) -> bool:
        """Out of the queue; who waited only for what it needs may go then. Whether it was there."""
        if not self.queue.withdraw(job):
            return False
        self.dispatcher.look_at_queue()
        return True

    def _refuse(self, job: Job, refusal: Refusal) -> None:
        ticket = self._tickets.get(job)
        if ticket is None or ticket.result.done():
            return
        ticket.refusal = refusal
        kind = job.last.kind if refusal.why == "nothing_left" and job.last is not None else refusal.kind
        self.scribe.never_served(job, Failure(kind=kind, scope="request", message=refusal.message))

    # ---------------------------------------------------------------- the end of a call

    def _over(self, ticket: Ticket, result: asyncio.Future[ResultLine]) -> None:
        """Who waited for it has it; or was cancelled while it waited, and with it the call."""
        if result.cancelled():
            self.withdraw(ticket)
        else:
            self._forget(ticket.job)
            ticket.job.caller = None  # they hold each other, and the whole of what was said with them

    def _forget(self, job: Job) -> None:
        self._tickets.pop(job, None)
        self._claims.pop(job, None)
        timer = self._timers.pop(job, None)
        if timer is not None:
            timer.cancel()
        if not self._tickets:
            self.quiet.set()
