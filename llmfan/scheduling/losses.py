"""Where a run's time went beyond the ideal: an estimate, by what each limit group could have sent meanwhile.

A group that rests, or is held below what it turned out to bear, costs the batch its share of the fleet's rate; a
refused or failed attempt costs what the whole fleet sends in the time of one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from msgspec import Struct

from llmfan.scheduling.lanes import Group, Lane


class Lost(Struct, frozen=True, kw_only=True):
    """Seconds; they add up to the duration less the ideal. `spacing`: guards, even departures, part-filled windows."""

    learning: float = 0.0
    retries: float = 0.0
    cooldowns: float = 0.0
    stragglers: float = 0.0
    client: float = 0.0
    spacing: float = 0.0


class Losses:
    """Looks at the groups now and then; it costs nothing in between."""

    def __init__(self, groups: Sequence[Group], now: float):
        self._groups = list(groups)
        self._held = [0.0] * len(self._groups)
        self._area = [0.0] * len(self._groups)  # limit times seconds
        self._since = [0.0] * len(self._groups)  # seconds under a known limit
        self._last = now

    def look(self, now: float) -> None:
        passed, self._last = now - self._last, now
        for n, group in enumerate(self._groups):
            lanes = group.lanes
            if all(lane.out for lane in lanes):
                continue
            if group.pace.hold > now or group.probing or all(_rests(lane, now) for lane in lanes):
                self._held[n] += passed
            elif group.paced:
                self._area[n] += group.pace.limit * passed
                self._since[n] += passed

    def shares(self, *, rest: float, attempts_lost: int, tail: float, late: float) -> Lost:
        """`rest`: seconds beyond the ideal; `tail`: from the last claim to the end, less a typical answer; `late`: by
        how much the process itself was behind."""
        rates = [group.pace.limit / group.pace.period if group.paced else 0.0 for group in self._groups]
        whole = sum(rate for rate in rates if rate < math.inf)
        found = {
            "learning": self._below(rates, whole),
            "retries": attempts_lost / whole if whole else 0.0,
            "cooldowns": self._rested(rates, whole),
            "stragglers": max(0.0, tail),
            "client": max(0.0, late),
        }
        rest = max(0.0, rest)
        total = sum(found.values())
        scale = min(1.0, rest / total) if total else 0.0
        parts = {name: seconds * scale for name, seconds in found.items()}
        return Lost(**parts, spacing=rest - sum(parts.values()))

    def _rested(self, rates: list[float], whole: float) -> float:
        """Where no limit says what a group could have sent, each counts alike."""
        if not whole:
            return sum(self._held) / len(self._held) if self._held else 0.0
        return sum(rate * held for rate, held in zip(rates, self._held, strict=True) if rate < math.inf) / whole

    def _below(self, rates: list[float], whole: float) -> float:
        """Seconds of the fleet's rate lost while limits were believed lower than at the end."""
        lost = 0.0
        for n, group in enumerate(self._groups):
            if rates[n] and self._since[n]:
                lost += rates[n] * max(0.0, self._since[n] - self._area[n] / group.pace.limit)
        return lost / whole if whole else 0.0


def _rests(lane: Lane, now: float) -> bool:
    """It was told to stay away, or its provider fails."""
    return lane.resting(now) or lane.provider.circuit.open_until > now
