"""The last minutes of a run or of a fleet that is kept running: throughput, latency, and what failed last."""

from __future__ import annotations

import math
from collections import deque
from typing import NamedTuple

from llmfan.measures.sketch import Sketch
from llmfan.records import AttemptLine, ResultLine
from llmfan.units import MINUTE

#: Seconds of one stretch, how many are kept, and how many failures.
STRETCH_S, KEPT, FAILURES = 10.0, 60, 20
#: Too little time for a rate. Seconds.
SHORTEST_S = 1.0
LIMITED = "rate_limited"
#: What counts as refused by a limit, here as in all other figures.
REFUSED = (LIMITED, "quota_exhausted")


class Row(NamedTuple):
    """One stretch. `ago_s`: from its beginning to now. Latencies are of answers; None where there was none."""

    ago_s: float
    ok: int
    failed: int
    rate_limited: int
    output_tokens: int
    latency_p50_s: float | None
    latency_p95_s: float | None
    ttft_p50_s: float | None


class Minute(NamedTuple):
    """The last minute, or as much as there was. Rates count answers, but `ended_per_s`, which counts all that ended;
    None where it is too short for one.
    """

    requests_per_s: float | None
    ended_per_s: float | None
    output_tokens_per_s: float | None
    latency_p50_s: float | None
    latency_p95_s: float | None
    ttft_p50_s: float | None


class Failed(NamedTuple):
    """An attempt or a job that failed. `at`: seconds since the beginning; `message`: only a job's end has one."""

    at: float
    id: str
    provider: str | None
    model: str | None
    key: str | None
    kind: str
    http_status: int | None
    message: str


class Stretch:
    """What ended within ten seconds."""

    __slots__ = ("_counted", "_quantiles", "failed", "latency", "ok", "output_tokens", "rate_limited", "ttft")

    def __init__(self) -> None:
        self.ok = self.failed = self.rate_limited = self.output_tokens = 0
        self.latency, self.ttft = Sketch(), Sketch()
        self._counted = 0
        self._quantiles: tuple[float | None, float | None, float | None] = (None, None, None)

    def quantiles(self) -> tuple[float | None, float | None, float | None]:
        """Read once for each count: sixty rows are asked for every second, and one of them changes."""
        if self._counted != self.ok:
            self._counted, self._quantiles = self.ok, _quantiles(self.latency, self.ttft)
        return self._quantiles


