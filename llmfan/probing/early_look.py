"""What a measurement does where its first burst was quick: one early look tells long windows from short ones.

One is sent a little after the first refusal. Refused, the windows are long, and one refusal less is left for them.
Taken, it refills or its windows are short: a rate rises from there, at first coarsely, then slowly where it may be
refused, and nobody has to wait for a period to end.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import repeat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llmfan.limits.answers import Seen
    from llmfan.probing.measure import Experiment

#: After the first few (as many as show also whether refused ones count) a pause: the first ones leave a sliding window
#: alone, well before the rest.
SCOUTS, PAUSE_SHARE, PAUSE_TRIPS = 2, 1 / 20, 5.0
#: A window ends by so much of a period later than it should at most.
LATER = 0.003
#: A burst of no more than such a share is followed by an early look after this one.
QUICK, EARLY = 1 / 6, 1 / 10
#: After so many periods no window remembers the one before.
AFRESH = 2.0 + LATER
#: Then so many at once, if it may; a coarse rise by `e` in so many requests at most; a slow one
#: that lasts so many periods in all.
FEW_AGAIN, MOST_COARSE, SHORTLY = 20, 60, 2 / 3
#: The least requests in which a coarse rise, and a slow one, are `e` times faster.
COARSE_LEAST, FINE_LEAST = 5.0, 10.0
#: Before it, time for so many refills: one may have been lost to what was refused, and one is asked at once.
REFILLS = 2.5
#: So many times faster where the limit hardly is.
FAST = 3.0


class EarlyLook:
    def __init__(self, experiment: Experiment):
        self._experiment = experiment

    def quick(self, last: Seen) -> bool:
        """Whether an early look is worth its refusal: a boundary hardly fell in so short a burst, and no hint says
        that it is too early.
        """
        it = self._experiment
        return last.sent - it.start <= QUICK * it.period and (last.wait or 0.0) <= EARLY * it.period

    async def again(self, taken: int) -> None:
        """It is a long window, and a refusal was spent on that: as many as went at first again, when all are free, and
        what goes when the first of them have left a sliding window.
        """
        it = self._experiment
        shooter, period = it.shooter, it.period
        it.say("waiting for the next window")
        await it.wait_until(it.refusal().ended + AFRESH * period)
        if await shooter.volley(repeat(0.0, SCOUTS), it.end, lambda: 1) or shooter.spent:
            return
        moment = it.clock() + (1 + LATER) * period
        await it.wait_until(it.clock() + PAUSE_SHARE * period)
        if await shooter.volley(repeat(0.0, taken - SCOUTS), it.end, lambda: 1) or shooter.spent:
            return
        it.say("waiting for the first to leave the window")
        await it.wait_until(moment)
        await shooter.volley(repeat(0.0), it.end, lambda: 1)

    async def step_up(self, taken: int) -> bool:
        """It refills, or its windows are short: half as many at once, which no window refuses (True: it refills), and a
        rising rate.
        """
        it = self._experiment
        half = taken // 2
        if await it.shooter.volley(repeat(0.0, min(half, FEW_AGAIN)), it.end, lambda: 1) or it.shooter.spent:
            return True
        it.say("raising the rate")
        rate = half / (EARLY * it.period)
        await it.wait_until(it.clock() + EARLY / 2 * it.period)
        await it.shooter.volley(rising(rate, min(MOST_COARSE, max(COARSE_LEAST, taken))), it.end)
        return False

    async def pin_down(self, taken: int) -> None:
        """From all windows open: a rate that rises slowly where it may be refused, and fast in between."""
        it = self._experiment
        shooter, period, found = it.shooter, it.period, await it.estimate()
        if shooter.spent or found.figure is None:
            return
        low = 0.95 * found.careful / period
        high = max(1.1 * low, min(found.high / period, it.pace))
        await it.wait_until(
            it.clock() + min(EARLY, max(REFILLS / found.careful, 1.2 * taken / found.windowed)) * period
        )
        it.say(f"{found.careful:.0f} to {found.high:.0f}: raising the rate more slowly")
        sends = min(0.8 * (shooter.room - taken / 2), SHORTLY * period * math.sqrt(low * high))
        await shooter.volley(rising(low, max(FINE_LEAST, sends / math.log(high / low))), it.end)


def rising(rate: float, sends: float, slow: float = 0.0) -> Iterator[float]:
    """Gaps of a rate that grows `e` times every so many, and faster until it is `slow`."""
    while True:
        yield 1.0 / rate
        rate *= math.exp((1.0 if rate >= slow else FAST) / sends)
