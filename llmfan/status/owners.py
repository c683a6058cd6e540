"""Whose counter each limit is: which keys draw on it (by the file's word or as was found out), what it has spent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from llmfan.limits.axes import owner_of
from llmfan.records import Booking, Known, KnownLimit
from llmfan.settings import AXES, Fleet, KeySettings, Provider
from llmfan.status.windows import Window
from llmfan.units import DAY

#: Sums of what was taken and given back are exact to so much.
_EXACT = 1e-9


class Counted(NamedTuple):
    """What is used of a limit by the counter of a process that is sending, which knows it to the moment.

    `back`: seconds until some of it comes back; None: as the calendar says, or nothing is used.
    """

    used: float
    back: float | None


def owners_of(provider: Provider, key: KeySettings, model: str) -> set[str]:
    """Every owner that a limit of this target may have."""
    limits = provider.limits[key.label, model]
    axes = {*limits.axes, "rpm", "concurrency"}  # of the last two something may be learned though nobody declares them
    return {owner_of(axis, limits, provider.name, key, model) for axis in axes}


def labels_by_owner(fleet: Fleet) -> dict[str, list[str]]:
    """Owner → the labels of the keys that draw on it by the file's word."""
    found: dict[str, dict[str, None]] = {}
    for provider in fleet.providers:
        for key in provider.keys:
            for model in provider.models:
                for owner in owners_of(provider, key, model.name):
                    found.setdefault(owner, {})[key.label] = None
    return {owner: list(labels) for owner, labels in found.items()}


class Owners:
    """An owner that turned out to be counted with another one is of its group; a group has one counter an axis."""

    def __init__(
        self,
        fleet: Fleet,
        known: Known,
        bookings: Iterable[Booking],
        now: float,
        counted: Mapping[tuple[str, str], Counted] | None = None,
    ):
        self._first = dict(known.shared)
        self._labels: dict[str, dict[str, None]] = {}  # an ordered set each
        self._limits: dict[str, dict[str, KnownLimit]] = {}
        self._spent: dict[tuple[str, str], list[tuple[float, float]]] = {}
        self._used: dict[tuple[str, str, float], float] = {}
        for limit in known.limits:
            self._note(limit)
        self._counted: dict[tuple[str, str], list[Counted]] = {}
        self._spend(bookings, now)
        for (owner, axis), each in (counted or {}).items():
            of_group = self._counted.setdefault((self.group(owner), axis), [])
            if not any(each is other for other in of_group):  # one counter of several owners
                of_group.append(each)
        for owner, labels in labels_by_owner(fleet).items():
            self._labels.setdefault(self.group(owner), {}).update(dict.fromkeys(labels))

    def group(self, owner: str) -> str:
        """The owner it is counted with, or itself."""
        seen = {owner}
        while owner in self._first and self._first[owner] not in seen:
            owner = self._first[owner]
            seen.add(owner)
        return owner

    def labels(self, owner: str) -> list[str]:
        """The keys that draw on it, in the order of the file."""
        return list(self._labels.get(self.group(owner), ()))

    def limit(self, owner: str, axis: str) -> KnownLimit | None:
        return self._limits.get(self.group(owner), {}).get(axis)

    def of(self, provider: Provider, key: KeySettings, model: str) -> dict[str, str]:
        """Axis → owner, of every limit of a target that is declared, reported or measured."""
        limits = provider.limits[key.label, model]
        found = {axis: owner_of(axis, limits, provider.name, key, model) for axis in limits.axes}
        for candidate in _candidates(provider, key, model):
            for axis, known in self._limits.get(self.group(candidate), {}).items():
                if axis not in found and (known.reported is not None or known.measured is not None):
                    owner = owner_of(axis, limits, provider.name, key, model)
                    if owner == candidate:
                        found[axis] = owner
        return found

    def counted_back(self, owner: str, axis: str) -> float | None:
        """By the counters of who is sending: seconds until something of what is used comes back."""
        found = self._counted.get((self.group(owner), axis), ())
        return min((each.back for each in found if each.back is not None), default=None)

    def used(self, owner: str, axis: str, window: Window) -> float:
        place = (self.group(owner), axis, window.start)
        if place[:2] in self._counted:
            return sum(each.used for each in self._counted[place[:2]])
        if place not in self._used:
            spent = self._spent.get(place[:2], ())
            self._used[place] = max(0.0, sum(amount for at, amount in spent if _within(at, window)))
        return self._used[place]

    def comes_back(self, owner: str, axis: str, window: Window, excess: float) -> float | None:
        """In a rolling window: seconds until more than `excess` of what was spent in it has left; None: nothing was."""
        entries = sorted(e for e in self._spent.get((self.group(owner), axis), ()) if _within(e[0], window))
        left = 0.0
        for at, amount in entries:
            left += amount
            if left > excess + _EXACT:
                return at - window.start
        return None

    def _spend(self, bookings: Iterable[Booking], now: float) -> None:
        """Most of a day's bookings are those of minutes that are long over: they are passed by."""
        over = {axis: now - period for axis, (_, period) in AXES.items() if 0 < period < DAY}
        places: dict[tuple[str, str], list[tuple[float, float]]] = {}
        for each in bookings:
            if each.at > over.get(each.axis, -1.0):
                place = (each.owner, each.axis)
                spent = places.get(place)
                if spent is None:
                    spent = places[place] = self._spent.setdefault((self.group(each.owner), each.axis), [])
                spent.append((each.at, each.amount))

    def _note(self, limit: KnownLimit) -> None:
        """Of a group's figures those learned last."""
        own = self._limits.setdefault(self.group(limit.owner), {})
        if limit.axis not in own or own[limit.axis].at < limit.at:
            own[limit.axis] = limit


def _within(at: float, window: Window) -> bool:
    """A rolling window has lost what is exactly as old as it is long; a day has what was sent on its first stroke."""
    return at > window.start if window.end is None else window.start <= at < window.end


def _candidates(provider: Provider, key: KeySettings, model: str) -> Iterator[str]:
    for holder in (key.label, f"{provider.name}@{key.account}"):
        yield holder
        yield f"{holder}/{model}"
