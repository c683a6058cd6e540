"""The least time in which the limits in force permit a batch: a lower bound that no client can beat.

Jobs that are alike. Sent as early as possible, the number a lane has answered by a moment is the most there can be, on
every lane at once; so the bound is the first moment at which these numbers add up to the batch. It is exact for lanes
that share nothing, or everything (keys of one account), under any mix of windows, quotas and caps on requests in
flight. It is a bound only where lanes share some limits and have others of their own, or where models of unlike service
times share one (what is shared is then spent once, but counted by itself); and where the run's own cap on requests in
flight binds across several lanes. Service times are taken as fixed.

Jobs that differ. The greater of two bounds: every job as cheap as the cheapest; and, for each kind of token, neuron or
money, all that the batch takes as a fluid. Both hold for any order and any choice of lanes.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import cast

from msgspec import Struct

from llmfan.limits.axes import PLAIN, Cost
from llmfan.limits.greedy import EPS, Reckoned, Rule, binding, departures, first_by, joined, most

#: Moments at which limits let many through at once, tried for what the run's own cap leaves of them: so many kinds of
#: limit, the last so many moments of each.
WAVE_KINDS, WAVES = 6, 2
#: The rough bound's precision. Where each lane's own limits would let so many times the batch through by then, it is
#: the run's cap or a shared limit that holds it back, and a step by step account of the lanes would tell no more.
ROUGH, HELD_BACK = 1e-4, 3
#: Lanes that share a limit are told apart by about so many service times.
PACES = 8


class Flow(Struct, frozen=True, kw_only=True):
    """One owner's limit: `limit` per `period` seconds (inf: it never comes back), for the cost at position `unit`.

    `kind`: `sliding`; `fixed` or `counter` (two fixed windows weighed), whose window began `elapsed` seconds ago;
    `bucket`, which holds `burst`. `used` is gone at the start; of a sliding window it was spent `elapsed` seconds ago.
    `resets_in`: a calendar's quota, there in full in so many seconds and then each `period`. Equal flows are one limit.
    """

    owner: str
    unit: int
    limit: float
    period: float
    kind: str = "sliding"
    used: float = 0.0
    elapsed: float = 0.0
    burst: float | None = None
    resets_in: float | None = None


class LaneFlow(Struct, frozen=True, kw_only=True):
    """What one target can carry: its flows, its typical service time in seconds, its caps on requests in flight."""

    flows: tuple[Flow, ...]
    service: float
    in_flight: tuple[tuple[str, float], ...] = ()


class Scope(Struct, frozen=True, kw_only=True):
    """Lanes with jobs of their own (`--mode providers`, `models`, `keys`: each prompt goes to each of them)."""

    jobs: int
    cost: Cost
    lanes: tuple[LaneFlow, ...]
    least: Cost | None = None


def ideal_of_scopes(scopes: Sequence[Scope], concurrency: float) -> float | None:
    """The slowest scope's; no less than what scopes that draw on the same limits need together, or all of them within
    the run's own cap. None if one of them never ends.
    """
    found = [ideal_duration(s.jobs, s.cost, s.lanes, concurrency, least=s.least) for s in scopes]
    held = [frozenset(limit for lane in s.lanes for limit in (*lane.flows, *lane.in_flight)) for s in scopes]
    pools = [[scopes[n] for n in pool] for pool in joined(held)]
    found += [_pooled(pool, concurrency) for pool in pools if len(pool) > 1]
    work = sum(s.jobs * min((lane.service for lane in s.lanes), default=0.0) for s in scopes)
    return _latest([*found, work / concurrency])


def ideal_duration(
    jobs: int, cost: Cost, lanes: Sequence[LaneFlow], concurrency: float, *, least: Cost | None = None
) -> float | None:
    """Seconds; None if the limits never permit the batch. `cost`: what a job costs on average; `least`: what the
    cheapest costs (equal to `cost` where all are alike; None: not known, then only its request counts).
    """
    if jobs <= 0 or not lanes:
        return 0.0 if jobs <= 0 else None
    fluids = [unit for unit, amount in enumerate(cost) if unit > 0 and amount > 0 and least != cost]
    return _latest([_alike(jobs, least or PLAIN, lanes, concurrency), *(_fluid(jobs, cost, u, lanes) for u in fluids)])


def _alike(jobs: int, cost: Cost, lanes: Sequence[LaneFlow], concurrency: float) -> float | None:
    """Jobs of one cost: roughly by formula first, for a moment that is not too late, then exactly from there."""
    lines = [_Line(lane.service, _rules(lane, cost), lane.in_flight, concurrency) for lane in lanes]
    cap = concurrency if len(lanes) > 1 and concurrency < jobs else math.inf
    groups = _groups(lines, exact=False)
    start = first_by(jobs, _answered(jobs, groups, cap), 0.0, ROUGH)
    if start is None:
        return None
    if sum(n * group.steps(start) for group, n in groups) < HELD_BACK * jobs:
        groups = _groups(lines, exact=True)
    return first_by(jobs, _answered(jobs, groups, cap), start)


def _answered(jobs: int, groups: list[tuple[_Group, int]], cap: float) -> Callable[[float], float]:
    """The most that can be answered by a moment; no more than a bound of it once it is beyond the batch."""
    waves = _waves(groups) if cap < math.inf else []

    def answered(t: float) -> float:
        for group, _ in groups:
            group.extend(t)
        total = _total(groups, t)
        return _through(t, groups, cap, waves) if cap < math.inf and jobs <= total < math.inf else total

    return answered


def _total(groups: list[tuple[_Group, int]], t: float) -> float:
    return sum(n * group.answered(t) for group, n in groups)


def _fluid(jobs: int, cost: Cost, unit: int, lanes: Sequence[LaneFlow]) -> float | None:
    """All of one unit that the batch takes must go through somewhere; a lane that does not count it takes any."""
    groups = _groups([_Line(lane.service, _rules(lane, cost, unit), (), math.inf) for lane in lanes], exact=False)
    return first_by(jobs, lambda t: _total(groups, t), 0.0)


def _rules(lane: LaneFlow, cost: Cost, fluid: int | None = None) -> dict[Flow, Rule]:
    """A lane's limits in jobs of that cost; as a fluid only those of one unit."""
    flows = [f for f in lane.flows if cost[f.unit] > 0 and f.limit < math.inf and fluid in (None, f.unit)]
    return {f: _rule(f, cost[f.unit], fluid is not None) for f in flows}


