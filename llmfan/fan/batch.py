"""A batch that is read as it goes: so many prompts ahead of its reader and no more, however long the source."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Generator, Iterable, Mapping
from typing import Any

from llmfan.conduct.ticket import Ticket
from llmfan.errors import UserError
from llmfan.records import ResultLine
from llmfan.scheduling.lanes import Group, Lane

#: Prompts that a batch reads ahead at most, if nobody says otherwise.
AHEAD = 1000
#: How many prompts are read before others get their turn on the loop.
SLICE = 16
_TOO_LATE = "the Fan of this map is closed"


class Batch:
    """`submit(item, position)` sends one. `places`: of the fleet's queue, for all batches.

    Never more than `ahead` prompts are read and not yet given back as results.
    """

    def __init__(
        self,
        source: Iterable[Any] | AsyncIterable[Any],
        submit: Callable[[Any, int], Ticket],
        places: asyncio.Semaphore,
        *,
        ahead: int,
        ordered: bool,
    ):
        self._source, self._submit = source, submit
        self._places, self._room, self._ordered = places, asyncio.Semaphore(ahead), ordered
        self._open: dict[Ticket, int] = {}
        self._ended: deque[ResultLine] = deque()
        self._early: dict[int, ResultLine] = {}  # in order: those that wait for one before them
        self._next = 0
        self._news = asyncio.Event()
        self._reading: asyncio.Task[None] | None = None
        self._closed = False

    async def results(self) -> AsyncGenerator[ResultLine, None]:
        """A source that fails does so after the results of all that was read from it."""
        if self._closed:
            raise RuntimeError(_TOO_LATE)
        self._reading = reading = asyncio.create_task(self._read())
        reading.add_done_callback(lambda task: self._news.set())
        try:
            while (result := await self._one()) is not None:
                yield result
                self._room.release()
            await reading
        finally:
            self.close()
            await asyncio.wait([reading])
            if not reading.cancelled():
                reading.exception()  # looked at: it was passed on, or nobody is there to be told

    def close(self) -> None:
        """Reads no more, and ends what is in flight."""
        self._closed = True
        if self._reading is not None:
            self._reading.cancel()
        for ticket in list(self._open):
            ticket.result.cancel()
        self._news.set()

    async def _one(self) -> ResultLine | None:
        """The next result; None after the last."""
        assert self._reading is not None
        while not self._ended:
            if self._closed:
                raise RuntimeError(_TOO_LATE)
            if self._reading.done() and not self._open:
                return None
            self._news.clear()
            await self._news.wait()
        return self._ended.popleft()

    async def _read(self) -> None:
        source = _Source(self._source)
        position = 0
        try:
            while True:
                await self._room.acquire()
                await self._places.acquire()
                try:
                    item = await source.next()
                except BaseException:
                    self._places.release()
                    raise
                if item is _END or self._closed:  # a source may go on although it was cancelled
                    self._places.release()
                    return
                self._send(item, position)
                position += 1
                if position % SLICE == 0:
                    await asyncio.sleep(0)
        finally:
            await source.close()

    def _send(self, item: Any, position: int) -> None:
        try:
            ticket = self._submit(item, position)
        except BaseException:
            self._places.release()
            raise
        self._open[ticket] = position
        ticket.result.add_done_callback(lambda future: self._took(ticket, future))

    def _took(self, ticket: Ticket, future: asyncio.Future[ResultLine]) -> None:
        position = self._open.pop(ticket)
        self._places.release()
        if not future.cancelled():
            self._put(position, future.result())
        self._news.set()

    def _put(self, position: int, result: ResultLine) -> None:
        if not self._ordered:
            self._ended.append(result)
            return
        self._early[position] = result
        while (ready := self._early.pop(self._next, None)) is not None:
            self._ended.append(ready)
            self._next += 1


def source_fault(prompts: Any) -> str:
    """Why these cannot be read one after another; "" if they can."""
    if isinstance(prompts, str | bytes | Mapping):
        return f"prompts: expected several, got one {type(prompts).__name__}; put it in a list"
    if isinstance(prompts, Iterable | AsyncIterable) or hasattr(prompts, "__getitem__"):
        return ""
    return f"prompts: expected several, as a list or any other iterable, got {type(prompts).__name__}"


def reading_ahead(ahead: int | None, lanes: Iterable[Lane], concurrency: int) -> int:
    """How many prompts are read before their results are taken: as said, else twice what can be in flight."""
    if ahead is None:
        groups = {id(lane.group): lane.group for lane in lanes}.values()
        return max(2, min(AHEAD, math.ceil(2 * min(float(concurrency), sum(map(_in_flight, groups))))))
    if type(ahead) is not int or ahead < 1:
        raise UserError(f"ahead: expected a whole number from 1 up, got {ahead!r:.60}")
    return ahead


def _in_flight(group: Group) -> float:
    """What a limit lets be in flight at once: a window's worth, or a minute's where windows are shorter."""
    pace = group.pace
    return max(pace.limit, pace.limit * 60.0 / pace.period)


_END = object()


class _Source:
    """Any iterable, asked for one at a time. A generator is closed at the end; other things stay their owner's."""

    def __init__(self, source: Iterable[Any] | AsyncIterable[Any]):
        self._far: AsyncIterator[Any] | None = None
        if isinstance(source, AsyncIterable):
            self._far = aiter(source)
        else:
            self._near = iter(source)

    async def next(self) -> Any:
        if self._far is not None:
            return await anext(self._far, _END)
        return next(self._near, _END)

    async def close(self) -> None:
        if isinstance(self._far, AsyncGenerator):
            await self._far.aclose()
        elif self._far is None and isinstance(self._near, Generator):
            self._near.close()
