"""What a lane can do from now on, read from its counters: how many jobs several lanes can answer by a moment."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence

from msgspec import Struct, field

from llmfan.limits.axes import Cost
from llmfan.limits.window import NEVER, Meter

_EPS = 1e-9


class Window(Struct, frozen=True):
    """What one limit lets out, in jobs: `room` from `opens` on, and `back` that come free between `first` and `last`.

    After `span` seconds everything comes round again.
    """

    now: float
    opens: float
    room: float
    back: float
    first: float
    last: float
    span: float

    def sends(self, until: float) -> float:
        """How many may leave up to a moment."""
        if until < self.now:
            return 0.0
        laps = math.floor((until - self.now) / self.span + _EPS)
        within = until - laps * self.span + _EPS
        more = self.room if within >= self.opens else 0.0
        if within >= self.last:
            more += self.back
        elif within >= self.first:
            more += 1.0 + math.floor((self.back - 1.0) * (within - self.first) / (self.last - self.first))
        return laps * (self.room + self.back) + more


class Places(Struct, frozen=True):
    """A window whose places come free one by one at known moments: `room` from `opens` on, then one at each of `free`.

    After `span` seconds everything comes round again.
    """

    now: float
    opens: float
    room: float
    free: list[float]
    span: float

    def sends(self, until: float) -> float:
        if until < self.now:
            return 0.0
        laps = math.floor((until - self.now) / self.span + _EPS)
        within = until - laps * self.span + _EPS
        more = self.room + bisect_right(self.free, within) if within >= self.opens else 0.0
        return laps * (self.room + len(self.free)) + more


class Drip(Struct, frozen=True):
    """Departures spaced evenly: `burst` at `opens`, then `rate` a second."""

    opens: float
    burst: float
    rate: float

    def sends(self, until: float) -> float:
        return 0.0 if until < self.opens else math.floor(self.burst + self.rate * (until - self.opens) + 1e-6)


class Reach(Struct):
    """What one lane can do from now on. Limits and slots carry whose they are: what lanes share is spent once.

    `opens`: nothing leaves before (a rest); `out`: when each of its requests in flight left; `free`: slots nobody holds
    now, by owner of a cap on requests in flight.
    """

    service: float
    opens: float
    limits: list[tuple[int, Window | Places | Drip]] = field(default_factory=list)
    free: list[tuple[int, float]] = field(default_factory=list)
    out: list[float] = field(default_factory=list)


def reach_of(
    meters: Iterable[Meter],
    service: float,
    cost: Cost,
    now: float,
    left: int,
    *,
    opens: float = -math.inf,
    drips: Iterable[tuple[int, Drip]] = (),
    free: Iterable[tuple[int, float]] = (),
    out: Iterable[float] = (),
) -> Reach | None:
    """A lane's reach from its counters; None if one of them never lets such a job out.

    Counters with room for all that is `left` are passed over. `drips` are pacers, `free` caps that are no counters.
    """
    reach = Reach(service, max(now, opens), list(drips), list(free), list(out))
    for meter in meters:
        amount = cost[meter.unit]
        if meter.limit == math.inf:
            continue  # it only rests, and a rest is the lane's
        if meter.axis == "concurrency":
            reach.free.append((id(meter), max(0.0, meter.limit - meter.used(now))))
        elif amount > 0:
            window = _window(meter, amount, now, left, reach.opens)
            if window is None:
                return None
            if window.opens > now or not isinstance(window, Drip):
                reach.limits.append((id(meter), window))
    return reach


def _window(meter: Meter, amount: float, now: float, left: int, opens: float) -> Window | Places | Drip | None:
    """Reads a counter. One that learns is not asked when it would let something out: it takes a question for a wish."""
    hold: float | None = getattr(meter, "hold", None)
    opens = max(opens, meter.ready(now, amount) if hold is None else hold)
    whole = math.floor(meter.limit / amount + _EPS)
    if opens == NEVER or whole < 1:
        return None
    room = max(0.0, min(whole, math.floor((meter.limit - meter.used(now)) / amount + _EPS)))
    if room >= left:
        return Drip(opens, room, 0.0)
    span, back = _span(meter), whole - room
    first = last = math.nan
    if hold is None:
        first, last = meter.ready(now, (room + 1) * amount), meter.ready(now, whole * amount)
    elif (comes_free := getattr(meter, "comes_free", None)) is not None:
        return Places(max(now, opens), opens, room, comes_free(now), span)
    if not now < first <= last < math.inf:  # not known: evenly, then
        first, last = now + span / max(1.0, back), now + span
    return Window(max(now, opens), opens, room, back, max(first, opens), max(last, opens), span)


#: What bounds a lane whatever it has sent: (seconds until it comes round, how many), 0 seconds for a cap at once.
Shape = tuple[tuple[float, float], ...]


def shape(meters: Iterable[Meter]) -> Shape:
    """Lanes of one shape and service time can do the same at best. Tokens are left out: they bind no looser."""
    bounds = [
        (0.0 if meter.axis == "concurrency" else _span(meter), meter.limit) for meter in meters if meter.unit == 0
    ]
    return tuple(bound for bound in bounds if bound[1] < math.inf)


def at_most(bounds: Shape, service: float, within: float, slots: float) -> float:
    """More jobs than this no lane answers within so many seconds, whatever its counters hold at the moment."""
    turns = math.ceil(within / max(service, 1e-4))
    most = slots * turns
    for span, limit in bounds:
        most = min(most, limit * (turns if span == 0 else 1 + math.floor((within - service) / span)))
    return most


def answers(faster: Sequence[Reach], now: float, deadline: float, slots: float) -> float:
    """How many jobs these lanes can answer by the deadline, the fastest first.

    `slots` free ones of the whole run, and those the lanes hold already, are worth the seconds left of them.
    """
    seconds = slots * (deadline - now)
    if slots < math.inf:
        seconds += sum(max(0.0, deadline - max(now, t + r.service)) for r in faster for t in r.out)
    left: dict[int, float] = {}
    total = 0.0
    for reach in faster:
        service = max(reach.service, 1e-4)
        n = math.floor(seconds / service + _EPS) if seconds < math.inf else math.inf
        for ident, limit in reach.limits:
            n = min(n, left.setdefault(ident, limit.sends(deadline - service)))
        own = sum(max(0, _turns(deadline - max(now, t + service), service)) for t in reach.out) if reach.free else 0
        for ident, free in reach.free:
            n = min(n, own + left.setdefault(ident, free * _turns(deadline - reach.opens, service)))
        if n <= 0:
            continue
        if n == math.inf:
            return n
        for ident, _ in reach.limits:
            left[ident] -= n
        for ident, _ in reach.free:
            left[ident] -= max(0.0, n - own)
        seconds -= n * service
        total += n
    return total


def _turns(seconds: float, service: float) -> int:
    return max(0, math.floor(seconds / service + _EPS))


def _span(meter: Meter) -> float:
    """Seconds after which what a counter holds comes free again."""
    return getattr(meter, "span", 0.0) or getattr(meter, "period", 0.0) or 1.0
