"""The least time the limits permit a batch, with the answers a forecast supposes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from llmfan.forecasting.priors import Answers
from llmfan.limits.axes import Cost
from llmfan.limits.flows import flow_of
from llmfan.limits.ideal import LaneFlow, Scope, ideal_of_scopes
from llmfan.scheduling.estimate import Estimator
from llmfan.scheduling.lanes import Lane

_EACH: Cost = (1.0, 1.0, 1.0, 1.0, 1.0, 1.0)


def least_duration(
    lanes: Sequence[Lane],
    answers: Sequence[Answers],
    estimator: Estimator,
    kinds: Mapping[str, str],
    chars: float,
    jobs: Mapping[str, int],
    concurrency: int,
    start: float,
) -> float | None:
    """Seconds; None if the limits never permit the batch.

    `kinds`: how each provider counts; `chars`: of a prompt, on average; `jobs`: how many for each place ("" is
    anywhere); `start`: the first moment.
    """
    flows: dict[int, LaneFlow] = {}
    for lane, each in zip(lanes, answers, strict=True):
        tokens_in, tokens_out = each.input_tokens(round(chars)), each.output_tokens
        neurons = estimator.neurons(lane.target.name, tokens_in, tokens_out)
        # Limits are counted in jobs here, since what a job costs differs from target to target.
        cost = lane.cost(tokens_in, tokens_out, neurons)
        counted = [(m, cost[m.unit]) for m in lane.meters if m.axis != "concurrency" and cost[m.unit] > 0]
        slots = tuple((m.owner, m.limit) for m in lane.meters if m.axis == "concurrency" and m.limit < math.inf)
        flows[lane.number] = LaneFlow(
            flows=tuple(flow_of(m, start, n, kinds[lane.target.provider]) for m, n in counted if m.limit < math.inf),
            service=each.service_s,
            in_flight=slots,
        )
    made = [
        Scope(jobs=n, cost=_EACH, least=_EACH, lanes=tuple(flows[lane.number] for lane in lanes if name in lane.names))
        for name, n in jobs.items()
    ]
    return ideal_of_scopes(made, concurrency)
