"""`--hedge`: a straggler and its copy. The first to answer counts; the other is dropped, and said to have been sent."""

from __future__ import annotations

import math
from collections.abc import Callable

from llmfan.limits.axes import Cost
from llmfan.records import Usage
from llmfan.scheduling.claim import Claim
from llmfan.scheduling.estimate import dollars
from llmfan.scheduling.failover import eligible
from llmfan.scheduling.finish import Finish
from llmfan.scheduling.hedging import Hedges
from llmfan.scheduling.jobs import Job
from llmfan.scheduling.lanes import Lane

#: Between two looks, at least.
LOOK_S = 0.1


class Pairs:
    """`send` claims a job a second time for a lane, or gives None if that cannot send at once; `could` only asks."""

    def __init__(
        self,
        finish: Finish,
        hedges: Hedges[Claim],
        send: Callable[[Job, Lane, float], Claim | None],
        could: Callable[[Lane, Cost, float], bool],
    ):
        self._finish, self._hedges, self._send, self._could = finish, hedges, send, could
        self.look_at = math.inf  # when there may be a straggler

    def look(self, now: float, waits: bool, claimed: bool) -> list[Claim]:
        """The copies to send now: none while a job waits, nor in a step that claimed one."""
        if waits:
            self.look_at = math.inf
        elif not claimed:
            return self._double(now)
        else:
            self.look_at = now + LOOK_S
        return []

    def _double(self, now: float) -> list[Claim]:
        """Copies of what is late, where a lane with room should answer sooner."""
        chosen, look_at = self._finish.stragglers(now, _may, self._could)
        copies = []
        for claim, lane in chosen:
            copy = self._send(claim.job, lane, now)
            if copy is not None:
                copy.twin, claim.twin = claim, copy
                self._hedges.sent(claim, copy)
                copies.append(copy)
        self.look_at = max(look_at, now + LOOK_S)
        return copies

    def drop(self, claim: Claim, usage: Usage) -> Claim | None:
        """`claim` has answered: gives the other of its pair, if that is in flight, to be cancelled."""
        twin = claim.twin
        if twin is not None:
            part(claim)
            twin.dropped = True
            spent = dollars(twin.lane.price, usage.input_tokens, usage.output_tokens)
            self._hedges.lost(usage.input_tokens, usage.output_tokens, spent, twin.sent < claim.sent)
        return twin


def part(claim: Claim) -> None:
    """Each goes on alone."""
    if claim.twin is not None:
        claim.twin.twin = None
        claim.twin = None


def _may(claim: Claim, lane: Lane) -> bool:
    return not claim.job.prompt.turns and eligible(lane, claim.job)
