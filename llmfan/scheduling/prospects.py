"""When a call could be sent at the soonest, as things stand; or why it cannot be. Pure."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

from llmfan.limits.axes import earliest, is_quota
from llmfan.limits.window import NEVER, SETTLE
from llmfan.scheduling.dispatcher import Dispatcher
from llmfan.scheduling.failover import eligible
from llmfan.scheduling.jobs import Job
from llmfan.scheduling.lanes import HOPELESS, Lane
from llmfan.scheduling.outlook import reasons
from llmfan.settings import Kind


class Prospect(NamedTuple):
    """`at`: the moment of its permit, as far as can be foreseen; inf if none will ever come.

    `state`: `soon`; `spent` (until a quota comes back); `rests` (who could serve it has failed and rests till then);
    `down` (has failed over and over); `never`. `why` says what it waits for, or why nobody can take it; `kind` is that
    of the error it is turned away with.
    """

    at: float
    state: Literal["soon", "spent", "rests", "down", "never"]
    why: str
    kind: Kind = "rate_limited"


def prospect(dispatcher: Dispatcher, job: Job, now: float) -> Prospect:
    """Of all keys that may serve it, the soonest; paid ones only where no free one can."""
    fit = [lane for lane in dispatcher.lanes if _may_serve(lane, job)]
    alive = [lane for lane in fit if not lane.out]
    if not alive:
        kinds: list[Kind] = [lane.fault.kind for lane in fit if lane.fault is not None]
        kind: Kind = kinds[0] if kinds else "quota_exhausted"
        return Prospect(math.inf, "never", reasons(fit) or "no key of the fleet can serve it", kind)
    circuits = [lane.provider.circuit for lane in alive]
    if all(circuit.open_until > now for circuit in circuits):
        why = "; ".join(dict.fromkeys(f"{lane.provider.name}: {lane.provider.circuit.why}" for lane in alive))
        at = min(circuit.open_until for circuit in circuits)
        return Prospect(at, "down" if all(c.openings >= HOPELESS for c in circuits) else "rests", why, "overloaded")
    able = [lane for lane in alive if not lane.target.paid and lane.able(now)]
    found = [_of(dispatcher, lane, job, now) for lane in (able or alive)]
    return min(found, key=lambda each: (each.at, each.state))


def rate(dispatcher: Dispatcher, job: Job, now: float) -> float:
    """Requests a second that the keys let out which may serve it; inf where some key has no pace, or none is able."""
    groups = {lane.group for lane in dispatcher.lanes if _may_serve(lane, job) and lane.able(now)}
    return sum(group.pace.limit / group.pace.period for group in groups) or math.inf


def ahead(dispatcher: Dispatcher, job: Job) -> int:
    """How many wait that the same keys may serve and that go before one that comes now."""
    fit = [lane for lane in dispatcher.lanes if _may_serve(lane, job)]
    places = [jobs for jobs in dispatcher.waiting.back.values() if jobs[0].batch <= job.batch]
    return sum(len(jobs) for jobs in places if any(eligible(lane, jobs[0]) for lane in fit))


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
        axis = meter.axis if meter is not None else "a limit"
        return Prospect(math.inf, "never", f"{lane.target.key}: it needs more than {axis} ever holds", "context_length")
    if ready != SETTLE and ready > at and meter is not None:
        at, spent, why = ready, is_quota(meter.axis), f"{lane.target.key}: {meter.axis}"
    if not dispatcher.in_flight and not dispatcher.purse.covers(dispatcher.worst_of(job, lane)):
        return Prospect(math.inf, "never", dispatcher.purse.words(), "quota_exhausted")
    group = lane.group
    if group.paced and not group.permit and (spec := group.pace.spec()) is not None:
        at = max(at, group.last_send + 1.0 / spec[1])
    if spent:
        return Prospect(at, "spent", why, "quota_exhausted")
    return Prospect(at, "soon", why or f"{lane.target.key}: its pace")
