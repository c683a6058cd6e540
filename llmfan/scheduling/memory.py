"""What was sent before a run was taken up again still stands in the providers' windows: the counters are told."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from llmfan.scheduling.lanes import Lane


class Sent(Struct, frozen=True, kw_only=True):
    """`count` requests to one target, `age` seconds ago, with the tokens they took altogether."""

    provider: str
    model: str
    key: str
    age: float
    count: int
    input_tokens: int = 0
    output_tokens: int = 0


def remember(lanes: Iterable[Lane], sent: Iterable[Sent], now: float) -> None:
    """Fills the counters of `lanes`, oldest first; what no longer counts anywhere is passed over."""
    by_target = {(lane.target.provider, lane.target.model, lane.target.key): lane for lane in lanes}
    for each in sorted(sent, key=lambda s: -s.age):
        lane = by_target.get((each.provider, each.model, each.key))
        if lane is None:
            continue
        cost = lane.cost(each.input_tokens, each.output_tokens, 0.0)
        for meter in lane.meters:
            amount = each.count if meter.unit == 0 else cost[meter.unit]
            meter.recall(now - each.age, now, amount)