class Recent:
    """Bounded: so many stretches of time, so many failures. `offset`: seconds that lines count from before the
    beginning (those of a run that is gone on with).

    Moments are seconds since the beginning, of the clock that attempts are timed by.
    """

    def __init__(self, offset: float = 0.0) -> None:
        self._offset = offset
        self._latest = 0.0
        self._stretches: dict[int, Stretch] = {}
        self._failed: deque[Failed] = deque(maxlen=FAILURES)
        self._refused: deque[Failed] = deque(maxlen=FAILURES)

    def count(self, attempt: AttemptLine | None, result: ResultLine | None, words: str = "") -> None:
        """An attempt that has ended, and the result where its job has ended with it (or without any attempt).

        `words`: why the attempt failed, if it did.
        """
        at = self._moment(attempt, result)
        self._latest = max(self._latest, at)
        stretch = self._stretch(at)
        if attempt is not None and attempt.outcome in REFUSED:
            stretch.rate_limited += 1
        if result is not None:
            _count_result(stretch, result)
        self._note(at, attempt, result, words)

    def rows(self, now: float) -> list[Row]:
        """The last ten minutes, or those since the beginning, oldest first; stretches without anything as well."""
        last = math.floor(max(now, 0.0) / STRETCH_S)
        empty = Stretch()
        found = []
        for number in range(max(0, last - KEPT + 1), last + 1):
            each = self._stretches.get(number, empty)
            ago = round(now - number * STRETCH_S, 3)
            counts = (each.ok, each.failed, each.rate_limited, each.output_tokens)
            found.append(Row(ago, *counts, *each.quantiles()))
        return found

    def minute(self, now: float) -> Minute:
        """Whole stretches and the one that is under way: fifty seconds to a minute."""
        last = math.floor(max(now, 0.0) / STRETCH_S)
        first = max(0, last - int(MINUTE / STRETCH_S) + 1)
        mine = [self._stretches[n] for n in range(first, last + 1) if n in self._stretches]
        latency, ttft = Sketch(), Sketch()
        for each in mine:
            latency.merge(each.latency)
            ttft.merge(each.ttft)
        seconds = now - first * STRETCH_S
        long = seconds >= SHORTEST_S
        answered = sum(each.ok for each in mine) / seconds if long else None
        ended = sum(each.ok + each.failed for each in mine) / seconds if long else None
        tokens = sum(each.output_tokens for each in mine) / seconds if long else None
        return Minute(answered, ended, tokens, *_quantiles(latency, ttft))

    def failures(self) -> list[Failed]:
        """Newest first. Refusals by a limit are many, and a key's state tells of them: they take what room is left."""
        room = FAILURES - len(self._failed)
        refused = list(self._refused)[-room:] if room else []
        return sorted([*reversed(self._failed), *reversed(refused)], key=lambda each: -each.at)

    def _moment(self, attempt: AttemptLine | None, result: ResultLine | None) -> float:
        """Of what was never sent nobody wrote down when it ended: no sooner than it came, or than anything else."""
        if attempt is not None:
            return attempt.sent_s - self._offset + (attempt.latency_s or 0.0)
        came = None if result is None else result.planned_s
        return self._latest if came is None else max(self._latest, came - self._offset)

    def _stretch(self, at: float) -> Stretch:
        number = math.floor(max(at, 0.0) / STRETCH_S)
        found = self._stretches.get(number)
        if found is None:
            found = self._stretches[number] = Stretch()
            oldest = math.floor(self._latest / STRETCH_S) - KEPT
            for gone in [n for n in self._stretches if n < oldest]:
                del self._stretches[gone]
        return found

    def _note(self, at: float, attempt: AttemptLine | None, result: ResultLine | None, words: str) -> None:
        if result is not None and result.status != "ok":
            before = self._failed[-1] if self._failed and attempt is None else None
            if before is not None and before.id == result.id:
                self._failed.pop()  # its last attempt, which nobody could try again: it is told once
            else:
                before = None
            self._failed.append(_of_result(at, before or attempt or result, result))
        elif attempt is not None and attempt.outcome not in ("ok", "cancelled") and not attempt.hedge:
            one = Failed(
                at,
                attempt.id,
                attempt.provider,
                attempt.model,
                attempt.key,
                attempt.outcome,
                attempt.http_status,
                words,
            )
            (self._refused if attempt.outcome == LIMITED else self._failed).append(one)


def _count_result(stretch: Stretch, result: ResultLine) -> None:
    if result.status != "ok":
        stretch.failed += 1
        return
    stretch.ok += 1
    if result.usage is not None:
        stretch.output_tokens += result.usage.output_tokens
    if result.latency_s is not None:
        stretch.latency.add(result.latency_s)
    if result.ttft_s is not None:
        stretch.ttft.add(result.ttft_s)


def _of_result(at: float, who: AttemptLine | ResultLine | Failed, result: ResultLine) -> Failed:
    """Who failed it, is who was asked last."""
    error = result.error
    kind, message, status = ("", "", None) if error is None else (error.kind, error.message, error.http_status)
    return Failed(at, result.id, who.provider, who.model, who.key, kind, status, message)


def _quantiles(latency: Sketch, ttft: Sketch) -> tuple[float | None, float | None, float | None]:
    """Half and 95 % of latencies, half of the times to the first text."""
    p50, p95 = latency.quantiles([0.5, 0.95])
    return p50, p95, ttft.quantile(0.5)
