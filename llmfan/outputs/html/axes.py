"""Axes that fit what is drawn: where providers are close, from just below the lowest to just above the highest."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from msgspec import Struct

#: Steps between two ticks, times a power of ten; about so many of them.
_STEPS, _TICKS = (1.0, 2.0, 2.5, 5.0, 10.0), 9
#: What is left free on either side, so that no point stands on the edge: of the spread, and of the highest at least.
_PADDING, _LEAST = 0.06, 0.001
#: Where the lowest is under so much of the highest, beginning at 0 costs little.
_NEAR_ZERO = 0.34


class Axis(Struct, frozen=True, kw_only=True):
    """From `ticks[0]` to `ticks[-1]`; `digits` behind the point tell any two ticks apart."""

    ticks: list[float]
    digits: int

    @property
    def from_zero(self) -> bool:
        return self.ticks[0] == 0

    def scale(self) -> dict[str, Any]:
        return {"domain": [self.ticks[0], self.ticks[-1]], "nice": False, "zero": False}

    def labelled(self, *, percent: bool = False) -> dict[str, Any]:
        form = f".{max(0, self.digits - 2)}%" if percent else f",.{self.digits}f"
        return {"values": self.ticks, "format": form}


def axis(values: Sequence[float], *, zero: bool = False, most: float = math.inf) -> Axis:
    """Nothing drawn is below 0 or above `most`; `zero`: it begins at 0 however far away the values are."""
    low, high = min(values), max(values)
    if zero or low == high or low < high * _NEAR_ZERO:  # a lone value says nothing of what is close
        low = 0.0
    room = max((high - low) * _PADDING, high * _LEAST) or _PADDING
    low, high = max(0.0, low - room), min(most, high + room)
    step = _step((high - low) / _TICKS)
    digits = max(0, -math.floor(math.log10(step) + 1e-9)) + (round(step / 10 ** math.floor(math.log10(step)), 6) == 2.5)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    ticks = [float(f"{place * step:.12g}") for place in range(first, max(last, first + 1) + 1)]
    return Axis(ticks=[tick for tick in ticks if tick <= most] or ticks, digits=digits)


def _step(least: float) -> float:
    power = 10.0 ** math.floor(math.log10(least))
    return next(part * power for part in _STEPS if part * power >= least * 0.999999)
