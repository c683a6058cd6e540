"""The scheduler's state of each target (a lane), of lanes paced together (a group), and of each provider."""

from __future__ import annotations

import enum
import math
from collections import deque
from collections.abc import Iterable
from typing import Literal

from llmfan.limits.axes import PLAIN, Cost
from llmfan.limits.gauge import Gauge
from llmfan.limits.slots import Slots
from llmfan.limits.window import Meter, learns
from llmfan.records import Failure, Target
from llmfan.scheduling.cooldown import Circuit, Cooldown
from llmfan.settings import Price

RestKind = Literal["cooldown", "exhausted"]
#: A provider that has said nothing for so long, while requests wait on it, counts as unproven again.
#: Openings of its circuit without one answer, after which nobody waits for a provider alone: half a minute of rests.
HOPELESS = 5
SILENCE_S, SILENCE_FACTOR = 10.0, 4.0


class Standing(enum.Enum):
    """Where a lane stands in the dispatcher."""

    READY = "ready"  # in the ready heap
    TIMED = "timed"  # waits for a moment
    PARKED = "parked"  # waits for something in flight to end, or for a departure permit
    IDLE = "idle"  # nothing it may serve
    OUT = "out"  # not in this run any more


class ProviderState:
    """What is known of a provider as a whole: its circuit, who is in flight, whether it ever answered."""

    def __init__(self, name: str, cap: int | None, speed: float = 1.0):
        self.name, self.cap = name, cap
        self.circuit = Circuit(speed)
        self.lanes: list[Lane] = []
        self.in_flight = 0
        self.proven = False  # its last word was an answer
        self.answered = False  # it has answered in this run
        self.last_heard = 0.0
        self.slowest = 0.0
        self.trial = False
        self.refusals: deque[tuple[float, str]] = deque()  # (moment, account) of late 429s
        self._speed = speed

    @property
    def hopeless(self) -> bool:
        """It has not answered once, however often it was tried: with growing rests, half a minute or more."""
        return not self.answered and self.circuit.openings >= HOPELESS

    def room(self, now: float, share: int) -> bool:
        """Whether one more may be in flight. Until it has answered once, and when it falls silent, only a `share`."""
        if self.circuit.tripped:
            return self.in_flight == 0  # half-open: one trial
        if self.cap is not None and self.in_flight >= self.cap:
            return False
        if self.in_flight < share:
            return True
        if not self.proven:
            return False
        return now - self.last_heard <= max(SILENCE_S / self._speed, SILENCE_FACTOR * self.slowest)


class Group:
    """Lanes that leave through one pacer: same owner of the same request limit."""

    def __init__(self, name: str, pace: Gauge):
        self.name, self.pace = name, pace
        self.lanes: list[Lane] = []
        self.in_flight = 0
        self.permit = False  # a departure the pacer has granted and nobody has used
        self.probing = False  # after a rest nobody timed: one at a time until one is answered
        self.last_send = -math.inf

    @property
    def paced(self) -> bool:
        return self.pace.limit != math.inf


class Lane:
    """The scheduler's state of one target."""

    def __init__(
        self,
        number: int,
        target: Target,
        provider: ProviderState,
        group: Group,
        meters: Iterable[Meter],
        price: Price | None,
        precharge: bool = False,
        besides: int = 0,
    ):
        self.number, self.target, self.provider, self.group = number, target, provider, group
        self.owner = group.pace.owner  # whose pace it is, whoever turns out to share it
        self.price, self.precharge = price, precharge
        self.besides = besides  # characters that its settings add to every prompt (tools, a response's schema)
        self.use(meters)
        self.place = f"{target.key}/{target.model}"
        self.names = ("", target.provider, target.name, target.key, self.place, f"*/{target.model}")
        self.cooldowns: list[Cooldown] = []  # those that ever made it rest
        self.standing = Standing.READY
        self.stamp = 0
        self.last_used = number
        self.in_flight = 0
        self.out = ""
        self.fault: Failure | None = None  # what put it out
        self.rest_until = -math.inf
        self.rest_kind: RestKind = "cooldown"
        self.rest_why = ""
        self.rest_known = False  # somebody said when it ends
        self.waits_for = ""  # what holds it now, for the eye
        self.parked_at: str | None = None  # the provider something of which has to end first ("": anywhere)
        self.held_by: Meter | None = None  # the limit it waits for, while timed
        self.spent = False  # what it waits for is a day's or a month's quota
        self.wakes = -math.inf  # when it is looked at again, while timed
        provider.lanes.append(self)
        group.lanes.append(self)

    def use(self, meters: Iterable[Meter]) -> None:
        """The counters its requests pass from now on; those in flight settle with the ones they took."""
        self.meters = tuple(meters)
        self.learners = tuple(n for n, meter in enumerate(self.meters) if learns(meter))
        self.booked = tuple(m for m in self.meters if _is_booked(m))  # what outlives a run, or is shared with others
        self.counts_tokens = self.price is not None or any(m.unit != 0 for m in self.meters)

    def rest(self, until: float, kind: RestKind, why: str, known: bool = False) -> None:
        if until > self.rest_until:
            self.rest_until, self.rest_kind, self.rest_why, self.rest_known = until, kind, why, known

    def resting(self, now: float) -> bool:
        return self.rest_until > now

    def able(self, now: float) -> bool:
        """Whether it can serve in this run as far as is known: not refused, not out of quota, circuit closed."""
        return not (self.out or self.provider.circuit.tripped or self.exhausted(now))

    def exhausted(self, now: float) -> bool:
        """Whether its quota is spent: by the provider's word, or by our own count."""
        return (self.rest_until > now and self.rest_kind == "exhausted") or (self.spent and self.wakes > now)

    def state(self, now: float) -> str:
        """`ready`, `cooldown`, `exhausted`, `out` or `down`, for the eye."""
        if self.out:
            return "out"
        if self.rest_until > now:
            return self.rest_kind
        return "down" if self.provider.circuit.tripped else "ready"

    def cost(self, tokens_in: float, tokens_out: float, neurons: float) -> Cost:
        if not self.counts_tokens:
            return PLAIN
        usd = 0.0
        if self.price is not None:
            usd = (tokens_in * self.price.input + tokens_out * self.price.output) / 1e6
        return (1.0, tokens_in + tokens_out, tokens_in, tokens_out, neurons, usd)

    def __repr__(self) -> str:
        return f"<Lane {self.target.key} {self.target.model} {self.standing.value}>"


def _is_booked(meter: Meter) -> bool:
    """A finite allowance; of those at once, only what is declared, for what was learned is what is left of it."""
    if isinstance(meter, Slots):
        return meter.declared is not None
    return not meter.owner.endswith(" burst")
