"""Connections: how many there may be, and which are closed because they ask nothing, or ask too slowly.

The framework bounds neither their number nor how long a request's head may take, so both are bounded here. Only a
request that the fleet has keeps its connection whatever comes: until then it may have to make room.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, cast

from aiohttp import web

from llmfan.server.replies import CONSTANT, bare, failure, overloaded, told
from llmfan.server.terms import Patience
from llmfan.serving.errors import of_bug

#: A head that has not come within this is slow, and so is a body of which no more has: honest ones come at once.
SLOW_S = 1.0
#: Bytes of a body that count as more of it.
MORE = 10 << 10
#: Connections that are told that there is no room, and seconds for which they are kept so that their callers hear it.
LEAVING, LEAVE_S = 64, 1.0
#: Bytes that may come before the request they follow is answered.
AHEAD = 1 << 14


class Connection(web.RequestHandler):
    """One connection. `waits_in` is the queue it stands in by what it is waited for.

    `left`: it had to make room, or never had any.
    """

    __slots__ = ("_ends", "_house", "ahead", "left", "serving", "since", "waits_in")

    def __init__(self, house: Connections, server: web.Server, **settings: Any):
        super().__init__(server, **settings)
        self._house = house
        self.serving = self.left = False
        self.since = 0.0
        self._ends: Callable[[], None] | None = None
        self.ahead: int | None = None  # bytes come since the body was read; None: it is still to be read
        self.waits_in: dict[Connection, None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if not self._house.opened(self):
            self.left = True
            cast(asyncio.Transport, transport).write(self._house.full)
            cast(asyncio.Transport, transport).write_eof()
            self._house.lets_go(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._house.lost(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.left and not self.serving:
            return  # unread, the system would take back what its caller is told
        if self.ahead is not None:
            self.ahead += len(data)
            if self.ahead > AHEAD:
                self.drop()
                return
        elif data and self.waits_in is self._house.idle:
            self._house.wait(self, self._house.heads)
        super().data_received(data)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._house.wait(self, self._house.stuck)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self.waits_in is self._house.stuck:
            self._house.wait(self, None if self.serving else self._house.idle)

    def begin(self) -> None:
        """Its head is read and allowed; from here on the request has time limits of its own."""
        self.serving = True
        self._house.wait(self, None)

    def body_begins(self, ends: Callable[[], None]) -> None:
        """`ends` ends the reading of it; its caller is told then that there is no room."""
        self._ends = ends
        self.body_goes_on()

    def body_goes_on(self) -> None:
        """More of it has come."""
        if not self.left:
            self._house.wait(self, self._house.bodies)

    def body_ends(self, whole: bool) -> None:
        self._ends = None
        if whole:
            self.ahead = 0
        if self.waits_in is self._house.bodies:
            self._house.wait(self, None)

    def end(self) -> None:
        self.serving, self.ahead = False, None
        if self.waits_in is not self._house.stuck and not self.left:
            self._house.wait(self, self._house.idle)

    def leave(self) -> None:
        """It makes room: at once, unless somebody is there to be told."""
        if self._ends is None:
            self.drop()
            return
        self.left = True
        self._house.lets_go(self)
        self._ends()

    def drop(self) -> None:
        """Closes it; with what it has not taken, if anything is left that it does not take."""
        if self.transport is not None and self.transport.get_write_buffer_size():
            self.transport.abort()
        self.force_close()

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """In the callers' form, and without a traceback: there could be a prompt in one."""
        if isinstance(exc, ConnectionError):
            raise exc  # nobody is there to be told
        if status >= 500 and exc is not None:
            self._house.tell_bug(exc)
        if request.writer.output_size > 0:
            raise ConnectionError("an answer has begun already")
        response = told(of_bug()) if status >= 500 else failure(status, "the request is no valid HTTP")
        response.headers.update(CONSTANT)
        response.force_close()
        return response

    def log_exception(self, *args: Any, **more: Any) -> None:
        """The framework's word for what went wrong outside of any handler, while it throws the rest of a body away."""
        fault = more.get("exc_info")
        if self.connected and isinstance(fault, Exception) and not isinstance(fault, ConnectionError):
            self._house.tell_bug(fault)


