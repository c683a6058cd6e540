"""The ways a server may count requests, each with every setting under which its answers would have been those seen.

What speaks for a candidate is how little its timing has to be stretched, how much of its free settings (the phase of
its windows, say) fits, and how little luck it takes: a window that must have ended within one particular twentieth of a
second is possible, but not likely.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from llmfan.limits.answers import SLACK_SHARE, Log
from llmfan.limits.odd_windows import FINE as FINE_LENGTH
from llmfan.limits.odd_windows import STEP as STEP_LENGTH
from llmfan.limits.odd_windows import Odd, odd_cold, odd_fixed

FIXED, SLIDING, CONTINUOUS = "fixed", "sliding", "continuous"
#: How likely each way of counting is before anything is seen; `cold`: windows that begin with a request.
PRIOR = {"fixed": 0.25, "cold": 0.1, "sliding": 0.25, "weighed": 0.05, "continuous": 0.35}
#: A window of another length than the axis's, the shortest as a share of it, and the least it lets in: one of fewer is
#: the same as even spacing.
ODD_WINDOW, SHORTEST, ODD_LEAST = 0.015, 1 / 120, 5
#: The server counts what it refuses.
COUNTS_REFUSED = 0.3
#: Steps of a refill rate, each cut finer where it may hold one, as long as that moves a level by so much; what is known
#: of it before spans so many powers of e.
STEP, FINER, FINEST, SPAN = 0.02, 6, 0.1, 8.0
#: Nobody lets more windows' worth of refill pile up.
MOST_PILED = 2.0
#: How likely a bucket holds anything, a whole number, a window's worth, a tenth of that.
PIECES = (0.03, 0.1, 0.4, 0.1)
#: Phases that are tried where no request marks one; those closer than this share of a window are not told apart.
PHASES, CLOSE = 120, 1 / 1000
#: So many of those that were taken are looked at one by one.
SOME = 80
TINY = 1e-9
#: A hint speaks so much against a candidate that does not agree with it (rounded up to seconds at most), and for one
#: that foretells it; to the third and second power where it is not rounded.
DENIED, AGREED, HINT_SLACK = 0.3, 5.0, 0.3
#: Luck counts against a candidate for so many refusals.
LUCK = 2


class Candidate(NamedTuple):
    counts: str
    low: float
    high: float
    weight: float
    odd: bool = False


def candidates(log: Log) -> Iterator[Candidate]:
    for ghosts, share in ((False, 1 - COUNTS_REFUSED), (True, COUNTS_REFUSED)):
        yield from _scaled(_sliding(log, ghosts), PRIOR["sliding"] * share)
        yield from _scaled(_continuous(log, ghosts), PRIOR["continuous"] * share)
        yield from _scaled(_weighed(log, ghosts), PRIOR["weighed"] * share)
    yield from _scaled(_fixed(log), PRIOR["fixed"])
    yield from _scaled(_cold(log), PRIOR["cold"])
    yield from _odd(log, odd_fixed(log), PRIOR["fixed"] * ODD_WINDOW, FINE_LENGTH)
    yield from _odd(log, odd_cold(log), PRIOR["cold"] * ODD_WINDOW, STEP_LENGTH)


def _odd(log: Log, found: Iterator[Odd], prior: float, step: float) -> Iterator[Candidate]:
    prior *= _vague(log)
    for one in found:
        figure, half = one.limit * log.period / one.window, 1 + step / 2
        yield Candidate(FIXED, figure / half, figure * half, prior * step * one.weight / one.limit, True)


def _sliding(log: Log, ghosts: bool) -> Iterator[Candidate]:
    """Each stands until it is a window old. By the count of the limit, the window's length lies between two moments:
    above the time since the last so many were sent at each refusal, and below it at each that was taken.
    """
    places = [i for i, one in enumerate(log.seen) if ghosts or one.taken is not False]
    before = log.sums(ghosts)
    for limit in range(1, len(places) + 1):
        over, under = 0.0, math.inf
        for i in log.refused:
            k = before[i] + log.late[i] - limit
            over = max(over, log.at[i] - log.at[places[k]] if k >= 0 else math.inf)
        if over == math.inf or over > log.period * (1 + SLACK_SHARE):
            continue
        for i in log.taken:
            k = before[i] - log.early[i] - limit
            if k >= 0:
                under = min(under, log.at[i] - log.at[places[k]])
        yield from _window_between(log, limit, over, under, ghosts)


def _window_between(log: Log, limit: int, over: float, under: float, ghosts: bool) -> Iterator[Candidate]:
    for slack, worth in log.slacks:
        if over - slack < log.period < under + slack:
            said = _hinted(log, lambda i: _until_left(log, i, limit, ghosts))
            yield Candidate(SLIDING, limit, limit, worth * said / limit)
            return
        low, high = max(over - slack, log.period * SHORTEST), under + slack
        if limit >= ODD_LEAST and low < high < log.period and slack <= SLACK_SHARE * high:
            share = ODD_WINDOW * math.log(high / low)
            yield Candidate(SLIDING, limit * log.period / high, limit * log.period / low, worth * share / limit, True)
            return


def _until_left(log: Log, i: int, limit: int, ghosts: bool) -> float:
    """Seconds from a refusal until the first of the last so many has left the window."""
    held = [log.at[j] for j in range(i) if ghosts or log.seen[j].taken is not False]
    return held[-limit] + log.period - log.at[i] if len(held) >= limit else 0.0


def _fixed(log: Log) -> Iterator[Candidate]:
    """A count that starts afresh at each boundary; only their phase is unknown."""
    for start, stop in _phases(log):
        begin = log.at[0] + (start + stop) / 2 - log.period
        begins = [begin + n * log.period for n in range(int((log.at[-1] - begin) / log.period) + 2)]
        yield from _scaled(_counted_since(log, begins), (stop - start) / log.period)


def _phases(log: Log) -> Iterator[tuple[float, float]]:
    """Stretches of a window's length in which a boundary makes no difference, or hardly."""
    marks = {(at - log.at[0]) % log.period for at in log.at} | {n * log.period / PHASES for n in range(PHASES)}
    start = 0.0
    for mark in [*sorted(marks), log.period]:
        if mark - start > CLOSE * log.period:
            yield start, mark
            start = mark


