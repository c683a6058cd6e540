"""When limits changed, told by the keys they are of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from llmfan.entries import Change
from llmfan.settings import Fleet
from llmfan.status.differences import named
from llmfan.status.figures import moment, plain
from llmfan.status.owners import labels_by_owner


def history(
    changes: Iterable[Change], fleet: Fleet, providers: Sequence[str] = (), keys: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """The newest first. An owner that the file no longer has goes by its own name, where all are asked for."""
    drawn = labels_by_owner(fleet)
    order = [key.label for provider in fleet.providers for key in provider.keys]
    wanted = {k.label for p in fleet.providers for k in p.keys if p.name in providers or k.label in keys}
    asked = bool(providers or keys)
    found = []
    for change in sorted(changes, key=lambda change: -change.at):
        labels = drawn.get(change.owner, [])
        if not asked or wanted & set(labels):
            found.append(
                {
                    "at": moment(change.at), "keys": labels, "name": named(labels, order) or change.owner,
                    "owner": change.owner, "axis": change.axis, "source": change.source,
                    "before": plain(change.before), "after": plain(change.after),
                }
            )  # fmt: skip
    return found
