"""A loopback upstream of the chat-completions form: it answers, refuses and dies as it is told, and counts all of it.

`/NAME/v1/chat/completions` is the site NAME. What a site holds a key to is counted here, apart from llmfan's own books.

    python -m tests.beds.upstream '{"a": {"limits": {"rps": 20}}}'      (in a process of its own; prints its origin)
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import msgspec
from aiohttp import web

from tests.beds.answers import document, events, marker

WINDOWS = {"rps": 1.0, "rpm": 60.0}


class Site(msgspec.Struct, kw_only=True):
    """How one provider behaves. `limits` are those of each key: rps, rpm, concurrency.

    `dies`, for the first `times` requests (None: for all): `connect` closes before the first byte, `head` after the
    headers, `role` after the role-only chunk, `text` after `after` chunks of text; `event` sends an error event there;
    `hang` never answers, `stall` falls silent there; a number is a status. `retry_after` stands beside a status.
    """

    limits: dict[str, float] = {}
    first: float = 0.0  # seconds to the first chunk, or to an unstreamed answer
    gap: float = 0.0  # seconds between chunks
    chunks: int = 4
    dies: str = ""
    after: int = 1
    times: int | None = None
    retry_after: str = ""
    models: tuple[str, ...] = ("m",)


class Seen(msgspec.Struct):
    """One request. `end`: `answered`, a status as text, how it was made to die, or `left`: its client went away."""

    site: str
    key: str
    at: float
    asked: dict[str, Any]
    headers: dict[str, str]
    end: str = ""


class Upstream:
    """`async with Upstream({"a": Site()}) as far:` serves until the block ends. `keep`: whole requests are kept."""

    def __init__(self, sites: Mapping[str, Site], keep: bool = True):
        self.sites, self._keep = dict(sites), keep
        self.seen: list[Seen] = []
        self.open = 0
        self.most_open: Counter[str] = Counter()  # of each key
        self.answered: Counter[str] = Counter()  # by the request's own marker
        self._in_flight: Counter[str] = Counter()
        self._moments: dict[str, list[float]] = {}
        self._deaths: Counter[str] = Counter()
        self._runner: web.AppRunner | None = None
        self.origin = ""

    async def __aenter__(self) -> Upstream:
        app = web.Application(client_max_size=256 << 20)
        app.router.add_post("/{site}/v1/chat/completions", self._chat)
        app.router.add_get("/{site}/v1/models", self._models)
        app.router.add_get("/counts", self._counts)
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.2)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, backlog=2048)
        await site.start()
        self.origin = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    def base_url(self, site: str) -> str:
        return f"{self.origin}/{site}/v1"

    def counts(self) -> dict[str, Any]:
        """What a process that only measures wants to know."""
        return {
            "open": self.open,
            "most_open": self.most_open,
            "answered": self.answered,
            "ends": Counter(s.end for s in self.seen),
            "most_in_window": {axis: self.most_in_any(seconds) for axis, seconds in WINDOWS.items()},
        }

    def most_in_any(self, seconds: float) -> int:
        """The most requests of one key, refused ones too, in any stretch of that length."""
        most = 0
        for moments in self._moments.values():
            start = 0
            for end, moment in enumerate(moments):
                while moments[start] <= moment - seconds:
                    start += 1
                most = max(most, end - start + 1)
        return most

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["site"]
        site, key = self.sites[name], request.headers.get("Authorization", "").removeprefix("Bearer ")
        now = time.monotonic()
        asked = json.loads(await request.read())
        kept = asked if self._keep else {}
        seen = Seen(site=name, key=key, at=now, asked=kept, headers=dict(request.headers) if self._keep else {})
        self.seen.append(seen)
        self.open += 1
        self._in_flight[key] += 1
        self.most_open[key] = max(self.most_open[key], self._in_flight[key])
        try:
            return await self._answer(request, site, seen, asked)
        except (asyncio.CancelledError, ConnectionError):
            seen.end = seen.end or "left"
            raise
        finally:
            self.open -= 1
            self._in_flight[key] -= 1

    async def _answer(self, request: web.Request, site: Site, seen: Seen, asked: dict[str, Any]) -> web.StreamResponse:
        refused = self._refused(site, seen.key, seen.at)
        if refused:
            seen.end = "429"
            return _error(429, f"Rate limit reached for {refused}.", "rate_limit_exceeded", "1")
        dies = self._death(seen.site, site)
        if dies.isdigit():
            seen.end = dies
            return _error(int(dies), "Told to fail.", "told", site.retry_after)
        if dies == "hang":
            await asyncio.sleep(3600)
        if dies == "connect":
            return _cut(request, seen, dies)
        if not asked.get("stream"):
            await asyncio.sleep(site.first)
            if dies:
                return _cut(request, seen, dies)
            self._done(seen, asked)
            return web.json_response(document(asked), headers={"x-request-id": "req-1"})
        return await self._stream(request, site, seen, asked, dies)

    async def _stream(
        self, request: web.Request, site: Site, seen: Seen, asked: dict[str, Any], dies: str
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        if dies == "head":
            return _cut(request, seen, dies)
        await asyncio.sleep(site.first)
        for number, event in enumerate(events(asked, site.chunks)):
            if dies == "role" and number == 1:
                return _cut(request, seen, dies)
            if dies in ("text", "event", "stall") and number == 1 + site.after:
                if dies == "stall":
                    await asyncio.sleep(3600)
                if dies == "event":
                    await response.write(b'data: {"error": {"message": "The engine fell over.", "code": 500}}\n\n')
                return _cut(request, seen, dies)
            if number and site.gap:
                await asyncio.sleep(site.gap)
            await response.write(b"data: " + event + b"\n\n")
        self._done(seen, asked)
        await response.write_eof()
        return response

    def _refused(self, site: Site, key: str, now: float) -> str:
        """Which limit this request passes, if any. Refused ones count: whoever sends them has broken a limit."""
        moments = self._moments.setdefault(key, [])
        moments.append(now)
        for axis, seconds in WINDOWS.items():
            if axis in site.limits and sum(m > now - seconds for m in moments) > site.limits[axis]:
                return axis
        return "concurrency" if self._in_flight[key] > site.limits.get("concurrency", 1e9) else ""

    def _death(self, name: str, site: Site) -> str:
        self._deaths[name] += 1
        return site.dies if site.times is None or self._deaths[name] <= site.times else ""

    def _done(self, seen: Seen, asked: dict[str, Any]) -> None:
        seen.end = "answered"
        self.answered[marker(asked)] += 1

    async def _models(self, request: web.Request) -> web.Response:
        rows = [{"id": m, "object": "model"} for m in self.sites[request.match_info["site"]].models]
        return web.json_response({"object": "list", "data": rows})

    async def _counts(self, request: web.Request) -> web.Response:
        return web.json_response(self.counts())


def _error(status: int, message: str, code: str, retry_after: str) -> web.Response:
    headers = {"Retry-After": retry_after} if retry_after else {}
    return web.json_response({"error": {"message": message, "code": code}}, status=status, headers=headers)


def _cut(request: web.Request, seen: Seen, how: str) -> web.StreamResponse:
    """The connection is gone without a word."""
    seen.end = how
    if request.transport is not None:
        request.transport.abort()
    return web.StreamResponse()


@contextmanager
def threaded(sites: Mapping[str, Site]) -> Iterator[Upstream]:
    """An upstream in a thread of its own, for tests that are not asynchronous themselves."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    far = Upstream(sites)
    asyncio.run_coroutine_threadsafe(far.__aenter__(), loop).result(10)
    try:
        yield far
    finally:
        asyncio.run_coroutine_threadsafe(far.__aexit__(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


async def _serve_for_ever(sites: Mapping[str, Site]) -> None:
    async with Upstream(sites, keep=False) as far:
        print(far.origin, flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)  # until whoever started it lets go


if __name__ == "__main__":
    asyncio.run(_serve_for_ever(msgspec.json.decode(sys.argv[1], type=dict[str, Site])))
