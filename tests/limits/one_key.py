"""One key against one server-side counter, as discrete events: how long a batch takes, and how many 429s it costs."""

from __future__ import annotations

import heapq
import itertools
import math
import random
import sys
from collections.abc import Callable, Iterable

from msgspec import Struct

from llmfan.limits.evidence import Sent
from llmfan.limits.gauge import Gauge
from llmfan.limits.window import SETTLE
from llmfan.records import KnownLimit, Report
from llmfan.simulation.limiter import Bucket, Counter, FixedWindow, SlidingCounter, SlidingLog

OUT, BACK, REFUSING = 0.05, 0.05, 0.01
KINDS = ("sliding", "counter", "bucket", "bucket10", "fixed", "strict")
FIVE = KINDS[:5]


class Pacer:
    """The leaky bucket of departures: as aiolimiter's, with one acquirer, replaced when the spec changes."""

    def __init__(self) -> None:
        self._spec: tuple[float, float] | None = None
        self._level, self._at, self._last = 0.0, 0.0, -math.inf

    def ready(self, now: float, spec: tuple[float, float] | None) -> float:
        if spec is None:
            self._spec = None
            return now
        burst, rate = spec
        if spec != self._spec:
            self._spec = spec
            self._level = max(0.0, burst - rate * (now - self._last))
            self._at = now
        self._level = max(0.0, self._level - rate * (now - self._at))
        self._at = now
        return now if self._level + 1 <= burst + 1e-9 else now + (self._level + 1 - burst) / rate + 1e-9

    def leave(self, now: float) -> None:
        self._last = now
        self._level += 1


class Setting(Struct, frozen=True, kw_only=True):
    """A server, what it tells, and the batch."""

    kind: str = "sliding"
    declared: float | None = 60
    true: float = 60
    period: float = 60.0
    jobs: int = 600
    learn: str = "down"
    open_: bool = False
    hints: bool = False
    constant: float | None = None
    headers: bool = False
    counts_refused: bool = False
    jitter: float = 0.3
    late: float = 0.02
    service: float = 2.0
    sigma: float = 0.5
    speed: float = 1.0
    burst: int | None = None
    capacity: float | None = None
    others: tuple[tuple[float, float, float], ...] = ()  # (from, until, a second)
    cuts: tuple[tuple[float, float], ...] = ()  # (from when, the limit)
    lose: float = 0.0
    known: KnownLimit | None = None


class Course(Struct, kw_only=True):
    """How it went."""

    span: float = math.inf
    refused: int = 0
    done: int = 0
    ideal: float = 0.0
    answers: list[float]
    refusals: list[float]
    gauge: Gauge

    @property
    def ratio(self) -> float:
        return self.span / self.ideal

    @property
    def share(self) -> float:
        return self.refused / max(1, self.done)


def server_for(s: Setting, seed: int, rng: random.Random) -> tuple[Counter, float]:
    """The counter, and the seconds of its window that are over when the batch begins: over 12 seeds, all of it."""
    phase = (seed * 5 % 12 + rng.random()) / 12 * s.period
    if s.kind == "sliding":
        return SlidingLog(s.true, s.period), phase
    if s.kind == "fixed":
        return FixedWindow(s.true, s.period, phase), phase
    if s.kind == "counter":
        return SlidingCounter(s.true, s.period, phase), phase
    share = {"bucket": 1.0, "bucket10": 0.1, "strict": 0.0}[s.kind]
    return Bucket(s.true, s.period, s.capacity or max(1.0, s.true * share)), phase


def ideal(s: Setting, phase: float) -> float:
    """The least time for the true limit, without jitter, by a client that knows it all."""
    phase = (phase + OUT / s.speed) % s.period  # as the first request finds it
    n, limit, period, answer = s.jobs, s.true, s.period, s.service + OUT + BACK
    windows = math.ceil(n / limit) - 1
    if s.kind == "sliding":
        return windows * period + answer
    if s.kind == "fixed":
        return (windows * period - phase if windows else 0.0) + answer
    if s.kind == "counter":
        return (period - phase + (n - limit) * period / limit if n > limit else 0.0) + answer
    share = {"bucket": 1.0, "bucket10": 0.1, "strict": 0.0}[s.kind]
    return max(0.0, n - (s.capacity or max(1.0, limit * share))) * period / limit + answer


