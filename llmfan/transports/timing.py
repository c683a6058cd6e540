"""When things really happened: a request is written, bytes come in, a deadline passes.

A task gets its turn when all that was ready before it has run: with hundreds of streams in step that is many
milliseconds after the fact. So times are taken where the network is, not where they are used.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler

from llmfan.ports import Clock

#: So many answers are taken to their end in one go of the event loop, which then looks at the network again.
AT_ONCE = 16


class Turns:
    """Keeps many answers that end in one breath from holding up the look at what comes in meanwhile."""

    def __init__(self) -> None:
        self._left, self._pending = AT_ONCE, False

    async def take(self) -> None:
        while self._left <= 0:  # noqa: ASYNC110  (it is the loop's next go that is waited for)
            await asyncio.sleep(0)
        self._left -= 1
        if not self._pending:
            self._pending = True
            asyncio.get_running_loop().call_soon(self._renew)

    def _renew(self) -> None:
        self._left, self._pending = AT_ONCE, False


class Line(ResponseHandler):
    """A connection that knows when it last received something: its reader may get its turn milliseconds later."""

    def __init__(self, clock: Clock, loop: asyncio.AbstractEventLoop):
        super().__init__(loop)
        self._clock = clock
        self.received = 0.0

    def data_received(self, data: bytes) -> None:
        self.received = self._clock()
        super().data_received(data)


def stamping(watches: Mapping[asyncio.Task[Any] | None, Watch], clock: Clock) -> type[aiohttp.ClientRequest]:
    """Requests that note when they are written: making a connection first is not the provider's answering time."""

    class Stamping(aiohttp.ClientRequest):
        watch: Watch | None = None

        async def send(self, conn: aiohttp.connector.Connection) -> aiohttp.ClientResponse:
            self.watch = watches.get(asyncio.current_task())
            if self.watch is not None:
                self.watch.line, self.watch.sent = conn.protocol, clock()
            return await super().send(conn)

        async def write_bytes(self, *args: Any, **more: Any) -> None:
            """With a body it is a task of its own that writes: among a hundred others it may take a while to run."""
            if self.watch is not None:
                self.watch.sent = clock()
            await super().write_bytes(*args, **more)

    return Stamping


class Watch:
    """The deadlines of one request. It costs no timer of its own: the transport looks at all of them in turn."""

    __slots__ = ("_idle", "_total", "answered", "expired", "line", "phase", "seen", "sent", "started", "task", "why")

    def __init__(self, now: float, total: float, idle: float):
        self._total, self._idle = total, idle
        self.task = asyncio.current_task()
        self.started = self.sent = self.seen = now  # `sent`: a connection stands, the request is written
        self.line: Any = None  # the connection
        self.phase = "first byte"
        self.answered = False  # its headers have come
        self.expired = False
        self.why = ""

    def received(self, now: float) -> float:
        """When what has just been read came in; `now` where the connection does not tell."""
        self.phase, self.seen = "body", now
        return min(now, max(self.sent, getattr(self.line, "received", now)))

    def look(self, now: float) -> None:
        """Cancels the request's task if a deadline has passed."""
        if now - self.started >= self._total:
            self.why = f"no whole answer within {self._total:g} s"
            self.phase = "first byte" if self.phase == "first byte" else "whole"
        elif self.phase == "body" and now - self.seen >= self._idle:
            self.why, self.phase = f"nothing came for {self._idle:g} s", "idle"
        else:
            return
        if not self.expired and self.task is not None:
            self.expired = True
            self.task.cancel()
