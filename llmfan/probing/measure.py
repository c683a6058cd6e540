"""Finds the real request limit of one key by spending requests: from below, and with very few refusals.

First a climb, as fast as answers come, to a first refusal: it shows how many go at once. Where that was quick, one is
sent a little later: refused, the windows are long; taken, it refills or its windows are short, and the rate rises from
there, at first coarsely and then slowly where it may be refused. Otherwise a look when just the
first of them have left a sliding window: nothing is open (a window that began meanwhile: climb again when it has
ended), as many as have left (a sliding window, and its limit is known), or more. Then a rate that rises until it is
refused, and once more, as slowly as time allows. `limits.fitting` says what limit all answers together speak for.

There is never more in flight than there are refusals left, so that no server can refuse more.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterator, Sequence
from itertools import repeat

from llmfan.limits.answers import Seen
from llmfan.limits.fitting import Estimate, estimate
from llmfan.probing.early_look import (
    COARSE_LEAST,
    EARLY,
    FAST,
    FINE_LEAST,
    LATER,
    PAUSE_SHARE,
    PAUSE_TRIPS,
    REFILLS,
    SCOUTS,
    EarlyLook,
    rising,
)
from llmfan.probing.findings import Measured
from llmfan.probing.shooter import Shooter, Shot

#: The longest a measurement goes on, in periods.
LONGEST = 4.0
#: One at a time for so much of a period, then one more in flight after each further share.
ALONE_SHARE, STEP_SHARE = 1 / 3, 1 / 4
#: Or after so many requests, and so many more.
ALONE, ALONE_STEP = 150, 50
#: Fewer taken at once than this are no window; what is asked then is asked after so much of a period.
STRICT, SOON_SHARE = 5, 1 / 4
#: A sliding window of no more than these may be a small bucket.
FEW = 10
#: A wait of so many periods is not this limit's.
OTHER = 2.0
#: The coarse rise begins at this share of the rate known to be safe and is `e` times faster every half a burst.
COARSE, COARSE_SENDS = 0.7, 0.5
#: The fine rise: from below the lowest rate that is possible, `e` times faster every so many requests.
FINE, FINE_MOST = 0.97, 150.0
#: Narrow enough to stop.
NARROW, SURE = 0.05, 0.9
#: Short windows and buckets that fill as fast are not told apart more surely than this.
SHORT = 0.85
#: What nothing that is known explains is no surer than this.
UNKNOWN = 0.25


async def measure(
    shoot: Callable[[], Awaitable[Shot]],
    *,
    axis: str,
    period: float,
    most: int,
    clock: Callable[[], float],
    sleep: Callable[[float], Awaitable[None]],
    refusals: int = 3,
    before: Sequence[float] = (),
    say: Callable[[str], None] = lambda _: None,
) -> Measured:
    """The limit per `period`, with at most so many requests and refusals, in at most about four periods.

    `before`: moments of requests that were sent already and may still count.
    """
    shooter = Shooter(shoot, most, refusals, clock, sleep)
    shooter.seen += [Seen(at, at, None) for at in before]
    experiment = Experiment(shooter, period, clock, say)
    await experiment.run()
    return await experiment.verdict(axis)


class Experiment:
    """Which requests are sent when, by what was seen so far."""

    def __init__(self, shooter: Shooter, period: float, clock: Callable[[], float], say: Callable[[str], None]):
        self.shooter, self.period, self.clock, self.say = shooter, period, clock, say
        self.start = self._begun = clock()
        self.pace, self._short = math.inf, False
        self.end = self.start + LONGEST * period
        self._found: tuple[int, Estimate] | None = None

    async def run(self) -> None:
        shooter, period = self.shooter, self.period
        if not await self._climb() or shooter.spent:
            return
        if not self._taken():  # full before it began: by others, or by what came before
            await self.wait_until(self.refusal().ended + (1 + LATER) * period)
            shooter.seen.clear()
            if not await self._climb() or shooter.spent:
                return
        first, taken = self.refusal(), self._taken()
        self.pace = taken / max(1e-3, first.ended - self._begun)
        if first.wait is not None and first.wait > OTHER * period:
            shooter.stopped = f"it asks for a wait of {first.wait:.0f} s: that is another limit than this one"
            return
        self.say(f"first refusal after {taken} in {first.sent - self.start:.1f} s")
        look = EarlyLook(self)
        if taken > STRICT and look.quick(first):
            if await self._soon(first, EARLY):
                await look.again(taken)
            elif not shooter.spent:
                refills = await look.step_up(taken)
                self._short = not refills
                await (self._rise_slowly(taken) if refills else look.pin_down(taken))
            return
        shut = await (self._soon(first, SOON_SHARE) if taken <= STRICT else self._reopened(first))
        if shut and not shooter.spent:
            self.say("waiting for the next window")
            await self.wait_until(first.ended + (1 + LATER) * period)
            await shooter.volley(repeat(0.0, int(1.3 * taken) + 3), min(self.end, self.clock() + period))
        elif shut is None and taken <= FEW and not shooter.spent:  # or a bucket of as many as the first ones were
            shut = await self._soon(self.refusal(), PAUSE_SHARE / 2)
        if shut is False and not shooter.spent:
            await self._rise(taken, first)
        if not shooter.spent and not await self._known():
            await self._rise_slowly(taken)

    # ------------------------------------------------------------ steps

    async def _climb(self) -> bool:
        shooter, period = self.shooter, self.period
        refused = await shooter.volley(repeat(0.0, SCOUTS), self.end, lambda: 1)
        if refused or shooter.spent:
            return refused
        trips = max(one.ended - one.sent for one in shooter.seen)
        await self.wait_until(self.clock() + max(PAUSE_SHARE * period, PAUSE_TRIPS * trips))
        begun = self._begun = self.clock()

        def crowd() -> float:
            later = (self.clock() - begun) / period - ALONE_SHARE
            return 1.0 + max(0.0, later / STEP_SHARE, (shooter.sent - ALONE) / ALONE_STEP)

        def spaced() -> Iterator[float]:
            while True:  # evenly, so that a refusal is back before the next
                trips = sorted(one.ended - one.sent for one in shooter.seen)
                yield trips[len(trips) // 2] / min(shooter.left, crowd()) if crowd() > 1 else 0.0

        return await shooter.volley(spaced(), self.end, lambda: math.ceil(crowd()))

    async def _soon(self, last: Seen, share: float) -> bool:
        """So few at once: most likely it spaces them. Whether it refuses one some while later."""
        hint = last.wait if last.wait is not None and last.wait < self.period else 0.0
        await self.wait_until(last.ended + max(share * self.period, hint))
        return await self.shooter.volley(iter([0.0]), self.end)

    async def _reopened(self, last: Seen) -> bool | None:
        """Whether all is still shut when the first few have left a sliding window; None: no more than they were is
        open, which a sliding window alone would do.
        """
        shooter, period = self.shooter, self.period
        first = sorted(one.ended for one in shooter.seen if one.taken is not False)[:SCOUTS]
        moment = first[-1] + (1 + LATER) * period
        if moment < last.ended:
            return False
        self.say("waiting for the first to leave the window")
        await self.wait_until(moment)
        if not await shooter.volley(repeat(0.0, SCOUTS + 1), self.end, lambda: 1):
            return False
        return None if any(one.taken and one.sent >= moment for one in shooter.seen) else True

    async def _rise(self, taken: int, last: Seen) -> None:
        shooter, period = self.shooter, self.period
        rate = COARSE * taken / (period + last.sent - self.start)
        if taken <= STRICT:
            rate = 1.0 / (SOON_SHARE * period)
        self.say("raising the rate")
        await shooter.volley(rising(rate, max(COARSE_LEAST, COARSE_SENDS * taken)), self.end)

    async def _rise_slowly(self, taken: int) -> None:
        shooter, period, found = self.shooter, self.period, await self.estimate()
        if found.figure is None:
            return
        await self.wait_until(self.clock() + REFILLS * period / found.careful)
        if await shooter.volley(iter([0.0]), self.end) or shooter.spent:
            return
        found = await self.estimate()
        if found.figure is None:
            return
        self.say(f"about {found.figure:.0f}: raising the rate more slowly")
        rate, likely = FINE * found.careful / period, math.sqrt(found.careful * found.figure) / period
        goal = math.sqrt(found.figure * min(found.high, 2 * found.figure)) / period
        # So slowly that there is just time to pass the figure, and to use up what has piled up then.
        ahead, piled = math.log(likely / rate) / FAST + math.log(goal / likely) + 0.03, 2.0 * min(REFILLS, taken)
        sends = 0.9 * (self.end - self.clock()) * rate
        root = (math.sqrt(piled + 4 * ahead * max(0.0, sends)) - math.sqrt(piled)) / (2 * ahead)
        await shooter.volley(rising(rate, min(FINE_MOST, max(FINE_LEAST, root**2)), likely), self.end)

    async def _known(self) -> bool:
        found = await self.estimate()
        return found.width < NARROW and found.confidence > SURE

    async def wait_until(self, moment: float) -> None:
        await self.shooter.pause(min(moment, self.end) - self.clock())

    def refusal(self) -> Seen:
        return [one for one in self.shooter.seen if one.taken is False][-1]

    def _taken(self) -> int:
        return sum(one.taken is True for one in self.shooter.seen)

    # ------------------------------------------------------------ what it comes to

    async def estimate(self) -> Estimate:
        """In a thread: it may take a second, and other keys are measured meanwhile."""
        seen = list(self.shooter.seen)
        if self._found is None or self._found[0] != len(seen):
            self._found = len(seen), await asyncio.to_thread(estimate, seen, self.period)
        return self._found[1]

    async def verdict(self, axis: str) -> Measured:
        shooter, found = self.shooter, await self.estimate()
        return Measured(
            axis=axis, figure=found.figure, low=found.low, high=found.high, counts=found.counts,
            confidence=round(min(found.confidence, SHORT if self._short else 1.0), 2),
            sent=shooter.sent, refused=shooter.refused, why=self._why(found),
        )  # fmt: skip

    def _why(self, found: Estimate) -> str:
        shooter = self.shooter
        if shooter.stopped:
            return shooter.stopped
        if not shooter.refused:
            return f"no limit reached: {shooter.sent} requests were taken"
        if found.figure is None:
            return "refused from the start"
        if found.counts:
            return ""
        return (
            "how it counts could not be told" if found.confidence > UNKNOWN else "it counts in a way that is not known"
        )