class Bench:
    """Plays one setting with one seed."""

    def __init__(self, s: Setting, seed: int, horizon: float = 1e5):
        self.s, self.horizon = s, horizon
        self.rng = random.Random(f"{seed}/{s.kind}/{s.true}/{s.jobs}")
        self.server, phase = server_for(s, seed, self.rng)
        self.gauge = Gauge(
            "rpm",
            "k",
            s.declared,
            s.period,
            speed=s.speed,
            learn=s.learn,
            burst=s.burst,
            rng=random.Random(seed),
            open_=s.open_,
        )
        if s.known is not None:
            self.gauge.remember(s.known)
        self.gauge.expect(s.jobs)
        self.pacer = Pacer()
        self.course = Course(ideal=ideal(s, phase), answers=[], refusals=[], gauge=self.gauge)
        self.events: list[tuple[float, int, str, tuple[object, ...]]] = []
        self.count = itertools.count()
        self.left = s.jobs
        self.flying = 0
        self.woken = math.inf
        self.trace: Callable[[str], None] | None = None

    def push(self, at: float, what: str, *rest: object) -> None:
        heapq.heappush(self.events, (at, next(self.count), what, rest))

    def play(self) -> Course:
        for begin, end, rate in self.s.others:
            t = begin
            while t < end:
                t += self.rng.expovariate(rate)
                self.push(t, "other")
        for at, limit in self.s.cuts:
            self.push(at, "cut", limit)
        self.push(0.0, "wake")
        while self.events and self.course.done < self.s.jobs:
            now, _, what, rest = heapq.heappop(self.events)
            if now > self.horizon:
                break
            getattr(self, "_" + what)(now, *rest)
            self._send(now)
        return self.course

    def _wake(self, now: float) -> None:
        self.woken = math.inf

    def _other(self, now: float) -> None:
        self.server.admit(now)

    def _cut(self, now: float, limit: float) -> None:
        self.server.limit = limit

    def _arrive(self, now: float, entry: Sent) -> None:
        seen = self.server.admit(now)
        if not seen.ok and self.s.counts_refused:
            self.server.take(now, 1.0)
        report = Report(axis="rpm", limit=seen.limit, remaining=math.floor(seen.remaining + 1e-9), resets_in=seen.reset)
        told = report if self.s.headers else None
        s = self.s
        if not seen.ok:
            hint = s.constant if s.constant is not None else math.ceil(seen.retry_after) if s.hints else None
            self.push(now + REFUSING / s.speed + BACK / s.speed, "refuse", entry, hint, told)
            return
        took = self.rng.lognormvariate(math.log(s.service) - s.sigma**2 / 2, s.sigma)
        fate = "lose" if s.lose and self.rng.random() < s.lose else "answer"
        self.push(now + (took + BACK) / s.speed, fate, entry, told)

    def _lose(self, now: float, entry: Sent, told: Report | None) -> None:
        self.flying -= 1
        self.left += 1
        self.gauge.lost(entry, now)

    def _answer(self, now: float, entry: Sent, told: Report | None) -> None:
        self.flying -= 1
        self.course.done += 1
        self.course.span = now if self.course.done == self.s.jobs else math.inf
        self.course.answers.append(now)
        if told is not None:
            self.gauge.told(entry, told, now)
        self.gauge.accepted(entry, now)

    def _refuse(self, now: float, entry: Sent, hint: float | None, told: Report | None) -> None:
        self.flying -= 1
        self.left += 1
        self.course.refused += 1
        self.course.refusals.append(now)
        if told is not None:
            self.gauge.told(entry, told, now)
        self.gauge.refused(entry, now, hint)
        if self.trace:
            g = self.gauge
            self.trace(f"{now:8.2f} 429 left {entry.at:.2f} limit {g.limit:.1f} {g!r}")

    def _send(self, now: float) -> None:
        while self.left:
            most = self.gauge.most_in_flight()
            if most is not None and self.flying + 1 > most:
                return
            at = self.gauge.ready(now, 1.0)
            if at == SETTLE:
                assert self.flying, "waits for something in flight, and nothing is"
                return
            at = max(at, self.pacer.ready(now, self.gauge.spec()))
            if at > now + 1e-9:
                if at < self.woken:
                    self.woken = at
                    self.push(at, "wake")
                return
            entry = self.gauge.take(now, 1.0)
            self.pacer.leave(now)
            self.left -= 1
            self.flying += 1
            late = OUT + self.rng.random() * self.s.jitter
            if self.rng.random() < self.s.late:
                late += self.rng.expovariate(1.0)
            self.push(now + late / self.s.speed, "arrive", entry)


def play(s: Setting, seed: int) -> Course:
    return Bench(s, seed).play()


def mean(s: Setting, seeds: Iterable[int] = range(12)) -> tuple[float, float]:
    """(makespan over ideal, 429s per answer), each averaged over the seeds."""
    courses = [play(s, seed) for seed in seeds]
    return sum(c.ratio for c in courses) / len(courses), sum(c.share for c in courses) / len(courses)


def show(title: str, **settings: object) -> None:
    cells = []
    for kind in KINDS:
        ratio, share = mean(Setting(kind=kind, **settings))  # type: ignore[arg-type]
        cells.append(f"{ratio:6.3f} {share * 100:6.2f}%")
    sys.stdout.write(f"{title:28s} " + " | ".join(cells) + "\n")


if __name__ == "__main__":
    sys.stdout.write(" " * 29 + " | ".join(f"{k:>14s}" for k in KINDS) + "\n")
    show("right, N=600")
    show("right, N=120", jobs=120)
    show("right, N=30", jobs=30)
    show("0.6", true=36)
    show("0.6 hints", true=36, hints=True)
    show("0.6 headers", true=36, headers=True)
    show("x2 up", true=120, learn="up")
    show("x2 up headers", true=120, learn="up", headers=True)
    show("open", declared=None, open_=True)
    show("counts refused", counts_refused=True)
    show("counts refused 0.6", counts_refused=True, true=36)
