"""`--rate`, looked at beforehand: how many requests a second the limits in force carry.

A limit that the load is over before it comes round gives all it holds, spread over a few seconds as this program does
of its own accord; a longer load gets what it refills. Keys that share a limit share what it gives. Limits nobody has
declared, told or learned yet are not counted.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec import Struct

from llmfan.limits.axes import Cost
from llmfan.limits.belief import RAMP_S, RAMP_SHARE
from llmfan.limits.gauge import Gauge
from llmfan.limits.window import Calendar, Meter
from llmfan.options import Rate
from llmfan.scheduling.arrivals import highest, reached
from llmfan.scheduling.dispatcher import Dispatcher
from llmfan.scheduling.lanes import Lane

#: More than carried by less than this is within what the limits' own margins are unsure of.
NEAR = 1.02
#: So many limits are named, the rest counted.
NAMED = 4
#: The run's own cap on requests in flight.
OWN = "--concurrency"


class Carried(Struct, frozen=True, kw_only=True):
    """What the limits of one scope ("" is all keys together) carry, a second: inf if nothing known bounds it.

    `binding`: the limits that do.
    """

    scope: str
    rate: float
    binding: tuple[str, ...] = ()


def warning(dispatcher: Dispatcher, rate: Rate, jobs: int, now: float) -> str | None:
    """One line if the rate asked, at its highest, is more than the limits carry. `jobs`: for each scope."""
    if jobs <= 0:
        return None
    found = carried(dispatcher, rate, jobs, now)
    if found is None or highest(rate) <= NEAR * found.rate:
        return None
    whose = f"the limits of {found.scope} carry" if found.scope else "the limits carry"
    named = ", ".join(found.binding[:NAMED])
    more = f" and {len(found.binding) - NAMED} more" if len(found.binding) > NAMED else ""
    return (
        f"--rate {_spelled(rate)} is more than {whose}: about {_a_second(found.rate)} ({named}{more}); "
        f"the rest will wait, and wait_s will show it"
    )


def carried(dispatcher: Dispatcher, rate: Rate, jobs: int, now: float) -> Carried | None:
    """The scope that carries least of such a load; None if nothing known bounds any. Ask before anything is sent."""
    span = reached(rate, float(max(1, jobs)))
    serving = {scope: _serving(dispatcher, scope) for scope in dispatcher.waiting.feeds}
    shares = Counter(whose for lanes in serving.values() for whose in _owners(lanes))
    found = []
    for scope, lanes in serving.items():
        job = dispatcher.waiting.feeds[scope].peek()
        if job is not None and lanes:
            load = _Load(
                span, now, shares, float(dispatcher.concurrency),
                {lane: dispatcher.cost_of(job, lane) for lane in lanes},
                {lane: _service(dispatcher, lane) for lane in lanes},
            )  # fmt: skip
            most, binding = _flow(lanes, load)
            found.append(Carried(scope=scope, rate=most, binding=tuple(binding)))
    least = min(found, key=lambda each: each.rate, default=None)
    return None if least is None or least.rate == math.inf else least


class _Load(Struct):
    """What is asked of a scope's lanes. `shares`: how many scopes draw on a limit; `slots`: the run's own cap.

    `service` is 0 where it is not known.
    """

    span: float
    now: float
    shares: Mapping[object, int]
    slots: float
    costs: dict[Lane, Cost]
    service: dict[Lane, float]


class _Sources:
    """What each limit has left a second, in its own unit, and its name."""

    def __init__(self, shares: Mapping[object, int]):
        self.left: dict[object, float] = {}
        self.names: dict[object, str] = {}
        self._shares = shares

    def of(self, whose: object, most: float, name: str) -> object:
        if whose not in self.left:
            self.left[whose], self.names[whose] = most / self._shares[whose], name
        return whose

    def used_up(self) -> list[str]:
        return [self.names[whose] for whose, left in self.left.items() if left <= 1e-9]


def _flow(lanes: Sequence[Lane], load: _Load) -> tuple[float, list[str]]:
    """(requests a second, the limits that are used up by them).

    The quickest lane first takes as much as all its limits have left: the most there can be where limits are nested, as
    a key's within its account's, and no more than that elsewhere.
    """
    sources, total = _Sources(load.shares), 0.0
    for lane in sorted(lanes, key=lambda each: load.service[each]):
        drawn = list(_draws(lane, load, sources))
        most = min((sources.left[whose] / amount for whose, amount in drawn), default=math.inf)
        if most == math.inf:
            return math.inf, []
        for whose, amount in drawn:
            sources.left[whose] -= most * amount
        total += most
    return total, _grouped(sources.used_up())


def _draws(lane: Lane, load: _Load, sources: _Sources) -> Iterator[tuple[object, float]]:
    """The limits a lane's requests draw on, and how much of each one request takes."""
    provider, service = lane.provider, load.service[lane]
    for meter in lane.meters:
        amount, name = load.costs[lane][meter.unit], f"{provider.name} {meter.axis} {meter.limit:g}"
        if load.span < (spread := _spread_s(meter)):
            name += f" spread over {spread:.3g} s"
        if meter.axis == "concurrency":
            if service and meter.limit < math.inf:
                yield sources.of(meter, meter.limit, name), service
        elif amount > 0 and (most := _a_second_of(meter, load.span, load.now)) < math.inf:
            yield sources.of(meter, most, name), amount
    if service:
        yield sources.of(OWN, load.slots, OWN), service
        if provider.cap is not None:
            yield sources.of(provider, provider.cap, f"{provider.name} concurrency {provider.cap}"), service


