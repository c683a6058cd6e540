"""`--reset NAME`: what a name stands for, and what of it the ledger is made to forget."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from llmfan.entries import KeyState
from llmfan.ports import Archive
from llmfan.records import Known
from llmfan.settings import Fleet
from llmfan.status.owners import labels_by_owner, owners_of
from llmfan.status.standing import READY, WORDS

ALL = "all"
#: States that the providers file makes, and no forgetting lifts.
_OF_FILE = ("missing", "retired")


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


def forget(ledger: Forgetful, reset: Reset, fleet: Fleet) -> dict[str, Any] | None:
    """Lifts the states and forgets the limits of a name; gives what was there. What was spent stays spent.

    None: the ledger cannot be written, and all is as it was.
    """
    known = ledger.known()
    mine = _owners(reset, fleet)
    owners = {owner for owner in mine if any(limit.owner == owner for limit in known.limits)}
    states = [state for state in known.states if state.key in reset.keys]
    gone = [state for state in states if reset.model in ("", state.model) or not state.model]
    limits = [limit for limit in known.limits if limit.owner in owners]
    if ledger.forget(mine, reset.keys) < 0:
        return None
    kept = [state for state in states if state not in gone]
    if kept:  # of the keys' other models
        ledger.keep(Known(states=kept))
    return {
        "name": reset.name, "keys": reset.keys,
        "lifted": [_state(state) for state in gone if state.state not in _OF_FILE and not _well(state)],
        "was_well": any(_well(state) for state in gone),
        "forgotten": [{"owner": limit.owner, "axis": limit.axis} for limit in limits],
        "shared_with": _others(owners, reset.keys, fleet),
    }  # fmt: skip


def still(reset: Reset, status: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The keys of a name that cannot be used yet all the same: what was spent stays spent."""
    keys = [key for entry in status["quota_status"].values() for key in entry["keys"] if key["key"] in reset.keys]
    found = []
    for key in keys:
        models = [each for each in key.get("models", ()) if each["model"] == reset.model]
        one = models[0] if models else key
        if one["state"] in ("exhausted", "cooldown"):  # what the file says is no news
            found.append({"key": key["key"], **{name: one[name] for name in ("state", "why", "until")}})
    return found


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


def _well(state: KeyState) -> bool:
    return WORDS[state.state] == READY.state


def _state(state: KeyState) -> dict[str, str]:
    return {"key": state.key, "model": state.model, "state": state.state}
