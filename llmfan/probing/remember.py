"""What a probe leaves in the ledger: how each key is, what was reported and measured, who shares, what was sent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from llmfan.entries import KeyState, State, Tally
from llmfan.limits.axes import owner_of, pacing_axis
from llmfan.measures.sketch import Sketch
from llmfan.ports import Ledger
from llmfan.probing.counters import is_written
from llmfan.probing.findings import Finding
from llmfan.probing.key_probe import Shot
from llmfan.records import Known, KnownLimit
from llmfan.settings import Fleet, KeySettings, Provider
from llmfan.units import MINUTE

#: States of a key as a whole; all others hold for the model that was asked.
_OF_KEY: tuple[State, ...] = ("invalid", "no_credit", "unreachable", "missing", "retired")


def remember(ledger: Ledger, fleet: Fleet, findings: Iterable[Finding], shots: Iterable[Shot], now: float) -> None:
    """After the last answer; `now` is Unix time. What was sent has been booked before (see `clerk`)."""
    found, sent = [finding for finding in findings if finding.state], list(shots)
    known = ledger.known()
    if sent:
        ledger.tally(tallies_of(sent))
    places = {key.label: (p, key) for p in fleet.providers for key in p.keys}
    ledger.keep(
        Known(
            states=list(states_of(found, known.states, now)),
            limits=[
                limit
                for f in found
                if (f.key, f.model) in places[f.key][0].limits
                for limit in limits_of(f, *places[f.key], now)
            ],
            shared=[pair for provider in fleet.providers for pair in shared_owners(provider, found)],
        )
    )


def states_of(findings: Iterable[Finding], before: Iterable[KeyState], now: float) -> Iterator[KeyState]:
    """A key that answers is no longer what was once said of the whole of it. What was not proven changes nothing.

    A ledger takes such an "ok" of a key for one of all its models: what it knew of those that were not asked, and is
    not over yet, is said once more.
    """
    findings, before = list(findings), list(before)
    spoken_against = {state.key for state in before if not state.model and state.state != "ok"}
    known = {state.key for state in before}
    asked = {(finding.key, finding.model) for finding in findings}
    for finding in findings:
        state: State = finding.state  # type: ignore[assignment]  # "" has been left out
        of_key = state in _OF_KEY
        if state == "unproven" and finding.key in known:
            continue
        if state != "unproven" and not of_key and finding.key in spoken_against:
            spoken_against.discard(finding.key)
            yield KeyState(key=finding.key, state="ok", source="probe", at=now)
            yield from (
                old for old in before
                if old.key == finding.key and old.model and (old.key, old.model) not in asked and _holds(old, now)
            )  # fmt: skip
        yield KeyState(
            key=finding.key, state=state, model="" if of_key else finding.model, why=finding.why,
            until=finding.until, source="probe", at=now,
        )  # fmt: skip


def _holds(state: KeyState, now: float) -> bool:
    return state.until is None or state.until > now


def limits_of(finding: Finding, provider: Provider, key: KeySettings, now: float) -> Iterator[KnownLimit]:
    """One for each axis that was heard of. What runs learned of it stays: a ledger keeps what it is not told anew."""
    limits = provider.limits[key.label, finding.model]
    measured = {each.axis: each for each in finding.measured if each.figure is not None}
    for axis in dict.fromkeys([*finding.limits, *measured]):
        reported = finding.limits[axis].limit if axis in finding.limits else None
        found = measured.get(axis)
        if reported is not None or found is not None:
            yield KnownLimit(
                owner=owner_of(axis, limits, provider.name, key, finding.model), axis=axis,
                declared=limits.axes.get(axis), reported=reported, at=now,
                measured=found.figure if found else None, counts=found.counts if found else "",
                confidence=found.confidence if found else 0.0,
            )  # fmt: skip


def shared_owners(provider: Provider, findings: Iterable[Finding]) -> Iterator[tuple[str, str]]:
    """Pairs of owners of the pacing limit, each with the first of its group; never against the file's own word."""
    mine = [f for f in findings if f.provider == provider.name and f.shares_with]
    keys = {key.label: key for key in provider.keys}
    for finding in mine:
        first = next(label for label in keys if label == finding.key or label in finding.shares_with)
        if first == finding.key or (is_written(keys[first]) and is_written(keys[finding.key])):
            continue
        limits = provider.limits[finding.key, finding.model]
        axis = pacing_axis(limits) or "rpm"
        pair = [owner_of(axis, limits, provider.name, keys[label], finding.model) for label in (finding.key, first)]
        if pair[0] != pair[1]:
            yield pair[0], pair[1]


def tallies_of(shots: Iterable[Shot]) -> list[Tally]:
    """By key, model and minute."""
    made: dict[tuple[str, str, int], tuple[Tally, Sketch]] = {}
    for shot in shots:
        place = (shot.key, shot.model, int(shot.at // MINUTE))
        blank = Tally(key=shot.key, model=shot.model, at=place[2] * MINUTE, span=MINUTE)
        tally, sketch = made.setdefault(place, (blank, Sketch()))
        tally.sent += 1
        tally.ok += shot.outcome == "ok"
        tally.refused += shot.outcome == "refused"
        tally.failed += shot.outcome == "failed"
        tally.input_tokens += shot.input_tokens
        tally.output_tokens += shot.output_tokens
        if shot.outcome == "ok":
            sketch.add(shot.ended - shot.sent)
    for tally, sketch in made.values():
        tally.latency_s, tally.latencies = sketch.total, sketch.counts
    return [tally for tally, _ in made.values()]
