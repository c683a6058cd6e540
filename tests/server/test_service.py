"""A service from its socket to its last answer."""

from __future__ import annotations

import asyncio
import resource
import socket

import pytest

from llmfan.errors import UserError
from llmfan.options import RunOptions
from llmfan.server.service import _room
from llmfan.server.sockets import listeners
from llmfan.server.terms import Terms
from tests.server.fleet_double import WHOLE, Stream, answers, serving, waits


def test_calls_in_flight_are_answered_before_it_ends() -> None:
    """Every restart would cost its callers their answers."""

    async def go() -> None:
        async with serving(waits) as bed:
            asking = asyncio.create_task(bed.ask())
            await bed.fleet.called.wait()
            bed.fleet.closed.clear()
            closing = asyncio.create_task(bed.service.close(30))
            await asyncio.sleep(0.01)
            with pytest.raises(OSError):
                await asyncio.open_connection("127.0.0.1", bed.port)
            assert not closing.done()
            answers(bed.fleet.tickets[0])
            bed.fleet.closed.set()
            response = await asking
            assert (response.status, response.body) == (200, WHOLE)
            assert response.headers["Connection"] == "close"
            await asyncio.wait_for(closing, 5)
            assert (bed.fleet.drained, bed.fleet.cancelled) == ([30], [])
            assert "stopping: waiting for 1 call, 30 s at most" in bed.said

    asyncio.run(go())


def test_while_it_drains_it_is_not_healthy() -> None:
    """A balancer would send it more calls."""

    async def go() -> None:
        async with serving() as bed:
            assert (await bed.send("GET", "/healthz")).status == 200
            bed.fleet.closed.clear()
            closing = asyncio.create_task(bed.service.close(30))
            await asyncio.sleep(0)
            got = await bed.send("GET", "/healthz")  # over the connection that is open already
            assert (got.status, got.document) == (503, {"status": "draining"})
            bed.fleet.closed.set()
            await asyncio.wait_for(closing, 5)

    asyncio.run(go())


@pytest.mark.parametrize("again", [True, False])
def test_a_stream_that_has_to_end_says_so_in_its_last_event(again: bool) -> None:
    """After the grace, or on a second signal, half an answer must not look like a whole one."""

    async def go() -> None:
        async with serving(lambda ticket: Stream(ticket).text("half"), taken=0.1) as bed:
            body = b'{"stream": true, "messages": [{"role": "user", "content": "hi"}]}'
            head = bed.head("Content-Type: application/json", f"Content-Length: {len(body)}")
            asking = asyncio.create_task(bed.raw(head + body))
            await bed.fleet.called.wait()
            await asyncio.sleep(0.01)
            if again:
                bed.fleet.closed.clear()
                bed.service.interrupted(15)
                bed.service.interrupted(2)
            await asyncio.wait_for(bed.service.close(30), 5)
            answer = await asking
            assert b"half" in answer and b'"code":"closing"' in answer and b"[DONE]" not in answer
            assert bed.fleet.cancelled == bed.fleet.tickets
            assert "broken off: 1" in bed.said

    asyncio.run(go())


def test_a_page_that_watches_does_not_hold_it_open() -> None:
    """A dashboard left open in some tab would keep the process alive."""

    async def go() -> None:
        async with serving() as bed:
            reader, writer = await asyncio.open_connection("127.0.0.1", bed.port)
            writer.write(bed.head(method="GET", path="/events"))
            await reader.readline()
            await asyncio.wait_for(bed.service.close(30), 3)
            writer.close()

    asyncio.run(go())


def test_a_port_in_use_is_told_with_the_way_out() -> None:
    """`Address already in use` leaves a beginner alone."""
    (taken,) = listeners("127.0.0.1", 0)
    port = taken.getsockname()[1]
    with taken, pytest.raises(UserError, match=rf"127\.0\.0\.1:{port} is in use already: .* --port 0"):
        listeners("127.0.0.1", port)


@pytest.mark.parametrize("host", ["no-such-host.invalid", "192.0.2.1", "a..b", "x" * 300])
def test_a_host_that_is_not_here_is_told(host: str) -> None:
    """A traceback says it to nobody."""
    with pytest.raises(UserError, match=r"--host .*: not an address of this machine"):
        listeners(host, 0)


def test_a_name_with_two_addresses_is_served_at_both_on_one_port(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of its clients would find nobody."""
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, 0)) for host in ("127.0.0.1", "127.0.0.2")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    made = listeners("both", 0)
    assert len({each.getsockname()[1] for each in made}) == 1 and len(made) == 2
    for each in made:
        each.close()


@pytest.mark.parametrize(
    ("files", "concurrency", "simulate", "room"),
    [(20_000, 1024, False, 4096), (1024, 1024, False, 432), (1024, 100, False, 764), (1024, 1024, True, 288),
     (100, 10, False, 1), (resource.RLIM_INFINITY, 1024, True, 4096)],
)  # fmt: skip
def test_connections_never_take_the_last_file(
    files: int, concurrency: int, simulate: bool, room: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call that is let in and finds no file for its provider fails, and so does the ledger."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (files, files))
    assert _room(Terms(), RunOptions(concurrency=concurrency, simulate=simulate)) == room
