"""How near a run came to the least time its limits permit, and where the rest of its time went."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from llmfan.limits.axes import Cost
from llmfan.limits.flows import flow_of
from llmfan.limits.ideal import LaneFlow, Scope, ideal_of_scopes
from llmfan.measures.accumulate import Accumulator, Tally
from llmfan.scheduling.hedging import Copied
from llmfan.scheduling.lanes import Lane
from llmfan.scheduling.losses import Losses


def ideal_of_run(
    accumulator: Accumulator, lanes: Sequence[Lane], scopes: Iterable[str], concurrency: int, start: float
) -> float | None:
    """The bound for what was answered: `scopes` are the places each prompt went to ("" is anywhere). None if nothing
    was answered. Limits count as they are believed by now, requests as they cost on average, answers as the median;
    `start` is the run's first moment.
    """
    whole, services = accumulator.merged(), {}
    for provider in dict.fromkeys(lane.target.provider for lane in lanes):
        mine = accumulator.merged(lambda ident, name=provider: ident[0] == name)  # type: ignore[misc]
        services[provider] = _service(mine if mine.ok else whole)
    made = []
    for name in scopes:
        here = [lane for lane in lanes if name in lane.names]
        tally = whole if name == "" else _of(accumulator, here)
        if tally.ok:
            flows = [_flows(lane, services[lane.target.provider], start) for lane in here if _served(accumulator, lane)]
            made.append(Scope(jobs=_requests(tally), cost=_cost(tally), lanes=tuple(flows)))
    return ideal_of_scopes(made, concurrency) if made else None


def efficiency(
    ideal: float | None, whole: Tally, losses: Losses, last_claim: float, late: float, hedged: Copied | None = None
) -> dict[str, Any]:
    """The fields of `totals` on it, and what hedging cost. `last_claim`: seconds into the run at which the last job
    left the queue; `late`: seconds by which the process itself was behind.
    """
    duration = whole.duration
    if ideal is None or not duration:
        copies = None if hedged is None else _hedges(hedged)
        return {"ideal_duration_s": None, "efficiency": None, "lost": None, "hedges": copies}
    typical = whole.sketches["latency_s"].quantile(0.5) or 0.0
    tail = (whole.last_byte or 0.0) - last_claim - typical if last_claim > -math.inf else 0.0
    lost = losses.shares(
        rest=duration - ideal,
        attempts_lost=sum(whole.problems.values()),
        tail=tail,
        late=late,
    )
    return {
        "ideal_duration_s": round(ideal, 3),
        "efficiency": round(min(1.0, ideal / duration), 4),
        "hedges": None if hedged is None else _hedges(hedged),
        "lost": {f"{name}_s": abs(round(getattr(lost, name), 3)) for name in lost.__struct_fields__},
    }


def _hedges(hedged: Copied) -> dict[str, Any]:
    """`won`: copies that answered first. The tokens and the money are those of the losers, as far as can be known."""
    return {
        "attempts": hedged.attempts, "won": hedged.won, "input_tokens": hedged.input_tokens,
        "output_tokens": hedged.output_tokens, "cost_usd": hedged.usd,
    }  # fmt: skip


def _of(accumulator: Accumulator, lanes: Sequence[Lane]) -> Tally:
    idents = {(lane.target.provider, lane.target.model, lane.target.key) for lane in lanes}
    return accumulator.merged(lambda ident: ident in idents)


def _served(accumulator: Accumulator, lane: Lane) -> bool:
    """Whether it may count: one that went out, or that is paid and was not needed, counts if it answered anything."""
    tally = accumulator.tallies.get((lane.target.provider, lane.target.model, lane.target.key))
    return not (lane.out or lane.target.paid) or (tally is not None and tally.ok > 0)


def _service(tally: Tally) -> float:
    """Seconds of one request: a conversation's latency is that of all its turns."""
    latency = tally.sketches["latency_s"].quantile(0.5) or 0.0
    return latency * tally.ok / _requests(tally) if tally.ok else 0.0


def _requests(tally: Tally) -> int:
    """A conversation takes several."""
    return max(tally.ok, tally.attempts - sum(tally.problems.values()))


def _cost(tally: Tally) -> Cost:
    n = _requests(tally)
    mean_in, mean_out = tally.input_tokens / n, tally.output_tokens / n
    return (1.0, mean_in + mean_out, mean_in, mean_out, 0.0, (tally.cost or 0.0) / n)


def _flows(lane: Lane, service: float, start: float) -> LaneFlow:
    return LaneFlow(
        flows=tuple(flow_of(m, start) for m in lane.meters if m.axis != "concurrency" and m.limit < math.inf),
        service=service,
        in_flight=tuple((m.owner, m.limit) for m in lane.meters if m.axis == "concurrency" and m.limit < math.inf),
    )