def _cold(log: Log) -> Iterator[Candidate]:
    """A window begins with the first request after the last one ended."""
    begins: list[float] = []
    for at, one in zip(log.at, log.seen, strict=True):
        if one.taken is not False and (not begins or at >= begins[-1] + log.period):
            begins.append(at)
    yield from _counted_since(log, begins, False)


def _counted_since(log: Log, begins: Sequence[float], vague: bool = True) -> Iterator[Candidate]:
    """The limits that fit windows beginning so: no fewer than were taken in any, no more than were when it refused."""
    before = log.sums(False)
    for slack, worth in log.slacks:
        least, most = 1, len(log.at)
        for begin, end in zip(begins, [*begins[1:], math.inf], strict=True):
            opens, shuts = (
                bisect_left(log.at, begin + slack * vague),
                bisect_left(log.at, min(end, begin + log.period) - slack),
            )
            last = next((i for i in range(shuts - 1, opens - 1, -1) if log.seen[i].taken is True), None)
            if last is not None:
                least = max(least, before[last] - before[opens] - log.early[last] + 1)
        for i in log.refused:
            most = min(
                most, max(_since(log, before, begins, i, slack * vague, log.at[i] + by) for by in (-slack, slack))
            )
        if least <= most:
            limits = range(least, min(most, least + 50) + 1)
            said = _hinted(log, lambda i: begins[bisect_right(begins, log.at[i]) - 1] + log.period - log.at[i])
            yield from (Candidate(FIXED, one, one, worth * said / one) for one in limits)
            return


def _since(log: Log, before: Sequence[int], begins: Sequence[float], i: int, slack: float, at: float) -> int:
    """How many at most a window had counted when a request came in."""
    place = bisect_right(begins, at) - 1
    opens = bisect_left(log.at, begins[place] - slack) if place >= 0 else 0
    return before[i] - before[min(opens, i)] + log.late[i]


