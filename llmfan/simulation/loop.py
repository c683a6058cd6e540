"""An event loop whose time jumps to the next timer as soon as nothing is ready: a day of waiting takes no time."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from typing import Any, TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

#: Not 0 and not a Unix date: code that mixes up clocks, or takes 0 for "never", is found out at once.
START = 1234.5
#: Added to each jump: a timer that is armed for "now" on an exact clock would be re-armed for ever.
STEP = 1e-6
#: Turns of the loop without a moment passing, after which one does.
SPIN = 1000


class DeadlockError(RuntimeError):
    """Nothing is ready and nothing is scheduled: the tasks it names wait for each other."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """asyncio's own loop, with a selector that moves the clock where a real one would block."""

    def __init__(self, start: float = START):
        self._jumper = _Jumper(start)
        super().__init__(self._jumper)
        self._jumper.describe = self._waiting

    def time(self) -> float:
        return self._jumper.now

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts
    ) -> asyncio.Future[T]:  # a thread works in real time, so the clock stands still until it is back
        future = super().run_in_executor(executor, func, *args)
        self._jumper.threads += 1
        future.add_done_callback(self._thread_ended)
        return future

    async def shutdown_default_executor(self, *args: Any, **options: Any) -> None:
        self._jumper.threads += 1
        try:
            await super().shutdown_default_executor(*args, **options)
        finally:
            self._jumper.threads -= 1

    def _thread_ended(self, _: asyncio.Future[Any]) -> None:
        self._jumper.threads -= 1

    def _waiting(self) -> str:
        tasks = asyncio.all_tasks(self)
        return ", ".join(sorted(f"{t.get_name()} ({_what(t)})" for t in tasks)) or "no task"


class _Jumper(selectors.BaseSelector):
    """A selector that never blocks for time: it moves `now` by what it was asked to wait."""

    def __init__(self, start: float):
        self.now = start
        self.threads = 0
        self._turns = 0  # of the loop since time moved
        self.describe: Callable[[], str] = str
        self._real = selectors.DefaultSelector()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        events = self._real.select(0)  # signals and threads wake the loop through a socket
        if events or (timeout is not None and timeout <= 0):
            self._turns += 1
            if self._turns % SPIN == 0:  # a timer set for "now" again and again: real time would have moved on
                self.now += STEP
            return events
        if self.threads:
            return self._real.select(None)
        if timeout is None:
            raise DeadlockError(f"nothing is ready and nothing is scheduled; still waiting: {self.describe()}")
        self.now += timeout + STEP
        self._turns = 0
        return events

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._real.unregister(fileobj)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.modify(fileobj, events, data)

    def get_map(self) -> Any:
        return self._real.get_map()

    def close(self) -> None:
        self._real.close()


def run_virtual(coro_fn: Callable[[], Coroutine[Any, Any, T]], start: float = START) -> T:
    """Runs a coroutine function to its end on a fresh virtual loop."""
    with asyncio.Runner(loop_factory=lambda: VirtualLoop(start)) as runner:
        return runner.run(coro_fn())


def _what(task: asyncio.Task[Any]) -> str:
    return getattr(task.get_coro(), "__qualname__", "?")
