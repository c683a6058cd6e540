"""How near a run came to the least time its limits permit, and where the rest of its time went."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from llmfan.limits.axes import Cost
from llmfan.limits.flows import flow_of
from llmfan.limits.ideal import LaneFlow, Scope, ideal_of_scopes
from llmfan.measures.accumulate import Accumulator, Tally
from llmfan.scheduling.lanes import Lane
from llmfan.scheduling.losses import Losses


def ideal_of_run(
    accumulator: Accumulator, lanes: Sequence[Lane], scopes: Iterable[str], concurrency: int, start: float
) -> float | None:
    """The bound for what was answered: `scopes` are the places each prompt went to ("" is anywhere). None if nothing
    was answered. Limits count as they are believed by now, requests as they cost on average, answers as the median;
    `start` is the run's first moment.
    """
    made = []
    for name in scopes:
        here = [lane for lane in lanes if name in lane.names]
        tally = _of(accumulator, here)
        if tally.ok:
            flows = [_flows(accumulator, lane, tally, start) for lane in here if _served(accumulator, lane)]
            made.append(Scope(jobs=_requests(tally), cost=_cost(tally), lanes=tuple(flows)))
    return ideal_of_scopes(made, concurrency) if made else None


def efficiency(ideal: float | None, whole: Tally, losses: Losses, last_claim: float, late: float) -> dict[str, Any]:
    """The fields of `totals` on it. `last_claim`: seconds into the run at which the last job left the queue; `late`:
    seconds by which the process itself was behind.
    """
    duration = whole.duration
    if ideal is None or not duration:
        return {"ideal_duration_s": None, "efficiency": None, "lost": None}
    typical = whole.sketches["latency_s"].quantile(0.5) or 0.0
    tail = (whole.last_byte or 0.0) - last_claim - typical if last_claim > -math.inf else 0.0
    lost = losses.shares(rest=duration - ideal, attempts_lost=sum(whole.problems.values()), tail=tail, late=late)
    return {
        "ideal_duration_s": round(ideal, 3),
        "efficiency": round(min(1.0, ideal / duration), 4),
        "lost": {f"{name}_s": round(getattr(lost, name), 3) for name in lost.__struct_fields__},
    }


def _of(accumulator: Accumulator, lanes: Sequence[Lane]) -> Tally:
    idents = {(lane.target.provider, lane.target.model, lane.target.key) for lane in lanes}
    return accumulator.merged(lambda ident: ident in idents)


def _served(accumulator: Accumulator, lane: Lane) -> bool:
    """Whether it may count: one that went out counts if it answered anything before."""
    return not lane.out or _of(accumulator, [lane]).ok > 0


def _requests(tally: Tally) -> int:
    """A conversation takes several."""
    return max(tally.ok, tally.attempts - sum(tally.problems.values()))


def _cost(tally: Tally) -> Cost:
    n = _requests(tally)
    mean_in, mean_out = tally.input_tokens / n, tally.output_tokens / n
    return (1.0, mean_in + mean_out, mean_in, mean_out, 0.0, (tally.cost or 0.0) / n)


def _flows(accumulator: Accumulator, lane: Lane, whole: Tally, start: float) -> LaneFlow:
    mine = accumulator.merged(lambda ident: ident[0] == lane.target.provider)
    latency = next(
        (t.sketches["latency_s"].quantile(0.5) or 0.0 for t in (mine, whole) if t.sketches["latency_s"].n), 0.0
    )
    turns = _requests(mine) / mine.ok if mine.ok else 1.0
    return LaneFlow(
        flows=tuple(flow_of(m, start) for m in lane.meters if m.axis != "concurrency" and m.limit < math.inf),
        service=latency / turns,
        in_flight=tuple((m.owner, m.limit) for m in lane.meters if m.axis == "concurrency" and m.limit < math.inf),
    )