def _weighed(log: Log, ghosts: bool) -> Iterator[Candidate]:
    """This window's count, and the last one's by what of it still overlaps."""
    before = log.sums(ghosts)
    vague = _vague(log)
    some = [*log.taken[:: -max(1, len(log.taken) // SOME)], *(i - 1 for i in log.refused if i - 1 in log.taken)]
    for start, stop in _phases(log):
        begin = log.at[0] + (start + stop) / 2 - 2 * log.period
        refused = [_weight(log, before, i, begin, log.late[i]) for i in log.refused]
        roughly = min(now + last for now, last in refused)
        taken: list[tuple[float, float]] = []
        for i in some:
            taken.append(_weight(log, before, i, begin, -log.early[i]))
            if taken[-1][0] > roughly:
                break
        for slack, worth in log.slacks:
            share = (slack + (stop - start) / 2) / log.period
            least, most = (
                max(now - last * share for now, last in taken),
                min(now + last * share for now, last in refused),
            )
            low, high = max(1, math.ceil(least + 1 - TINY)), math.ceil(most + 1 - TINY) - 1
            if low <= high:
                lucky = sum(now + last * share + 1 > low for now, last in taken)
                weight = vague * worth * (stop - start) / log.period / (1 + lucky) ** min(LUCK, len(log.refused))
                limits = range(low, min(high, low + 50) + 1)
                yield from (Candidate(SLIDING, one, one, weight / one) for one in limits)
                break


def _weight(log: Log, before: Sequence[int], i: int, begin: float, more: int) -> tuple[float, float]:
    """What counted when a request came in, and all of the last window; `begin`: of any window before the first."""
    through = (log.at[i] - begin) % log.period
    now = bisect_left(log.at, log.at[i] - through)
    last = before[now] - before[bisect_left(log.at, log.at[i] - through - log.period)]
    return last * (1 - through / log.period) + before[i] - before[min(now, i)] + more, float(last)


def _continuous(log: Log, ghosts: bool) -> Iterator[Candidate]:
    """A bucket that leaks: by the rate, the largest that a taken request found and the least that a refused one did
    say what it holds.
    """
    closest = min((b - a for a, b in pairwise(log.at) if b > a), default=1.0)
    fastest = math.log(2.0 / max(closest, 1e-3))
    for n in range(int(SPAN / STEP)):
        yield from _near(log, math.exp(fastest - n * STEP), STEP, ghosts)


def _near(log: Log, rate: float, step: float, ghosts: bool) -> Iterator[Candidate]:
    """The rates no farther than half a step from one; where none of that fits at once and exactly, it is cut finer."""
    found, miss, finest = _bucket(log, rate, ghosts)
    if miss > 0 and finest < step > 2 * miss:
        for k in range(1 - FINER, FINER, 2):
            yield from _near(log, rate * math.exp(step * k / FINER / 2), step / FINER, ghosts)
    elif found is not None:
        yield found._replace(weight=found.weight * step)


def _bucket(log: Log, rate: float, ghosts: bool) -> tuple[Candidate | None, float, float]:
    """What speaks for a rate; by what share it is off at least, and what share makes no difference."""
    taken, most, busy = _levels(log, rate, ghosts)
    least, figure = max(taken, default=0.0), rate * log.period
    miss = math.inf
    for slack, worth in log.slacks:
        spare = rate * slack
        low = 1 + max(0.0, least - spare)
        high = 1 + max(0.0, min(most + spare, MOST_PILED * figure))
        if low < high:
            lucky = sum(level + spare > low - 1 for level in taken)
            said = _hinted(log, lambda i: 1 / rate, True) / (1 + lucky) ** min(LUCK, len(log.refused))
            weight = worth * said * _sized(low, high, figure)
            miss = max(
                0.0 if miss == math.inf else miss, low - figure, figure - high
            )  # it may hold just a window's worth
            off = miss / (busy + figure)
            return Candidate(CONTINUOUS, figure * (1 - STEP), figure * (1 + STEP), weight), off, FINEST / busy
        miss = min(miss, max(least - spare - MOST_PILED * figure, least - most - 2 * spare))
    return None, miss / busy, FINEST / busy


def _levels(log: Log, rate: float, ghosts: bool) -> tuple[list[float], float, int]:
    """What was in it whenever it took one, and the least when it refused one (below 0: it had been empty for so long);
    and the most requests without it being empty. What was taken as nearly full as what was refused was lucky.
    """
    level, since, most = 0.0, log.at[0], math.inf
    busy = run = 1
    taken = []
    for i, one in enumerate(log.seen):
        level, since = level - (log.at[i] - since) * rate, log.at[i]
        if one.taken:
            taken.append(level - log.early[i])
        elif one.taken is False:
            most = min(most, level + log.late[i])
        run = run + 1 if level > 0 else 1
        busy = max(busy, run)
        level = max(0.0, level) + (ghosts or one.taken is not False)
    return taken, most, busy


def _sized(low: float, high: float, figure: float) -> float:
    """How likely a bucket's size lies between: mostly it is a whole number, a window's worth or a tenth of it."""
    whole = sum(1 / size for size in range(math.ceil(low), math.ceil(high)))
    any_ = PIECES[0] * math.log(high / low) + PIECES[1] * whole
    return any_ + PIECES[2] * (low <= figure <= high) + PIECES[3] * (low <= max(1.0, figure / 10) <= high)


def _hinted(log: Log, until: Callable[[int], float], at_most: bool = False) -> float:
    """How far the waits that refusals asked for agree with what a candidate says they should have been."""
    agreed = 1.0
    for i in log.refused:
        wait = log.seen[i].wait
        if wait is not None:
            over, whole = wait - until(i), wait == round(wait)
            if not (at_most or over > -HINT_SLACK) or over > whole + HINT_SLACK:
                agreed *= DENIED if whole else DENIED**3
            elif not at_most:
                agreed *= AGREED if whole else AGREED**2
    return agreed


def _vague(log: Log) -> float:
    """What hints speak against a candidate of which it is not known what they would be."""
    return math.prod(DENIED for i in log.refused if log.seen[i].wait is not None)


def _scaled(found: Iterator[Candidate], share: float) -> Iterator[Candidate]:
    return (one._replace(weight=one.weight * share) for one in found)
