"""Which owners of a limit are one counter: by the file's word, by the ledger's, and by what a probe has just found."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from llmfan.limits.axes import owner_of
from llmfan.probing.findings import Finding
from llmfan.settings import AXES, Fleet, KeySettings, Provider


class Counters:
    """`shared`: pairs of owners that the ledger knows to be counted together. Owners of one counter go by its first."""

    def __init__(self, fleet: Fleet, findings: Iterable[Finding], shared: Iterable[tuple[str, str]]):
        self._heads: dict[tuple[str, str], str] = {}  # (axis, owner) → a neighbour nearer to the first
        self._order: dict[str, int] = {}
        by_key: dict[str, list[Finding]] = {}
        for found in findings:
            by_key.setdefault(found.key, []).append(found)
        for provider in fleet.providers:
            self._add(provider, by_key)
        for owner, other in shared:
            for axis in AXES:
                self._join(axis, owner, other)

    def of(self, owner: str, axis: str) -> str:
        """The first owner of its counter."""
        while (axis, owner) in self._heads:
            owner = self._heads[axis, owner]
        return owner

    def _add(self, provider: Provider, findings: Mapping[str, Sequence[Finding]]) -> None:
        keys = {key.label: key for key in provider.keys}
        for (label, model), limits in provider.limits.items():
            axes = {*limits.axes, *(axis for found in findings.get(label, ()) for axis in found.limits if axis in AXES)}
            mates = {mate for found in findings.get(label, ()) for mate in found.shares_with if mate in keys}
            for axis in axes:
                owner = owner_of(axis, limits, provider.name, keys[label], model)
                self._order.setdefault(owner, len(self._order))
                for mate in mates:
                    if _may_share(keys[label], keys[mate]) and (mate, model) in provider.limits:
                        its = provider.limits[mate, model]
                        self._join(axis, owner, owner_of(axis, its, provider.name, keys[mate], model))

    def _join(self, axis: str, one: str, other: str) -> None:
        heads = sorted({self.of(one, axis), self.of(other, axis)}, key=lambda each: (self._place(each), each))
        for later in heads[1:]:
            self._heads[axis, later] = heads[0]

    def _place(self, owner: str) -> int:
        return self._order.setdefault(owner, len(self._order))


def is_written(key: KeySettings) -> bool:
    """Whether the file itself names the key's account, rather than a preset's rule for all keys."""
    return key.account not in ("default", key.label)


def _may_share(one: KeySettings, other: KeySettings) -> bool:
    """Never against the file's own word."""
    return one.account == other.account or not (is_written(one) and is_written(other))
