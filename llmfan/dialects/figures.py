"""Figures told of limits made sound: absurd ones dropped, windows told by them, several reports of one limit joined."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from llmfan.dialects.headers import leading_number
from llmfan.dialects.policies import Policy, State
from llmfan.records import Report
from llmfan.settings import AXES
from llmfan.units import DAY, HOUR, MINUTE, MONTH

#: A larger figure means "unlimited": servers write the largest integer they have.
MOST = 1e12
#: Clocks and rounding: a reset may lie so much beyond its window, a bucket's figures so far from it.
_SLACK = 0.05


def number(text: str) -> float | None:
    """`leading_number`, quick for a plain one."""
    if len(text) <= 20 and text.isdecimal():
        return float(text)
    return leading_number(text)


def sound(axis: str, limit: float | None, remaining: float | None, wait: float | None) -> Report | None:
    """A report without absurd figures, None if nothing is left of it.

    A limit of 0 (not in the plan) or below (no limit) makes all the rest of it mean something else. A bucket may be
    overdrawn, so what remains may be negative; more than the limit is somebody else's figure.
    """
    if limit is not None and not 0 < limit <= MOST:
        return None
    if remaining is not None:
        if remaining < 0:
            remaining = None if limit is None else 0.0
        elif not remaining <= (MOST if limit is None else limit):
            remaining = None
    if wait is not None and wait < 0:  # past by the server's own word: it says nothing of when
        wait = None
    if limit is None and remaining is None and wait is None:
        return None
    return Report(axis=axis, limit=limit, remaining=remaining, resets_in=wait)


def longest_reset(axis: str) -> float:
    """A limit a minute cannot honestly ask for an hour."""
    return max(AXES[axis][1] if axis in AXES else MONTH, MINUTE) * (1 + _SLACK)


def held(report: Report) -> Report:
    """A report with its reset held to its window."""
    longest = longest_reset(report.axis)
    if report.resets_in is None or report.resets_in <= longest:
        return report
    return replace(report, resets_in=longest)


def refill(report: Report) -> float:
    """The window of a bucket, told by its figures: what was used comes back by the reset. 0 where they tell none."""
    limit, remaining, wait = report.limit, report.remaining, report.resets_in
    if limit is None or remaining is None or wait is None or remaining >= limit:
        return 0.0
    window = wait * limit / (limit - remaining)
    known = MINUTE if window < HOUR else DAY
    return known if abs(window - known) <= known * _SLACK else 0.0


def joined(reports: Iterable[Report]) -> tuple[Report, ...]:
    """One report an axis: the first counts, later ones fill what it leaves out.

    A limit told without its window is the one of equal size that was told with it.
    """
    found: dict[str, Report] = {}
    for report in reports:
        axis = _twin(report, found.values()) or report.axis
        found[axis] = _filled(found[axis], report) if axis in found else report
    return tuple(found.values())


def with_standard(reports: list[Report], told: list[Policy], left: list[State]) -> list[Report]:
    """Reports on each of the standard's policies as well.

    The older drafts tell what is left in headers of their own: those came in as a limit without a window.
    """
    unsaid = [report for report in reports if report.axis == "requests"]
    states = [*left, *(State("", report.limit, report.remaining, report.resets_in) for report in unsaid)]
    found = [report for report in reports if report.axis != "requests"]
    for policy in told:
        state = next((state for state in states if _speaks_of(state, policy, len(told) == 1)), None)
        if state is not None:
            states.remove(state)
        exact = state is not None and policy.exact
        found += _reports(policy.axis, policy.limit, state if exact else None)
    for state in states:
        found += _reports("requests", state.limit, state)
    return found


def _reports(axis: str, limit: float | None, state: State | None) -> list[Report]:
    remaining, wait = (state.remaining, state.reset) if state else (None, None)
    report = sound(axis, limit, remaining, wait)
    return [] if report is None else [held(report)]


def _speaks_of(state: State, policy: Policy, alone: bool) -> bool:
    if state.name:
        return state.name == policy.name
    return alone if state.limit is None else state.limit == policy.quota


def _twin(report: Report, found: Iterable[Report]) -> str:
    if report.axis in AXES or report.limit is None:
        return ""
    alike = (r.axis for r in found if r.limit == report.limit and r.axis in AXES and AXES[r.axis][0] == report.axis)
    return next(alike, "")


def _filled(first: Report, later: Report) -> Report:
    if first.limit is not None and later.limit is not None and first.limit != later.limit:
        return first
    limit = later.limit if first.limit is None else first.limit
    remaining = later.remaining if first.remaining is None else first.remaining
    wait = later.resets_in if first.resets_in is None else first.resets_in
    return sound(first.axis, limit, remaining, wait) or first
