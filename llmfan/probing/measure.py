"""Finds the real request limit of one key by spending requests: from below, and with very few refusals.

First a climb, as fast as answers come, to a first refusal: it shows how many go at once. Then a look when just the
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
from llmfan.probing.findings import Measured
from llmfan.probing.shooter import Shooter, Shot

#: The longest a measurement goes on, in periods.
LONGEST = 4.0
#: One at a time for so much of a period, then one more in flight after each further share.
ALONE_SHARE, STEP_SHARE = 1 / 3, 1 / 4
#: After the first few (as many as show also whether refused ones count) a pause: the first ones leave a sliding window
#: alone, well before the rest.
SCOUTS, PAUSE_SHARE, PAUSE_TRIPS = 2, 1 / 20, 5.0
#: A window ends by so much of a period later than it should at most.
LATER = 0.003
#: Fewer taken at once than this are no window; what is asked then is asked after so much of a period.
STRICT, SOON_SHARE = 5, 1 / 4
#: A sliding window of no more than these may be a small bucket.
FEW = 10
#: A wait of so many periods is not this limit's.
OTHER = 2.0
#: The coarse rise begins at this share of the rate known to be safe and is `e` times faster every half a burst.
COARSE, COARSE_SENDS, COARSE_LEAST = 0.7, 0.5, 5.0
#: The fine rise: from below the lowest rate that is possible, `e` times faster every so many requests.
FINE, FINE_LEAST, FINE_MOST = 0.97, 10.0, 150.0
#: So many times faster where the limit hardly is.
FAST = 3.0
#: Before it, time for so many refills: one may have been lost to what was refused, and one is asked at once.
REFILLS = 2.5
#: Narrow enough to stop.
NARROW, SURE = 0.05, 0.9
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
        self._shooter, self._period, self._clock, self._say = shooter, period, clock, say
        self._start = clock()
        self._end = self._start + LONGEST * period
        self._found: tuple[int, Estimate] | None = None

    async def run(self) -> None:
        shooter, period = self._shooter, self._period
        if not await self._climb() or shooter.spent:
            return
        if not self._taken():  # full before it began: by others, or by what came before
            await self._wait_until(self._refusal().ended + (1 + LATER) * period)
            shooter.seen.clear()
            if not await self._climb() or shooter.spent:
                return
        first, taken = self._refusal(), self._taken()
        if first.wait is not None and first.wait > OTHER * period:
            shooter.stopped = f"it asks for a wait of {first.wait:.0f} s: that is another limit than this one"
            return
        self._say(f"first refusal after {taken} in {first.sent - self._start:.1f} s")
        shut = await (self._soon(first, SOON_SHARE) if taken <= STRICT else self._reopened(first))
        if shut and not shooter.spent:
            self._say("waiting for the next window")
            await self._wait_until(first.ended + (1 + LATER) * period)
            await shooter.volley(repeat(0.0, int(1.3 * taken) + 3), min(self._end, self._clock() + period))
        elif shut is None and taken <= FEW and not shooter.spent:  # or a bucket of as many as the first ones were
            shut = await self._soon(self._refusal(), PAUSE_SHARE / 2)
        if shut is False and not shooter.spent:
            await self._rise(taken, first)
        if not shooter.spent and not await self._known():
            await self._rise_slowly(taken)

    # ------------------------------------------------------------ steps

    async def _climb(self) -> bool:
        shooter, period = self._shooter, self._period
        refused = await shooter.volley(repeat(0.0, SCOUTS), self._end, lambda: 1)
        if refused or shooter.spent:
            return refused
        trips = max(one.ended - one.sent for one in shooter.seen)
        await self._wait_until(self._clock() + max(PAUSE_SHARE * period, PAUSE_TRIPS * trips))
        begun = self._clock()

        def crowd() -> float:
            later = (self._clock() - begun) / period - ALONE_SHARE
            return 1.0 + max(0.0, later) / STEP_SHARE

        def spaced() -> Iterator[float]:
            while True:  # evenly, so that a refusal is back before the next
                trips = sorted(one.ended - one.sent for one in shooter.seen)
                yield trips[len(trips) // 2] / min(shooter.left, crowd()) if crowd() > 1 else 0.0

        return await shooter.volley(spaced(), self._end, lambda: math.ceil(crowd()))

    async def _soon(self, last: Seen, share: float) -> bool:
        """So few at once: most likely it spaces them. Whether it refuses one some while later."""
        hint = last.wait if last.wait is not None and last.wait < self._period else 0.0
        await self._wait_until(last.ended + max(share * self._period, hint))
        return await self._shooter.volley(iter([0.0]), self._end)

    async def _reopened(self, last: Seen) -> bool | None:
        """Whether all is still shut when the first few have left a sliding window; None: no more than they were is
        open, which a sliding window alone would do.
        """
        shooter, period = self._shooter, self._period
        first = sorted(one.ended for one in shooter.seen if one.taken is not False)[:SCOUTS]
        moment = first[-1] + (1 + LATER) * period
        if moment < last.ended:
            return False
        self._say("waiting for the first to leave the window")
        await self._wait_until(moment)
        if not await shooter.volley(repeat(0.0, SCOUTS + 1), self._end, lambda: 1):
            return False
        return None if any(one.taken and one.sent >= moment for one in shooter.seen) else True

    async def _rise(self, taken: int, last: Seen) -> None:
        shooter, period = self._shooter, self._period
        rate = COARSE * taken / (period + last.sent - self._start)
        if taken <= STRICT:
            rate = 1.0 / (SOON_SHARE * period)
        self._say("raising the rate")
        await shooter.volley(_rising(rate, max(COARSE_LEAST, COARSE_SENDS * taken)), self._end)

    async def _rise_slowly(self, taken: int) -> None:
        shooter, period, found = self._shooter, self._period, await self._estimate()
        if found.figure is None:
            return
        await self._wait_until(self._clock() + REFILLS * period / found.careful)
        if await shooter.volley(iter([0.0]), self._end) or shooter.spent:
            return
        found = await self._estimate()
        if found.figure is None:
            return
        self._say(f"about {found.figure:.0f}: raising the rate more slowly")
        rate, likely = FINE * found.careful / period, math.sqrt(found.careful * found.figure) / period
        goal = math.sqrt(found.figure * min(found.high, 2 * found.figure)) / period
        # So slowly that there is just time to pass the figure, and to use up what has piled up then.
        ahead, piled = math.log(likely / rate) / FAST + math.log(goal / likely) + 0.03, 2.0 * min(REFILLS, taken)
        sends = 0.9 * (self._end - self._clock()) * rate
        root = (math.sqrt(piled + 4 * ahead * max(0.0, sends)) - math.sqrt(piled)) / (2 * ahead)
        await shooter.volley(_rising(rate, min(FINE_MOST, max(FINE_LEAST, root**2)), likely), self._end)

    async def _known(self) -> bool:
        found = await self._estimate()
        return found.width < NARROW and found.confidence > SURE

    async def _wait_until(self, moment: float) -> None:
        await self._shooter.pause(min(moment, self._end) - self._clock())

    def _refusal(self) -> Seen:
        return [one for one in self._shooter.seen if one.taken is False][-1]

    def _taken(self) -> int:
        return sum(one.taken is True for one in self._shooter.seen)

    # ------------------------------------------------------------ what it comes to

    async def _estimate(self) -> Estimate:
        """In a thread: it may take a second, and other keys are measured meanwhile."""
        seen = list(self._shooter.seen)
        if self._found is None or self._found[0] != len(seen):
            self._found = len(seen), await asyncio.to_thread(estimate, seen, self._period)
        return self._found[1]

    async def verdict(self, axis: str) -> Measured:
        shooter, found = self._shooter, await self._estimate()
        return Measured(
            axis=axis, figure=found.figure, low=found.low, high=found.high, counts=found.counts,
            confidence=round(found.confidence, 2), sent=shooter.sent, refused=shooter.refused, why=self._why(found),
        )  # fmt: skip

    def _why(self, found: Estimate) -> str:
        shooter = self._shooter
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


def _rising(rate: float, sends: float, slow: float = 0.0) -> Iterator[float]:
    """Gaps of a rate that grows `e` times every so many, and faster until it is `slow`."""
    while True:
        yield 1.0 / rate
        rate *= math.exp((1.0 if rate >= slow else FAST) / sends)
