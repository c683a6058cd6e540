"""The simulated fleet over real HTTP on loopback: `/<provider>/…` is that provider's far end.

A bare protocol rather than a web framework: it plays scripts and nothing else, and the far end must not take the
processor from the client that is being measured.
"""

from __future__ import annotations

import asyncio
import http.client
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import cast
from urllib.parse import quote

from llmfan.simulation.provider import path_name
from llmfan.simulation.script import Plays, Script

MOST_HEAD = 64 * 1024
#: uvloop counts whole milliseconds: a timer for less than one would fire at once, and again, and again.
TICK = 0.001


class LoopbackFleet:
    """Serves while entered. The order of arrival is the order of the providers' moments."""

    def __init__(self, providers: Mapping[str, Plays], clock: Callable[[], float] = time.perf_counter):
        self._providers, self._clock = providers, clock
        self._lines: set[_Line] = set()
        self._server: asyncio.Server | None = None
        self._port = 0

    async def __aenter__(self) -> LoopbackFleet:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Line(self._answer, self._lines), "127.0.0.1", 0, backlog=1024)
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        assert self._server is not None
        self._server.close()
        lines = list(self._lines)
        for line in lines:
            line.close()
        await asyncio.gather(*(line.gone for line in lines))
        await self._server.wait_closed()

    def base_url(self, provider_name: str) -> str:
        return f"http://127.0.0.1:{self._port}/{quote(provider_name, safe='')}"

    def _answer(self, path: str, headers: Mapping[str, str], body: bytes) -> Script:
        provider = self._providers.get(path_name(path))
        if provider is None:
            return Script(404, {"content-type": "text/plain"}, [(0.0, b"no such provider\n")])
        return provider.handle(self._clock(), path, headers, body)


class _Line(asyncio.Protocol):
    """One connection: reads a request, plays its script with timers, then reads the next."""

    def __init__(self, answer: Callable[[str, Mapping[str, str], bytes], Script], lines: set[_Line]):
        self._answer, self._lines = answer, lines
        self._buffer = bytearray()
        self._head: tuple[str, dict[str, str], int] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._playing = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own class does not inherit from it
        self._lines.add(self)
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._lines.discard(self)
        self.gone.set_result(None)

    def close(self) -> None:
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._playing:
            self._next_request()

    def _next_request(self) -> None:
        if self._head is None:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                if len(self._buffer) > MOST_HEAD:
                    self._transport.abort()
                return
            self._head = _read_head(bytes(self._buffer[:end]))
            del self._buffer[: end + 4]
            if self._head[1].get("expect", "").lower() == "100-continue":
                self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        path, headers, length = self._head
        if len(self._buffer) < length:
            return
        body = bytes(self._buffer[:length])
        del self._buffer[:length]
        self._head, self._playing = None, True
        arrived = asyncio.get_running_loop().time()
        self._play(self._answer(path, headers, body), 0, arrived)

    def _play(self, script: Script, step: int, arrived: float) -> None:
        """Writes all that is due, then sets a timer for the next write, or ends the answer."""
        loop = asyncio.get_running_loop()
        while step < len(script.writes):
            due = arrived + script.writes[step][0]
            if due > loop.time() + TICK:
                self._timer = loop.call_at(due, self._play, script, step, arrived)
                return
            self._write(script, step)
            step += 1
        self._end(script)

    def _write(self, script: Script, step: int) -> None:
        data = script.writes[step][1]
        if _whole(script):
            self._transport.write(_head_of(script, f"content-length: {len(data)}\r\n") + data)
            return
        head = _head_of(script, "transfer-encoding: chunked\r\n") if step == 0 else b""
        chunk = b"%x\r\n%b\r\n" % (len(data), data) if data else b""
        last = step == len(script.writes) - 1 and not script.abort
        self._transport.write(head + chunk + (b"0\r\n\r\n" if last else b""))

    def _end(self, script: Script) -> None:
        self._timer, self._playing = None, False
        if script.abort:
            self._transport.abort()
        elif not script.writes:
            self._transport.write(_head_of(script, "content-length: 0\r\n"))
            self._next_request()
        elif not self._transport.is_closing():
            self._next_request()


def _whole(script: Script) -> bool:
    return len(script.writes) == 1 and not script.abort


def _head_of(script: Script, length: str) -> bytes:
    reason = http.client.responses.get(script.status, "")
    fields = "".join(f"{name}: {value}\r\n" for name, value in script.headers.items())
    return f"HTTP/1.1 {script.status} {reason}\r\n{length}{fields}\r\n".encode("latin-1")


def _read_head(raw: bytes) -> tuple[str, dict[str, str], int]:
    """Path, headers by lower-case name, and the body's length."""
    first, *rest = raw.decode("latin-1").split("\r\n")
    headers = {}
    for line in rest:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    words = first.split(" ")
    length = headers.get("content-length", "0")
    return words[1] if len(words) > 1 else "/", headers, int(length) if length.isdigit() else 0
