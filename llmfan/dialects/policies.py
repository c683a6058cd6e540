"""The standard's own limit headers, `RateLimit` and `RateLimit-Policy`, in the forms of all its drafts.

RateLimit-Policy: "burst";q=100;w=60, "day";q=1000;w=86400       RateLimit: "burst";r=50;t=30
RateLimit-Policy: 100;w=60                                       RateLimit: limit=100, remaining=50, reset=30
RateLimit-Policy: 100;w=60                                       RateLimit-Limit: 100, 100;w=60
"""

from __future__ import annotations

import re
from typing import NamedTuple

from llmfan.dialects.axis_words import axis_of, counted_by
from llmfan.dialects.headers import leading_number
from llmfan.settings import AXES

#: How much of a header is looked at, and how many policies: no honest one has more.
_LOOKED_AT, _POLICIES = 1000, 8
_PIECE = re.compile(r'(?:[^;,"]|"[^"]*")+|[;,]')
_WORD = re.compile(r"[a-z]+")
#: `qu`, the unit of a quota; others (bytes) are none that we count.
_UNITS = {"": "", "requests": "requests", "tokens": "tokens", "concurrent-requests": "in_flight"}


class Policy(NamedTuple):
    """One quota. `axis` is that of the nearest window not longer than its own, `limit` the share that falls to it.

    `exact`: the window is an axis's own, so what remains can be told as well.
    """

    name: str
    quota: float
    axis: str
    limit: float
    exact: bool


class State(NamedTuple):
    """What is left of the quota of that name."""

    name: str
    limit: float | None
    remaining: float | None
    reset: float | None


def policies(text: str) -> list[Policy]:
    found = (_policy(item) for item in _items(text)[:_POLICIES])
    return [policy for policy in found if policy is not None]


def states(text: str) -> list[State]:
    items = _items(text)[:_POLICIES]
    plain = {name: value for item in items for name, value in _values(item).items() if len(item) == 1}
    if plain:
        return [State("", *(leading_number(plain.get(name, "")) for name in ("limit", "remaining", "reset")))]
    found = ((_label(item), _values(item)) for item in items)
    return [
        State(name, None, leading_number(said.get("r", "")), leading_number(said.get("t", ""))) for name, said in found
    ]


def _policy(item: list[str]) -> Policy | None:
    said, name = _values(item), _label(item)
    quota = leading_number(said.get("q", name))
    unit = _UNITS.get(said.get("qu", "").strip('"'))
    if quota is None or unit is None:
        return None
    counted = unit or counted_by(_WORD.findall(name.lower())) or "requests"
    window = leading_number(said.get("w", ""))
    if window is None and "q" not in said:
        return None
    if window is None or counted == "in_flight":
        axis = axis_of(counted, None)
        return Policy(name, quota, axis, quota, True) if axis else None
    fitting = [(span, axis) for axis, (unit, span) in AXES.items() if unit == counted and span <= window]
    if not fitting:
        return None
    span, axis = max(fitting)
    return Policy(name, quota, axis, quota * span / window, window == span)


def _items(text: str) -> list[list[str]]:
    """Members of a list, each with its parameters: `"a";q=1, "b"` → [['"a"', 'q=1'], ['"b"']]."""
    items: list[list[str]] = [[]]
    for piece in _PIECE.findall(text[:_LOOKED_AT]):
        if piece == ",":
            items.append([])
        elif piece != ";" and piece.strip():
            items[-1].append(piece.strip())
    return [item for item in items if item]


def _label(item: list[str]) -> str:
    """Some put the kind of window before the name: the last part without a value counts."""
    return next((part.strip('"') for part in reversed(item) if "=" not in part), "")


def _values(item: list[str]) -> dict[str, str]:
    pairs = (part.partition("=") for part in item if "=" in part and not part.startswith('"'))
    return {name.strip().lower(): value.strip() for name, _, value in pairs}
