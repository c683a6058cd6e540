"""What each key is doing, and what holds the run back, in the few words a screen has room for."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from llmfan.limits.gauge import Gauge
from llmfan.outputs.clean import clean
from llmfan.outputs.view import RunView
from llmfan.scheduling.lanes import Lane, Standing
from llmfan.units import spell

#: The best first: a provider is in the best state any of its keys is in.
_RANK = ("ready", "waits", "trial", "cooldown", "down", "exhausted", "idle", "out")
_HELD = (Standing.TIMED, Standing.PARKED)
_PACE = "the pace of its limit"
#: With --rate: there is no prompt to send just now, which holds nobody back.
_ARRIVAL = "its next prompt"
_SHORT = {
    "a first answer": "first answer",
    "a free slot": "free slot",
    "a trial request": "trial",
    "a limit not known yet": "unknown limit",
    "a request in flight to end": "in flight",
}
_AXES = {1.0: "rps", 60.0: "rpm", 3600.0: "rph"}
_CLEAR_FROM_CONTEXT = ("rate_limited", "quota_exhausted")


class State(NamedTuple):
    kind: str
    until: float | None = None
    why: str = ""

    def spell(self, now: float, long: bool = False) -> str:
        """`cooldown 12 s: 429`."""
        text = self.kind if self.until is None else f"{self.kind} {countdown(self.until - now)}"
        why = clean(self.why if long else short_reason(self.why))
        return f"{text}: {why}" if why else text


def state_of(lane: Lane, now: float, speed: float = 1.0) -> State:
    match lane.state(now):
        case "out":
            return State("out", None, lane.out)
        case "cooldown" | "exhausted" as rest:
            return State(rest, lane.rest_until, lane.rest_why)
        case "down":
            circuit = lane.provider.circuit
            down = circuit.open_until > now
            return State("down", circuit.open_until, circuit.why) if down else State("trial", None, circuit.why)
    if lane.standing is Standing.IDLE or lane.waits_for == _ARRIVAL:
        return State("ready" if lane.in_flight else "idle")
    if lane.standing is Standing.TIMED and lane.wakes - now >= 1.0:
        return State("waits", lane.wakes, hold_of(lane, speed))
    return State("ready", None, hold_of(lane, speed) if lane.standing in _HELD else "")


def summed_up(lanes: Sequence[Lane], now: float, speed: float) -> tuple[list[State], int]:
    """(the states of several lanes, best first, one of each kind: the one that ends soonest; lanes in the best one)."""
    found = [state_of(lane, now, speed) for lane in lanes]
    soonest: dict[str, State] = {}
    for state in found:
        known = soonest.get(state.kind)
        if known is None or (state.until is not None and (known.until is None or state.until < known.until)):
            soonest[state.kind] = state
    states = sorted(soonest.values(), key=lambda state: _RANK.index(state.kind))
    return states, sum(1 for state in found if state.kind == states[0].kind)


def countdown(seconds: float) -> str:
    whole = max(0, math.ceil(seconds))
    return f"{whole} s" if whole < 10 else spell(float(whole))


def short_reason(why: str) -> str:
    """`429 rate_limited: Rate limit reached for …` → `429`; `401 auth: Invalid key` → `401 auth`."""
    head = why.partition(":")[0]
    status, _, kind = head.partition(" ")
    return status if kind in _CLEAR_FROM_CONTEXT and status.isdigit() else _SHORT.get(head, head)


def hold_of(lane: Lane, speed: float) -> str:
    """What a lane waits for, short: `rpm`, `429`, `timeout`."""
    if lane.waits_for == _PACE:
        return _pace(lane.group.pace, speed)
    return short_reason(lane.waits_for)


class Hold(NamedTuple):
    """One thing that holds lanes back, and of which providers."""

    what: str
    providers: list[str]
    lanes: int

    def __str__(self) -> str:
        if not self.providers:
            return self.what
        if len(self.providers) > 2:
            return f"{self.what} of {len(self.providers)} providers"
        return f"{' and '.join(self.providers)} {self.what}"


def holds(view: RunView) -> list[Hold]:
    """What binds now, that which holds most lanes first: `NAME rpm`, `429 of 5 providers`."""
    dispatcher = view.dispatcher
    found: dict[str, Counter[str]] = {}
    for lane in dispatcher.lanes:
        if lane.standing in _HELD and lane.waits_for not in ("", _ARRIVAL) and not lane.out:
            providers = found.setdefault(clean(hold_of(lane, view.speed), 40), Counter())
            providers[clean(lane.target.provider, 40)] += 1
    held = [Hold(what, list(who), who.total()) for what, who in found.items()]
    held.sort(key=lambda hold: -hold.lanes)
    if dispatcher.in_flight >= dispatcher.concurrency and not dispatcher.stopped:
        held.insert(0, Hold(f"--concurrency {dispatcher.concurrency}", [], dispatcher.in_flight))
    return held


def spell_holds(found: Iterable[Hold], most: int = 4) -> str:
    names = [str(hold) for hold in found]
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


class Standstill(NamedTuple):
    """Nothing is in flight and nothing may leave before `until` (None: nobody can say)."""

    what: str
    until: float | None


def standstill(view: RunView, now: float) -> Standstill | None:
    """Whether everything waits, for what and until when. A gap of under a second is no news."""
    dispatcher = view.dispatcher
    if dispatcher.in_flight or dispatcher.stopped or view.done >= view.total:
        return None
    usable = [lane for lane in dispatcher.lanes if not lane.out]
    if not usable:
        return Standstill("no usable key is left", None)
    held = [lane for lane in usable if lane.standing in _HELD]
    if not held or any(lane.standing is Standing.READY for lane in usable):
        return None
    ends = [at for at in (_goes_at(lane) for lane in held) if at is not None]
    until = min(ends) if ends else None
    if until is not None and until - now < 1.0:
        return None
    return Standstill(f"everything waits for {spell_holds(holds(view)) or 'the next prompt (--rate)'}", until)


def _goes_at(lane: Lane) -> float | None:
    if lane.standing is Standing.TIMED:
        return lane.wakes
    spec = lane.group.pace.spec()
    return lane.group.last_send + 1 / spec[1] if spec and lane.waits_for == _PACE and spec[1] > 0 else None


def _pace(pace: Gauge, speed: float) -> str:
    return "learned pace" if pace.declared is None else _AXES.get(round(pace.period * speed, 3), "pace")
