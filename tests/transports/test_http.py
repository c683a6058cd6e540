"""The network's faults as they come from real sockets: each is a reply with a name, none an exception."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
import time
from collections.abc import Awaitable, Callable

import pytest

from llmfan.ports import Endpoint
from llmfan.records import Answer, Failure, Reply
from llmfan.secret import SealedHeaders
from llmfan.transports import http
from llmfan.transports.http import HttpTransport, proxy_for

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


class Pieces:
    """A stream reader that keeps what it was fed."""

    def __init__(self) -> None:
        self.data = b""

    def feed(self, data: bytes, now: float) -> None:
        self.data += data

    def finish(self) -> Answer | Failure:
        return Answer(text=self.data.decode())


def ask(handler: Handler, *, timeout: float = 5.0, idle: float = 5.0, reader: Pieces | None = None) -> Reply:
    """One request to a server that does what `handler` says once it has read the request's head."""

    async def serve(incoming: asyncio.StreamReader, outgoing: asyncio.StreamWriter) -> None:
        await incoming.readuntil(b"\r\n\r\n")
        try:
            await handler(incoming, outgoing)
        finally:
            outgoing.close()

    async def main() -> Reply:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        transport = HttpTransport(4, time.perf_counter)
        url = f"http://127.0.0.1:{port}/v1"
        try:
            headers = SealedHeaders({"Authorization": "Bearer secret-key-1"})
            return await transport.send(Endpoint(url, url, headers, timeout, idle), b"{}", reader)
        finally:
            await transport.close()
            server.close()

    return asyncio.run(main())


def writing(*pieces: bytes, reset: bool = False) -> Handler:
    async def handler(incoming: asyncio.StreamReader, outgoing: asyncio.StreamWriter) -> None:
        for piece in pieces:
            outgoing.write(piece)
            await outgoing.drain()
        if reset:
            raw = outgoing.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    return handler


def silent(*pieces: bytes) -> Handler:
    async def handler(incoming: asyncio.StreamReader, outgoing: asyncio.StreamWriter) -> None:
        for piece in pieces:
            outgoing.write(piece)
        await incoming.read()  # until the client gives up
        await incoming.read()

    return handler


def test_a_whole_answer_comes_back_with_its_status_headers_and_body() -> None:
    """Everything else is judged from these three."""
    reply = ask(writing(HEAD + b"Content-Length: 2\r\nX-Left: 7\r\n\r\n{}"))
    assert (reply.status, reply.body, reply.headers["x-left"], reply.fault) == (200, b"{}", "7", "")


def test_a_stream_is_fed_as_it_comes_and_not_kept() -> None:
    """Keeping it would double the memory of long answers."""
    pieces = Pieces()
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
    reply = ask(writing(head + b"data: a\n\n", b"data: b\n\n"), reader=pieces)
    assert reply.streamed
    assert (pieces.data, reply.body) == (b"data: a\n\ndata: b\n\n", b"")


def test_an_error_status_is_never_taken_for_a_stream() -> None:
    """The reason stands in its body, which a stream reader would swallow."""
    reply = ask(
        writing(b"HTTP/1.1 429 No\r\nContent-Type: text/event-stream\r\nContent-Length: 1\r\n\r\nx"), reader=Pieces()
    )
    assert (reply.status, reply.streamed, reply.body) == (429, False, b"x")


