"""When a call could be sent at the soonest, as things stand; or why it cannot be. Pure."""

from __future__ import annotations

import math
from typing import NamedTuple

from llmfan.limits.axes import earliest, is_quota
from llmfan.limits.window import NEVER, SETTLE
from llmfan.scheduling.dispatcher import Dispatcher
from llmfan.scheduling.failover import eligible
from llmfan.scheduling.jobs import Job
from llmfan.scheduling.lanes import Lane


class Prospect(NamedTuple):
    """`at`: the moment of its permit, inf if none will ever come; `spent`: only because a quota comes back then.

    `why` says what it waits for, or why nobody can take it.
    """

    at: float
    spent: bool
    why: str


def prospect(dispatcher: Dispatcher, job: Job, now: float) -> Prospect:
    """Of all keys that may serve it, the soonest; paid ones only where no free one can."""
    fit = [lane for lane in dispatcher.lanes if _may_serve(lane, job)]
    alive = [lane for lane in fit if not lane.out]
    if not alive:
        return Prospect(math.inf, False, _reasons(fit) or "no key of the fleet can serve it")
    if all(lane.provider.hopeless for lane in alive):
        why = dict.fromkeys(f"{lane.provider.name}: {lane.provider.circuit.why}" for lane in alive)
        return Prospect(math.inf, False, "no provider has ever answered: " + "; ".join(why))
    free = [lane for lane in alive if not lane.target.paid]
    able = [lane for lane in free if lane.able(now)]
    found = [_of(dispatcher, lane, job, now) for lane in (able or alive)]
    best = min(found)
    spent = [each for each in found if each.at == best.at and not each.spent]
    return spent[0] if spent else best


def behind(dispatcher: Dispatcher, job: Job, now: float) -> float:
    """Seconds until those ahead of it have left, at the rate of the keys that may serve it; 0 where none is known."""
    groups = {lane.group for lane in dispatcher.lanes if _may_serve(lane, job) and lane.able(now)}
    rate = sum(group.pace.limit / group.pace.period for group in groups)
    ahead = [jobs for jobs in dispatcher.waiting.back.values() if jobs[0].batch <= job.batch]
    mine = sum(len(jobs) for jobs in ahead if any(eligible(lane, jobs[0]) for group in groups for lane in group.lanes))
    mine -= job in dispatcher.waiting.back.get(job.place, ())
    return mine / rate if rate and math.isfinite(rate) else 0.0


def _may_serve(lane: Lane, job: Job) -> bool:
    """Whether it could if it were in the fleet still: a key that is out has its reason told."""
    return (not job.only or job.only in lane.names) and not any(name in job.banned for name in lane.names)


def _of(dispatcher: Dispatcher, lane: Lane, job: Job, now: float) -> Prospect:
    circuit = lane.provider.circuit
    at, spent, why = now, False, ""
    if lane.rest_until > at:
        at, spent, why = lane.rest_until, lane.rest_kind == "exhausted", lane.rest_why
    if circuit.open_until > at:
        at, spent, why = circuit.open_until, False, circuit.why
    ready, meter = earliest(lane.meters, dispatcher.cost_of(job, lane), now)
    if ready == NEVER:
        return Prospect(
            math.inf, False, f"{lane.target.key}: it needs more than {meter.axis if meter else ''} ever holds"
        )
    if ready != SETTLE and ready > at and meter is not None:
        at, spent, why = ready, is_quota(meter.axis), f"{lane.target.key}: {meter.axis}"
    if not dispatcher.in_flight and not dispatcher.purse.covers(dispatcher.worst_of(job, lane)):
        return Prospect(math.inf, False, dispatcher.purse.words())
    group = lane.group
    if group.paced and not group.permit and (spec := group.pace.spec()) is not None:
        at = max(at, group.last_send + 1.0 / spec[1])
    return Prospect(at, spent, why or f"{lane.target.key}: its pace")


def _reasons(lanes: list[Lane]) -> str:
    said = dict.fromkeys(f"{lane.target.key}: {lane.out}" for lane in lanes)
    return "; ".join(list(said)[:5]) + (f"; and {len(said) - 5} more" if len(said) > 5 else "")
