"""Headers: those a request carries, and what those of an answer tell of waits, resets and limits."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Literal

from llmfan import __version__
from llmfan.secret import SealedHeaders, Secret
from llmfan.settings import AXES, HeaderRow, Preset
from llmfan.units import DAY, MINUTE, seconds

Role = Literal["limit", "remaining", "reset", "cost"]

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
    if text is None:
        return None
    if (number := _float(text)) is not None:
        return min(max(number, 0.0), DAY)
    if (duration := seconds(text)) is not None:
        return min(duration, DAY)
    return until_date(text, now_wall)


def reset_seconds(text: str, now_wall: float | None) -> float | None:
    """Seconds until a reset, told apart by size and shape.

    Letters: a duration (`2m59.56s`, `6m 11.52s`); above 1e12: epoch milliseconds; above 1e9: epoch seconds; a date:
    RFC 3339 or HTTP; else seconds. A moment needs the wall clock: without one it says nothing.
    """
    number = _float(text)
    if number is None:
        duration = seconds(text)
        return duration if duration is not None else until_date(text, now_wall)
    if number > 1e12:
        number /= 1000
    elif number <= 1e9:
        return max(number, 0.0)
    return None if now_wall is None else max(number - now_wall, 0.0)


def until_date(text: str, now_wall: float | None) -> float | None:
    """Seconds until an ISO 8601 or HTTP date; a date without a zone is UTC, one that is past is now."""
    if now_wall is None:
        return None
    text = text.strip()
    try:
        moment = datetime.fromisoformat(text) if _ISO.match(text) else parsedate_to_datetime(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return max(moment.timestamp() - now_wall, 0.0)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def limit_news(preset: Preset, headers: Mapping[str, str], now_wall: float | None) -> list[tuple[str, Role, float]]:
    """What an answer's headers tell of its limits: (axis, role, value), a reset in seconds from now."""
    news: list[tuple[str, Role, float]] = []
    for row in preset.limit_headers:
        text = value_of(headers, row.name)
        if text is None:
            continue
        value = _reset(row, text, now_wall) if row.role == "reset" else leading_number(text)
        if value is not None:
            news.append((row.axis, row.role, value))
    return news


def value_of(headers: Mapping[str, str], name: str) -> str | None:
    """A header by its name in lower case or as written, so that plain dicts serve as well."""
    found = headers.get(name.lower())
    return headers.get(name) if found is None else found


def leading_number(text: str) -> float | None:
    """The number a header begins with: `1,000` and `100, 100;w=60` occur."""
    text = text.partition(";")[0]
    number = _float(text)
    if number is not None:
        return number
    found = _NUMBER.match(text.partition(", ")[0])
    return _float(found[1].replace(",", "")) if found else None


def _reset(row: HeaderRow, text: str, now_wall: float | None) -> float | None:
    """A reset, held to its window: a limit a minute cannot honestly ask for an hour."""
    number = _float(text)
    if row.format in ("epoch_ms", "epoch_s") and number is not None and now_wall is not None:
        wait: float | None = max((number / 1000 if row.format == "epoch_ms" else number) - now_wall, 0.0)
    else:
        wait = reset_seconds(text, now_wall)
    window = AXES.get(row.axis, ("", DAY))[1]
    return None if wait is None else min(wait, max(window * 1.05, MINUTE))


def _float(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if abs(number) < float("inf") else None
