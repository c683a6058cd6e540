"""What the dashboard is told: one document a second, made once for all who watch, and only while somebody does."""

from __future__ import annotations

import asyncio

import msgspec
from aiohttp import web

from llmfan.overview import Overview
from llmfan.server.replies import document, overloaded, told

#: Seconds between two documents, and after which one that nobody takes ends its stream.
EVERY_S, STUCK_S = 1.0, 30.0
#: Streams at once.
MOST = 50
_HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # a proxy in between has to pass each event on at once
}
_RETRY = b"retry: 2000\n\n"
_END = b"event: end\ndata: {}\n\n"


def add_events(app: web.Application, overview: Overview, what: str = "serve") -> None:
    """`GET /events` (a stream of `Overview.document`) and `GET /api/llm-providers` (`Overview.status`).

    `what`: "serve" or "run", for the page's head.
    """
    events = Events(overview, what)
    app.router.add_get("/events", events.stream, allow_head=False)
    app.router.add_get("/api/llm-providers", events.providers)
    app.on_startup.append(events.begin)
    app.on_shutdown.append(events.close)


class Watcher:
    """One stream. What it has not taken by the next tick is gone: it sees the newest, however slow it is."""

    def __init__(self) -> None:
        self._held: bytes | None = None
        self._fault: BaseException | None = None
        self._over = False
        self._news = asyncio.Event()

    def give(self, event: bytes) -> None:
        self._held = event
        self._news.set()

    def end(self, fault: BaseException | None = None) -> None:
        self._over, self._fault = True, fault
        self._news.set()

    async def taken(self) -> bytes | None:
        """The next event; None when there are no more."""
        await self._news.wait()
        if self._held is not None:
            held, self._held = self._held, None
            if not self._over:
                self._news.clear()
            return held
        if self._fault is not None:
            raise self._fault
        return None


class Events:
    """All streams of one application."""

    def __init__(self, overview: Overview, what: str):
        self._overview, self._what = overview, what
        self._watchers: set[Watcher] = set()
        self._latest: bytes | None = None  # while there is a clock
        self._clock: asyncio.Task[None] | None = None
        self._closed = False

    async def begin(self, app: web.Application) -> None:
        """A large ledger is read now, rather than while calls wait."""
        self._overview.status()

    async def providers(self, request: web.Request) -> web.Response:
        return document(await self._overview.refreshed(), headers={"Cache-Control": "no-store"})

    async def stream(self, request: web.Request) -> web.StreamResponse:
        if len(self._watchers) >= MOST or self._closed:
            return told(overloaded(f"{MOST} dashboards are open already" if not self._closed else "it is closing"))
        watcher = Watcher()
        self._watchers.add(watcher)
        try:
            if self._clock is None:
                self._clock = asyncio.get_running_loop().create_task(self._tick())
            elif self._latest is not None:
                watcher.give(self._latest)
            return await self._passed_on(watcher, request)
        finally:
            self._watchers.discard(watcher)

    async def close(self, app: web.Application) -> None:
        """Everybody is shown how things stand in the end, and told that it is the end."""
        self._closed = True
        if self._clock is not None:
            self._clock.cancel()
            await asyncio.wait([self._clock])
        try:
            if self._watchers:
                await self._overview.refreshed(0.0)
                last = await self._made()
                for watcher in self._watchers:
                    watcher.give(last)
        finally:
            for watcher in self._watchers:
                watcher.end()

    async def _passed_on(self, watcher: Watcher, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers=_HEADERS)
        try:
            await response.prepare(request)
            await response.write(_RETRY)
            while (event := await watcher.taken()) is not None:
                async with asyncio.timeout(STUCK_S):
                    await response.write(event)
            await response.write(_END)
            await response.write_eof()
        except TimeoutError:
            if request.transport is not None:
                request.transport.abort()  # what it does not take must not be waited for at its end, either
        except ConnectionError:
            pass  # it is gone, and nobody else has to know
        return response

    async def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        try:
            while self._watchers:
                self._latest = await self._made()
                for watcher in self._watchers:
                    watcher.give(self._latest)
                due = max(due + EVERY_S, loop.time() + EVERY_S / 2)
                await asyncio.sleep(due - loop.time())
        except Exception as error:  # a fault of ours: it ends the streams, and is told where they are served
            for watcher in self._watchers:
                watcher.end(error)
        finally:
            self._clock = self._latest = None

    async def _made(self) -> bytes:
        await self._overview.refreshed()
        shown = {**self._overview.document(), "what": self._what}
        return b"data: " + msgspec.json.encode(shown) + b"\n\n"
