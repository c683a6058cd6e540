"""How long answers take, and who is in flight since when: what the end of a batch is decided on.

Service times of language models are skewed: half are short, a few are very long. Their logarithms are near normal, so
mean and spread are kept of the logarithm, and give the median, the 95th percentile and what is still to be expected of
a request that has been out for a while. The length of an answer explains much of the spread but is not known before it
comes, so it is kept beside, for forecasts, and not used to tell one request from another.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from itertools import islice
from statistics import NormalDist
from typing import Generic, TypeVar

from llmfan.records import KnownTarget, Target

#: What is taken for a target nobody has heard of: seconds, the spread of their logarithm, tokens.
PRIOR_S, PRIOR_SIGMA, PRIOR_OUTPUT = 4.0, 0.6, 256.0
#: Answers that are remembered, besides as many as are in flight: those come back quick ones first, slow ones last.
MEMORY = 20
#: The spread of few answers says little: so many answers of the prior's spread are mixed in.
PRIOR_ANSWERS = 4
#: What an earlier run knew counts as so many answers at most: today's soon outweigh it.
TRUSTED = 12
#: So many answers make a service time sure. A key is told from the others of its target if it then differs by half.
SURE, KEY_FACTOR = 12, math.log(1.5)
#: Out so long without any answer, a target is taken to need twice that: for waits of unknown scale it is the median.
SILENT_FACTOR = 2.0
#: Rounds in which the scale and what those out are expected to take are fitted to each other.
ROUNDS = 4

_NORMAL = NormalDist()
_Z75, _Z95 = _NORMAL.inv_cdf(0.75), _NORMAL.inv_cdf(0.95)
#: Of those still out, so many are asked: the ones that left first tell most.
OLDEST = 48


class Pulse:
    """Running service time and answer length of one target, or of one key of it."""

    __slots__ = ("_mu", "_var", "n", "output_tokens")

    def __init__(self) -> None:
        self.n = 0
        self.output_tokens = PRIOR_OUTPUT
        self._mu, self._var = math.log(PRIOR_S), PRIOR_SIGMA**2

    @classmethod
    def of(cls, known: KnownTarget) -> Pulse:
        pulse = cls()
        if known.n > 0 and known.service_s > 0:
            pulse.n = min(known.n, TRUSTED)
            pulse._mu, pulse._var = math.log(known.service_s), known.service_sigma**2
            pulse.output_tokens = known.output_tokens
        return pulse

    def answered(self, seconds: float, output_tokens: float, beside: int = 0) -> None:
        """`beside`: how many are in flight with it."""
        if self.n == 0:
            self._var = 0.0
        self.n += 1
        weight = 1.0 / min(self.n, MEMORY + beside)
        off = math.log(max(seconds, 1e-4)) - self._mu
        self._mu += weight * off
        self._var = (1.0 - weight) * (self._var + weight * off * off)
        self.output_tokens += weight * (output_tokens - self.output_tokens)

    @property
    def mu(self) -> float:
        return self._mu

    @property
    def var(self) -> float:
        return self._var

    @property
    def sigma(self) -> float:
        mixed = self.n * self._var + PRIOR_ANSWERS * PRIOR_SIGMA**2
        return math.sqrt(mixed / (self.n + PRIOR_ANSWERS))

    def p50(self) -> float:
        return math.exp(self._mu)

    def p95(self) -> float:
        return math.exp(self._mu + _Z95 * self.sigma)

    def mean(self) -> float:
        return math.exp(self._mu + self._var / 2.0)

    def typical(self) -> float:
        """Three of four answers are back by then; the spread is that of what was seen.

        A spread that is only assumed would make every newcomer look slow. The mean would be too short: the last of
        many answers decides when a batch ends, and none of them is there to make up for a late one.
        """
        return math.exp(self._mu + _Z75 * math.sqrt(self._var))

    def remaining(self, age: float) -> float:
        """Seconds still to be expected of a request that has been out for `age`.

        With skewed times it grows with age: who is late will be later still.
        """
        sigma = max(self.sigma, 1e-3)
        if age <= 0:
            return math.exp(self._mu + sigma * sigma / 2.0)
        z = (math.log(age) - self._mu) / sigma
        if z > 5.0:  # beyond it both tails are rounding errors; their ratio tends to this
            return age * sigma / z
        mean = math.exp(self._mu + sigma * sigma / 2.0)
        return max(0.0, mean * _NORMAL.cdf(sigma - z) / _NORMAL.cdf(-z) - age)


Mark = TypeVar("Mark")


class Pulses(Generic[Mark]):
    """The pulse of every target, of each key that is unlike the others of its target, and what is in flight.

    `Mark` is what a request in flight is known by.
    """

    def __init__(self, known: Iterable[KnownTarget] = ()):
        self._targets = {each.name: Pulse.of(each) for each in known}
        self._keys: dict[tuple[str, str], Pulse] = {}
        self._told = {name: pulse.mu for name, pulse in self._targets.items() if pulse.n}
        self._lanes: dict[int, dict[Mark, float]] = {}
        self._flights: dict[str, dict[Mark, float]] = {}
        self._unsure: dict[str, float] = {}  # when a target was first sent to, until it has answered a few times
        self._version, self._doubt = 0, math.inf
        self._asked: dict[str, tuple[float, float | None]] = {}

    # ---------------------------------------------------------- what happens

    def left(self, lane: int, target: Target, mark: Mark, now: float) -> None:
        """A request has left."""
        name = target.name
        self._lanes.setdefault(lane, {})[mark] = now
        self._flights.setdefault(name, {})[mark] = now
        if name not in self._told and name not in self._unsure:
            self._unsure[name] = now
            self._doubt = now

    def ended(self, lane: int, target: Target, mark: Mark) -> None:
        """It is not in flight any more, however it ended."""
        del self._lanes[lane][mark]
        del self._flights[target.name][mark]

    def answered(self, target: Target, seconds: float, output_tokens: float) -> None:
        name = target.name
        pulse = self._targets.get(name)
        if pulse is None:
            pulse = self._targets[name] = Pulse()
        beside = len(self._flights.get(name, ()))
        pulse.answered(seconds, output_tokens, beside)
        ident = (name, target.key)
        own = self._keys.get(ident)
        if own is None:
            own = self._keys[ident] = Pulse()
        own.answered(seconds, output_tokens, beside)
        if name in self._unsure and pulse.n >= SURE + beside:
            self._unsure.pop(name, None)
        told = self._told.get(name)
        if told is None or abs(pulse.mu - told) > KEY_FACTOR:
            self._told[name] = pulse.mu
            self._version += 1

    # ---------------------------------------------------------- what is known

    def version(self, now: float) -> int:
        """Moves when a service time becomes known, changes by half, or is in doubt for twice as long as before."""
        if now >= self._doubt:
            self._version += 1
            self._doubt = min((now + max(now - since, 1e-3) for since in self._unsure.values()), default=math.inf)
        return self._version

    def of(self, target: Target) -> Pulse:
        """The key's own where it has shown to be unlike the others, else its target's; the prior where none is known.

        A shared one is the rule: chance would make twins look like a fast and a slow key.
        """
        pulse = self._targets.get(target.name)
        if pulse is None:
            return Pulse()
        own = self._keys.get((target.name, target.key))
        if own is not None and own.n >= SURE:
            error = 3.0 * own.sigma / math.sqrt(min(own.n, MEMORY))
            if abs(own.mu - pulse.mu) > max(KEY_FACTOR, error):
                return own
        return pulse

    def service(self, target: Target, now: float) -> float | None:
        """Seconds a request to it takes; None: not known.

        The first answers to come are the quick ones. While they are few, those still out are counted as what they can
        be expected to take, given that they are not back yet.
        """
        pulse, name = self.of(target), target.name
        if name not in self._unsure and pulse.n:
            return pulse.typical()
        asked = self._asked.get(name)
        if asked is None or asked[0] != now:
            asked = self._asked[name] = (
                now,
                _with_those_out(pulse, islice(self._flights.get(name, {}).values(), OLDEST), now),
            )
        return asked[1]

    def moments(self, lane: int) -> Iterable[float]:
        """When those in flight on a lane left, oldest first."""
        return self._lanes.get(lane, {}).values()

    def flights(self) -> Iterator[tuple[int, Mark, float]]:
        """(lane, request, when it left) of all in flight."""
        for lane, flights in self._lanes.items():
            for mark, moment in flights.items():
                yield lane, mark, moment

    def known(self, name: str, tokens_per_char: float, at: float) -> KnownTarget | None:
        """For the ledger; None for a target that has not answered."""
        pulse = self._targets.get(name)
        if pulse is None or not pulse.n:
            return None
        return KnownTarget(
            name=name, n=pulse.n, service_s=pulse.p50(), service_sigma=pulse.sigma,
            output_tokens=pulse.output_tokens, tokens_per_char=tokens_per_char, at=at,
        )  # fmt: skip


def _with_those_out(pulse: Pulse, out: Iterable[float], now: float) -> float | None:
    """Seconds an answer takes, from those that came and those that have not: their likeliest scale."""
    ages = [now - moment for moment in out if now > moment]
    if not pulse.n:
        return SILENT_FACTOR * max(ages) if ages else None
    sigma, mu = max(pulse.sigma, 0.05), pulse.mu
    for _ in range(ROUNDS):
        total = pulse.n * pulse.mu + sum(mu + sigma * _excess((math.log(age) - mu) / sigma) for age in ages)
        mu = total / (pulse.n + len(ages))
    # The quick ones alone look more alike than all will.
    spread = (pulse.n * pulse.var + len(ages) * PRIOR_SIGMA**2) / (pulse.n + len(ages))
    return math.exp(mu + _Z75 * math.sqrt(spread))


def _excess(z: float) -> float:
    """Mean of a standard normal value that is known to be above z."""
    return z + 1.0 / z if z > 5.0 else _NORMAL.pdf(z) / _NORMAL.cdf(-z)
