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
_ORDER = ("failed", "wrong", "slow", "sample", "other")


class Listed(Struct, frozen=True, kw_only=True):
    """`why`: each reason that holds, a blank between two. Where all are listed nothing is a sample: `other`."""

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
        (self._wrong if _wrong(line) else self._fine).offer(self._seen, line)
        took = line.latency_s or 0.0
        if len(self._slow) < self._slowest:
            line.shorten()
            heapq.heappush(self._slow, (took, -self._seen, line))
        elif took > self._slow[0][0]:
            line.shorten()
            heapq.heapreplace(self._slow, (took, -self._seen, line))

    def listed(self) -> list[Listed]:
        """Failed ones first, then wrong ones and slow ones (the slowest first), then the others as they ended."""
        slow = dict(self._slowest_ones())
        found = dict(self._failed.some(round(FAILED * self._room), ()))
        found |= self._wrong.some(round(WRONG * self._room), found)
        found |= {number: line for number, line in slow.items() if number not in found}
        for sample in (self._fine, self._failed, self._wrong):  # a share that nobody needs is the next one's
            found |= sample.some(self._room - len(found), found)
        rest = "sample" if len(found) < self._seen else "other"
        listed = [Listed(why=_why(line, number in slow) or rest, line=line) for number, line in found.items()]
        return sorted(listed, key=lambda each: _ORDER.index(each.why.split()[0]))

    def _slowest_ones(self) -> list[tuple[int, Result]]:
        """Of a short run a tenth: where all are the slowest, none is."""
        count = min(self._slowest, math.ceil(SLOW * self._seen))
        first = sorted(self._slow, key=lambda each: each[:2], reverse=True)[:count]
        return [(-number, line) for _, number, line in first]

    def note(self, listed: list[Listed]) -> str:
        """What was left out, or "" if nothing was."""
        if len(listed) >= self._seen:
            return ""
        counts = {why: sum(why in each.why.split() for each in listed) for why in _ORDER}
        both = sum(each.why == "wrong slow" for each in listed)
        parts = [
            _of(counts["failed"], self._failed.n, "failed"),
            _of(counts["wrong"], self._wrong.n, "wrong"),
            f"the {counts['slow']:,} slowest" + f" ({both:,} of them wrong)" * bool(both) if counts["slow"] else "",
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


def _wrong(line: Result) -> bool:
    return line.status == "ok" and line.score is not None and line.score < RIGHT


def _why(line: Result, slow: bool) -> str:
    reasons = {"failed": line.status != "ok", "wrong": _wrong(line), "slow": slow}
    return " ".join(reason for reason, holds in reasons.items() if holds)


def _of(listed: int, there: int, what: str) -> str:
    if not there:
        return ""
    return f"all {there:,} {what}" if listed == there else f"{listed:,} of {there:,} {what}"
