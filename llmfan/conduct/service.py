"""A fleet that is kept running: the pump of a run, but calls come in at any time and nothing but `close` ends it.

A run ends when no key can serve what is left; here the calls that wait for it end, each with its reason.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

from llmfan.conduct.run import TICK_S, Run
from llmfan.conduct.ticket import Refusal, Ticket
from llmfan.records import Failure, ResultLine
from llmfan.scheduling.claim import Claim
from llmfan.scheduling.jobs import Job
from llmfan.scheduling.lanes import Lane
from llmfan.scheduling.outlook import SHORT_RESET_S
from llmfan.scheduling.prospects import Prospect, behind, prospect
from llmfan.scheduling.queue import Queue
from llmfan.settings import Kind

#: A call is turned away at once only if its permit is later than wanted by this; it may come a little sooner than told.
NEARLY_S = 0.05
#: A provider that is down is tried so often at least; a key that was refused for good is asked again after so long.
LONGEST_REST_S, AGAIN_S = 30.0, 600.0
_CLOSING = Refusal(why="closing", message="the fleet is being closed")
_FAULT = Failure(kind="bad_response", scope="request", message="a fault of llmfan itself; its log says more")


class Service(Run):
    """`queue`: the dispatcher's. `bound`: how many may wait, of those that somebody waits for and of batches."""

    queue: Queue
    bound: int
    fault: Callable[[BaseException], None]

    def begin(self, queue: Queue, bound: int, fault: Callable[[BaseException], None]) -> None:
        self.queue, self.bound, self.fault = queue, bound, fault
        self.closing = False
        self._tickets: dict[Job, Ticket] = {}
        self._claims: dict[Job, Claim] = {}
        self._timers: dict[Job, asyncio.TimerHandle] = {}
        self._overdue: set[Job] = set()
        self._out_since: dict[Lane, float] = {}
        self.dispatcher.keep_running(LONGEST_REST_S, f"out, and asked again in {AGAIN_S / 60:.0f} minutes")
        self.quiet = asyncio.Event()  # no call is left
        self.quiet.set()

    # ---------------------------------------------------------------- calls

    def submit(self, ticket: Ticket) -> None:
        """Takes a call, or refuses it at once; then its result is there already."""
        job, now = ticket.job, self._clock()
        self._tickets[job] = ticket
        self.quiet.clear()
        ticket.result.add_done_callback(lambda result: self._over(ticket, result))
        if self.closing:
            self._refuse(job, _CLOSING)
            return
        if self.queue.count(job.batch) >= self.bound:
            self._refuse(job, self._full(job, now))
            return
        job.size()  # what cannot be measured is a fault of its own, before it stands in anybody's way
        self.dispatcher.submit(job, now)
        self.pump()
        if not self.queue.holds(job):
            return
        refusal = self._refusal(job, prospect(self.dispatcher, job, now), now)
        if refusal is not None:
            self.queue.withdraw(job)
            self._refuse(job, refusal)
        elif ticket.max_wait is not None:
            self._timers[job] = asyncio.get_running_loop().call_later(ticket.max_wait, self._waited, job)

    def withdraw(self, ticket: Ticket) -> None:
        """Its caller is gone: it waits no longer, or its request ends and gives back what it holds."""
        job = ticket.job
        if job not in self._tickets:
            return
        job.gone = True
        self.queue.withdraw(job)
        claim = self._claims.get(job)
        if claim is not None:
            self.cancel(claim)
        ticket.result.cancel()
        ticket.begun.cancel()
        self._forget(job)

    def close(self) -> None:
        """Takes no more calls, ends those that wait, and leaves what is in flight."""
        self.closing = True
        for job in [job for job in self._tickets if job not in self._claims]:
            self.queue.withdraw(job)
            self._refuse(job, _CLOSING)
        self.dispatcher.stopped = True
        for job in list(self._claims):
            job.gone = True
        self.leave_at_once()
        for job in list(self._tickets):
            self._refuse(job, _CLOSING)
        self._finished.set()

    # ---------------------------------------------------------------- the pump

    def _advance(self) -> list[Claim]:
        claims = super()._advance()
        for claim in claims:
            self._claims[claim.job] = claim
        if self._overdue:
            self._turn_away_overdue()
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

    def _look_whether_over(self, now: float) -> None:
        """Nothing in flight is no end here."""

    async def _watch(self, started: float) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            now = self._clock()
            if self._clerk.look(now):
                self.pump()
            self.observer.tick(now)
            self._ask_again(now)
            self._end_hopeless(now)

    def _ask_again(self, now: float) -> None:
        """A key that was refused for good may have been paid for, or let in again."""
        for lane in self.dispatcher.lanes:
            if not lane.out:
                self._out_since.pop(lane, None)
            elif now - self._out_since.setdefault(lane, now) > AGAIN_S:
                self.dispatcher.readmit([lane])

    # ---------------------------------------------------------------- turning away

    def _refusal(self, job: Job, found: Prospect, now: float) -> Refusal | None:
        """Whether a call that waits is to be turned away, as things stand.

        Four cases: no key will ever take it; those that could are down, which only a batch waits out; a quota comes
        back later than its caller wants to wait (a minute, where nobody said); its permit does.
        """
        ticket = self._tickets[job]
        if found.state == "never":
            return Refusal(why="nothing_left", message=f"nothing is left that can serve it: {found.why}")
        at = max(found.at, now) + behind(self.dispatcher, job, now)
        left, waits = at - now, at - ticket.submitted
        if found.state == "down":
            patient = ticket.max_wait is None and any(p.answered for p in self.dispatcher.providers)
            message = f"nothing is left that can serve it, and no trial before {left:.0f} s: {found.why}"
            return None if patient else Refusal(why="nothing_left", message=message, retry_after=left)
        limit = ticket.max_wait
        if found.state == "spent":
            limit = SHORT_RESET_S if limit is None else limit
            message = f"nothing is left that can serve it for {left:.0f} s: {found.why}"
            return Refusal(why="nothing_left", message=message, retry_after=left) if waits > limit else None
        if limit is None or waits <= limit + NEARLY_S:
            return None
        message = f"no permit within {limit:g} s; the soonest comes in {left:.1f} s ({found.why})"
        return Refusal(why="wait", message=message, retry_after=left)

    def _full(self, job: Job, now: float) -> Refusal:
        kind = "batch calls" if job.batch else "calls"
        return Refusal(
            why="full", message=f"{self.bound} {kind} wait already", retry_after=behind(self.dispatcher, job, now)
        )

    def _waited(self, job: Job) -> None:
        """It has waited as long as it was to: refused, unless it is in flight; then, if it comes back."""
        self._overdue.add(job)
        self._turn_away_overdue()

    def _turn_away_overdue(self) -> None:
        now = self._clock()
        for job in [job for job in self._overdue if self.queue.withdraw(job)]:
            ticket, found = self._tickets[job], prospect(self.dispatcher, job, now)
            left = max(0.0, found.at - now) + behind(self.dispatcher, job, now)
            said = f"no permit within {ticket.max_wait:g} s; it waits for {found.why}"
            late = Refusal(why="wait", message=said, retry_after=left if math.isfinite(left) else None)
            self._refuse(job, self._refusal(job, found, now) or late)

    def _end_hopeless(self, now: float) -> None:
        for head in self.queue.heads():
            found = prospect(self.dispatcher, head, now)
            for job in () if found.state == "soon" else self.queue.at(head):
                if (refusal := self._refusal(job, found, now)) is not None:
                    self.queue.withdraw(job)
                    self._refuse(job, refusal)

    def _refuse(self, job: Job, refusal: Refusal) -> None:
        ticket = self._tickets.get(job)
        if ticket is None or ticket.result.done():
            return
        ticket.refusal = refusal
        failure = job.last if refusal.why == "nothing_left" and job.last is not None else None
        kind = failure.kind if failure is not None else _KINDS[refusal.why]
        self.scribe.never_served(job, Failure(kind=kind, scope="request", message=refusal.message))

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
        self._overdue.discard(job)
        timer = self._timers.pop(job, None)
        if timer is not None:
            timer.cancel()
        if not self._tickets:
            self.quiet.set()


_KINDS: dict[str, Kind] = {
    "wait": "rate_limited",
    "full": "overloaded",
    "nothing_left": "quota_exhausted",
    "closing": "cancelled",
}
