"""How long a refusal lasts: hints in headers and bodies, in the order of their worth, and the starts of days."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, time, timedelta, tzinfo
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from llmfan.dialects.bodies import ErrorBody
from llmfan.dialects.headers import retry_wait, until_date
from llmfan.dialects.quotas import Told, copied_headers
from llmfan.records import Report
from llmfan.settings import ErrorRow, Preset
from llmfan.units import DAY, HOUR, MONTH, seconds

_DURATION = r"((?:\d+(?:\.\d+)?\s*(?:ms|us|µs|ns|d|h|m|s)\b\s*|\d+(?:\.\d+)?(?:ms|us|µs|ns|d|h|m|s)(?=\d))+)"
_AGAIN = re.compile(rf"(?:again|retry|retrying|wait|resets?|available)\b[^\d.]{{0,30}}?{_DURATION}", re.I)
_UNIT_WORD = re.compile(r"(\d)\s*(milli)?(second|sec|minute|min|hour|hr|day)s?\b", re.I)
_ISO = r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?\s?(?:Z|[+-]\d\d:?\d\d)?)?"
_HTTP = r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT"
_DATE = re.compile(rf"(?:resets?|until|again|after|available|renews?)\b\D{{0,30}}?({_ISO}|{_HTTP})", re.I)
_SCOPED = ("availability", "metadata")


def wait_for(
    row: ErrorRow, headers: Mapping[str, str], body: ErrorBody, told: Told, preset: Preset, now_wall: float | None
) -> float | None:
    """Seconds to stay away from what the row rules out; None where neither the answer nor the row says."""
    if row.permanent:
        return None
    hint = _hint(headers, body, told, now_wall)
    if row.until:
        return _until(row.until, hint, told, preset, now_wall)
    if hint is not None:
        return hint
    if row.wait is None and row.kind == "quota_exhausted":
        monthly = re.search("month", body.message, re.I) is not None
        return _until("month" if monthly else "day", None, told, preset, now_wall)
    return row.wait


def is_asked(headers: Mapping[str, str], body: ErrorBody, now_wall: float | None) -> bool:
    """Whether the server asked for a wait; a limit's reset only says by when it has passed at the latest."""
    return any(wait is not None for wait in _asked_for(headers, body, now_wall))


def next_day(zone: str, now_wall: float) -> float:
    """Seconds to the next midnight of a zone; a day there may have 23 or 25 hours."""
    place: tzinfo
    try:
        place = UTC if zone.lower() in ("", "utc", "rolling") else ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError):
        place = UTC
    day = datetime.fromtimestamp(now_wall, place).date() + timedelta(days=1)
    return datetime.combine(day, time(), place).timestamp() - now_wall


def next_month(now_wall: float) -> float:
    today = datetime.fromtimestamp(now_wall, UTC)
    first = (today.replace(day=1) + timedelta(days=32)).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return first.timestamp() - now_wall


def _until(until: str, hint: float | None, told: Told, preset: Preset, now_wall: float | None) -> float | None:
    """A reset by the calendar. Where days roll, quota drips back: one request after a day / limit."""
    if until == "day" and preset.limiter.reset == "rolling":
        if hint is not None:
            return hint
        limit = _daily_limit(told, preset)
        return DAY / limit if limit else HOUR
    if now_wall is None:
        return hint
    return next_month(now_wall) if until == "month" else next_day(preset.limiter.reset, now_wall)


def _daily_limit(told: Told, preset: Preset) -> float:
    said = (report.limit for report in told.reports if report.axis == "rpd" and report.limit)
    return next(said, None) or max((row.axes.get("rpd", 0.0) for row in preset.limits), default=0.0)


def _hint(headers: Mapping[str, str], body: ErrorBody, told: Told, now_wall: float | None) -> float | None:
    for wait in _hints(headers, body, told, now_wall):
        if wait is not None:
            return min(wait, 10 * 365 * DAY)
    return None


def _hints(headers: Mapping[str, str], body: ErrorBody, told: Told, now_wall: float | None) -> Iterator[float | None]:
    yield retry_wait(headers, now_wall)
    yield _reset(told.headers, told.axis)
    yield from _asked_for(headers, body, now_wall)
    yield _reset(told.copies, told.axis)


def _asked_for(headers: Mapping[str, str], body: ErrorBody, now_wall: float | None) -> Iterator[float | None]:
    yield retry_wait(headers, now_wall)
    yield _asked(body.details)
    yield _retry_info(body.details)
    yield _prose(body.message)
    yield _dated(body.message, now_wall)
    yield retry_wait(copied_headers(body.details), now_wall)


def _reset(reports: tuple[Report, ...], axis: str) -> float | None:
    """The reset of the limit that refused: the one that is named, else those with nothing remaining.

    A single reset needs no choosing. Of several the longest counts.
    """
    resets = {report.axis: report.resets_in for report in reports if report.resets_in is not None}
    if axis in resets:
        return resets[axis]
    waits = [r.resets_in for r in reports if r.resets_in is not None and r.remaining is not None and r.remaining <= 0]
    if not waits and len(resets) == 1:
        waits = list(resets.values())
    return max(waits, default=None)


def _asked(details: dict[str, Any]) -> float | None:
    """A field of the error itself, or of what it says on availability."""
    for part in (details, *(details.get(name) for name in _SCOPED)):
        if not isinstance(part, dict):
            continue
        for name, factor in (("retry_after_ms", 1e-3), ("retry_after", 1.0), ("retry_after_seconds", 1.0)):
            value = part.get(name)
            if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < float("inf"):
                return min(value * factor, MONTH)
    return None


def _retry_info(details: dict[str, Any]) -> float | None:
    entries = details.get("details")
    for entry in entries if isinstance(entries, list) else []:
        delay = entry.get("retryDelay") if isinstance(entry, dict) else None
        if isinstance(delay, str) and (wait := seconds(delay)) is not None:
            return wait
    return None


def _prose(message: str) -> float | None:
    text = _UNIT_WORD.sub(lambda m: m[1] + ("ms" if m[2] else m[3][0].lower()) + " ", message)
    found = _AGAIN.search(text)
    if found:
        return seconds(found[1])
    # A body that is a duration and nothing else.
    return seconds(text) if re.search("[a-z]", text) else None


def _dated(message: str, now_wall: float | None) -> float | None:
    found = _DATE.search(message)
    return until_date(found[1].replace(" Z", "Z"), now_wall) if found else None
