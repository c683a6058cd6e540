"""A moment given on the command line: in so long (`2h`), at a time of day (`07:30`), or at a date and time."""

from __future__ import annotations

import datetime as dt

import typer

from llmfan.units import DAY, seconds


def seconds_until(text: str, name: str, now: dt.datetime) -> float:
    """`now` carries its zone: a time of day is that zone's next one, and so is a date that names none."""
    wait = seconds(text)
    if wait is None:
        wait = _clock_time(text, now)
    if wait is None:
        wait = _date(text, now)
    if wait is None:
        hint = f"expected a time such as 90m, 07:30 or 2026-11-22T07:30, got {text!r}"
        raise typer.BadParameter(hint, param_hint=name)
    if wait <= 0:
        raise typer.BadParameter(f"{text} is past", param_hint=name)
    return wait


def _clock_time(text: str, now: dt.datetime) -> float | None:
    try:
        at = dt.time.fromisoformat(text) if ":" in text and len(text) <= 8 else None
    except ValueError:
        return None
    if at is None:
        return None
    wait = (dt.datetime.combine(now.date(), at, now.tzinfo) - now).total_seconds()
    return wait if wait > 0 else wait + DAY


def _date(text: str, now: dt.datetime) -> float | None:
    try:
        at = dt.datetime.fromisoformat(text)
    except ValueError:
        return None
    return ((at if at.tzinfo else at.replace(tzinfo=now.tzinfo)) - now).total_seconds()
