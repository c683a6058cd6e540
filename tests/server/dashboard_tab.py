"""A browser's tab with the dashboard, and the server before which it stands: it says what a test wants it to."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from typing import Any

from aiohttp import web

from llmfan.server.dashboard import add_pages


class Desk:
    """Serves the page from a thread of its own. `say`: to who listens now, and to whoever comes after."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.said = b""
        self.listeners: dict[web.StreamResponse, asyncio.Event] = {}
        self.refusing = False
        self.status = 200
        self.address = ""
        self._runner: web.AppRunner | None = None
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()
        self._do(self._open())

    def say(self, document: dict[str, Any]) -> None:
        self._do(self._say(b"data: " + json.dumps(document).encode() + b"\n\n"))

    def end(self) -> None:
        self._do(self._say(b"event: end\ndata: {}\n\n"))

    def drop(self) -> None:
        self.refusing = True
        self._do(self._drop())

    def come_back(self) -> None:
        self.refusing = False

    def close(self) -> None:
        self.drop()
        assert self._runner is not None
        self._do(self._runner.cleanup())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()

    def _do(self, work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, self.loop).result(10)

    async def _open(self) -> None:
        app = web.Application()
        add_pages(app)
        app.router.add_get("/events", self._events)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.address = f"http://127.0.0.1:{self._runner.addresses[0][1]}/"

    async def _events(self, request: web.Request) -> web.StreamResponse:
        if self.status != 200:
            return web.Response(status=self.status)
        stream = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        stream.enable_chunked_encoding()
        await stream.prepare(request)
        await stream.write(b"retry: 100\n\n")
        if self.refusing:
            return stream
        await stream.write(self.said)
        self.listeners[stream] = asyncio.Event()
        await self.listeners[stream].wait()
        return stream

    async def _say(self, event: bytes) -> None:
        self.said = event
        for stream in list(self.listeners):
            try:
                await stream.write(event)
            except ConnectionError:
                self.listeners.pop(stream).set()

    async def _drop(self) -> None:
        while self.listeners:
            self.listeners.popitem()[1].set()


class Seen:
    """The page as it stands. `troubles`: whatever it complained of, or asked anybody but its own server for."""

    def __init__(self, tab: Any, desk: Desk):
        self.tab, self.desk = tab, desk
        self.troubles: list[str] = []
        tab.on("console", lambda said: self.troubles.append(said.text))
        tab.on("pageerror", lambda error: self.troubles.append(str(error)))
        tab.on("dialog", self._asks)
        tab.on("request", lambda asked: self._asked(asked.url))

    def open(self, document: dict[str, Any]) -> None:
        self.desk.come_back()
        self.desk.say(document)
        self.tab.goto(self.desk.address)
        self.tab.wait_for_selector("#keys tbody tr", state="attached")

    def text(self, selector: str) -> str:
        return re.sub(r"\s+", " ", str(self.tab.locator(selector).first.inner_text())).strip()

    def texts(self, selector: str) -> list[str]:
        return [re.sub(r"\s+", " ", each).strip() for each in self.tab.locator(selector).all_inner_texts()]

    def row(self, key: str, cell: str) -> str:
        return self.text(f"#keys tbody tr:has(.open:text-is('{key}')) {cell}")

    def until(self, selector: str, words: str) -> None:
        self.tab.wait_for_selector(f"{selector}:has-text('{words}')", timeout=8000)

    def _asks(self, dialog: Any) -> None:
        self.troubles.append(dialog.message)
        dialog.dismiss()

    def _asked(self, url: str) -> None:
        if not url.startswith((self.desk.address, "data:,")):
            self.troubles.append(url)
