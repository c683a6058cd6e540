"""What was given back is taken from what was spent before it: a reservation and its return seldom share a second."""

from __future__ import annotations

from collections.abc import Iterable
from operator import attrgetter

from msgspec.structs import replace

from llmfan.records import Booking
from llmfan.units import HOUR

#: What lies so much before a moment is looked at as well: what came back after it may have been spent before it.
BEFORE_S = HOUR
_NOTHING = 1e-9
_Line = tuple[str, str]


def netted(bookings: Iterable[Booking], since: float) -> list[Booking]:
    """What is left of each from a moment on, oldest first; of each line as much as its sum, and never less than 0."""
    found = sorted(bookings, key=attrgetter("at"))
    lines = {(each.owner, each.axis) for each in found if each.amount < 0}
    left = [each.amount for each in found]
    if lines:
        _give_back(found, left, lines)
    return [
        each if each.amount == amount else replace(each, amount=amount)
        for each, amount in zip(found, left, strict=True)
        if amount > _NOTHING and each.at >= since
    ]


def _give_back(found: list[Booking], left: list[float], lines: set[_Line]) -> None:
    """From the newest that came before; what is more than all of those, from what comes next: clocks are set back."""
    spent: dict[_Line, list[int]] = {line: [] for line in lines}
    owed = dict.fromkeys(lines, 0.0)
    for n, each in enumerate(found):
        line = (each.owner, each.axis)
        if line not in lines:
            continue
        if each.amount > 0:
            paid = min(owed[line], each.amount)
            left[n] -= paid
            owed[line] -= paid
            spent[line].append(n)
            continue
        back = -each.amount
        while back > 0 and spent[line]:
            taken = min(back, left[spent[line][-1]])
            left[spent[line][-1]] -= taken
            back -= taken
            if left[spent[line][-1]] <= _NOTHING:
                spent[line].pop()
        owed[line] += back