@pytest.mark.parametrize(
    ("handler", "fault"),
    [
        (writing(), "disconnected"),
        (writing(reset=True), "reset"),
        (writing(HEAD + b"Content-Length: 100\r\n\r\nhalf"), "payload"),
        (writing(HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"), "malformed"),
        (writing(b"not HTTP at all\r\n\r\n"), "malformed"),
        (writing(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 20000 + b"\r\n\r\n"), "malformed"),
    ],
)
def test_a_broken_answer_has_a_name(handler: Handler, fault: str) -> None:
    """aiohttp calls a garbled answer status 400: taken for the server's, it would end the prompt."""
    reply = ask(handler)
    assert (reply.fault, reply.status) == (fault, 0)
    assert "secret-key" not in repr(reply)


@pytest.mark.parametrize(
    ("pieces", "timeout", "idle", "phase"),
    [
        ((), 0.05, 0.05, "first byte"),
        ((HEAD + b"Content-Length: 100\r\n\r\nhalf",), 5.0, 0.05, "idle"),
        ((HEAD + b"Content-Length: 100\r\n\r\nhalf",), 0.05, 5.0, "whole"),
    ],
)
def test_a_silent_server_is_left_and_the_phase_is_said(
    pieces: tuple[bytes, ...], timeout: float, idle: float, phase: str
) -> None:
    """Calls that hang with no error are a tenth of some providers' traffic; `timeout` alone tells nobody where."""
    reply = ask(silent(*pieces), timeout=timeout, idle=idle)
    assert (reply.fault, reply.phase) == ("timeout", phase)


def test_an_answer_over_the_cap_is_dropped_before_it_fills_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sixty kilobytes of gzip can unpack to sixty megabytes; a run has sixty-four of these at once."""
    monkeypatch.setattr(http, "MAX_BODY", 1000)
    reply = ask(writing(HEAD + b"Content-Length: 5000\r\n\r\n" + b" " * 5000))
    assert reply.fault == "too_large"


def test_a_redirect_is_an_answer_and_not_followed() -> None:
    """The key and the prompt would go to another host."""
    reply = ask(writing(b"HTTP/1.1 307 Moved\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"))
    assert (reply.status, reply.headers["Location"]) == (307, "http://127.0.0.1:1/")


def test_a_closed_port_and_an_unknown_host_are_told_apart() -> None:
    """One wants the server started, the other the address mended."""

    async def main() -> tuple[str, str]:
        transport = HttpTransport(4, time.perf_counter)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        try:
            faults = []
            for url in (f"http://127.0.0.1:{port}/", "http://no-such-host.invalid/"):
                faults.append((await transport.send(Endpoint(url, url, SealedHeaders()), b"", None)).fault)
            return faults[0], faults[1]
        finally:
            await transport.close()

    assert asyncio.run(main()) == ("refused", "dns")


def test_somebody_elses_cancellation_is_not_mistaken_for_a_timeout() -> None:
    """A run that is told to leave at once would go on waiting."""

    async def main() -> None:
        async def serve(incoming: asyncio.StreamReader, outgoing: asyncio.StreamWriter) -> None:
            arrived.set()
            await incoming.read()
            await incoming.read()
            outgoing.close()

        arrived = asyncio.Event()
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        transport = HttpTransport(4, time.perf_counter)
        task = asyncio.create_task(transport.send(Endpoint(url, url, SealedHeaders()), b"{}", None))
        await arrived.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await transport.close()
        server.close()

    asyncio.run(main())


def test_the_proxy_is_the_environments_except_for_what_it_exempts() -> None:
    """Behind a company's proxy nothing else reaches the net; a server of one's own must not go through it."""
    env = {"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": "internal.example"}
    assert proxy_for("https://api.example/v1", env) == "http://proxy:3128"
    assert proxy_for("https://internal.example/v1", env) is None
    assert proxy_for("http://127.0.0.1:8000/v1", {"HTTP_PROXY": "http://proxy:3128"}) is None
    assert proxy_for("https://api.example/v1", {}) is None


def test_a_proxy_without_a_scheme_is_one_of_plain_http() -> None:
    """Other programs take `proxy:3128`; here every key was unreachable by it."""
    assert proxy_for("https://api.example/v1", {"HTTPS_PROXY": "proxy:3128"}) == "http://proxy:3128"
    assert proxy_for("https://api.example/v1", {"https_proxy": "HTTP://proxy:3128"}) == "http://proxy:3128"


def test_a_proxy_that_is_not_spoken_to_is_told_by_its_variable() -> None:
    """`ValueError` says nothing to whoever has set it in a profile a year ago; and nothing may pass it by."""

    async def main() -> Reply:
        transport = HttpTransport(4, time.perf_counter)
        url, env = "https://api.example/v1", {"HTTPS_PROXY": "socks5h://127.0.0.1:9"}
        try:
            headers = SealedHeaders({"Authorization": "Bearer secret-key-1"})
            return await transport.send(Endpoint(url, url, headers, 5.0, 5.0, proxy_for(url, env)), b"{}", None)
        finally:
            await transport.close()

    reply = asyncio.run(main())
    assert (reply.fault, reply.status) == ("proxy", 0)
    assert reply.detail == "HTTPS_PROXY names a socks proxy, which llmfan does not speak"


def test_a_late_first_chunk_is_waited_for_however_soon_the_headers_came() -> None:
    """Some servers send headers at once and think for a minute: cutting them off pays for answers nobody gets."""
    pieces = Pieces()

    async def handler(incoming: asyncio.StreamReader, outgoing: asyncio.StreamWriter) -> None:
        outgoing.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        await outgoing.drain()
        await asyncio.get_running_loop().run_in_executor(None, threading.Event().wait, 0.15)
        outgoing.write(b"data: a\n\n")

    reply = ask(handler, timeout=5.0, idle=0.05, reader=pieces)
    assert (reply.fault, pieces.data) == ("", b"data: a\n\n")
