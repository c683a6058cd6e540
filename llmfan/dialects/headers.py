"""Headers: those a request carries, and what those of an answer tell of waits, resets and limits."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from llmfan import __version__
from llmfan.secret import SealedHeaders, Secret
from llmfan.settings import Preset
from llmfan.units import DAY, HOUR, MINUTE, seconds

#: No number, duration or date is longer; longer texts are none, and cost nothing.
_LONGEST = 64
_NUMBER = re.compile(r"\s*(-?[\d,]*\.?\d+(?:[eE][+-]?\d+)?)")
_ISO = re.compile(r"\d{4}-\d\d-\d\d")


def request_headers(preset: Preset, secret: Secret | None) -> SealedHeaders:
    """The one place where a secret is unwrapped. Some fronts refuse a library's default User-Agent: ours always."""
    headers = SealedHeaders({"User-Agent": f"llmfan/{__version__}", "Content-Type": "application/json"})
    headers.update(preset.headers)
    if secret is not None:
        text = secret.reveal()
        if preset.account_in_key:
            text = text.rpartition(":")[2]
        headers[preset.auth_header] = f"{preset.auth_scheme} {text}" if preset.auth_scheme else text
    return headers


def retry_wait(headers: Mapping[str, str], now_wall: float | None) -> float | None:
    """Seconds the server asks us to stay away, None if it does not say. A number beyond a day is taken as a day."""
    text = value_of(headers, "retry-after-ms")
    if text is not None and (number := _float(text)) is not None:
        return min(max(number / 1000, 0.0), DAY)
    text = value_of(headers, "retry-after")
    if text is None or len(text) > _LONGEST:
        return None
    if (number := _float(text)) is not None:
        return min(max(number, 0.0), DAY)
    if (duration := _duration(text)) is not None:
        return min(duration, DAY)
    return until_date(text, now_wall)


def reset_seconds(text: str, now_wall: float | None) -> float | None:
    """Seconds until a reset, told apart by size and shape.

    Letters: a duration (`2m59.56s`, `6m 11.52s`); above 1e12: epoch milliseconds; above 1e9: epoch seconds; a date:
    RFC 3339 or HTTP; else seconds. A moment needs the wall clock: without one it says nothing.
    """
    if len(text) > _LONGEST:
        return None
    text = text.strip()
    if text[-1:] == "s":
        return _duration(text)
    number = _float(text)
    if number is None:
        duration = _duration(text)
        return duration if duration is not None else until_date(text, now_wall)
    if number > 1e12:
        number /= 1000
    elif number <= 1e9:
        return max(number, 0.0)
    return None if now_wall is None else max(number - now_wall, 0.0)


def until_date(text: str, now_wall: float | None) -> float | None:
    """Seconds until an ISO 8601 or HTTP date; a date without a zone is UTC, one that is past is now."""
    if now_wall is None or len(text) > _LONGEST:
        return None
    text = text.strip()
    try:
        moment = datetime.fromisoformat(text) if _ISO.match(text) else parsedate_to_datetime(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return max(moment.timestamp() - now_wall, 0.0)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def costs_told(preset: Preset, headers: Mapping[str, str], now_wall: float | None) -> list[tuple[str, str, float]]:
    """What this one call was charged, as (axis, role, value): the rows of role `cost`."""
    rows = [row for row in preset.limit_headers if row.role == "cost"]
    texts = ((row, value_of(headers, row.name)) for row in rows)
    values = ((row, leading_number(text)) for row, text in texts if text is not None)
    return [(row.axis, row.role, value) for row, value in values if value is not None]


def value_of(headers: Mapping[str, str], name: str) -> str | None:
    """A header by its name in lower case or as written, so that plain dicts serve as well."""
    found = headers.get(name.lower())
    return headers.get(name) if found is None else found


def leading_number(text: str) -> float | None:
    """The number a header begins with: `1,000` and `100, 100;w=60` occur."""
    text = text[: _LONGEST + 1].partition(";")[0].partition(", ")[0]
    if len(text) > _LONGEST:
        return None
    number = _float(text)
    if number is not None:
        return number
    found = _NUMBER.match(text)
    return _float(found[1].replace(",", "")) if found else None


def _duration(text: str) -> float | None:
    """`units.seconds`, with a short way for what every answer brings: `7.66s`, `825ms`, `2m59.56s`, `1h0m3s`."""
    if text[-1:] != "s":
        return seconds(text)
    hours, _, rest = text[:-1].rpartition("h")
    first, minute, last = rest.partition("m")
    try:
        value = (float(first) * MINUTE + float(last)) if last else float(first) * (0.001 if minute else 1.0)
        value += float(hours) * HOUR if hours else 0.0
    except ValueError:
        return seconds(text)
    return value if 0 <= value < float("inf") else None


def _float(text: str) -> float | None:
    if len(text) > _LONGEST:
        return None
    try:
        number = float(text)
    except ValueError:
        return None
    return number if abs(number) < float("inf") else None