def _rule(flow: Flow, cost: float, fluid: bool) -> Rule:
    room, left = flow.limit / cost, max(0.0, flow.limit - flow.used) / cost
    rate, first = room / flow.period, flow.period - flow.elapsed
    if flow.kind == "bucket":
        burst = (flow.limit if flow.burst is None else flow.burst) / cost
        return Rule("bucket", burst, flow.period, burst - flow.used / cost, rate=rate, fluid=fluid)
    if not fluid:
        room, left = math.floor(room + EPS), math.floor(left + EPS)
    if math.isinf(flow.period) or flow.resets_in is not None:
        return Rule("fixed", room, flow.period, left, first=math.inf if flow.resets_in is None else flow.resets_in)
    # The most that two windows weighed let out is what a bucket does that begins to fill when the first one is over.
    kind = "bucket" if flow.kind == "counter" else flow.kind
    return Rule(kind, room, flow.period, left, first=first, rate=rate, fluid=fluid)


def _waves(groups: list[tuple[_Group, int]]) -> list[tuple[float, float]]:
    """(phase, period) of the moments at which limits let sends through again: the commonest."""
    seen: Counter[tuple[float, float]] = Counter()
    for group, n in groups:
        for rule in group.windows:
            seen[rule.first % rule.period if rule.kind == "fixed" else 0.0, rule.period] += n
    return [wave for wave, _ in seen.most_common(WAVE_KINDS)]


def _through(t: float, groups: list[tuple[_Group, int]], cap: float, waves: list[tuple[float, float]]) -> float:
    """The most that so many slots answer by t: for any moment s, what could leave before s, and of what could leave
    later as much as the slots have time for between s and t, the quickest first.
    """
    found = sorted(((g, n, n * g.answered(t)) for g, n in groups), key=lambda entry: entry[0].fastest)
    quickest = found[0][0].fastest
    fewest = sum(done for _, _, done in found)
    for s in {0.0, *(s for wave in waves for s in _last(t - quickest, *wave))}:
        time = cap * (t - s)
        turns = cap * math.floor((t - s + EPS) / quickest) if quickest > 0 else math.inf
        before = after = 0.0
        for group, n, done in found:
            early = min(done, n * group.early(s, t)) if s > 0 else 0.0
            late = done - early if group.fastest <= 0 else min(done - early, time / group.fastest)
            time -= late * group.fastest
            before, after = before + early, after + late
        fewest = min(fewest, before + math.floor(min(after, turns) + EPS))
    return fewest


def _last(t: float, phase: float, period: float) -> Iterable[float]:
    turn = math.floor((t - phase) / period)
    return [phase + (turn - back) * period for back in range(WAVES) if phase + (turn - back) * period > 0]


class _Line:
    """A lane by its limits in jobs. `marks`: whose they are, to see which lanes share them."""

    def __init__(
        self, service: float, limits: Mapping[Flow, Rule], slots: Sequence[tuple[str, float]], concurrency: float
    ):
        self.service = service
        self.limits: dict[object, Rule] = dict(limits.items())
        # As service times are fixed, a cap on requests in flight is a window of that length.
        self.slots: dict[object, float] = {s: math.floor(s[1]) for s in slots if service > 0 and s[1] < math.inf}
        whole = [concurrency] if service > 0 and concurrency < math.inf else []
        caps = [Rule("sliding", cap, service, cap) for cap in (*self.slots.values(), *whole)]
        self.rules = binding([*limits.values(), *caps])
        self.marks = frozenset((*self.limits, *self.slots))


