"""`--reset NAME`: what a name stands for, and what of it the ledger is made to forget."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any, NamedTuple, Protocol

from llmfan.entries import KeyState
from llmfan.ports import Archive
from llmfan.records import Known
from llmfan.settings import Fleet
from llmfan.status.owners import labels_by_owner, owners_of

ALL = "all"


class Reset(NamedTuple):
    """A name, its keys, and the one model of them that was meant ("": all)."""

    name: str
    keys: list[str]
    model: str = ""


class Forgetful(Archive, Protocol):
    """A ledger that is open for writing."""

    def keep(self, known: Known) -> None: ...


def resets_of(names: Sequence[str], fleet: Fleet) -> tuple[list[Reset], list[str]]:
    """(what the names stand for, those that stand for nothing)."""
    known = {reset.name: reset for reset in _all(fleet)}
    return [known[name] for name in names if name in known], [name for name in names if name not in known]


def names_of(fleet: Fleet) -> list[str]:
    return [reset.name for reset in _all(fleet)]


def forget(ledger: Forgetful, reset: Reset, fleet: Fleet) -> dict[str, Any]:
    """Lifts the states and forgets the limits of a name; gives what was there. What was spent stays spent."""
    known = ledger.known()
    mine = _owners(reset, fleet)
    owners = {owner for owner in mine if any(limit.owner == owner for limit in known.limits)}
    states = [state for state in known.states if state.key in reset.keys]
    lifted = [state for state in states if reset.model in ("", state.model) or not state.model]
    limits = [limit for limit in known.limits if limit.owner in owners]
    ledger.forget(mine, reset.keys)
    kept = [state for state in states if state not in lifted]
    if kept:  # of the keys' other models
        ledger.keep(Known(states=kept))
    return {
        "name": reset.name, "keys": reset.keys, "lifted": [_state(state) for state in lifted],
        "forgotten": [{"owner": limit.owner, "axis": limit.axis} for limit in limits],
        "shared_with": _others(owners, reset.keys, fleet),
    }  # fmt: skip


def _all(fleet: Fleet) -> Iterable[Reset]:
    """Later ones win where names are alike: a label that is a provider's name is that provider."""
    for provider in fleet.providers:
        labels = [key.label for key in provider.keys]
        yield from (Reset(label, [label]) for label in labels)
        yield from (Reset(f"{provider.name}/{model.name}", labels, model.name) for model in provider.models)
    yield from (Reset(provider.name, [key.label for key in provider.keys]) for provider in fleet.providers)
    yield Reset(ALL, [key.label for provider in fleet.providers for key in provider.keys])


def _owners(reset: Reset, fleet: Fleet) -> set[str]:
    return {
        owner
        for provider in fleet.providers
        for key in provider.keys
        if key.label in reset.keys
        for model in provider.models
        if reset.model in ("", model.name)
        for owner in owners_of(provider, key, model.name)
    }


def _others(owners: Collection[str], keys: Collection[str], fleet: Fleet) -> list[str]:
    drawn = labels_by_owner(fleet)
    return list(dict.fromkeys(label for owner in owners for label in drawn.get(owner, ()) if label not in keys))


def _state(state: KeyState) -> dict[str, str]:
    return {"key": state.key, "model": state.model, "state": state.state}
