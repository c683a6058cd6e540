"""What `model` of a request may be, and the list of it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

from llmfan.records import Target
from llmfan.serving.faults import CallerFault, shown

#: The name that leaves the choice to the fleet.
ANYONE = "auto"
#: Longer names are none, and not worth a search for near ones; nor is it among more names than these.
LONGEST, MOST = 200, 2000
#: Names that are told at most, of those that are near or else of all.
TOLD = 5


class Names:
    """The names by which callers choose among these targets.

    Where one name means several things, what is narrower counts: a target, then whoever has a model of that name, then
    a provider, then a key.
    """

    def __init__(self, targets: Iterable[Target]):
        targets = list(targets)
        self._only = {"": "", ANYONE: ""}
        self._providers: dict[str, set[str]] = {}
        self._listed: dict[str, str] = {ANYONE: "llmfan"}
        for target in targets:
            self._add(target.name, target.name, target)
            self._listed.setdefault(target.name, target.provider)
        for target in targets:
            self._add(target.model, f"*/{target.model}", target)
        for target in targets:
            owners = sorted(self._providers[f"*/{target.model}"])
            self._listed.setdefault(target.model, ", ".join(owners))
        for target in targets:
            self._add(target.provider, target.provider, target)
        self._known = [name for name in self._only if name]  # without keys' labels
        for target in targets:
            self._add(target.key, target.key, target)
            self._add(f"{target.key}/{target.model}", f"{target.key}/{target.model}", target)
            self._providers.setdefault("", set()).add(target.provider)

    def resolve(self, model: str) -> str:
        """The lane's name to ask for ("": anyone by priority). Raises `CallerFault` (404, `model_not_found`)."""
        only = self._only.get(model)
        if only is None:
            raise self._unknown(model)
        return only

    def providers(self, only: str) -> frozenset[str]:
        """Names of the providers behind what `resolve` gave."""
        return frozenset(self._providers.get(only, ()))

    def listing(self, created: int) -> dict[str, Any]:
        """The document of `GET /v1/models`. `created`: Unix time, whole seconds."""
        return {"object": "list", "data": [_entry(name, owner, created) for name, owner in self._listed.items()]}

    def entry(self, model: str, created: int) -> dict[str, Any]:
        """The document of `GET /v1/models/NAME`. Raises as `resolve` does."""
        if model not in self._listed:
            raise self._unknown(model)
        return _entry(model, self._listed[model], created)

    def _add(self, name: str, only: str, target: Target) -> None:
        self._only.setdefault(name, only)
        self._providers.setdefault(only, set()).add(target.provider)

    def _unknown(self, model: str) -> CallerFault:
        close = _near(model.strip().lower(), self._known[:MOST]) if len(model) <= LONGEST else []
        if close:
            hint = f" (did you mean {' or '.join(map(shown, close))}?)"
        else:
            hint = f"; there are {', '.join(map(shown, self._known[:TOLD]))}{' …' if len(self._known) > TOLD else ''}"
        message = f"no model named {shown(model)}{hint}; GET /v1/models lists them all"
        return CallerFault(message, param="model", code="model_not_found", status=404)


def _near(asked: str, known: list[str]) -> list[str]:
    """Names that begin so, or hold it; else the one that is spelt most like it."""
    lower = [name.lower() for name in known]
    for holds in (str.startswith, str.__contains__):
        found = [name for name, low in zip(known, lower, strict=True) if asked and holds(low, asked)]
        if found:
            return found[:TOLD]
    close = difflib.get_close_matches(asked, lower, n=1, cutoff=0.6)
    return [known[lower.index(close[0])]] if close else []


def _entry(name: str, owner: str, created: int) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": created, "owned_by": owner}
