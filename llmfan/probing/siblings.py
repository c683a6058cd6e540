"""Keys of one provider that draw on one account: by the file's word, the provider's, or by what they have left."""

from __future__ import annotations

from collections.abc import Iterable

from llmfan.probing.alike import Heard, Suspects
from llmfan.probing.counters import is_written
from llmfan.probing.key_probe import KeyProbe, Shot
from llmfan.records import Answer
from llmfan.settings import AXES, KeySettings, Provider


class Siblings:
    """`probes`: those whose keys answered. `shots`: all that was sent to this provider, in order."""

    def __init__(self, provider: Provider, probes: Iterable[KeyProbe], shots: list[Shot]):
        self._provider, self._shots = provider, shots
        self._probes = {probe.key.label: probe for probe in probes}
        self._named = {label: p.asked[0][1].account for label, p in self._probes.items() if p.asked[0][1].account}
        self._unit = self._units()

    async def find(self, free: bool) -> None:
        """Writes into each finding which keys share with it; asks again where only that can tell."""
        groups = [set(self._members(unit)) for unit in dict.fromkeys(self._unit.values())]
        axis = "" if free else self._telling_axis()
        if axis:
            for limit in sorted({limit for limit, _ in self._last(axis).values()}):
                groups = _merged(groups, await self._suspect(axis, limit))
        for group in groups:
            for label in group:
                for _, finding in self._probes[label].asked:
                    finding.shares_with = [other for other in self._probes if other in group and other != label]

    # ------------------------------------------------- what is known already

    def _units(self) -> dict[str, str]:
        """By key: the name under which it counts, the same for those that share by somebody's word."""
        units: dict[str, str] = {}
        for label, probe in self._probes.items():
            word = self._word(probe.key)
            units[label] = next(
                (other for other in units if word and self._word(self._probes[other].key) == word), label
            )
        return units

    def _word(self, key: KeySettings) -> tuple[str, str] | None:
        """The account by name: the provider's own name for it, else the one the user wrote."""
        if key.label in self._named:
            return "provider", self._named[key.label]
        return ("file", key.account) if is_written(key) else None

    def _members(self, unit: str) -> list[str]:
        return [label for label, its in self._unit.items() if its == unit]

    # --------------------------------------------------- what remainders tell

    def _telling_axis(self) -> str:
        """A request limit that several report; of the longest window, for it refills least as one watches."""
        axes = {axis for shot in self._own_shots() for axis in shot.left if AXES.get(axis, ("",))[0] == "requests"}
        told = [axis for axis in axes if len(self._last(axis)) > 1]
        return max(told, key=lambda axis: (AXES[axis][1], axis), default="")

    def _own_shots(self) -> list[Shot]:
        """Where models are counted apart, those of the first model: every key was asked that one."""
        first = self._provider.models[0].name
        apart = any(limits.per_model for limits in self._provider.limits.values())
        return [shot for shot in self._shots if shot.key in self._unit and (not apart or shot.model == first)]

    def _last(self, axis: str) -> dict[str, tuple[float, float]]:
        return {self._unit[shot.key]: shot.left[axis] for shot in self._own_shots() if axis in shot.left}

    async def _suspect(self, axis: str, limit: float) -> list[set[str]]:
        units = {unit for unit, (its, _) in self._last(axis).items() if its == limit}
        heard = [self._heard(shot, axis) for shot in self._own_shots()]
        named = [self._unit[label] for label in self._named]
        suspects = Suspects([h for h in heard if h and h.name in units], limit, AXES[axis][1], named)
        while (unit := suspects.next()) is not None:
            suspects.asked(unit, await self._ask(unit, axis))
        return [{label for unit in group for label in self._members(unit)} for group in suspects.groups()]

    async def _ask(self, unit: str, axis: str) -> Heard | None:
        probe = self._probes[self._members(unit)[0]]
        model, finding = probe.asked[0]
        _, outcome = await probe.ask(model, finding)
        return self._heard(self._shots[-1], axis) if isinstance(outcome, Answer) else None

    def _heard(self, shot: Shot, axis: str) -> Heard | None:
        if axis not in shot.left:
            return None
        return Heard(name=self._unit[shot.key], remaining=shot.left[axis][1], sent=shot.sent, ended=shot.ended)


def _merged(groups: list[set[str]], found: Iterable[set[str]]) -> list[set[str]]:
    for group in found:
        touched = [other for other in groups if other & group]
        groups = [other for other in groups if not other & group] + [group.union(*touched)]
    return groups
