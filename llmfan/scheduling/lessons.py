"""What an answer or a refusal teaches the limits a request passed. Which of several limits refused it is judged here.

Waits and lessons are kept apart: a limit that was refused says until when nothing leaves (its hold), and decides by
itself whether there is anything to learn (one wave of refusals, judged by when its requests left, teaches once).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from llmfan.limits.axes import UNITS
from llmfan.limits.window import Entry, Meter, learns
from llmfan.records import Failure, Report
from llmfan.settings import AXES
from llmfan.units import DAY

#: Two figures of one limit, told and believed, that are as near as this are of the same limit.
ALIKE = 2.0


def answered(meters: Sequence[Meter], learners: Iterable[int], entries: Sequence[Entry], now: float) -> None:
    for n in learners:
        meters[n].accepted(entries[n], now)  # type: ignore[attr-defined]


def told(meters: Sequence[Meter], entries: Sequence[Entry], reports: Iterable[Report], now: float) -> None:
    """Hands each report to the limit it speaks of; a limit nobody counts is passed over."""
    for report in reports:
        n = _meant(meters, report)
        if n is not None:
            meters[n].told(entries[n], report, now)  # type: ignore[attr-defined]


def refused(
    meters: Sequence[Meter], learners: Sequence[int], entries: Sequence[Entry], failure: Failure, now: float
) -> float:
    """Tells the limit that refused; the others know nothing of it. Gives the moment until which nothing leaves."""
    culprit = _culprit(meters, learners, entries, failure, now)
    hold = -math.inf
    for n in learners:
        meter = meters[n]
        assert learns(meter)
        if n == culprit:
            meter.refused(entries[n], now, None if failure.latest else failure.wait)
            hold = meter.hold
        elif meter.axis != "concurrency":  # that it was refused for another reason says nothing of how many at once
            meter.lost(entries[n], now)
    return hold


def failed(
    meters: Sequence[Meter], learners: Iterable[int], entries: Sequence[Entry], failure: Failure, now: float
) -> None:
    """It ended otherwise. For load: fewer at once from now on; without a word: perhaps so. What was refused for a
    reason of its own says nothing of how many at once. Of the other limits nothing is known.
    """
    for n in learners:
        meter = meters[n]
        assert learns(meter)
        if meter.axis == "concurrency" and failure.kind == "overloaded":
            meter.refused(entries[n], now, None)
        elif meter.axis != "concurrency" or failure.ambiguous:
            meter.lost(entries[n], now)


def lost(meters: Sequence[Meter], learners: Iterable[int], entries: Sequence[Entry], now: float) -> None:
    for n in learners:
        meters[n].lost(entries[n], now)  # type: ignore[attr-defined]


def withdrawn(meters: Sequence[Meter], learners: Iterable[int], entries: Sequence[Entry]) -> None:
    for n in learners:
        meters[n].withdrawn(entries[n])  # type: ignore[attr-defined]


def _culprit(
    meters: Sequence[Meter], learners: Sequence[int], entries: Sequence[Entry], failure: Failure, now: float
) -> int | None:
    """The limit the server named; else the fullest by our own count, requests first."""
    named = [n for n in learners if _named(meters[n], failure.axis)]
    learners = [n for n in learners if meters[n].axis != "concurrency"]
    if not named and AXES.get(failure.axis, ("", 0.0))[1] >= DAY:
        return None  # a day's allowance: not a pace
    fill = [
        (min(2.0, meters[n].used(now) / meters[n].limit) if meters[n].limit > 0 else 0.0, meters[n].unit == 0, -n)
        for n in named or learners
    ]
    return -max(fill)[2] if fill else None


def _named(meter: Meter, axis: str) -> bool:
    if meter.axis == axis:
        return True
    return axis in ("requests", "tokens") and AXES[meter.axis][1] < DAY and _counts(meter, axis)


def _meant(meters: Sequence[Meter], report: Report) -> int | None:
    """The counter of the report's axis. Where the server names no window: the pace, unless the figure or the reset
    is that of a day."""
    for n, meter in enumerate(meters):
        if meter.axis == report.axis:
            return n if _hears(meter) else None
    if report.axis not in ("requests", "tokens"):
        return None
    fits = [n for n, m in enumerate(meters) if _hears(m) and _counts(m, report.axis)]
    days = [n for n in fits if AXES[meters[n].axis][1] >= DAY]
    paces = [n for n in fits if AXES[meters[n].axis][1] < DAY]
    if days and (not paces or _of_a_day(meters[days[0]], meters[paces[0]], report)):
        return days[0]
    return paces[0] if paces else None


def _hears(meter: Meter) -> bool:
    """Whether it takes reports: those that learn, and a day's counter."""
    return hasattr(meter, "told")


def _counts(meter: Meter, what: str) -> bool:
    return meter.unit == UNITS[what] and meter.axis != "concurrency"


def _of_a_day(day: Meter, pace: Meter, report: Report) -> bool:
    if report.resets_in is not None and report.resets_in > 2 * AXES[pace.axis][1]:
        return True
    if report.limit is None:
        return False
    off = abs(math.log(report.limit / day.limit))
    if math.isinf(pace.limit):  # nobody knows the pace: a day's, if it is about the day's
        return off <= math.log(ALIKE)
    return off < abs(math.log(report.limit / pace.limit)) and report.limit > ALIKE * pace.limit
