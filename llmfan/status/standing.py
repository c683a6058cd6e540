"""How a key is: the states the ledger keeps and the quotas that are spent, in the five words of the status document."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import inf
from typing import NamedTuple

from llmfan.entries import KeyState, State
from llmfan.settings import KeySettings, Provider
from llmfan.status.windows import Almanac, is_moment
from llmfan.units import MINUTE

#: The best first: a provider is as its best key is, and a key as its best model is.
RANK = ("ready", "cooldown", "exhausted", "invalid", "missing")
#: The ledger's word → the document's.
WORDS: dict[State, str] = {
    "ok": "ready", "unproven": "ready", "unreachable": "cooldown", "rate_limited": "cooldown",
    "exhausted": "exhausted", "invalid": "invalid", "forbidden": "invalid", "no_credit": "invalid",
    "no_model": "invalid", "retired": "invalid", "missing": "missing",
}  # fmt: skip


class Standing(NamedTuple):
    """`until`: when it is over (Unix time); None: nobody knows, or it does not end by itself. Of one that is ready:
    when its next request may leave; None: now.
    """

    state: str
    why: str = ""
    until: float | None = None

    @property
    def rank(self) -> int:
        return RANK.index(self.state)


READY = Standing("ready")


def standing_of(
    provider: Provider,
    key: KeySettings,
    model: str,
    states: Sequence[KeyState],
    spent: Iterable[tuple[str, float | None]],
    almanac: Almanac,
) -> Standing:
    """`states`: what is known of the key; `spent`: the quotas of this target that are, and when each comes back."""
    if provider.preset.retired:  # whether its key is set or not: setting it would help nobody
        return Standing("invalid", f"retired: {provider.preset.retired}")
    if key.missing:
        return Standing("missing", f"${key.missing} is not set")
    reset = provider.limits[key.label, model].reset
    found = [_spelled(state, reset, almanac) for state in _of_model(states, model)]
    found += [Standing("exhausted", f"{axis} is spent", until) for axis, until in spent]
    now = [each for each in found if each.until is None or each.until > almanac.now]
    return max(now, key=lambda each: (each.rank, each.until or 0.0), default=READY)


def held(standing: Standing, full: Iterable[float | None], now: float) -> Standing:
    """A ready one whose windows are full stays ready; `full`: when each of them has room again."""
    ends = [at for at in full if at is not None and at > now]
    return standing._replace(until=max(ends)) if standing.state == "ready" and ends else standing


def best(standings: Iterable[Standing]) -> Standing:
    """The best of several; of those that are alike, the one that is over first."""
    unknown = {READY.state: 0.0}
    return min(
        standings, key=lambda each: (each.rank, unknown.get(each.state, inf) if each.until is None else each.until)
    )


def available_in(standings: Iterable[Standing], now: float) -> float | None:
    """Seconds until the first of them can take a request; None where waiting does not help."""
    moments = (now if each.until is None and each.state == "ready" else each.until for each in standings)
    return min((round(at - now, 3) for at in moments if at is not None), default=None)


def _of_model(states: Sequence[KeyState], model: str) -> list[KeyState]:
    """Those that hold for a model; what spoke against the whole key is disproved by any later answer to it."""
    proved = max((state.at for state in states if state.state == "ok"), default=-1.0)
    found = [s for s in states if s.model == model or (not s.model and (s.state == "ok" or s.at >= proved))]
    bad = [state for state in found if WORDS[state.state] != "ready"]
    return bad or found[-1:]


def _spelled(state: KeyState, reset: str, almanac: Almanac) -> Standing:
    """With the ledger's own word in `why`."""
    why = f"{state.state}: {state.why}" if state.why else state.state
    until = state.until
    if until is None and state.state == "exhausted":
        until = almanac.day_end(reset, state.at)
    elif until is None and state.state == "rate_limited":
        until = state.at + MINUTE
    return Standing(WORDS[state.state], why, until if is_moment(until) else None)
