"""From the limits of a fleet to the counters of each target: whose counter a limit is, and when its day begins."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable
from random import Random
from zoneinfo import ZoneInfo

from llmfan.limits.gauge import Gauge
from llmfan.limits.slots import Slots
from llmfan.limits.tokens import TokenWindow
from llmfan.limits.window import SETTLE, Calendar, Meter, WindowLog, guard
from llmfan.settings import AXES, KeySettings, LimitSet, Provider
from llmfan.units import DAY, MINUTE

#: What a request costs, by position: requests, tokens, input tokens, output tokens, neurons, USD.
UNITS = {"requests": 0, "tokens": 1, "input_tokens": 2, "output_tokens": 3, "neurons": 4, "usd": 5, "in_flight": 0}
#: Request limits that come back while one waits.
PACES = ("rps", "rpm", "rph")
TOKENS = (1, 2, 3)
Cost = tuple[float, float, float, float, float, float]
PLAIN: Cost = (1.0, 0.0, 0.0, 0.0, 0.0, 0.0)
#: What never left.
FREE: Cost = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


class MeterShop:
    """Hands out counters: the same limit of the same owner is one counter, whoever asks.

    `wall` turns a moment of the run's clock into UTC; `speed` shortens every window (`--simulate-speed`).
    """

    def __init__(self, wall: Callable[[float], dt.datetime], rng: Random, speed: float = 1.0):
        self._wall, self._rng, self._speed = wall, rng, speed
        self._made: dict[tuple[str, str, float], Meter] = {}

    def meters(self, provider: Provider, key: KeySettings, model: str) -> list[Meter]:
        """Every counter a target's requests pass. At least one is a gauge: a rate that nobody declared is learned."""
        limits = provider.limits[key.label, model]
        owners = {axis: owner_of(axis, limits, provider.name, key, model) for axis in limits.axes}
        made = [self._meter(axis, limits, owner, provider) for axis, owner in owners.items()]
        if pacing_axis(limits) is None:
            made.append(self._undeclared(limits, owner_of("rpm", limits, provider.name, key, model)))
        if "concurrency" not in owners:
            made.append(self._slots(limits, owner_of("concurrency", limits, provider.name, key, model)))
        if limits.burst is not None:
            made += [self._burst(axis, limits, owners[axis]) for axis in PACES if axis in owners]
        return made

    def again(self, gauge: Gauge, limit: float) -> Gauge:
        """A gauge like this one that knows nothing, of so much."""
        return Gauge(
            gauge.axis, gauge.owner, limit, gauge.period, speed=self._speed, learn=gauge.learn, burst=gauge.burst,
            rng=self._rng,
        )  # fmt: skip

    def _meter(self, axis: str, limits: LimitSet, owner: str, provider: Provider) -> Meter:
        ident = (owner, axis, limits.axes[axis])
        if ident not in self._made:
            self._made[ident] = self._make(axis, limits, owner, provider)
        return self._made[ident]

    def _undeclared(self, limits: LimitSet, owner: str) -> Meter:
        ident = (owner, "rpm", 0.0)
        if ident not in self._made:
            gauge = Gauge("rpm", owner, None, MINUTE / self._speed, speed=self._speed, rng=self._rng, open_=limits.open)
            self._made[ident] = gauge
        return self._made[ident]

    def _slots(self, limits: LimitSet, owner: str) -> Meter:
        """Nobody said how many at once: learned from overloads, and on a server of one's own from service times."""
        ident = (owner, "concurrency", 0.0)
        if ident not in self._made:
            own = pacing_axis(limits) is None and not limits.open
            self._made[ident] = Slots(owner, None, gradient=own)
        return self._made[ident]

    def _burst(self, axis: str, limits: LimitSet, owner: str) -> Meter:
        """`burst` may leave at once, and as many again once the limit's rate has made up for them."""
        burst = float(limits.burst or 1)
        ident = (owner, f"{axis} burst", burst)
        if ident not in self._made:
            window = AXES[axis][1] / self._speed * burst / limits.axes[axis]
            self._made[ident] = WindowLog(axis, 0, f"{owner} burst", burst, window, guard(window, self._speed))
        return self._made[ident]

    def _make(self, axis: str, limits: LimitSet, owner: str, provider: Provider) -> Meter:
        unit_name, period = AXES[axis]
        unit, figure = UNITS[unit_name], limits.axes[axis]
        if axis == "concurrency":
            return Slots(owner, figure)
        if period >= DAY and limits.reset != "rolling":
            month = period > DAY
            return Calendar(axis, unit, owner, figure, self._next_reset(limits.reset, month), period / self._speed)
        window = period / self._speed
        if unit == 0 and figure < 1:  # half a request a second is one in two
            figure, window = 1.0, window / figure
        if axis in PACES:
            return Gauge(
                axis, owner, figure, window, speed=self._speed, learn=provider.learn, burst=limits.burst, rng=self._rng
            )
        margin = guard(window, self._speed)
        if unit in TOKENS and period < DAY:
            precharge = provider.preset.limiter.precharge
            return TokenWindow(axis, unit, owner, figure, window, margin, precharge=precharge, learn=provider.learn)
        return WindowLog(axis, unit, owner, figure, window, margin)

    def _next_reset(self, zone: str, month: bool) -> Callable[[float], float]:
        def at(now: float) -> float:
            wall = self._wall(now)
            return now + (next_boundary(wall, zone, month) - wall).total_seconds() / self._speed

        return at


