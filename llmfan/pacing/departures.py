"""One limit group's departures. The only door to aiolimiter.

`AsyncLimiter(60, 60)` would let 119 through in its first minute: a full burst plus the drip. So the burst is small, the
rate is that of the window widened by its guard, and the exact count is kept by `limits/`. There is one acquirer a
limiter: several would be served smallest first, and each waiter costs a timer.
"""

from __future__ import annotations

from aiolimiter import AsyncLimiter


class Departures:
    """`await leave()` returns when the next request may leave. `retune` replaces the bucket when the pace changed."""

    def __init__(self, burst: float, rate: float):
        self._spec = (burst, rate)
        self._limiter = AsyncLimiter(burst, burst / rate)

    def retune(self, burst: float, rate: float) -> None:
        if (burst, rate) != self._spec:
            self._spec = (burst, rate)
            self._limiter = AsyncLimiter(burst, burst / rate)

    async def leave(self) -> None:
        await self._limiter.acquire()
