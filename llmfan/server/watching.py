"""The dashboard of a run: on loopback, for as long as the run lasts."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web

from llmfan.errors import UserError
from llmfan.overview import Overview
from llmfan.server.dashboard import add_pages
from llmfan.server.events import add_events
from llmfan.server.guard import Guard
from llmfan.server.replies import CONSTANT, failure

HOST = "127.0.0.1"
#: Ports that are tried from the one that is wanted on.
TRIES = 20
#: Seconds in which watchers have to take the last document of a run that has ended.
CLOSED_S = 0.5
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Place:
    """Where it is to be seen: bound before the run begins, so that a port that cannot be had is known by then."""

    def __init__(self, port: int):
        self.socket = _bound(port)
        self.port = int(self.socket.getsockname()[1])
        self.url = f"http://{HOST}:{self.port}/"

    @asynccontextmanager
    async def shows(self, overview: Overview, say: Callable[[str], None]) -> AsyncIterator[None]:
        """`say` is told of faults."""
        application = _application(overview, Guard(HOST, self.port, None), say)
        runner = web.AppRunner(
            application, handle_signals=False, handler_cancellation=True, access_log=None, shutdown_timeout=CLOSED_S
        )
        await runner.setup()
        try:
            await web.SockSite(runner, self.socket).start()
            yield
        finally:
            await runner.cleanup()

    def close(self) -> None:
        self.socket.close()


def _bound(port: int) -> socket.socket:
    """The port, or the next one that is free."""
    for candidate in range(port, min(port + TRIES, 65536)) if port else (0,):
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setblocking(False)
        try:
            listener.bind((HOST, candidate))
            listener.listen()
        except OSError as error:
            listener.close()
            why = error.strerror or str(error)
        else:
            return listener
    raise UserError(f"--dashboard-port {port}: neither it nor any of the next {TRIES - 1} can be listened on: {why}")


def _application(overview: Overview, guard: Guard, say: Callable[[str], None]) -> web.Application:
    @web.middleware
    async def every(request: web.Request, handler: _Handler) -> web.StreamResponse:
        turned = guard.refusal(request)
        if turned is not None:
            return failure(turned.status, turned.message, turned.code, turned.headers)
        try:
            return await handler(request)
        except web.HTTPNotFound:
            return failure(404, "nothing is served at this path; the dashboard is at /", "not_found")
        except web.HTTPMethodNotAllowed as error:
            allowed = ", ".join(sorted(error.allowed_methods))
            return failure(405, f"this path takes {allowed}", "method_not_allowed", {"Allow": allowed})
        except Exception as error:  # the run goes on without it
            say(f"the dashboard has a fault of llmfan itself: {type(error).__name__}")
            if request.transport is not None:
                request.transport.abort()
            raise ConnectionResetError from error

    async def prepare(request: web.Request, response: web.StreamResponse) -> None:
        response.headers.update(CONSTANT)

    app = web.Application(middlewares=[every])
    app.on_response_prepare.append(prepare)
    add_events(app, overview, "run")
    add_pages(app)
    return app