def earliest(meters: Iterable[Meter], cost: Cost, now: float) -> tuple[float, Meter | None]:
    """When all of them let out what costs so much, and the one that is last to; `SETTLE` and `NEVER` as of a meter."""
    at, binding = now, None
    for meter in meters:
        ready = meter.ready(now, cost[meter.unit])
        if ready == SETTLE:
            return SETTLE, meter
        if ready > at:
            at, binding = ready, meter
    return at, binding


def owner_of(axis: str, limits: LimitSet, provider: str, key: KeySettings, model: str) -> str:
    """Whose counter it is. A figure a key was given is that key's own; one a model was given counts that model only."""
    origin = limits.origin.get(axis, "provider")
    shared = limits.shared == "account" and origin != "key"
    holder = f"{provider}@{key.account}" if shared else key.label
    return f"{holder}/{model}" if limits.per_model or origin == "model" else holder


def pacing_axis(limits: LimitSet) -> str | None:
    """The request limit with the lowest sustained rate; days and months are quotas, not paces."""
    rates = [(limits.axes[axis] / AXES[axis][1], axis) for axis in PACES if axis in limits.axes]
    return min(rates)[1] if rates else None


def is_quota(axis: str) -> bool:
    """A day's or a month's allowance, as against a pace that comes back while one waits."""
    return AXES[axis][1] >= DAY


def next_boundary(now: dt.datetime, zone: str, month: bool = False) -> dt.datetime:
    """The next midnight (or first of a month) of a zone, as UTC. Daylight saving included: days of 23 and 25 hours."""
    tz = dt.UTC if zone == "utc" else ZoneInfo(zone)
    local = now.astimezone(tz)
    day = local.date()
    if month:
        day = (day.replace(day=1) + dt.timedelta(days=32)).replace(day=1)
    else:
        day += dt.timedelta(days=1)
    return dt.datetime.combine(day, dt.time(), tzinfo=tz).astimezone(dt.UTC)


def last_boundary(now: dt.datetime, zone: str, month: bool = False) -> dt.datetime:
    """The midnight (or first of a month) of a zone that came last, as UTC; a moment on it is its own."""
    tz = dt.UTC if zone == "utc" else ZoneInfo(zone)
    day = now.astimezone(tz).date()
    return dt.datetime.combine(day.replace(day=1) if month else day, dt.time(), tzinfo=tz).astimezone(dt.UTC)
