"""Finds the real request limit of one key by spending requests: from below, and with very few refusals.

Three steps. A climb, as fast as answers come, to the first refusal: it shows how many go at once. One request soon
after it: refused, and the limit counts windows, so that what opens when tells the kind, and a second climb the figure;
taken, and it refills, so that a rate that rises slowly until it is refused, then again more slowly, tells the rate.
What limit all answers together speak for is `limits.fitting`'s to say.

There is never more in flight than there are refusals left, so that no server can refuse more.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterator, Sequence
from itertools import repeat
from typing import Any, Literal

from msgspec import Struct

from llmfan.limits.fitting import Estimate, Seen, estimate
from llmfan.probing.findings import Measured

#: The longest a measurement goes on, in periods.
LONGEST = 4.0
#: One at a time for so much of a period, then one more in flight after each further share.
ALONE_SHARE, STEP_SHARE = 1 / 3, 1 / 4
#: Those held up do not make up for it: at least so much of a gap stays.
EVEN = 0.7
#: After the first few (as many as show also whether refused ones count) a pause: the first ones leave a sliding window alone, well before the rest.
SCOUTS, PAUSE_SHARE, PAUSE_TRIPS = 2, 1 / 20, 5.0
#: A window ends by so much of a period later than it should at most.
LATER = 0.003
#: Fewer taken at once than this are no window; what is asked then is asked after so much of a period.
STRICT, SOON_SHARE = 5, 1 / 4
#: The coarse rise begins at this share of the rate known to be safe and is `e` times faster every half a burst.
COARSE, COARSE_SENDS, COARSE_LEAST = 0.7, 0.5, 3.0
#: The fine rise: from below the lowest rate that is possible, `e` times faster every so many requests.
FINE, FINE_LEAST, FINE_MOST = 0.97, 10.0, 150.0
#: Narrow enough to stop.
NARROW, SURE = 0.05, 0.9
#: So many failures in a row that are no refusals, and it cannot be measured.
FAILURES = 3


class Shot(Struct, frozen=True):
    """One request that was sent. `wait`: seconds its refusal asked for; `stop`: why nothing more may be sent."""

    sent: float
    ended: float
    fate: Literal["taken", "refused", "other"] = "taken"
    wait: float | None = None
    stop: str = ""


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
    return experiment.verdict(axis)


class Shooter:
    """Sends, and holds to both bounds; everything that came of it is in `seen`."""

    def __init__(
        self,
        shoot: Callable[[], Awaitable[Shot]],
        most: int,
        refusals: int,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
    ):
        self._shoot, self._most, self._refusals = shoot, most, refusals
        self._clock, self._sleep = clock, sleep
        self._flying: set[asyncio.Future[Shot]] = set()
        self.seen: list[Seen] = []
        self.sent = self.refused = self._failures = 0
        self.stopped = ""
        self._last, self._apart = -math.inf, 0.0

    @property
    def left(self) -> int:
        """Refusals that may still happen."""
        return self._refusals - self.refused

    @property
    def spent(self) -> bool:
        return bool(self.stopped) or self.sent >= self._most or self.left <= 0

    async def volley(self, gaps: Iterator[float], until: float, abreast: Callable[[], int] = lambda: 9) -> bool:
        """Sends with these gaps until one is refused (True), `until`, or nothing more may be sent. All are back then."""
        before, due = self.refused, self._clock()
        try:
            for gap in gaps:
                due = max(due + gap, self._last + EVEN * gap, self._clock())
                if due > until or not await self._free(before, due, abreast):
                    break
                self.sent, self._last = self.sent + 1, self._clock()
                self._flying.add(asyncio.ensure_future(self._shoot()))
            while self._flying:
                await self._back(None)
        finally:
            for one in self._flying:
                one.cancel()
        return self.refused > before

    async def wait_until(self, moment: float) -> None:
        if moment > self._clock():
            await self._sleep(moment - self._clock())

    async def _free(self, before: int, due: float, abreast: Callable[[], int]) -> bool:
        """Waits until it is time and there is room; False: one was refused meanwhile, or it is over."""
        while not self.spent and self.refused == before:
            if len(self._flying) >= min(self.left, abreast()):
                await self._back(None)
            elif (early := max(due, self._last + self._apart * bool(self._flying)) - self._clock()) > 0:
                await self._back(early)
            else:
                return True
        return False

    async def _back(self, seconds: float | None) -> None:
        """Until one is back, or for so long."""
        timer: set[asyncio.Future[Any]] = set()
        if seconds is not None:
            timer = {asyncio.ensure_future(self._sleep(seconds))}
        try:
            await asyncio.wait(self._flying | timer, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in timer:
                one.cancel()
        for one in [one for one in self._flying if one.done()]:
            self._flying.discard(one)
            self._note(one.result())

    def _note(self, shot: Shot) -> None:
        fate = {"taken": True, "refused": False, "other": None}[shot.fate]
        self.seen.append(Seen(shot.sent, shot.ended, fate, shot.wait))
        if shot.fate == "refused":
            self.refused += 1
            trips = sorted(one.ended - one.sent for one in self.seen)
            self._apart = min(1.5 * (shot.ended - shot.sent), trips[len(trips) // 2] / 2)
        self._failures = self._failures + 1 if shot.fate == "other" else 0
        self.stopped = self.stopped or shot.stop
        if self._failures >= FAILURES:
            self.stopped = self.stopped or "requests fail for other reasons than a limit"


class Experiment:
    """Which requests are sent when, by what was seen so far."""

    def __init__(self, shooter: Shooter, period: float, clock: Callable[[], float], say: Callable[[str], None]):
        self._gun, self._period, self._clock, self._say = shooter, period, clock, say
        self._start = clock()
        self._end = self._start + LONGEST * period

    async def run(self) -> None:
        gun, period = self._gun, self._period
        if not await self._climb() or gun.spent:
            return
        last = [one for one in gun.seen if one.taken is False][-1]
        taken = sum(one.taken is not False for one in gun.seen)
        self._say(f"first refusal after {taken} in {last.sent - self._start:.1f} s")
        again = await (self._soon(last) if taken <= STRICT else self._reopened(last))
        if again and not gun.spent:
            self._say("waiting for the next window")
            await gun.wait_until(last.ended + (1 + LATER) * period)
            await gun.volley(repeat(0.0, int(1.3 * taken) + 3), min(self._end, self._clock() + period))
        elif again is False and not gun.spent:
            await self._rise(taken, last)
        if not gun.spent and not self._known():
            await self._rise_slowly(taken)

    # ------------------------------------------------------------ steps

    async def _climb(self) -> bool:
        gun, period = self._gun, self._period
        refused = await gun.volley(repeat(0.0, SCOUTS), self._end, lambda: 1)
        if refused or gun.spent:
            return refused
        trips = max(one.ended - one.sent for one in gun.seen)
        await gun.wait_until(self._clock() + max(PAUSE_SHARE * period, PAUSE_TRIPS * trips))
        begun = self._clock()

        def crowd() -> float:
            later = (self._clock() - begun) / period - ALONE_SHARE
            return 1.0 + max(0.0, later) / STEP_SHARE

        def spaced() -> Iterator[float]:
            while True:  # evenly, so that a refusal is back before the next
                trips = sorted(one.ended - one.sent for one in gun.seen)
                yield trips[len(trips) // 2] / min(gun.left, crowd()) if crowd() > 1 else 0.0

        return await gun.volley(spaced(), self._end, lambda: math.ceil(crowd()))

    async def _soon(self, last: Seen) -> bool:
        """So few at once: most likely it spaces them. Whether it refuses one a good while later."""
        hint = last.wait if last.wait is not None and last.wait < self._period else 0.0
        await self._gun.wait_until(last.ended + max(SOON_SHARE * self._period, hint))
        return await self._gun.volley(iter([0.0]), math.inf)

    async def _reopened(self, last: Seen) -> bool | None:
        """Whether all is still shut when the first few have left a sliding window; None: no more than they were is
        open, which a sliding window alone would do.
        """
        gun, period = self._gun, self._period
        first = sorted(one.ended for one in gun.seen if one.taken is not False)[:SCOUTS]
        moment = first[-1] + (1 + LATER) * period
        if moment < last.ended:
            return False
        self._say("waiting for the first to leave the window")
        await gun.wait_until(moment)
        if not await gun.volley(repeat(0.0, SCOUTS + 1), math.inf, lambda: 1):
            return False
        return True if max(gun.seen, key=lambda one: one.sent if one.taken else -math.inf).sent < moment else None

    async def _rise(self, taken: int, last: Seen) -> None:
        gun, period = self._gun, self._period
        rate = COARSE * taken / (period + last.sent - self._start)
        if taken <= STRICT:
            rate = 1.0 / (SOON_SHARE * period)
        self._say("raising the rate")
        await gun.volley(_rising(rate, max(COARSE_LEAST, COARSE_SENDS * taken)), self._end)

    async def _rise_slowly(self, taken: int) -> None:
        gun, period, found = self._gun, self._period, self._estimate()
        if found.figure is None:
            return
        await gun.wait_until(self._clock() + 1.5 * period / found.careful)
        if await gun.volley(iter([0.0]), self._end) or gun.spent:
            return
        found = self._estimate()
        if found.figure is None:
            return
        self._say(f"about {found.figure:.0f}: raising the rate more slowly")
        rate = FINE * found.careful / period
        # So slowly that there is just time to pass the figure, and to use up what has piled up then.
        goal = math.sqrt(found.figure * min(found.high, 2 * found.figure)) / period
        ahead, piled = math.log(goal / rate) + 0.03, 2.0 * max(0, taken - SCOUTS - 1)
        sends = 0.9 * (self._end - self._clock()) * rate
        root = (math.sqrt(piled + 4 * ahead * max(0.0, sends)) - math.sqrt(piled)) / (2 * ahead)
        await gun.volley(_rising(rate, min(FINE_MOST, max(FINE_LEAST, root**2))), self._end)

    def _known(self) -> bool:
        found = self._estimate()
        return found.width < NARROW and found.confidence > SURE

    # ------------------------------------------------------------ what it comes to

    def _estimate(self) -> Estimate:
        return estimate(self._gun.seen, self._period)

    def verdict(self, axis: str) -> Measured:
        gun = self._gun
        found = self._estimate()
        return Measured(
            axis=axis, figure=found.figure, low=found.low, high=found.high, counts=found.counts,
            confidence=round(found.confidence, 2), sent=gun.sent, refused=gun.refused, why=self._why(found),
        )  # fmt: skip

    def _why(self, found: Estimate) -> str:
        gun = self._gun
        if gun.stopped:
            return gun.stopped
        if not gun.refused:
            return f"no limit reached: {gun.sent} requests were taken"
        return "" if found.figure is not None else "no way of counting that is known fits its answers"


def _rising(rate: float, sends: float) -> Iterator[float]:
    """Gaps of a rate that grows `e` times every so many."""
    n = 0
    while True:
        yield math.exp(-n / sends) / rate
        n += 1
