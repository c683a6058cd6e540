"""`--hedge`: at the end of a batch a straggler is sent a second time, elsewhere, and the first answer counts.

Only once no job waits, so that a copy never takes the place of a job; only where it is likely to be back sooner; never
a third time. The loser may have been billed: what it took is counted as what hedging cost.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Generic, TypeVar

from msgspec import Struct

from llmfan.records import Target
from llmfan.scheduling.pulse import Pulse

#: Copies, as a share of all jobs (one is always allowed).
SHARE = 0.05
#: A straggler has been out for so many times the other lane's service time.
PATIENCE = 1.5
#: A bucket as for retries: a failure takes one, an answer gives a tenth, and below half of it nothing is doubled.
BUCKET, REFILL = 10.0, 0.1

Flight = TypeVar("Flight")


class Copied(Struct):
    """What hedging has cost so far. `usd` is None until a price was known."""

    attempts: int = 0
    won: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    usd: float | None = None


class Offer(Struct, frozen=True):
    """A lane that could send at once, and how long it takes."""

    lane: int
    target: Target
    service: float


class Late(Struct, Generic[Flight], frozen=True):
    """A request in flight: where, since when."""

    flight: Flight
    lane: int
    sent: float
    pulse: Pulse


class Hedges(Generic[Flight]):
    """Which flights to double, and what became of the pairs. `jobs`: of the whole run; `paid`: paid lanes may help."""

    def __init__(self, jobs: int, paid: bool = False):
        self.cost = Copied()
        self._left = max(1, int(SHARE * jobs))
        self._bucket = BUCKET
        self._paid = paid
        self._doubled: set[Flight] = set()

    # ---------------------------------------------------------- deciding

    @property
    def open(self) -> bool:
        """Whether a copy may be sent at all."""
        return self._left > 0 and self._bucket > BUCKET / 2

    def choose(
        self,
        flights: Iterable[Late[Flight]],
        offers: Sequence[Offer],
        now: float,
        may: Callable[[Flight, int], bool],
    ) -> list[tuple[Flight, int]]:
        """(flight, lane) to send again now, the worst straggler first; each lane at most once.

        Call it only while no job waits. `may` says whether the job of a flight may go to a lane.
        """
        if not self.open or not offers:
            return []
        free = sorted((o for o in offers if self._paid or not o.target.paid), key=lambda o: o.service)
        fastest = free[0].service if free else math.inf
        stragglers = [pair for pair in self._alone(flights, now) if pair[0] > fastest]
        scarce = len(stragglers) > self._left
        chosen: list[tuple[Flight, int]] = []
        for remaining, late in stragglers[: self._left]:
            for place, offer in enumerate(free):
                if remaining <= offer.service:
                    break
                overdue = now - late.sent > max(_patience(late.pulse, scarce), PATIENCE * offer.service)
                if overdue and offer.lane != late.lane and may(late.flight, offer.lane):
                    chosen.append((late.flight, offer.lane))
                    del free[place]
                    break
        return chosen

    def next_look(self, flights: Iterable[Late[Flight]], services: Iterable[float], now: float) -> float:
        """When one more flight may have become a straggler; inf if none can. `services`: of lanes that could help."""
        fastest = min(services, default=math.inf)
        if not self.open or fastest == math.inf:
            return math.inf
        soonest = math.inf
        for late in flights:
            if late.flight not in self._doubled:
                due = late.sent + max(_patience(late.pulse, False), PATIENCE * fastest)
                soonest = min(soonest, due if due > now else now + fastest)
        return soonest

    def _alone(self, flights: Iterable[Late[Flight]], now: float) -> list[tuple[float, Late[Flight]]]:
        """Seconds still expected, and the flight, of those not doubled yet; the longest first."""
        expected = [(_remaining(x.pulse, now - x.sent), x) for x in flights if x.flight not in self._doubled]
        return sorted(expected, key=lambda pair: -pair[0])

    # ---------------------------------------------------------- what became of it

    def sent(self, flight: Flight, copy: Flight) -> None:
        """A copy has left. Neither is sent again, whichever ends first and however."""
        self._left -= 1
        self._doubled |= {flight, copy}
        self.cost.attempts += 1

    def answered(self) -> None:
        self._bucket = min(BUCKET, self._bucket + REFILL)

    def failed(self) -> None:
        self._bucket = max(0.0, self._bucket - 1.0)

    def lost(self, input_tokens: int, output_tokens: int, usd: float | None, copy_won: bool) -> None:
        """The pair's slower one was dropped: what it took, as far as is known."""
        cost = self.cost
        cost.won += copy_won
        cost.input_tokens += input_tokens
        cost.output_tokens += output_tokens
        if usd is not None:
            cost.usd = (cost.usd or 0.0) + usd


def _patience(pulse: Pulse, scarce: bool) -> float:
    """How long a flight is left alone: until most are back, or nearly all where there are too few copies for all late.

    Nothing waits any more, so a copy sent early costs one request, one sent late costs the whole batch its time.
    """
    if not pulse.n:
        return 0.0
    return pulse.p95() if scarce else pulse.p50()


def _remaining(pulse: Pulse, age: float) -> float:
    """Of a target nobody has heard of, all that is known is how long it has been silent: as long again, then."""
    return pulse.remaining(age) if pulse.n else age
