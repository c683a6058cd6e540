"""The most that limits let out by a moment: each limit alone by formula, several at once step by step.

Everything is counted in jobs, from moment 0. Every kind of limit says "not before a moment that earlier sends put off",
so that sending as early as possible makes each send of a lane as early as it can be at all.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence

from msgspec import Struct

#: Slack for sums that are equal but for rounding: seconds, and jobs. Finer than this a clock of months is not.
EPS = 1e-6
#: Beyond this a batch never ends.
NEVER_S = 1e9


class Rule(Struct, frozen=True, order=True):
    """One limit, in jobs: `room` a period, of which `head` are there at the start; the rest of it comes at `first`.

    `sliding`: any span of `period` holds `room`. `fixed`: counted afresh at `first` and each `period` after it (`first`
    may be never). `bucket`: holds `room`, now `head`, fills at `rate` from `first` on. `fluid`: parts of a job count.
    """

    kind: str
    room: float
    period: float
    head: float
    first: float = 0.0
    rate: float = 0.0
    fluid: bool = False


def most(rule: Rule, by: float) -> float:
    """The most that may leave in [0, by]."""
    if by < -EPS:
        return 0.0
    if rule.kind == "sliding":
        return rule.head * _turns(by, rule) + (rule.room - rule.head) * _turns(by - rule.first, rule)
    if rule.kind == "fixed":
        return rule.head + rule.room * _turns(by - rule.first, rule)
    flown = rule.head + rule.rate * max(0.0, by - rule.first)
    if rule.fluid:
        return flown
    return float(math.floor(flown + EPS)) if rule.room >= 1 else 0.0


def _turns(by: float, rule: Rule) -> float:
    return math.floor((by + EPS) / rule.period) + 1.0 if by >= -EPS else 0.0


def in_any(rule: Rule, span: float) -> float:
    """The most in any half-open span of that length."""
    if rule.kind == "bucket":
        return rule.room + rule.rate * span
    return rule.room * (math.ceil((span - EPS) / rule.period) + (rule.kind == "fixed"))


def first_by(jobs: float, answered: Callable[[float], float], start: float, precision: float = 1e-9) -> float | None:
    """The first moment by which so many are answered, none before `start`, found from below; None: not in thirty
    years.
    """
    enough = jobs * (1 - 1e-12)
    if answered(start) >= enough:
        return start
    low, high = start, start * 1.05 + 1e-3
    while answered(high) < enough:
        if high > NEVER_S:
            return None
        low, high = high, start + 2 * (high - start)
    while high - low > precision * max(1.0, high):
        middle = (low + high) / 2
        low, high = (low, middle) if answered(middle) >= enough else (middle, high)
    return low


def binding(rules: Iterable[Rule]) -> tuple[Rule, ...]:
    """Without those that another one implies: 10 a minute is never more than 14,400 a day."""
    kept = sorted(set(rules))
    for rule in [r for r in kept if r.kind in ("sliding", "fixed") and r.period < math.inf]:
        if any(in_any(other, rule.period) <= min(rule.room, rule.head) + EPS for other in kept if other is not rule):
            kept.remove(rule)
    return tuple(kept)


def departures(rules: tuple[Rule, ...]) -> Reckoned | Stepped:
    """By formula where that is exact, else step by step."""
    return Stepped(rules) if len(rules) > 1 else Reckoned(rules)


class Reckoned:
    """Sends by a moment, by formula: exact for one limit, an upper bound for several."""

    def __init__(self, rules: tuple[Rule, ...]):
        self._rules = rules

    def extend(self, to: float) -> None:
        """Nothing to do: a formula reaches any moment."""

    def count(self, by: float) -> float:
        """How many leave in [0, by]."""
        if by < -EPS:
            return 0.0
        return min((most(rule, by) for rule in self._rules), default=math.inf)

    def before(self, moment: float) -> float:
        """How many leave earlier than that."""
        return self.count(moment - 2 * EPS)


class Stepped:
    """The same batch by batch: at each moment as many leave as all limits allow at once."""

    def __init__(self, rules: tuple[Rule, ...]):
        self._gates = [_GATES[rule.kind](rule) for rule in rules]
        self._moments: list[float] = []
        self._totals: list[float] = []
        self._next = self._ready(0.0)

    def extend(self, to: float) -> None:
        """`count` and `before` know of nothing later than the furthest extension."""
        moments, totals, gates, at = self._moments, self._totals, self._gates, self._next
        total = totals[-1] if totals else 0.0
        while at <= to:
            batch = min([gate.free for gate in gates])
            for gate in gates:
                gate.take(at, batch)
            total += batch
            moments.append(at)
            totals.append(total)
            at = self._ready(at)
        self._next = at

    def count(self, by: float) -> float:
        n = bisect_right(self._moments, by + EPS)
        return self._totals[n - 1] if n else 0.0

    def before(self, moment: float) -> float:
        n = bisect_left(self._moments, moment - EPS)
        return self._totals[n - 1] if n else 0.0

    def _ready(self, at: float) -> float:
        """The first moment at which every gate has room for a job; each one's `free` is then what it has."""
        agreed = -1.0
        while agreed < at < math.inf:
            agreed = at
            for gate in self._gates:
                at = max(at, gate.ready(at))  # never earlier: a spent quota stays spent
        return at


