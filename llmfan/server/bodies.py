"""Request bodies, bounded: each in size and in time, and all that are held at once in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from msgspec import Struct

from llmfan.server.connections import MORE, Connection
from llmfan.server.terms import Patience
from llmfan.serving.faults import CallerFault
from llmfan.serving.request import Asked, read_request
from llmfan.serving.weights import weight

#: Objects and lists in one body. A list takes two bytes to send and thirty times as much to keep.
MAX_BRACKETS = 2_000_000
#: What a call holds for each byte of its body: that byte, its text, and for a provider it is put in bytes again, which
#: are kept while the network takes them. Text may take up to four times as much, which is known once it is read.
COPIES, BYTES = 4, 3
_FEW = 1 << 16


class NoRoom(Exception):
    """There is no room for it just now: not this caller's fault."""


class Hold(Struct):
    """What one request holds of the memory for bodies: `size` bytes have come, which count as `weight`."""

    size: int = 0
    weight: int = 0


class Bodies:
    """`most` bytes each; all together `in_all` by weight, from their first byte until their call has ended.

    One that is alone always fits.
    """

    def __init__(self, most: int, in_all: int, patience: Patience):
        self.most, self.in_all, self.held, self._patience = most, in_all, 0, patience

    @contextmanager
    def hold(self) -> Iterator[Hold]:
        hold = Hold()
        try:
            yield hold
        finally:
            self.held -= hold.weight

    async def read(self, request: web.Request, hold: Hold) -> Asked:
        """Raises `CallerFault` for what is not to be read, or not to its end, and `NoRoom`.

        Nothing is kept of the bytes: they would be there twice for as long as the call lasts.
        """
        body = await self._bytes(request, hold)
        self._check(body)
        asked = read_request(body)
        self._weigh(hold, BYTES * hold.size + weight(asked.prompt.messages) + weight(asked.prompt.params))
        return asked

    def check_head(self, request: web.Request) -> None:
        """What can be said before anything of the body is read. Raises as `read` does."""
        if request.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise CallerFault("compressed bodies are not read", status=415, code="unsupported_media_type")
        length = request.content_length or 0
        if length > self.most:
            raise self._too_large()
        if self.held and self.held + COPIES * length > self.in_all:
            raise NoRoom("too many large requests at once")

    async def _bytes(self, request: web.Request, hold: Hold) -> bytes:
        self.check_head(request)
        content, connection = request.content, request.protocol
        known = connection if isinstance(connection, Connection) else None
        if content.is_eof():
            self._taken(len(body := content.read_nowait(-1)), hold)
            if known is not None:
                known.body_ends(True)
            return body
        try:
            whole = await self._pieces(request, known, hold)
        except (web.RequestPayloadError, HttpProcessingError):
            raise CallerFault("the body is no valid HTTP", code="invalid_body") from None
        except RuntimeError:
            if connection.connected:
                raise
            raise ConnectionResetError from None  # the framework's word for a caller that left
        finally:
            if known is not None:
                known.body_ends(content.at_eof())
        return whole

    async def _pieces(self, request: web.Request, connection: Connection | None, hold: Hold) -> bytes:
        """The whole of it within `body` seconds, and always more within `piece`."""
        content, piece = request.content, self._patience.piece
        whole = bytearray()
        loop = asyncio.get_running_loop()
        end, enough = loop.time() + self._patience.body, MORE
        try:
            async with asyncio.timeout_at(min(end, loop.time() + piece)) as limit:
                if connection is not None:
                    connection.body_begins(lambda: None if limit.expired() else limit.reschedule(0.0))
                while not content.at_eof():
                    data = await content.readany()
                    self._taken(len(data), hold)
                    whole += data
                    if len(whole) >= enough:
                        enough = len(whole) + MORE
                        if connection is not None:
                            if connection.left:
                                raise NoRoom("too many connections")
                            connection.body_goes_on()
                        limit.reschedule(min(end, loop.time() + piece))
        except TimeoutError:
            if connection is not None and connection.left:
                raise NoRoom("too many connections") from None
            raise CallerFault("the body did not come in time", status=408, code="request_timeout") from None
        return bytes(whole)

    def _taken(self, count: int, hold: Hold) -> None:
        hold.size += count
        if hold.size > self.most:
            raise self._too_large()
        self._weigh(hold, COPIES * hold.size)

    def _weigh(self, hold: Hold, weight: int) -> None:
        self.held += weight - hold.weight
        hold.weight = weight
        if self.held > self.in_all and self.held > weight:
            raise NoRoom("too many large requests at once")

    def _check(self, body: bytes) -> None:
        if len(body) > _FEW and body.count(b"[") + body.count(b"{") > MAX_BRACKETS:
            raise CallerFault(f"the body holds more than {MAX_BRACKETS} objects and lists", code="too_complex")

    def _too_large(self) -> CallerFault:
        message = f"the body is over {self.most / (1 << 20):g} MiB (--max-body)"
        return CallerFault(message, status=413, code="request_too_large")
