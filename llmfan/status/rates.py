"""What was sent and what came of it, by key: today, this month, over the last hour and day, and since the beginning."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from llmfan.entries import Tally
from llmfan.measures.sketch import Sketch
from llmfan.status.windows import Almanac
from llmfan.units import DAY, HOUR

#: Quantiles are of the newest so many answers, or some more: a year of buckets takes long to add up.
NEWEST = 2000
#: (key, model) → when its days begin.
Resets = Callable[[str, str], str]


class Sent:
    """A sum of tallies, added oldest first."""

    __slots__ = ("_parts", "failed", "latency_s", "ok", "refused", "sent", "tokens")

    def __init__(self) -> None:
        self.sent = self.ok = self.refused = self.failed = self.tokens = 0
        self.latency_s = 0.0
        self._parts: list[dict[int, int]] = []

    def add(self, tally: Tally) -> None:
        self.sent += tally.sent
        self.ok += tally.ok
        self.refused += tally.refused
        self.failed += tally.failed
        self.tokens += tally.input_tokens + tally.output_tokens
        self.latency_s += tally.latency_s
        if tally.latencies:
            self._parts.append(tally.latencies)

    def merge(self, other: Sent) -> None:
        self.sent += other.sent
        self.ok += other.ok
        self.refused += other.refused
        self.failed += other.failed
        self.tokens += other.tokens
        self.latency_s += other.latency_s
        self._parts += other._parts

    def document(self) -> dict[str, Any]:
        """Rates are null where nothing was sent, latencies where nothing was answered."""
        p50, p95 = self._quantiles()
        return {
            "sent": self.sent, "ok": self.ok, "refused": self.refused, "failed": self.failed,
            "success_rate": self.success_rate(), "refused_rate": _share(self.refused, self.sent),
            "avg_latency_s": self.avg_latency_s(), "p50_latency_s": p50, "p95_latency_s": p95,
        }  # fmt: skip

    def success_rate(self) -> float | None:
        return _share(self.ok, self.sent)

    def avg_latency_s(self) -> float | None:
        return _share(self.latency_s, self.ok)

    def _quantiles(self) -> tuple[float | None, float | None]:
        sketch = Sketch()
        counts = sketch.counts
        for part in reversed(self._parts):
            if sketch.n >= NEWEST:
                break
            sketch.n += sum(part.values())
            for bucket, count in part.items():
                counts[bucket] = counts.get(bucket, 0) + count
        sketch.high = float("inf")  # the highest itself is not kept
        p50, p95 = sketch.quantiles([0.5, 0.95])
        return _rounded(p50), _rounded(p95)


class Starts(NamedTuple):
    month: float
    today: float
    day: float
    hour: float
    earliest: float


class Record:
    """Of one key."""

    def __init__(self) -> None:
        self.today, self.month = Sent(), Sent()
        self.hour, self.day, self.all = Sent(), Sent(), Sent()

    def add(self, tally: Tally, starts: Starts) -> None:
        """A stretch counts where more than half of it lies: old ones are long, and windows begin in them."""
        middle = tally.at + tally.span / 2
        self.all.add(tally)
        if middle < starts.earliest:
            return
        if middle >= starts.month:
            self.month.add(tally)
        if middle >= starts.today:
            self.today.add(tally)
        if middle >= starts.day:
            self.day.add(tally)
        if middle >= starts.hour:
            self.hour.add(tally)

    def lately(self) -> Sent:
        """The last day, or all there is where nothing was sent in it."""
        return self.day if self.day.sent else self.all


def records_of(tallies: Iterable[Tally], almanac: Almanac, reset_of: Resets) -> dict[str, Record]:
    found: dict[str, Record] = {}
    starts: dict[tuple[str, str], Starts] = {}
    for tally in tallies:
        record = found.get(tally.key)
        if record is None:
            record = found[tally.key] = Record()
        target = (tally.key, tally.model)
        begins = starts.get(target)
        if begins is None:
            begins = starts[target] = _starts(almanac, reset_of(*target))
        record.add(tally, begins)
    return found


def _starts(almanac: Almanac, reset: str) -> Starts:
    month, today = almanac.month(reset).start, almanac.day(reset).start
    day, hour = almanac.now - DAY, almanac.now - HOUR
    return Starts(month, today, day, hour, min(month, today, day))


def together(sums: Iterable[Sent]) -> Sent:
    whole = Sent()
    for each in sums:
        whole.merge(each)
    return whole


def _share(part: float, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
