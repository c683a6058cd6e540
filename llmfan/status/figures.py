"""Each limit of a target as it is declared, reported and measured, what is used of it, and when that comes back."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from llmfan.limits.axes import is_quota
from llmfan.records import KnownLimit
from llmfan.settings import AXES, KeySettings, Provider
from llmfan.status.owners import Owners
from llmfan.status.windows import Almanac, is_moment

#: A quota with less than this left is spent: of requests a whole one is needed, of all else something.
_LEAST = {"requests": 1.0}
_SOMETHING = 1e-6
#: Below it every whole number is one of its own.
_WHOLE = 2.0**53


class Figures(NamedTuple):
    """One limit of one group of owners. `in_force` is what was reported, else declared, else measured."""

    axis: str
    owner: str
    declared: float | None
    known: KnownLimit | None
    used: float | None
    resets_at: float | None
    shared_with: tuple[str, ...] = ()

    @property
    def reported(self) -> float | None:
        return None if self.known is None else _finite(self.known.reported)

    @property
    def measured(self) -> float | None:
        return None if self.known is None else _finite(self.known.measured)

    @property
    def in_force(self) -> float | None:
        known = self.known
        if known is None:  # asked for many times over
            return self.declared
        reported = _finite(known.reported)
        if reported is not None:
            return reported
        return self.declared if self.declared is not None else _finite(known.measured)

    @property
    def left(self) -> float | None:
        return None if self.used is None or self.in_force is None else max(0.0, self.in_force - self.used)

    @property
    def share(self) -> float | None:
        """How full it is, from 0 to 1."""
        if self.used is None or self.in_force is None:
            return None
        return min(1.0, self.used / self.in_force) if self.in_force > 0 else 1.0

    @property
    def spent(self) -> bool:
        """A day's or a month's allowance of which nothing is left. (What comes back within minutes is never spent.)"""
        least = _LEAST.get(AXES[self.axis][0], _SOMETHING)
        return is_quota(self.axis) and self.left is not None and self.left < least

    @property
    def full(self) -> bool:
        """A window of seconds, minutes or an hour without room for one more: that comes back while one waits."""
        least = _LEAST.get(AXES[self.axis][0], _SOMETHING)
        return self.axis != "concurrency" and not is_quota(self.axis) and self.left is not None and self.left < least

    def document(self, now: float) -> dict[str, Any]:
        known = self.known
        learned = None if known is None or not known.at else moment(known.at)
        return {
            "declared": plain(self.declared), "reported": plain(self.reported), "measured": plain(self.measured),
            "in_force": plain(self.in_force), "used": plain(self.used), "left": plain(self.left),
            "resets_in_s": None if self.resets_at is None else round(self.resets_at - now, 3),
            "resets_at": None if self.resets_at is None else moment(self.resets_at),
            "counts": None if known is None else known.counts or None,
            "confidence": None if known is None or known.measured is None else round(known.confidence, 3),
            "reported_at": None if self.reported is None else learned,
            "measured_at": None if self.measured is None else learned,
            "owner": self.owner, "shared_with": list(self.shared_with),
        }  # fmt: skip


def figures_of(
    provider: Provider, key: KeySettings, model: str, owners: Owners, almanac: Almanac
) -> dict[str, Figures]:
    """Axis → figures of every limit of a target: requests before tokens, short windows before long ones."""
    limits = provider.limits[key.label, model]
    found = {}
    drawn = owners.of(provider, key, model)
    for axis in (axis for axis in AXES if axis in drawn):
        owner = drawn[axis]
        declared, known = limits.axes.get(axis), owners.limit(owner, axis)
        figures = Figures(axis, owners.group(owner), declared, known, None, None, _others(owners, owner, key.label))
        found[axis] = figures if axis == "concurrency" else _spent(figures, owners, limits.reset, almanac)
    return found


def tightest(targets: Iterable[Mapping[str, Figures]]) -> dict[str, Figures]:
    """Axis → the fullest of several models' limits; of those as full the first."""
    found: dict[str, Figures] = {}
    for target in targets:
        for axis, figures in target.items():
            if axis not in found or (figures.share or 0.0) > (found[axis].share or 0.0):
                found[axis] = figures
    return found


def plain(value: float | None) -> float | None:
    """Whole numbers as such, as far as JSON has room for them."""
    if value is None or not math.isfinite(value):
        return None
    return int(value) if abs(value) < _WHOLE and value == int(value) else round(value, 3)


def moment(at: float) -> str:
    """UTC, ISO 8601, with milliseconds."""
    at = at if is_moment(at) else 0.0
    return dt.datetime.fromtimestamp(at, dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _finite(value: float | None) -> float | None:
    """A limit of infinity is none."""
    return value if value is not None and math.isfinite(value) else None


def _spent(figures: Figures, owners: Owners, reset: str, almanac: Almanac) -> Figures:
    """With what is used of it, and when that comes back: a day at its end, a rolling window bit by bit."""
    window = almanac.of(figures.axis, reset)
    counted = figures._replace(used=owners.used(figures.owner, figures.axis, window))
    live = owners.counted_back(figures.owner, figures.axis)
    if live is not None:
        return counted._replace(resets_at=almanac.now + live)
    if window.end is not None:
        return counted._replace(resets_at=window.end)
    missing = _LEAST.get(AXES[figures.axis][0], 0.0) - (counted.left or 0.0) if counted.spent else 0.0
    back = owners.comes_back(figures.owner, figures.axis, window, max(0.0, missing - _SOMETHING))
    return counted._replace(resets_at=None if back is None else almanac.now + back)


def _others(owners: Owners, owner: str, label: str) -> tuple[str, ...]:
    return tuple(other for other in owners.labels(owner) if other != label)