class Connections:
    """All connections of a server, at most `most`. `tell` is told of llmfan's own faults."""

    def __init__(self, most: int, patience: Patience, tell: Callable[[str], None]):
        self.most, self._patience = most, patience
        self.all: set[Connection] = set()
        #: In order of time, so that only the first need be looked at: `heads` send one, `bodies` too (and stand at the
        #: end again with each piece of it), `idle` have been answered, `leaving` are told that there is no room.
        self.heads: dict[Connection, None] = {}
        self.bodies: dict[Connection, None] = {}
        self.idle: dict[Connection, None] = {}
        self.leaving: dict[Connection, float] = {}
        self.stuck: dict[Connection, None] = {}
        self.full = bare(overloaded("too many connections"))
        self._tell = tell
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None

    def factory(self, server: web.Server) -> Any:
        """What makes a connection of the framework's server; its own access log is off."""
        return partial(
            Connection, self, server, loop=self._loop, access_log=None, keepalive_timeout=2 * self._patience.idle,
            auto_decompress=False, lingering_time=self._patience.piece, max_line_size=8190, max_field_size=16380,
        )  # fmt: skip

    def start(self) -> None:
        self._timer = self._loop.call_later(self._patience.sweep, self._sweep)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def opened(self, connection: Connection) -> bool:
        """False: all are at work, so there is no room for this one."""
        if len(self.all) >= self.most and not self._make_room():
            return False
        self.all.add(connection)
        self.wait(connection, self.heads)
        return True

    def lost(self, connection: Connection) -> None:
        self.all.discard(connection)
        self.leaving.pop(connection, None)
        self.wait(connection, None)

    def lets_go(self, connection: Connection) -> None:
        """It is none of them any more, and is closed when its caller has heard so."""
        self.lost(connection)
        while len(self.leaving) >= LEAVING:
            self._close(next(iter(self.leaving)))
        self.leaving[connection] = self._loop.time()

    def wait(self, connection: Connection, queue: dict[Connection, None] | None) -> None:
        """Moves it to the end of a queue, or out of all."""
        if connection.waits_in is not None:
            connection.waits_in.pop(connection, None)
        if connection not in self.all:
            queue = None
        connection.waits_in = queue
        if queue is not None:
            connection.since = self._loop.time()
            queue[connection] = None

    def tell_bug(self, error: BaseException) -> None:
        self._tell(f"internal error: {_where(error)}")

    def _make_room(self) -> bool:
        """Who sends slowly goes first, then who asks nothing, then who has just come; of each who waits longest."""
        sending = [next(iter(queue)) for queue in (self.heads, self.bodies) if queue]
        slow = min(sending, key=lambda each: each.since, default=None)
        if slow is None or self._loop.time() - slow.since < SLOW_S:
            slow = next(iter(self.idle), None) or next(iter(sending), None)
        if slow is None:
            return False
        self.lost(slow)
        slow.leave()
        return True

    def _close(self, connection: Connection) -> None:
        self.leaving.pop(connection, None)
        connection.drop()

    def _sweep(self) -> None:
        now, patience = self._loop.time(), self._patience
        for queue, seconds in ((self.heads, patience.head), (self.idle, patience.idle), (self.stuck, patience.stuck)):
            while queue and now - (first := next(iter(queue))).since >= seconds:
                self.wait(first, None)
                first.drop()
        while self.leaving and now - self.leaving[last := next(iter(self.leaving))] >= LEAVE_S:
            self._close(last)
        self._timer = self._loop.call_later(self._patience.sweep, self._sweep)


def _where(error: BaseException) -> str:
    """The kind of an error and the line of it: its text could hold anything."""
    trace, place = error.__traceback__, ""
    while trace is not None:
        place = f" at {trace.tb_frame.f_globals.get('__name__', '?')}:{trace.tb_lineno}"
        trace = trace.tb_next
    return type(error).__name__ + place