class _Group:
    """Lanes that share limits, or one lane alone."""

    def __init__(self, lines: Sequence[_Line], exact: bool):
        made = departures if exact else Reckoned
        self._lines = [(made(line.rules), line.service) for line in lines]
        self.fastest = min(line.service for line in lines)
        self.windows = [
            r for line in lines for r in line.limits.values() if r.kind in ("sliding", "fixed") and r.period < math.inf
        ]
        self._shared = _nested(lines)

    def extend(self, t: float) -> None:
        for line, service in self._lines:
            line.extend(t - service)

    def steps(self, t: float) -> float:
        """What the lanes could do if none held another back."""
        return sum(line.count(t - service) for line, service in self._lines)

    def answered(self, t: float) -> float:
        """The most that can be answered by t."""
        return self._spent_once(t, [line.count(t - service) for line, service in self._lines])

    def early(self, s: float, t: float) -> float:
        """Of these, the most that can have left before s."""
        return self._spent_once(t, [line.before(s) for line, _ in self._lines])

    def _spent_once(self, t: float, room: list[float]) -> float:
        for members, rule, service in self._shared:
            together, cap = sum(room[m] for m in members), most(rule, t - service)
            if together > cap:
                for m in members:
                    room[m] = 0.0
                room[members[0]] = cap
        return sum(room)


def _groups(lines: Sequence[_Line], exact: bool) -> list[tuple[_Group, int]]:
    """Groups, and how many there are of each: lanes alone are one where their limits and service times are equal.

    A lane that another one of its group can do the work of, at least as fast and under fewer limits, is left out.
    """
    alone: dict[tuple[tuple[Rule, ...], float], list[_Line]] = {}
    found: list[tuple[_Group, int]] = []
    unlike = list({(line.marks, line.service): line for line in lines if line.marks}.values())
    unlike += [line for line in lines if not line.marks]
    for pool in joined([line.marks for line in unlike]):
        members = [unlike[n] for n in pool]
        needed = [a for a in members if not any(_serves(b, a) for b in members)]
        if len(needed) > 1:
            found.append((_Group(needed, exact), 1))
        else:
            alone.setdefault((needed[0].rules, needed[0].service), []).append(needed[0])
    return found + [(_Group(same[:1], exact), len(same)) for same in alone.values()]


def _serves(b: _Line, a: _Line) -> bool:
    return b is not a and b.service <= a.service and b.marks <= a.marks


def _nested(lines: Sequence[_Line]) -> list[tuple[tuple[int, ...], Rule, float]]:
    """Shared limits with the lanes they hold, small sets first: what leaves in time for the slower ones, then for all.
    Of sets that cross each other (keys by models) the later are left out, which only lowers the bound.
    """
    sets = []
    for mark in set().union(*(line.marks for line in lines)):
        holders = [n for n, line in enumerate(lines) if mark in line.marks]
        paces = sorted({lines[n].service for n in holders})
        for service in paces[:: 1 + len(paces) // PACES]:
            members = tuple(n for n in holders if lines[n].service >= service)
            cap = lines[holders[0]].slots.get(mark)
            rule = lines[holders[0]].limits[mark] if cap is None else Rule("sliding", cap, service, cap)
            sets.append((members, rule, service))
    kept: list[tuple[tuple[int, ...], Rule, float]] = []
    for entry in sorted((s for s in sets if len(s[0]) > 1), key=lambda s: (len(s[0]), s)):
        own = set(entry[0])
        if all(own >= set(other[0]) or own.isdisjoint(other[0]) for other in kept):
            kept.append(entry)
    return kept


def _pooled(pool: Sequence[Scope], concurrency: float) -> float | None:
    """As if any of their jobs could go to any of their lanes."""
    pool = [s for s in pool if s.jobs > 0]
    jobs = sum(s.jobs for s in pool)
    mean = tuple(sum(s.jobs * s.cost[u] for s in pool) / max(1, jobs) for u in range(len(PLAIN)))
    least = tuple(min([(s.least or PLAIN)[u] for s in pool], default=0.0) for u in range(len(PLAIN)))
    lanes = [lane for s in pool for lane in s.lanes]
    return ideal_duration(jobs, cast(Cost, mean), lanes, concurrency, least=cast(Cost, least))


def _latest(found: Sequence[float | None]) -> float | None:
    ends = [end for end in found if end is not None]
    return max(ends) if len(ends) == len(found) else None
