"""Which results a report lists: all of few; of many the failed, the wrong, the slowest, and a sample of the rest."""

from __future__ import annotations

import heapq
import math
from collections.abc import Container
from random import Random

from msgspec import Struct

from llmfan.measures.accumulate import RIGHT
from llmfan.reporting.lines import Result

#: Rows of a page, whatever the number of its runs.
ROWS = 1000
#: Shares of them that the failed, the wrong and the slowest are sure of.
FAILED, WRONG, SLOW = 0.3, 0.3, 0.1
_ORDER = ("failed", "wrong", "slow", "sample")


class Listed(Struct, frozen=True, kw_only=True):
    why: str
    line: Result


class Picker:
    """Sees every result once and keeps no more of them than `room` of each sort."""

    def __init__(self, room: int, rng: Random):
        self._room, self._seen = room, 0
        self._failed, self._wrong, self._fine = (_Sample(room, rng) for _ in range(3))
        self._slow: list[tuple[float, int, Result]] = []
        self._slowest = max(1, round(SLOW * room))

    def add(self, line: Result) -> None:
        self._seen += 1
        if line.status != "ok":
            self._failed.offer(self._seen, line)
            return
        wrong = line.score is not None and line.score < RIGHT
        (self._wrong if wrong else self._fine).offer(self._seen, line)
        took = line.latency_s or 0.0
        if len(self._slow) < self._slowest:
            line.shorten()
            heapq.heappush(self._slow, (took, -self._seen, line))
        elif took > self._slow[0][0]:
            line.shorten()
            heapq.heapreplace(self._slow, (took, -self._seen, line))

    def listed(self) -> list[Listed]:
        """Failed ones first, then wrong ones and slow ones (the slowest first), then the others as they ended."""
        found: dict[int, Listed] = {}
        self._take(found, "failed", self._failed, round(FAILED * self._room))
        self._take(found, "wrong", self._wrong, round(WRONG * self._room))
        for number, line in self._slowest_ones():
            found.setdefault(number, Listed(why="slow", line=line))
        for why, sample in (("sample", self._fine), ("failed", self._failed), ("wrong", self._wrong)):
            self._take(found, why, sample, self._room - len(found))  # a share that nobody needs is the next one's
        return sorted(found.values(), key=lambda each: _ORDER.index(each.why))

    def _take(self, found: dict[int, Listed], why: str, sample: _Sample, count: int) -> None:
        for number, line in sample.some(count, found):
            found[number] = Listed(why=why, line=line)

    def _slowest_ones(self) -> list[tuple[int, Result]]:
        """Of a short run a tenth: where all are the slowest, none is."""
        count = min(self._slowest, math.ceil(SLOW * self._seen))
        first = sorted(self._slow, key=lambda each: each[:2], reverse=True)[:count]
        return [(-number, line) for _, number, line in first]

    def note(self, listed: list[Listed]) -> str:
        """What was left out, or "" if nothing was."""
        if len(listed) >= self._seen:
            return ""
        counts = {why: sum(each.why == why for each in listed) for why in _ORDER}
        parts = [
            _of(counts["failed"], self._failed.n, "failed"),
            _of(counts["wrong"], self._wrong.n, "wrong"),
            f"the {len(self._slowest_ones()):,} slowest" if counts["slow"] else "",
            f"{counts['sample']:,} of the others, drawn at random" if counts["sample"] else "",
        ]
        said = ", ".join(part for part in parts if part)
        return f"{len(listed):,} of {self._seen:,} results are listed: {said}; figures and charts count all"


class _Sample:
    """A sample of `room` of however many are offered, each as likely as any other."""

    def __init__(self, room: int, rng: Random):
        self._room, self._rng = room, rng
        self._kept: list[tuple[int, Result]] = []
        self.n = 0

    def offer(self, number: int, line: Result) -> None:
        self.n += 1
        if self.n <= self._room:
            line.shorten()
            self._kept.append((number, line))
            return
        at = int(self._rng.random() * self.n)
        if at < self._room:
            line.shorten()
            self._kept[at] = (number, line)

    def some(self, count: int, but_not: Container[int]) -> list[tuple[int, Result]]:
        """A sample of the sample, in the order in which they were offered."""
        left = [each for each in self._kept if each[0] not in but_not]
        return sorted(left if count >= len(left) else self._rng.sample(left, count), key=lambda each: each[0])


def _of(listed: int, there: int, what: str) -> str:
    if not there:
        return ""
    return f"all {there:,} {what}" if listed == there else f"{listed:,} of {there:,} {what}"
