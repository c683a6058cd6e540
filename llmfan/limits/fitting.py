"""What limit a measurement's answers speak for: the middle and the bounds of all that fits them."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple

from llmfan.limits.answers import Log, Seen
from llmfan.limits.ways import CONTINUOUS, FIXED, SLIDING, candidates

#: Candidates that have together less than this share are left out of the bounds.
TAIL, CAREFUL = 0.01, 0.05
#: A kind less likely than this is not told; and nothing is surer than that.
TOLD, SUREST = 0.6, 0.97
#: Of windows of another length it is not known so well in which way they count: that may move the bounds so far.
ODDLY, LOOSE = 0.85, 0.08
#: Rates that lie no farther apart, but for so many at either end, are told by their middle.
MIDDLE, UNLIKELY = 1.2, 0.04
#: Where nothing fits, the rate at which it refused last may be wrong by so much.
ROUGH, ROUGHLY = 0.4, 0.2


class Estimate(NamedTuple):
    """`counts`: "" where two ways are about as likely, or none fits. `careful`: where the lowest of what is possible
    begins to be likely, and `windowed` if it counts by windows; `width`: how far the bounds lie
    apart, as a share of the figure.
    """

    figure: float | None
    low: float
    high: float
    counts: str
    confidence: float
    careful: float = 0.0
    windowed: float = math.inf

    @property
    def width(self) -> float:
        return math.inf if not self.figure else (self.high - self.low) / self.figure


def estimate(seen: Sequence[Seen], period: float) -> Estimate:
    """The limit per `period` that the answers speak for. None: nothing was refused."""
    log = Log(seen, period)
    if not log.refused or not log.taken:
        return Estimate(None, float(most_in_any([log.at[i] for i in log.taken], period)), math.inf, "", 0.0)
    found = list(candidates(log))
    total = sum(one.weight for one in found)
    if total <= 0:
        return _rough(log)
    by_kind = {kind: sum(one.weight for one in found if one.counts == kind) for kind in (FIXED, SLIDING, CONTINUOUS)}
    counts = max(by_kind, key=lambda kind: by_kind[kind])
    own = [one for one in found if one.counts == counts]
    middles = [((one.low + one.high) / 2, one.weight) for one in own]
    figure, least, most = (_quantile(middles, share) for share in (0.5, UNLIKELY, 1 - UNLIKELY))
    if counts == CONTINUOUS and most < MIDDLE * least:  # a little more of a bucket, or a little more into it
        figure = (least + most) / 2
    low = _quantile([(one.low, one.weight) for one in found], TAIL)
    high = _quantile([(one.high, one.weight) for one in found], 1 - TAIL)
    least_of = {
        kind: _quantile([(one.low, one.weight) for one in found if one.counts == kind], CAREFUL)
        for kind, weight in by_kind.items() if weight > TAIL * total
    }  # fmt: skip
    share = by_kind[counts] / total
    odd = sum(one.weight for one in own if one.odd) > by_kind[counts] / 2
    if odd:
        low, high = low * (1 - LOOSE), high * (1 + LOOSE)
    return Estimate(
        figure, min(low, figure), max(high, figure),
        counts if share >= TOLD else "", min(ODDLY if odd else SUREST, share), min(*least_of.values(), figure),
        min((least for kind, least in least_of.items() if kind != CONTINUOUS), default=math.inf),
    )  # fmt: skip


def _rough(log: Log) -> Estimate:
    """It counts in a way that is not known: the pace of the last burst's worth before it refused is what it bears."""
    burst, last = log.refused[0], log.refused[-1]
    held = [i for i in range(last) if log.seen[i].taken is not False][-max(2, burst) :]
    span = log.at[last] - log.at[held[0]] if held else 0.0
    if span <= 0:
        return Estimate(None, 0.0, math.inf, "", 0.0)
    figure = len(held) / span * log.period
    return Estimate(figure, figure * (1 - ROUGH), figure * (1 + ROUGH), "", ROUGHLY, figure * (1 - ROUGH))


def most_in_any(moments: Sequence[float], window: float) -> int:
    """The largest number in one stretch of a window's length; `moments` in order."""
    return max((i + 1 - bisect_right(moments, at - window) for i, at in enumerate(moments)), default=0)


def _quantile(values: list[tuple[float, float]], share: float) -> float:
    ordered = sorted(values)
    left = share * sum(weight for _, weight in ordered)
    for value, weight in ordered:
        left -= weight
        if left <= 0:
            return value
    return ordered[-1][0]
