"""One limit group's departures. The only door to aiolimiter.

`AsyncLimiter(60, 60)` would let 119 through in its first minute: a full burst plus the drip. So the burst is small, the
rate is that of the window widened by its guard, and the exact count is kept by `limits/`. There is one acquirer a
limiter: several would be served smallest first, and each waiter costs a timer.
"""

from __future__ import annotations

import asyncio
import math

from aiolimiter import AsyncLimiter

#: What is put back is less than what leaked by this: rounding would leave no room for it.
TINY = 1e-9


class Departures:
    """`await leave()` returns when the next request may leave. `retune` replaces the bucket when the pace changed."""

    def __init__(self, burst: float, rate: float):
        self._spec = (burst, rate)
        self._limiter = AsyncLimiter(burst, burst / rate)
        self._left = -math.inf

    async def retune(self, burst: float, rate: float) -> None:
        """A new bucket is empty, which would be a burst for nothing: it is filled with what the old one would hold."""
        if (burst, rate) == self._spec:
            return
        self._spec = (burst, rate)
        self._limiter = AsyncLimiter(burst, burst / rate)
        held = burst - rate * (asyncio.get_running_loop().time() - self._left)
        if held > 0:
            await self._limiter.acquire(held)

    async def leave(self) -> None:
        await self._limiter.acquire()
        self._left = asyncio.get_running_loop().time()

    async def left(self) -> None:
        """It left only now: what has leaked since it might have is put back, or the next would follow on its heels."""
        now = asyncio.get_running_loop().time()
        leaked = min(1.0, self._spec[1] * (now - self._left)) - TINY
        self._left = now
        if leaked > 0 and self._limiter.has_capacity(leaked):
            await self._limiter.acquire(leaked)
