"""The virtual loop: hours of pacing must pass in no time, and a hang must name who hangs."""

from __future__ import annotations

import asyncio
import time

import pytest
from aiolimiter import AsyncLimiter

from llmfan.simulation.loop import START, DeadlockError, run_virtual


def test_an_hours_sleep_takes_no_time() -> None:
    """Scenario tests over a day of quotas would take a day."""

    async def main() -> float:
        loop = asyncio.get_running_loop()
        assert loop.time() == pytest.approx(START, abs=0.1)
        before = loop.time()
        await asyncio.sleep(3600)
        return loop.time() - before

    began = time.perf_counter()
    assert run_virtual(main) == pytest.approx(3600, abs=0.001)
    assert time.perf_counter() - began < 5


def test_timers_fire_in_the_order_of_their_moments() -> None:
    """A schedule in virtual time would differ from the real one."""

    async def main() -> list[float]:
        ended: list[float] = []

        async def nap(length: float) -> None:
            await asyncio.sleep(length)
            ended.append(length)

        async with asyncio.TaskGroup() as group:
            for length in (30.0, 0.0, 900.0, 2.0):
                group.create_task(nap(length))
        return ended

    assert run_virtual(main) == [0.0, 2.0, 30.0, 900.0]


def test_aiolimiter_paces_on_it_and_ends() -> None:
    """On an exact clock its timer is re-armed for "now" for ever, and the run never ends."""

    async def main() -> float:
        limiter, loop = AsyncLimiter(5, 60), asyncio.get_running_loop()
        began = loop.time()

        async def one() -> None:
            async with limiter:
                pass

        await asyncio.gather(*(one() for _ in range(105)))
        return loop.time() - began

    assert run_virtual(main) == pytest.approx(1200, abs=0.1)


def test_a_timeout_fires_at_its_moment() -> None:
    """Deadlines are timers too."""

    async def main() -> float:
        loop = asyncio.get_running_loop()
        began = loop.time()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(30):
                await asyncio.sleep(31)
        return loop.time() - began

    assert run_virtual(main) == pytest.approx(30, abs=0.001)


def test_a_deadlock_names_the_task_that_waits() -> None:
    """A hang without a name is a test that times out and says nothing."""

    async def stuck() -> None:
        await asyncio.Event().wait()

    async def main() -> None:
        await asyncio.create_task(stuck(), name="the pacer of key 2")

    with pytest.raises(DeadlockError, match=r"the pacer of key 2 \(.*stuck\)"):
        run_virtual(main)


def test_a_thread_holds_the_clock_until_it_is_back() -> None:
    """Time would else jump past every deadline while a file is being read."""

    async def main() -> tuple[int, float]:
        loop = asyncio.get_running_loop()
        slow = loop.call_later(50, lambda: None)
        began = loop.time()
        value = await asyncio.to_thread(sum, [1, 2, 3])
        took = loop.time() - began
        slow.cancel()
        return value, took

    value, took = run_virtual(main)
    assert value == 6
    assert took < 1


def test_the_result_and_the_exception_of_the_coroutine_come_through() -> None:
    """A failure inside a virtual run must fail the test."""

    async def breaks() -> None:
        raise ValueError("inside")

    with pytest.raises(ValueError, match="inside"):
        run_virtual(breaks)
