"""How each target is, in the ledger's words: what `status` shows, and what the next run goes by."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable

from llmfan.entries import KeyState, State
from llmfan.records import Failure
from llmfan.scheduling.lanes import Lane, RestKind
from llmfan.settings import Kind

#: Rests shorter than this are over before anybody reads of them. Seconds of the world.
PASSING_S = 5.0
_DOUBTFUL = ("invalid", "forbidden", "no_credit", "no_model", "unreachable")
_OUT: dict[Kind, State] = {
    "auth": "invalid", "payment_required": "no_credit", "quota_exhausted": "exhausted", "model_not_found": "no_model",
    "content_filter": "forbidden", "bad_request": "forbidden",
}  # fmt: skip


def conditions(
    lanes: Iterable[Lane],
    answered: Collection[tuple[str, str]],
    now: float,
    wall: Callable[[float], float],
    speed: float,
) -> list[KeyState]:
    """The targets something is known of in this run. `wall` gives Unix time."""
    found = []
    for lane in lanes:
        state, until, why = _condition(lane, now, (lane.target.key, lane.target.model) in answered, speed)
        if state is not None:
            at = wall(now)
            found.append(
                KeyState(
                    key=lane.target.key, model=lane.target.model, state=state, why=why, source="run", at=at,
                    until=None if math.isinf(until) else at + (until - now) * speed,
                )
            )  # fmt: skip
    return found


def restore(lanes: Iterable[Lane], states: Iterable[KeyState], now: float, wall: float, speed: float) -> None:
    """What had to rest until a moment that is still to come rests until then. What did not work is tried with one."""
    states = list(states)
    doubtful = {state.key for state in states if state.state in _DOUBTFUL}
    by_key: dict[str, list[KeyState]] = {}
    for state in states:
        if state.until is not None and state.until > wall and state.state in ("exhausted", "rate_limited"):
            by_key.setdefault(state.key, []).append(state)
    for lane in lanes:
        lane.group.probing |= lane.target.key in doubtful
        for state in by_key.get(lane.target.key, ()):
            if state.model in ("", lane.target.model):
                until = now + ((state.until or wall) - wall) / speed
                kind: RestKind = "exhausted" if state.state == "exhausted" else "cooldown"
                lane.rest(until, kind, state.why or state.state, known=True)


def _condition(lane: Lane, now: float, answered: bool, speed: float) -> tuple[State | None, float, str]:
    if lane.out:
        return _of_fault(lane.fault), math.inf, lane.out
    if lane.exhausted(now) and lane.rest_until <= now:
        return "exhausted", lane.wakes, f"{lane.waits_for} is spent"
    if lane.rest_until > now + PASSING_S / speed:
        return ("exhausted" if lane.rest_kind == "exhausted" else "rate_limited"), lane.rest_until, lane.rest_why
    if lane.provider.circuit.tripped:
        return "unreachable", max(now, lane.provider.circuit.open_until), lane.provider.circuit.why
    return ("ok" if answered else None), math.inf, ""


def _of_fault(fault: Failure | None) -> State:
    return "unreachable" if fault is None else _OUT.get(fault.kind, "unreachable")
