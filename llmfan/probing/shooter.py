"""Sends a measurement's requests at given gaps, and holds to its bounds whatever the server does."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Literal

from msgspec import Struct

from llmfan.limits.answers import Seen

#: So many failures in a row that are no refusals, and it cannot be measured.
FAILURES = 3


class Shot(Struct, frozen=True):
    """One request that was sent. `wait`: seconds its refusal asked for; `stop`: why nothing more may be sent."""

    sent: float
    ended: float
    fate: Literal["taken", "refused", "other"] = "taken"
    wait: float | None = None
    stop: str = ""


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
    def room(self) -> int:
        """Requests that may still be sent."""
        return self._most - self.sent

    @property
    def spent(self) -> bool:
        return bool(self.stopped) or self.sent >= self._most or self.left <= 0

    async def volley(self, gaps: Iterator[float], until: float, abreast: Callable[[], int] = lambda: 9) -> bool:
        """Sends with these gaps until one is refused (True), `until`, or the bounds. All are back at its end."""
        before = self.refused
        try:
            for gap in gaps:
                due = max(self._last + gap, self._clock())  # one held up does not make up for it
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

    async def pause(self, seconds: float) -> None:
        if seconds > 0:
            await self._sleep(seconds)

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
