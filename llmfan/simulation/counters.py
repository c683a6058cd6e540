"""One provider's counters: which limits a request meets, what it is charged when it comes, and what when it ends."""

from __future__ import annotations

import heapq
import itertools
import math

from msgspec import Struct

from llmfan.settings import AXES, KeySettings, LimitSet, Price, Provider
from llmfan.simulation.limiter import (
    Admission,
    Bucket,
    CalendarWindow,
    Counter,
    Entry,
    FixedWindow,
    InFlight,
    SlidingLog,
    admit_all,
)
from llmfan.units import DAY

#: Charged at the door for what is only known at the end: enough to be refused where nothing is left.
FOOT_IN_THE_DOOR = 1e-6


class Refusal(Struct, frozen=True):
    """Which limit refused a request, and its figures. `wait` is infinite for what can never pass."""

    axis: str
    limit: float
    used: float
    requested: float
    wait: float

    @property
    def too_large(self) -> bool:
        return math.isinf(self.wait)


class Charge(Struct, frozen=True):
    """What an admitted request holds: for each limit its axis, counter, entry and the cost taken at the door."""

    model: str
    prompt: int
    taken: list[tuple[str, Counter, Entry, float]]


class Counters:
    """All counters of one provider. Moments are on the provider's own clock (Unix time where days matter)."""

    def __init__(self, provider: Provider):
        self._provider = provider
        self._precharge = provider.preset.limiter.precharge
        self._models = {m.name: m for m in provider.models}
        self._made: dict[tuple[str, str], Counter] = {}
        self._due: list[tuple[float, int, Charge, int]] = []
        self._order = itertools.count()
        self._lines = {
            (key.label, model.name): self._open(key, model.name) for key in provider.keys for model in provider.models
        }

    def of(self, key: str, model: str) -> list[tuple[str, Counter]]:
        """The limits a request of that key and model meets: axis and counter."""
        return self._lines[key, model]

    def admit(self, now: float, key: str, model: str, prompt: int, cap: int) -> Refusal | Charge:
        """All limits of the request, or none. The tokens of its answer follow with `ends`."""
        lines = self._lines[key, model]
        ahead = cap if self._precharge else 0
        demands = [(counter, self.cost(axis, model, prompt, ahead) or FOOT_IN_THE_DOOR) for axis, counter in lines]
        got = admit_all(now, demands)
        if isinstance(got, tuple):
            (axis, counter), (_, cost) = lines[got[0]], demands[got[0]]
            return _refusal(axis, counter, cost, got[1])
        taken = [(axis, c, entry, d[1]) for (axis, c), entry, d in zip(lines, got, demands, strict=True)]
        return Charge(model, prompt, taken)

    def ends(self, moment: float, charge: Charge, output: int) -> None:
        """Notes that a request will have ended then, with so many tokens of output; `advance` settles it."""
        heapq.heappush(self._due, (moment, next(self._order), charge, output))

    def advance(self, now: float) -> None:
        """Settles every request that has ended by now: real use replaces what was charged ahead."""
        while self._due and self._due[0][0] <= now:
            moment, _, charge, output = heapq.heappop(self._due)
            for axis, counter, entry, taken in charge.taken:
                real = 0.0 if axis == "concurrency" else self.cost(axis, charge.model, charge.prompt, output)
                if real > taken:
                    counter.take(moment, real - taken)
                elif real < taken:
                    counter.give_back(moment, entry, taken - real)

    def cost(self, axis: str, model: str, prompt: int, output: int) -> float:
        """What one call costs on an axis."""
        match AXES[axis][0]:
            case "tokens":
                return prompt + output
            case "input_tokens":
                return prompt
            case "output_tokens":
                return output
            case "neurons":
                return _priced(self._models[model].neurons, prompt, output)
            case "usd":
                return _priced(self._models[model].price, prompt, output)
        return 1.0

    def _open(self, key: KeySettings, model: str) -> list[tuple[str, Counter]]:
        limits = self._provider.limits.get((key.label, model))
        if limits is None:
            return []
        lines = []
        for axis in limits.axes:
            ident = (axis, _owner(axis, limits, key, model))
            if ident not in self._made:
                self._made[ident] = self._make(axis, limits)
            lines.append((axis, self._made[ident]))
        return lines

    def _make(self, axis: str, limits: LimitSet) -> Counter:
        unit, window = AXES[axis]
        figure, kind = limits.axes[axis], self._provider.preset.limiter.kind
        if unit == "in_flight":
            return InFlight(figure)
        if unit == "requests" and 0 < figure < 1:  # half a request a minute is one in two
            figure, window = 1.0, window / figure
        if AXES[axis][1] >= DAY and limits.reset != "rolling":
            return CalendarWindow(figure, window, limits.reset, month=window > DAY)
        if kind == "bucket":
            capacity = min(figure, limits.burst) if limits.burst and unit == "requests" else figure
            return Bucket(figure, window, max(1.0, capacity) if figure else 0.0)
        if kind == "fixed" and window < DAY:
            return FixedWindow(figure, window)
        return SlidingLog(figure, window)


def _owner(axis: str, limits: LimitSet, key: KeySettings, model: str) -> str:
    """A figure given to a key is that key's own; one given to a model counts that model only."""
    origin = limits.origin.get(axis, "provider")
    holder = f"account {key.account}" if limits.shared == "account" and origin != "key" else f"key {key.label}"
    return f"{holder} {model}" if limits.per_model or origin == "model" else holder


def _priced(rate: Price | None, prompt: int, output: int) -> float:
    return (prompt * rate.input + output * rate.output) / 1e6 if rate else 0.0


def _refusal(axis: str, counter: Counter, cost: float, seen: Admission) -> Refusal:
    return Refusal(axis, counter.limit, counter.limit - seen.remaining, cost, seen.retry_after)
