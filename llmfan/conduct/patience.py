"""Which calls are turned away rather than left to wait, and what they are told."""

from __future__ import annotations

import math

from llmfan.conduct.ticket import Refusal, Ticket
from llmfan.scheduling.dispatcher import Dispatcher
from llmfan.scheduling.outlook import SHORT_RESET_S
from llmfan.scheduling.prospects import Prospect, ahead, prospect, rate

#: A call is turned away only if its permit is later than wanted by this; it may come a little sooner than told.
NEARLY_S = 0.05
CLOSING = Refusal(why="closing", message="the fleet is being closed", kind="cancelled")


class Patience:
    """Weighs how long each call wants to wait against when it could be sent, as things stand."""

    def __init__(self, dispatcher: Dispatcher):
        self._dispatcher = dispatcher

    def weighed(self, ticket: Ticket, now: float, *, first: bool) -> Refusal | None:
        """One that has just come, or (`first`) one that came back and goes before all others."""
        job = ticket.job
        found, before = prospect(self._dispatcher, job, now), 0 if first else ahead(self._dispatcher, job) - 1
        return self.refusal(ticket, now, found, before / rate(self._dispatcher, job, now))

    def refusal(self, ticket: Ticket, now: float, found: Prospect, behind: float) -> Refusal | None:
        """None: it waits on. `behind`: seconds until those before it have left. Five cases.

        No key will ever take it; those that could have failed over and over, which only a batch waits out; they rest
        after failures, or a quota comes back, later than the caller wants to wait (where nobody said: a minute for a
        quota); its permit comes later than that.
        """
        if found.state == "never":
            return Refusal(
                why="nothing_left", message=f"nothing is left that can serve it: {found.why}", kind=found.kind
            )
        at = max(found.at, now) + behind
        left, waits, limit = at - now, at - ticket.submitted, ticket.max_wait
        someone_waits = limit is not None and not ticket.job.batch
        if found.state == "down" and (someone_waits or not any(p.answered for p in self._dispatcher.providers)):
            limit = -NEARLY_S
        if found.state == "spent" and limit is None:
            limit = SHORT_RESET_S
        if limit is None or waits <= limit + NEARLY_S:
            return None
        if found.state == "soon":
            message = f"no permit within {limit:g} s; the soonest comes in {left:.1f} s ({found.why})"
            return Refusal(why="wait", message=message, retry_after=left)
        message = f"nothing is left that can serve it for {left:.0f} s: {found.why}"
        return Refusal(why="nothing_left", message=message, retry_after=left, kind=found.kind)

    def late(self, ticket: Ticket, now: float) -> Refusal:
        """It has waited as long as it was to."""
        found, behind = prospect(self._dispatcher, ticket.job, now), self._behind(ticket, now)
        if (refusal := self.refusal(ticket, now, found, behind)) is not None:
            return refusal
        left = max(0.0, found.at - now) + behind
        said = f"no permit within {ticket.max_wait:g} s; it waits for {found.why}"
        return Refusal(why="wait", message=said, retry_after=left if math.isfinite(left) else None)

    def full(self, ticket: Ticket, bound: int, now: float) -> Refusal:
        kind = "batch calls" if ticket.job.batch else "calls"
        left = self._behind(ticket, now)
        return Refusal(why="full", message=f"{bound} {kind} wait already", retry_after=left, kind="overloaded")

    def _behind(self, ticket: Ticket, now: float) -> float:
        return ahead(self._dispatcher, ticket.job) / rate(self._dispatcher, ticket.job, now)