class _Sliding:
    __slots__ = ("_log", "_period", "free")

    def __init__(self, rule: Rule):
        self._period, self.free = rule.period, rule.head
        self._log: deque[tuple[float, float]] = deque()
        if rule.room > rule.head:
            self._log.append((rule.first - rule.period, rule.room - rule.head))

    def ready(self, at: float) -> float:
        log, edge = self._log, at - self._period + EPS
        while log and log[0][0] <= edge:
            self.free += log.popleft()[1]
        if self.free >= 1:
            return at
        return log[0][0] + self._period if log else math.inf

    def take(self, at: float, jobs: float) -> None:
        self.free -= jobs
        self._log.append((at, jobs))


class _Fixed:
    __slots__ = ("_ends", "_period", "_room", "free")

    def __init__(self, rule: Rule):
        self._room, self._period, self._ends, self.free = rule.room, rule.period, rule.first, rule.head

    def ready(self, at: float) -> float:
        if self._ends - EPS <= at < math.inf:
            self._ends += (math.floor((at - self._ends + EPS) / self._period) + 1) * self._period
            self.free = self._room
        if self.free >= 1:
            return at
        return self._ends if self._room >= 1 else math.inf

    def take(self, at: float, jobs: float) -> None:
        self.free -= jobs


class _Bucket:
    __slots__ = ("_at", "_level", "_rate", "_room", "free")

    def __init__(self, rule: Rule):
        self._room, self._level, self._rate, self._at = rule.room, rule.head, rule.rate, rule.first
        self.free = 0.0

    def ready(self, at: float) -> float:
        if at > self._at:
            self._level = min(self._room, self._level + (at - self._at) * self._rate)
            self._at = at
        self.free = math.floor(self._level + EPS)
        if self.free >= 1:
            return at
        return self._at + (1 - self._level) / self._rate if self._room >= 1 and self._rate > 0 else math.inf

    def take(self, at: float, jobs: float) -> None:
        self._level -= jobs


_GATES: dict[str, type[_Sliding | _Fixed | _Bucket]] = {"sliding": _Sliding, "fixed": _Fixed, "bucket": _Bucket}


def joined(marks: Sequence[frozenset[object]]) -> list[list[int]]:
    """Positions of those that have a mark in common, directly or by others."""
    often = Counter(mark for held in marks for mark in held)
    pools: list[tuple[set[object], list[int]]] = []
    apart: list[list[int]] = []
    for n, held in enumerate(marks):
        common = {mark for mark in held if often[mark] > 1}
        if not common:
            apart.append([n])
            continue
        met = [pool for pool in pools if not pool[0].isdisjoint(common)]
        pools = [pool for pool in pools if pool[0].isdisjoint(common)]
        pools.append((common.union(*(p[0] for p in met)), [*(m for p in met for m in p[1]), n]))
    return apart + [pool for _, pool in pools]