def _owners(lanes: Iterable[Lane]) -> set[object]:
    """All that may bound these lanes."""
    return {OWN, *(meter for lane in lanes for meter in lane.meters), *(lane.provider for lane in lanes)}


def _service(dispatcher: Dispatcher, lane: Lane) -> float:
    """Seconds of an answer on average, for a slot is held as long as each of them takes; 0 where none is known."""
    pulse = dispatcher.finish.pulses.of(lane.target)
    return pulse.mean() if pulse.n else 0.0


def _spread_s(meter: Meter) -> float:
    """Seconds over which this program spreads what a request limit's window holds, however fresh it is."""
    return min(RAMP_S, RAMP_SHARE * meter.period) if isinstance(meter, Gauge) and meter.burst is None else 0.0


def _a_second_of(meter: Meter, span: float, now: float) -> float:
    """What a limit gives a second, in its own unit, to a load of so many seconds."""
    if meter.limit == math.inf:
        return math.inf
    if isinstance(meter, Calendar):
        resets_in = meter.resets_in(now)
        again = 0.0 if span <= resets_in else 1.0 + math.floor((span - resets_in) / meter.period)
        return (max(0.0, meter.limit - meter.used(now)) + again * meter.limit) / span
    if isinstance(meter, Gauge):
        known = meter.known(now)
        if known.declared is None and known.reported is None and known.measured is None:
            return math.inf  # where to start from is no limit
    lap = getattr(meter, "period", 0.0) + getattr(meter, "margin", 0.0)
    return meter.limit / max(min(span, lap), _spread_s(meter)) if lap else math.inf


def _serving(dispatcher: Dispatcher, scope: str) -> Sequence[Lane]:
    """The lanes of a scope that are there for it; paid ones where no free one is, or a deadline calls for them."""
    lanes = [lane for lane in dispatcher.lanes if scope in lane.names and not lane.out]
    free = [lane for lane in lanes if not lane.target.paid]
    return free if free and dispatcher.finish.deadline is None else lanes


def _grouped(names: Iterable[str]) -> list[str]:
    """`a 3 x rpm 30`: limits of one kind are named once."""
    return [
        name if n == 1 or " " not in name else f"{name.partition(' ')[0]} {n} x {name.partition(' ')[2]}"
        for name, n in Counter(names).items()
    ]


def _spelled(rate: Rate) -> str:
    if rate.end is None:
        return _a_second(rate.start)
    return f"{_a_second(rate.start)}..{_a_second(rate.end)}"


def _a_second(rate: float) -> str:
    """`4.2/s`, `30/m`, `2/h`, as --rate takes them."""
    for per, unit in ((1.0, "s"), (60.0, "m")):
        if rate * per >= 1.0 or rate == 0:
            return f"{rate * per:.3g}/{unit}" if rate < 999.5 else f"{rate:.0f}/s"
    return f"{rate * 3600.0:.3g}/h"
