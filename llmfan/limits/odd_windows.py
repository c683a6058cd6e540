"""Windows of another length than the axis's: servers that count by the second, and those on a scaled clock.

Their length is not known: by each length, the last refusal says where they begin for each limit, and all else that was
seen whether it can be.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from llmfan.limits.answers import Log

#: Lengths that are tried: steps of such a share, from this share of the period up to that.
STEP, FINE, SHORTEST, LONGEST = 0.015, 0.004, 1 / 120, 0.9
#: Of one that lets in fewer nothing is different from even spacing.
LEAST = 5
#: Of a pause in which a window may have begun, so many moments per window's length are tried.
PIECES = 12


class Odd(NamedTuple):
    """A limit, the length of its windows, and how much of what is not known about them fits."""

    limit: int
    window: float
    weight: float


def odd_fixed(log: Log) -> Iterator[Odd]:
    """Windows that begin at any moment: each that was full began where just so many had come in since, and from one
    such moment to another there is a whole number of windows.
    """
    before, last = log.sums(False), log.refused[-1]
    for window in _lengths(log, FINE):
        fits: dict[int, float] = {}
        for j in range(last, -1, -1):
            if log.at[j] <= log.at[last] - window:
                break
            earliest = max(log.at[last] - window, log.at[j - 1] if j else -math.inf)
            if (limit := before[last] - before[j]) >= LEAST:
                pieces = math.ceil((log.at[j] - earliest) * PIECES / window)
                share = (log.at[j] - earliest) / pieces
                begins = (earliest + (n + 0.5) * share for n in range(pieces))
                fit = sum(_holds(log, before, begin, window, limit) for begin in begins)
                if fit:
                    fits[limit] = fits.get(limit, 0.0) + fit * share / window
        yield from (Odd(limit, window, share) for limit, share in fits.items())


def _holds(log: Log, before: Sequence[int], begin: float, window: float, limit: int) -> bool:
    """Whether no window before one took more than the limit, and each that refused was full."""
    for i in log.refused[-2::-1]:
        back = math.ceil((begin - log.at[i]) / window)
        spare = int(limit * FINE * back / 2 + 0.5)
        count = before[i] - before[bisect_left(log.at, begin - back * window)]
        if not limit - spare - log.late[i] <= count <= limit + spare:
            return False
    stop, back = bisect_left(log.at, begin), 0
    while stop > 0:
        back = max(back + 1, math.ceil((begin - log.at[stop - 1]) / window))
        opens = bisect_left(log.at, begin - back * window)
        if before[stop] - before[opens] > limit + int(limit * FINE * back / 2 + 0.5):
            return False
        stop = opens
    return True


def odd_cold(log: Log) -> Iterator[Odd]:
    """Windows that begin with the first request after the last one ended."""
    before = log.sums(False)
    for window in _lengths(log, STEP):
        least, most, begin, opened = 0, len(log.at), -math.inf, 0
        for i, one in enumerate(log.seen):
            if one.taken is not False and log.at[i] >= begin + window:
                begin, opened = log.at[i], i
            since = before[i] - before[opened] if log.at[i] < begin + window else 0
            if one.taken:
                least = max(least, since + 1 - log.early[i])
            elif one.taken is False:
                most = min(most, since + log.late[i])
            if least > most:
                break
        else:
            for limit in range(max(LEAST, least), min(most, least + 20) + 1):
                yield Odd(limit, window, 1.0)


def _lengths(log: Log, step: float) -> Iterator[float]:
    for n in range(int(math.log(LONGEST / SHORTEST) / step)):
        yield log.period * LONGEST * math.exp(-n * step)
