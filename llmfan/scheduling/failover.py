"""What a failure means for the job that met it: again, elsewhere, or the end. The scope decides; pure."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from llmfan.limits.axes import Cost
from llmfan.limits.window import Meter
from llmfan.records import Failure
from llmfan.scheduling.jobs import Job
from llmfan.scheduling.lanes import Lane

#: A rest longer than this counts as a spent quota: nobody waits for it in this run without saying so.
LONG_REST_S = 600.0
Rest = Literal["none", "rest", "out", "circuit"]


class Policy(Struct, frozen=True):
    """The budgets of a job: failed attempts, and resends of what may have been billed."""

    max_attempts: int = 4
    max_ambiguous: int = 1


def charge(job: Job, failure: Failure, lane: Lane, policy: Policy) -> bool:
    """Books a failure on its job. True: the job has ended with it. False: it goes back, changed as the scope says.

    Four cases: the request itself is at fault (a second opinion from one other provider, then the end); it may have
    been processed (a bounded number of resends); it failed (a bounded number of attempts); it was refused
    unprocessed (free: only the scope is ruled out, and that needs nothing of the job).
    """
    job.last = failure
    if job.caller is not None and job.caller.committed:
        return True  # somebody has the beginning of an answer: no other can follow it
    if failure.ambiguous:
        job.ambiguous += 1
    if not failure.free:
        job.failures += 1
    elif failure.scope == "request":
        return False  # this machine's own fault (out of sockets): nobody else is to blame
    if failure.scope == "request":
        job.refusers |= {lane.target.provider}
        job.banned |= {lane.target.provider}
        return len(job.refusers) >= 2 or job.failures >= policy.max_attempts
    if job.ambiguous > policy.max_ambiguous or job.failures >= policy.max_attempts:
        return True
    if failure.scope in ("provider", "model"):
        job.avoid |= {lane.target.provider if failure.scope == "provider" else lane.target.name}
    return False


def consequence(failure: Failure) -> Rest:
    """What becomes of the scope: nothing, a rest, out for this run, or a strike against the provider's circuit."""
    if failure.scope == "request" or failure.kind == "bad_request":
        return "none"  # the request's own fault: nobody rests for it
    if failure.permanent:
        return "out"
    if failure.kind in ("rate_limited", "quota_exhausted", "overloaded"):
        return "rest"
    if failure.kind in ("auth", "payment_required", "model_not_found"):
        return "out"
    return "circuit"


def lanes_of(failure: Failure, lane: Lane) -> tuple[str, list[Lane]]:
    """(name, lanes) of the scope a failure rules out.

    An account that the file does not name is only supposed: what no waiting cures is asked of each of its keys.
    """
    t, peers = lane.target, lane.provider.lanes
    scope = "key" if failure.scope == "account" and t.account == "default" and failure.permanent else failure.scope
    match scope:
        case "key":
            return t.key, [p for p in peers if p.target.key == t.key]
        case "account":
            return f"{t.provider}@{t.account}", [p for p in peers if p.target.account == t.account]
        case "account_model":
            mine = [p for p in peers if p.target.account == t.account and p.target.model == t.model]
            return f"{t.provider}@{t.account}/{t.model}", mine
        case "model":
            return t.name, [p for p in peers if p.target.model == t.model]
        case _:
            return t.provider, list(peers)


def is_exhausted(failure: Failure) -> bool:
    return failure.kind == "quota_exhausted" or (failure.wait is not None and failure.wait > LONG_REST_S)


def eligible(lane: Lane, job: Job, avoided: bool = False) -> bool:
    """Whether the lane is in the run, and the job is neither tied elsewhere nor barred from it.

    With `avoided`, what the job only keeps away from while there is another counts as well.
    """
    if lane.out or (job.only and job.only not in lane.names) or (job.pinned and job.pinned not in lane.names):
        return False
    if avoided:
        return not any(n in job.banned for n in lane.names)
    return not (job.banned or job.avoid) or not any(n in job.banned or n in job.avoid for n in lane.names)


def eligible_for(job: Job, lane: Lane) -> bool:
    return eligible(lane, job)


def too_large(lane: Lane, meter: Meter, cost: Cost) -> Failure:
    """A job that needs more of a limit than it ever holds."""
    return Failure(
        kind="context_length" if meter.unit in (1, 2) else "bad_request",
        scope="request",
        message=f"not sent: it needs about {cost[meter.unit]:.3g} of {meter.axis} {meter.limit:.6g} of "
        f"{lane.target.name}, more than that limit ever holds"
        + (" (lower max_tokens, or use a larger key)" if meter.unit in (1, 2, 3) else ""),
    )
