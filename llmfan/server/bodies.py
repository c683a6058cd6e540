"""Request bodies, bounded: each in size and in time, and all that are held at once in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from msgspec import Struct

from llmfan.server.connections import Connection
from llmfan.server.terms import Patience
from llmfan.serving.faults import CallerFault

#: Objects and lists in one body. A list takes two bytes to send and thirty times as much to keep.
MAX_BRACKETS = 2_000_000
_FEW = 1 << 16


class NoRoom(Exception):
    """Too many bodies are held already: not this caller's fault."""


class Hold(Struct):
    """What one request holds of the memory for bodies."""

    size: int = 0


class Bodies:
    """`most` bytes each; all together `in_all`, from their first byte until their call has ended."""

    def __init__(self, most: int, in_all: int, patience: Patience):
        self.most, self.in_all, self.held, self._patience = most, in_all, 0, patience

    @contextmanager
    def hold(self) -> Iterator[Hold]:
        hold = Hold()
        try:
            yield hold
        finally:
            self.held -= hold.size

    async def read(self, request: web.Request, hold: Hold) -> bytes:
        """Raises `CallerFault` for what is not to be read, or not to its end, and `NoRoom`."""
        self.check_head(request)
        content = request.content
        if content.is_eof():
            return self._checked(request, [self._taken(content.read_nowait(-1), hold)])
        pieces = []
        loop = asyncio.get_running_loop()
        end = loop.time() + self._patience.body
        try:
            while not content.at_eof():
                async with asyncio.timeout_at(min(end, loop.time() + self._patience.piece)):
                    pieces.append(self._taken(await content.readany(), hold))
        except TimeoutError:
            raise CallerFault("the body did not come in time", status=408, code="request_timeout") from None
        except (web.RequestPayloadError, HttpProcessingError):
            raise CallerFault("the body is no valid HTTP", code="invalid_body") from None
        return self._checked(request, pieces)

    def check_head(self, request: web.Request) -> None:
        """What can be said before anything of the body is read."""
        if request.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise CallerFault("compressed bodies are not read", status=415, code="unsupported_media_type")
        if (request.content_length or 0) > self.most:
            raise self._too_large()

    def _taken(self, data: bytes, hold: Hold) -> bytes:
        hold.size += len(data)
        self.held += len(data)
        if hold.size > self.most:
            raise self._too_large()
        if self.held > self.in_all:
            raise NoRoom
        return data

    def _checked(self, request: web.Request, pieces: list[bytes]) -> bytes:
        if isinstance(request.protocol, Connection):
            request.protocol.body_read()
        body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        if len(body) > _FEW and body.count(b"[") + body.count(b"{") > MAX_BRACKETS:
            raise CallerFault(f"the body holds more than {MAX_BRACKETS} objects and lists", code="too_complex")
        return body

    def _too_large(self) -> CallerFault:
        message = f"the body is over {self.most / (1 << 20):g} MiB (--max-body)"
        return CallerFault(message, status=413, code="request_too_large")
