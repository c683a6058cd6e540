"""From words to the name of a limit: how headers and messages say what is counted, and over which window."""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

from llmfan.settings import AXES
from llmfan.units import DAY, HOUR, MINUTE, MONTH, SECOND

Role = Literal["limit", "remaining", "reset"]

#: (what is counted, window) → axis.
_AXIS: dict[tuple[str, float], str] = {counted: axis for axis, counted in AXES.items()}
#: Where no window is said. Input and output tokens are limited by the minute only.
_OPEN = {"requests": "requests", "tokens": "tokens", "input_tokens": "itpm", "output_tokens": "otpm"}
_WINDOWS: dict[str, float] = {
    "second": SECOND, "sec": SECOND, "s": SECOND, "1s": SECOND,
    "minute": MINUTE, "min": MINUTE, "m": MINUTE, "1m": MINUTE, "1min": MINUTE, "60s": MINUTE,
    "hour": HOUR, "hr": HOUR, "h": HOUR, "1h": HOUR, "hourly": HOUR,
    "day": DAY, "d": DAY, "1d": DAY, "24h": DAY, "daily": DAY,
    "month": MONTH, "mo": MONTH, "1mo": MONTH, "30d": MONTH, "monthly": MONTH,
}  # fmt: skip
_UNITS = {
    "request": "requests", "req": "requests", "call": "requests", "message": "requests",
    "token": "tokens", "neuron": "neurons",
}  # fmt: skip
_SIDES = {
    "input": "input_tokens", "prompt": "input_tokens",
    "output": "output_tokens", "completion": "output_tokens", "generated": "output_tokens",
}  # fmt: skip
_IN_FLIGHT = ("concurrent", "concurrency", "parallel")
_ROLES: dict[str, Role] = {"limit": "limit", "remaining": "remaining", "reset": "reset"}
_FILLING = ("per", "after", "rate")
_NAME = re.compile(r"((?:x-)?rate-?limits?-)([a-z0-9-]{1,60})")


class HeaderSign(NamedTuple):
    """What a header's name says. `open`: the window is not in it. `family`: the name without its role."""

    axis: str
    role: Role
    open: bool
    family: str


def axis_of(counted: str, window: float | None) -> str:
    """The axis of a unit (`requests`, `input_tokens`, …) and a window in seconds; "" where there is none."""
    if counted == "in_flight":
        return "concurrency"
    return _OPEN.get(counted, "") if window is None else _AXIS.get((counted, window), "")


def window_of(word: str) -> float | None:
    return _WINDOWS.get(word.lower())


def counted_by(words: list[str]) -> str:
    """What is counted, by the first word that says so: `calls`, `input tokens`, `concurrent requests`; "" if none."""
    if any(word in _IN_FLIGHT for word in words):
        return "in_flight"
    units = [unit for word in words if (unit := _unit(word))]
    if units and units[0] != "tokens":
        return units[0]
    return next((_SIDES[word] for word in words if word in _SIDES), units[0] if units else "")


def header_sign(name: str) -> HeaderSign | None:
    """Reads a name such as `x-ratelimit-remaining-tokens-minute`. An unknown word in it makes it none of ours."""
    found = _NAME.fullmatch(name)
    words = found[2].split("-") if found else []
    role = next((word for word in words if word in _ROLES), "")
    if not found or not role:
        return None
    words.remove(role)
    said = [word for word in words if word not in _FILLING]
    windows = [word for word in said if word in _WINDOWS]
    known = all(word in _WINDOWS or word in _SIDES or word in _IN_FLIGHT or _unit(word) for word in said)
    if not known or len(windows) > 1:
        return None
    axis = axis_of(counted_by(said) or "requests", _WINDOWS[windows[0]] if windows else None)
    return HeaderSign(axis, _ROLES[role], axis in _OPEN, found[1] + "-".join(words)) if axis else None


def names_a_window(header: str) -> bool:
    return any(word in _WINDOWS for word in header.lower().split("-"))


def _unit(word: str) -> str:
    return _UNITS.get(word) or _UNITS.get(word.removesuffix("s"), "")
