"""The application: which path is answered by whom, and what holds for every request."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from aiohttp import web

from llmfan.engine import Engine
from llmfan.inputs.catalogue_files import dialect_name
from llmfan.ports import Clock
from llmfan.server.bodies import Bodies, NoRoom
from llmfan.server.chat import LEAVING, Chat
from llmfan.server.connections import Connection
from llmfan.server.dashboard import add_pages
from llmfan.server.events import add_events
from llmfan.server.guard import HEALTH, Guard, Turned
from llmfan.server.listing import Listing
from llmfan.server.log import GONE, Log
from llmfan.server.metrics import Metrics
from llmfan.server.paths import CHAT, nowhere
from llmfan.server.replies import CONSTANT, document, failure, overloaded, told
from llmfan.server.terms import Terms
from llmfan.serving.errors import of_fault
from llmfan.serving.faults import CallerFault
from llmfan.serving.fields import Capabilities
from llmfan.serving.model_names import Names

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class House:
    """All that answers requests. `application` is it in the framework's form; `draining`: it is about to close."""

    def __init__(self, engine: Engine, terms: Terms, guard: Guard, log: Log, clock: Clock):
        self._engine, self._guard, self._log, self._clock = engine, guard, log, clock
        self._bodies = Bodies(terms.max_body, terms.max_bodies, terms.patience)
        self._overview = engine.overview
        self._metrics = Metrics(engine.overview)
        self.draining = False
        names = Names(lane.target for lane in engine.lanes)
        constant = {"x-llmfan-simulated": "true"} if engine.options.simulate else {}
        self.chat = Chat(
            engine, names, Capabilities(engine.fleet.providers, dialect_name), self._bodies, clock, log.call,
            max_wait=terms.max_wait, constant=constant,
        )  # fmt: skip
        self.application = self._application(engine, Listing(names))

    def _application(self, engine: Engine, listing: Listing) -> web.Application:
        app = web.Application(middlewares=[self._every])
        app.on_response_prepare.append(self._prepare)
        app.router.add_post(CHAT, self.chat.answer, expect_handler=self._expect)
        app.router.add_get("/v1/models", listing.all)
        app.router.add_get("/v1/models/{name:.+}", listing.one)
        app.router.add_get(HEALTH, self._health)
        app.router.add_get("/metrics", self._figures)
        add_events(app, engine.overview)
        add_pages(app)
        return app

    def drain(self) -> None:
        """Takes no more calls; all else may still be looked at."""
        self.draining = self.chat.closed = True

    # ---------------------------------------------------------------- what holds for every request

    @web.middleware
    async def _every(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        connection = request.protocol
        if isinstance(connection, Connection):
            connection.begin()
        began, status = self._clock(), GONE
        try:
            turned = self._guard.refusal(request)
            response = await self._handled(request, handler) if turned is None else self._turn_away(request, turned)
            status = response.status
            return response
        except (asyncio.CancelledError, ConnectionError):
            raise  # its caller went away, while nothing was wrong here
        except Exception:
            status = 500
            raise
        finally:
            if isinstance(connection, Connection):
                connection.end()
            resource = request.match_info.route.resource
            self._metrics.call("other" if resource is None else resource.canonical, status, self._clock() - began)

    async def _handled(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except web.HTTPNotFound:
            return failure(404, nowhere(request.path), "not_found")
        except web.HTTPMethodNotAllowed as error:
            allowed = ", ".join(sorted(error.allowed_methods))
            return failure(405, f"this path takes {allowed}", "method_not_allowed", {"Allow": allowed})

    def _turn_away(self, request: web.Request, turned: Turned) -> web.Response:
        self._log.refused(turned.status, request.method, request.path, turned.message)
        return failure(turned.status, turned.message, turned.code, turned.headers)

    async def _prepare(self, request: web.Request, response: web.StreamResponse) -> None:
        response.headers.update(CONSTANT)
        if self.draining:
            response.headers["Connection"] = "close"
            response.force_close()

    async def _expect(self, request: web.Request) -> web.StreamResponse | None:
        """Who asks before sending a body is told at once if it would be refused."""
        response, turned = None, self._guard.refusal(request)
        try:
            self._bodies.check_head(request)
        except CallerFault as fault:
            response = told(of_fault(fault))
        except NoRoom as full:
            response = told(overloaded(str(full)))
        if self.chat.closed:
            response = told(LEAVING)
        if turned is not None:
            response = self._turn_away(request, turned)
        if response is not None:
            response.force_close()
            return response
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # it is no part of the answer
        return None

    # ---------------------------------------------------------------- small answers

    async def _health(self, request: web.Request) -> web.Response:
        if not self._engine.alive:
            return document({"status": "dead"}, 503)
        if self.draining:
            return document({"status": "draining"}, 503)
        return document({"status": "ok"})

    async def _figures(self, request: web.Request) -> web.Response:
        await self._overview.refreshed()  # in steps, so that a large fleet's figures hold nobody up
        text, kind = self._metrics.text()
        return web.Response(body=text, headers={"Content-Type": kind})
