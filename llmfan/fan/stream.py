"""A streamed answer as its caller reads it."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any, Self

from msgspec import Struct

from llmfan.conduct.ticket import Ticket
from llmfan.dialects.bodies import plain
from llmfan.dialects.chunks import loose_chunk, reasoning_of, text_of
from llmfan.fan.failed import CallFailed
from llmfan.records import ResultLine, Target


class Chunk(Struct, frozen=True, kw_only=True):
    """What came at once. `data` is the whole document (`chat.completion.chunk`), the rest is of its first choice.

    `tool_calls` are pieces: of a call that comes in several, each holds its `index` and the next part.
    """

    text: str = ""
    reasoning: str = ""
    tool_calls: list[dict[str, Any]] = []
    finish_reason: str | None = None
    data: dict[str, Any]


class Stream:
    """`async for chunk in stream`. Leaving `async with stream`, `aclose()`, cancelling the task that reads, or letting
    go of it ends the call at its provider.

    `result` is the call's record once it has ended, None until then. A stream that breaks raises `CallFailed` in the
    place of the next chunk.
    """

    def __init__(self, ticket: Ticket):
        self._ticket = ticket
        self._loop = asyncio.get_running_loop()
        self._pieces = ticket.pieces()
        self._next: list[bytes] = []
        self._closed = False

    @property
    def result(self) -> ResultLine | None:
        future = self._ticket.result
        return future.result() if future.done() and not future.cancelled() else None

    @property
    def target(self) -> Target | None:
        """Who answers: `provider`, `model`, `key` (its label)."""
        return self._ticket.target

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Chunk:
        while not self._next:
            if self._closed:
                raise StopAsyncIteration
            try:
                pieces = await anext(self._pieces, None)
            except BaseException:
                self._ticket.result.cancel()
                raise
            if pieces is None:
                self._end()
                raise StopAsyncIteration
            self._next = pieces[::-1]
        return read_chunk(self._next.pop())

    async def aclose(self) -> None:
        """Nothing more is wanted of it. Whoever reads on finds its end."""
        self._closed, self._next = True, []
        self._ticket.result.cancel()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __del__(self) -> None:
        """On the loop's own next turn: this may run in any thread, and in the middle of anything."""
        if not self._ticket.result.done() and not self._loop.is_closed():
            try:
                self._loop.call_soon_threadsafe(self._ticket.result.cancel)
            except RuntimeError:  # closed in between
                pass

    def __repr__(self) -> str:
        state = "open" if self.result is None else self.result.status
        return f"<Stream {self.target.name if self.target else ''} {state}>"

    def _end(self) -> None:
        self._closed = True
        if self.result is not None and self.result.status != "ok":
            raise CallFailed(self.result)


def read_chunk(payload: bytes) -> Chunk:
    """A chunk whatever a server's types: what is not understood stands in `data` all the same."""
    document = plain(payload)
    read = loose_chunk(payload)
    data = document if isinstance(document, dict) else {}
    if read is None or not read.choices or read.choices[0].index:
        return Chunk(data=data)
    choice = read.choices[0]
    delta = choice.delta or choice.message
    if delta is None:
        return Chunk(finish_reason=choice.finish_reason, data=data)
    content = delta.content
    text, thought = text_of(content) if isinstance(content, list) else (content or "", "")
    return Chunk(
        text=text or delta.refusal or "",
        reasoning=reasoning_of(delta) or thought,
        tool_calls=[call for call in delta.tool_calls or [] if isinstance(call, dict)],
        finish_reason=choice.finish_reason,
        data=data,
    )
