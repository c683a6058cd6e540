"""What answers tell of limits, by axis: a report that names no window is given to the limit it must be of."""

from __future__ import annotations

import math
from collections.abc import Container, Iterable, Mapping

from llmfan.probing.findings import Reading
from llmfan.records import Report
from llmfan.settings import AXES
from llmfan.units import DAY, MINUTE

#: The axes that a count without a window may be of where nothing is declared: of a minute, of a day.
_USUAL = {"requests": ("rpm", "rpd"), "tokens": ("tpm", "tpd")}
#: No limit is higher, and no window longer.
_MOST = 1e15


def take(into: dict[str, Reading], reports: Iterable[Report], declared: Mapping[str, float], now: float) -> None:
    """Adds what one answer tells. What it leaves out stays as it was told before."""
    for report in reports:
        axis = axis_meant(report, declared)
        if not axis:
            continue
        before = into.get(axis, Reading())
        limit, remaining, resets_in = _sane(report.limit), _sane(report.remaining), _sane(report.resets_in)
        into[axis] = Reading(
            limit=before.limit if limit is None else limit,
            remaining=before.remaining if remaining is None else remaining,
            resets_at=before.resets_at if resets_in is None else now + resets_in,
            at=before.at if remaining is None else now,
        )


def one_less(limits: Mapping[str, Reading], told: Container[str], now: float) -> None:
    """After an answer that counts: one request less is left of the limits it told nothing of itself.

    In place: what a key check said is said of all models of the key.
    """
    for axis, reading in limits.items():
        if axis not in told and axis in AXES and AXES[axis][0] == "requests" and reading.remaining:
            reading.remaining, reading.at = max(0.0, reading.remaining - 1), now


def left_of(reports: Iterable[Report], declared: Mapping[str, float]) -> dict[str, tuple[float, float]]:
    """(limit, left) by axis, where an answer tells both."""
    found = {}
    for report in reports:
        limit, remaining = _sane(report.limit), _sane(report.remaining)
        if limit is not None and remaining is not None:
            found[axis_meant(report, declared)] = (limit, remaining)
    return found


def _sane(value: float | None) -> float | None:
    """A provider may say anything; what no limit can be is not taken for one."""
    return value if value is not None and abs(value) <= _MOST else None


def axis_meant(report: Report, declared: Mapping[str, float]) -> str:
    """The axis a report speaks of: the pace, unless the figure or the reset is that of a day; "" for no axis at all."""
    if report.axis in AXES:
        return report.axis
    if report.axis not in _USUAL:
        return ""
    fits = [axis for axis in declared if AXES[axis][0] == report.axis]
    days = [axis for axis in fits if AXES[axis][1] >= DAY]
    paces = [axis for axis in fits if AXES[axis][1] < DAY]
    minute, day = _USUAL[report.axis]
    if not fits:
        return day if report.resets_in is not None and report.resets_in > 2 * MINUTE else minute
    if days and (not paces or _of_a_day(declared[days[0]], declared[paces[0]], AXES[paces[0]][1], report)):
        return days[0]
    return paces[0] if paces else minute


def _of_a_day(day: float, pace: float, window: float, report: Report) -> bool:
    if report.resets_in is not None and report.resets_in > 2 * window:
        return True
    if not report.limit or day <= 0 or pace <= 0:
        return False
    return abs(math.log(report.limit / day)) < abs(math.log(report.limit / pace)) and report.limit > 2 * pace
