"""What was sent and what came of it, by key: today, this month, over the last hour and day, and since the beginning."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from llmfan.entries import Tally
from llmfan.measures.sketch import Sketch
from llmfan.status.windows import Almanac
from llmfan.units import DAY, HOUR

#: Quantiles are of the newest so many answers, or some more: a year of buckets takes long to add up.
NEWEST = 500
#: (key, model) → when its days begin.
Resets = Callable[[str, str], str]


class Sent:
    """A sum of tallies, oldest first."""

    __slots__ = ("_tallies", "failed", "latency_s", "ok", "refused", "sent", "tokens")

    def __init__(self, tallies: Sequence[Tally] = ()) -> None:
        self._tallies = tallies
        sent = ok = refused = failed = tokens = 0
        latency_s = 0.0
        for each in tallies:  # a year of them: local names are half the time
            sent += each.sent
            ok += each.ok
            refused += each.refused
            failed += each.failed
            tokens += each.input_tokens + each.output_tokens
            latency_s += each.latency_s
        self.sent, self.ok, self.refused, self.failed, self.tokens = sent, ok, refused, failed, tokens
        self.latency_s = latency_s

    def document(self) -> dict[str, Any]:
        """Rates are null where nothing was sent, latencies where nothing was answered."""
        p50, p95 = self._quantiles()
        success_rate, avg_latency_s = rates_of([self])
        return {
            "sent": self.sent, "ok": self.ok, "refused": self.refused, "failed": self.failed,
            "success_rate": success_rate, "refused_rate": _share(self.refused, self.sent),
            "avg_latency_s": avg_latency_s, "p50_latency_s": p50, "p95_latency_s": p95,
        }  # fmt: skip

    def _quantiles(self) -> tuple[float | None, float | None]:
        sketch = Sketch()
        counts = sketch.counts
        for tally in reversed(self._tallies):
            if sketch.n >= NEWEST:
                break
            for bucket, count in tally.latencies.items():
                counts[bucket] = counts.get(bucket, 0) + count
                sketch.n += count
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
    """Of one key. `recent`: of its tallies those that the earliest window may hold, each with its middle and windows.

    A stretch counts where more than half of it lies: old ones are long, and windows begin in them.
    """

    def __init__(self, tallies: Sequence[Tally] = (), recent: Sequence[tuple[float, Starts, Tally]] = ()) -> None:
        self.all = Sent(tallies)
        self.month = Sent([tally for middle, starts, tally in recent if middle >= starts.month])
        self.today = Sent([tally for middle, starts, tally in recent if middle >= starts.today])
        self.day = Sent([tally for middle, starts, tally in recent if middle >= starts.day])
        self.hour = Sent([tally for middle, starts, tally in recent if middle >= starts.hour])

    def lately(self) -> Sent:
        """The last day, or all there is where nothing was sent in it."""
        return self.day if self.day.sent else self.all


def records_of(tallies: Iterable[Tally], almanac: Almanac, reset_of: Resets) -> dict[str, Record]:
    whole: dict[str, list[Tally]] = {}
    recent: dict[str, list[tuple[float, Starts, Tally]]] = {}
    found: dict[tuple[str, str], Starts] = {}
    for tally in tallies:
        whole.setdefault(tally.key, []).append(tally)
        target = (tally.key, tally.model)
        starts = found.get(target)
        if starts is None:
            starts = found[target] = _starts(almanac, reset_of(*target))
        middle = tally.at + tally.span / 2
        if middle >= starts.earliest:
            recent.setdefault(tally.key, []).append((middle, starts, tally))
    return {key: Record(own, recent.get(key, ())) for key, own in whole.items()}


def _starts(almanac: Almanac, reset: str) -> Starts:
    month, today = almanac.month(reset).start, almanac.day(reset).start
    day, hour = almanac.now - DAY, almanac.now - HOUR
    return Starts(month, today, day, hour, min(month, today, day))


def rates_of(sums: Sequence[Sent]) -> tuple[float | None, float | None]:
    """(success rate, mean latency in seconds) of several together."""
    ok = sum(each.ok for each in sums)
    latency = _share(sum(each.latency_s for each in sums), ok)
    return _share(ok, sum(each.sent for each in sums)), _rounded(latency)


def _share(part: float, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
