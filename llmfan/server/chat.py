"""`POST /v1/chat/completions`: a request is read, handed to the fleet, and answered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from aiohttp import web

from llmfan.conduct.ticket import Ticket
from llmfan.engine import Engine
from llmfan.ports import Clock
from llmfan.server.bodies import Bodies, NoRoom
from llmfan.server.exchange import Exchange
from llmfan.server.log import REFUSED, CallNote
from llmfan.server.replies import overloaded, told
from llmfan.server.wishes import wishes
from llmfan.serving.errors import Told, of_fault, of_refusal, said
from llmfan.serving.faults import CallerFault
from llmfan.serving.fields import Capabilities
from llmfan.serving.model_names import Names
from llmfan.serving.placing import place
from llmfan.serving.request import Asked

#: What callers are told at the end, and after how many seconds another may be there in its place.
LEAVING = of_refusal("closing", "the service is being stopped", 5.0)


class Chat:
    """All calls of a service. `constant`: headers of every answer of theirs; `tell` takes a note of each call."""

    def __init__(
        self,
        engine: Engine,
        names: Names,
        capabilities: Capabilities,
        bodies: Bodies,
        clock: Clock,
        tell: Callable[[CallNote], None],
        *,
        max_wait: float,
        constant: Mapping[str, str],
    ):
        self._engine, self._names, self._capabilities, self._bodies = engine, names, capabilities, bodies
        self._clock, self._tell, self._max_wait, self._constant = clock, tell, max_wait, constant
        self._open: set[asyncio.Task[object]] = set()
        self.closed = self._leaving = False  # closed: those that are open may end, no other begins
        self.quiet = asyncio.Event()  # no call is open
        self.quiet.set()

    @property
    def open(self) -> int:
        """Calls that are not answered yet."""
        return len(self._open)

    def leave(self) -> None:
        """Breaks off every call; each caller is told."""
        self._leaving = True
        for task in self._open:
            task.cancel()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        note = CallNote(began=self._clock())
        with self._bodies.hold() as hold:
            try:
                if self.closed:
                    return self._refuse(note, LEAVING, REFUSED["closing"])
                try:
                    ticket = self._submit(request, await self._bodies.read(request, hold))
                    note.id = ticket.head.id
                except CallerFault as fault:
                    return self._refuse(
                        note, of_fault(fault), f"refused ({fault.code or 'bad_request'}): {said(fault)}"
                    )
                except NoRoom as full:
                    return self._refuse(note, overloaded(str(full)), f"refused: {full}")
                return await self._carry(request, ticket, note)
            finally:
                if note.status:
                    note.seconds = self._clock() - note.began
                    self._tell(note)

    def _submit(self, request: web.Request, asked: Asked) -> Ticket:
        wanted = wishes(request.headers, self._max_wait)
        where = place(asked, self._names, self._capabilities)
        return self._engine.submit(
            asked.prompt, only=where.only, banned=where.banned, streams=asked.streams, usage=asked.wants_usage,
            batch=wanted.batch, max_wait=wanted.max_wait,
        )  # fmt: skip

    async def _carry(self, request: web.Request, ticket: Ticket, note: CallNote) -> web.StreamResponse:
        """However this ends before the call does, the call ends with it: its permit is another's then."""
        exchange = Exchange(request, ticket, note, self._constant, self._clock, self._engine.redact.raw)
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        self.quiet.clear()
        try:
            return await exchange.tell()
        except asyncio.CancelledError:
            self._engine.cancel(ticket)
            if not self._stays(request, task):
                exchange.gone()
                raise
            return await exchange.break_off(LEAVING, REFUSED["closing"])
        except ConnectionError:
            self._engine.cancel(ticket)
            exchange.gone()
            raise
        except BaseException:
            self._engine.cancel(ticket)
            raise
        finally:
            self._open.discard(task)
            if not self._open:
                self.quiet.set()

    def _stays(self, request: web.Request, task: asyncio.Task[object]) -> bool:
        """Whether it was the call that was cancelled, by this service or by its fleet, and its caller still listens."""
        if request.transport is None or request.transport.is_closing() or (task.cancelling() and not self._leaving):
            return False
        while task.cancelling():
            task.uncancel()
        return True

    def _refuse(self, note: CallNote, what: Told, end: str) -> web.Response:
        note.status, note.end = what.status, end
        response = told(what, self._constant)
        if what.status in (408, 413, 503):  # the rest of its body may never come
            response.force_close()
        return response
