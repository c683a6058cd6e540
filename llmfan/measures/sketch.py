"""Quantiles in bounded memory: counts in buckets that grow by 1 %, so any quantile is right to half a per cent."""

from __future__ import annotations

import math

_STEP = 1.0 / math.log(1.01)
_MIDDLE = 1.005
_TINY = 1e-7


class Sketch:
    """Takes seconds one by one, or many of one size; `merge` adds another's. Count, sum and maximum are exact."""

    __slots__ = ("counts", "high", "n", "total")

    def __init__(self) -> None:
        self.counts: dict[int, int] = {}
        self.n = 0
        self.total = 0.0
        self.high = 0.0

    def add(self, value: float, count: int = 1) -> None:
        bucket = math.floor(math.log(value) * _STEP) if value > _TINY else -(1 << 20)
        self.counts[bucket] = self.counts.get(bucket, 0) + count
        self.n += count
        self.total += value * count
        if value > self.high:
            self.high = value

    def merge(self, other: Sketch) -> None:
        counts = self.counts
        for bucket, count in other.counts.items():
            counts[bucket] = counts.get(bucket, 0) + count
        self.n += other.n
        self.total += other.total
        self.high = max(self.high, other.high)

    def quantile(self, q: float) -> float | None:
        return self.quantiles([q])[0]

    def quantiles(self, qs: list[float]) -> list[float | None]:
        """The values below which the shares `qs` (ascending) lie; None where nothing was counted."""
        if not self.n:
            return [None] * len(qs)
        found: list[float | None] = []
        seen = 0
        buckets = iter(sorted(self.counts.items()))
        bucket = 0
        for q in qs:
            rank = max(1, math.ceil(q * self.n))
            while seen < rank:
                bucket, count = next(buckets)
                seen += count
            found.append(min(self.middle(bucket), self.high))
        return found

    @staticmethod
    def middle(bucket: int) -> float:
        """What a bucket stands for."""
        return 0.0 if bucket == -(1 << 20) else math.exp(bucket / _STEP) * _MIDDLE
