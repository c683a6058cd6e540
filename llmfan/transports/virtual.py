"""Requests that never leave the process: simulated providers, played on the event loop's own (virtual) clock."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from urllib.parse import quote, unquote, urlsplit

from llmfan.ports import Clock, Endpoint, StreamReader
from llmfan.records import Reply
from llmfan.simulation.script import EVENT_STREAM, Plays, Script

ORIGIN = "http://virtual.invalid"
#: An error page needs no more than this to be told by.
MOST_BODY = 4 * 1024 * 1024


class VirtualTransport:
    """Finds the provider by the first segment of the address's path and plays what it answers."""

    def __init__(self, providers: Mapping[str, Plays], clock: Clock):
        self._providers, self._clock = providers, clock

    @staticmethod
    def base_url(provider_name: str) -> str:
        """The address to give a provider that is to be reached through this transport."""
        return f"{ORIGIN}/{quote(provider_name, safe='')}"

    async def send(self, endpoint: Endpoint, body: bytes, reader: StreamReader | None) -> Reply:
        sent = self._clock()
        path = urlsplit(endpoint.url if reader is None else endpoint.stream_url).path
        provider = self._providers.get(unquote(path.lstrip("/").partition("/")[0]))
        if provider is None:
            return Reply(sent=sent, ended=sent, fault="refused", phase="connect", detail="no such provider")
        script = provider.handle(sent, path, endpoint.headers, body)
        streamed = (
            reader is not None and script.status == 200 and EVENT_STREAM in script.headers.get("content-type", "")
        )
        return await _Play(script, endpoint, reader if streamed else None, self._clock, sent).run()

    async def close(self) -> None:
        """Nothing is held open."""


class _Play:
    """One script on its way to one reader, under the endpoint's timeouts."""

    def __init__(self, script: Script, endpoint: Endpoint, reader: StreamReader | None, clock: Clock, sent: float):
        self._script, self._reader, self._clock, self._sent = script, reader, clock, sent
        self._whole, self._idle = sent + endpoint.timeout, endpoint.idle_timeout
        self._body = bytearray()

    async def run(self) -> Reply:
        last: float | None = None
        for delay, data in self._script.writes:
            due = self._sent + delay
            bound, phase = self._bound(last)
            await self._until(min(due, bound))
            if due > bound:
                return self._failed("timeout", phase, "no answer in time")
            last = due
            self._take(data)
        if self._script.abort:
            return self._failed("reset", "read", "connection reset")
        return Reply(
            sent=self._sent,
            ended=self._clock(),
            status=self._script.status,
            headers=self._script.headers,
            body=bytes(self._body),
            streamed=self._reader is not None,
        )

    def _bound(self, last: float | None) -> tuple[float, str]:
        """Until when the next write may take, and what it is then late for. Silence is bounded once bytes have come."""
        if last is None:
            return self._whole, "first byte"
        return (last + self._idle, "idle") if last + self._idle < self._whole else (self._whole, "whole")

    async def _until(self, moment: float) -> None:
        rest = moment - self._clock()
        if rest > 0:
            await asyncio.sleep(rest)

    def _take(self, data: bytes) -> None:
        if not data:
            return
        if self._reader is not None:
            self._reader.feed(data, self._clock())
        elif len(self._body) < MOST_BODY:
            self._body += data

    def _failed(self, fault: str, phase: str, detail: str) -> Reply:
        return Reply(sent=self._sent, ended=self._clock(), fault=fault, phase=phase, detail=detail)
