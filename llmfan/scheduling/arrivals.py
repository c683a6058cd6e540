"""`--rate`: when prompts arrive in an open loop, whether answers come or not. Seconds from the start.

The k-th prompt arrives when the rate, summed up since the start, has reached k. Each moment is solved for by itself:
adding up gaps would drift by thousands of roundings.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from itertools import count
from random import Random
from typing import Literal, cast

from llmfan.options import Rate
from llmfan.units import HOUR, MINUTE, SECOND

_RATE = re.compile(r"(\d+(?:\.\d+)?|\.\d+)\s*(?:/\s*(s|m|h))?", re.ASCII)
_PER = {"s": SECOND, "m": MINUTE, "h": HOUR}
_HOW = "a rate is 10/s, 600/m or 10 (a second), a ramp 5/s..50/s"


def arrivals(rate: Rate, rng: Random) -> Iterator[float]:
    """The moments of all prompts to come, without end. A constant rate's first arrives at once; by `poisson` the gaps
    are chance, at the same rate.
    """
    if rate.arrival == "constant":
        yield from (reached(rate, float(k)) for k in count())
        return
    total = 0.0
    while True:
        total += rng.expovariate(1.0)
        yield reached(rate, total)


def reached(rate: Rate, total: float) -> float:
    """When so many have arrived by the rate alone."""
    start, end, over = _ramp(rate)
    if over <= 0:
        return total / end
    within = over * (start + end) / 2.0
    if total >= within:
        return over + (total - within) / end
    # The smaller root of `start * t + (end - start) / over * t * t / 2 = total`, in the form that cancels nothing.
    root = math.sqrt(max(0.0, start * start + 2.0 * (end - start) / over * total))
    return 2.0 * total / (start + root) if total else 0.0


def highest(rate: Rate) -> float:
    """Prompts a second at most."""
    return max(rate.start, rate.start if rate.end is None else rate.end)


def parse_rate(text: str, over: float | None, arrival: str) -> Rate:
    """`10/s`, `600/m`, `10`; or a ramp such as `5/s..50/s`, in `over` seconds. ValueError says what is wrong."""
    if arrival not in ("constant", "poisson"):
        raise ValueError(f"--arrival is constant or poisson, not {arrival!r}")
    how = cast(Literal["constant", "poisson"], arrival)
    first, ramp, last = text.partition("..")
    if not ramp:
        if over is not None:
            raise ValueError("--over goes with a ramp such as --rate 5/s..50/s")
        return Rate(start=_positive(*_read(first, text), text), arrival=how)
    if over is None:
        raise ValueError(f"the ramp {text.strip()} needs --over: in how long, such as --over 2m")
    if not 0 < over < math.inf:
        raise ValueError("--over: a ramp takes more than no time")
    (start, per), (end, end_per) = _read(first, text), _read(last, text)
    per = per or end_per  # 5..50/s; without any, a second
    return Rate(start=start / _PER[per or "s"], end=_positive(end, end_per, text), over=over, arrival=how)


def _ramp(rate: Rate) -> tuple[float, float, float]:
    """(rate at first, rate in the end, seconds between)."""
    if rate.end is None or not rate.over:
        end = rate.start if rate.end is None else rate.end
        return end, end, 0.0
    return rate.start, rate.end, rate.over


def _read(part: str, whole: str) -> tuple[float, str]:
    found = _RATE.fullmatch(part.strip())
    if found is None or math.isinf(float(found[1])):
        raise ValueError(f"cannot read {whole.strip()!r}: {_HOW}")
    return float(found[1]), found[2] or ""


def _positive(figure: float, per: str, whole: str) -> float:
    if figure <= 0:
        raise ValueError(f"{whole.strip()!r} ends at no prompts at all: {_HOW}")
    return figure / _PER[per or "s"]
