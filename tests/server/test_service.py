"""A service from its socket to its last answer."""

from __future__ import annotations

import asyncio
import resource
import socket

import aiohttp
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


def test_while_it_drains_who_comes_anew_is_told_so() -> None:
    """A balancer would send it more calls, and a refused connection looks like a crash."""

    async def go() -> None:
        async with serving(waits) as bed:
            assert (await bed.send("GET", "/healthz")).status == 200
            asking = asyncio.create_task(bed.ask())
            await bed.fleet.called.wait()
            bed.fleet.closed.clear()
            closing = asyncio.create_task(bed.service.close(30))
            await asyncio.sleep(0)
            async with aiohttp.ClientSession(bed.service.url) as other:  # over connections that were not open before
                bed.http, was = other, bed.http
                got = await bed.send("GET", "/healthz")
                assert (got.status, got.document, got.headers["Connection"]) == (503, {"status": "draining"}, "close")
                got = await bed.ask()
                assert (got.status, got.error["code"], got.headers["Retry-After"]) == (503, "closing", "5")
                assert got.error["message"] == "the service is being stopped"
                assert got.headers["Connection"] == "close"
                assert (await bed.send("GET", "/")).status == 200
                bed.http = was
            assert len(bed.fleet.tickets) == 1
            answers(bed.fleet.tickets[0])
            bed.fleet.closed.set()
            assert (await asking).status == 200
            await asyncio.wait_for(closing, 5)
            with pytest.raises(OSError):
                await asyncio.open_connection("127.0.0.1", bed.port)
            assert "503 refused: the service is being stopped" in bed.said

    asyncio.run(go())


def test_a_fleet_that_has_ended_by_itself_ends_the_service() -> None:
    """It would take calls for ever, and carry out none; whoever watches over it restarts what has failed."""

    async def go() -> None:
        async with serving() as bed:
            over = asyncio.create_task(bed.service.last())
            await asyncio.sleep(0)
            bed.fleet.closed.clear()
            bed.fleet.ended.set()
            got = await bed.send("GET", "/healthz")
            assert (got.status, got.document) == (503, {"status": "dead"})
            bed.fleet.closed.set()
            assert await asyncio.wait_for(over, 5) == 1
            assert "ending: the fleet has ended by a fault of llmfan itself" in bed.said

    asyncio.run(go())


def test_a_signal_is_in_the_exit_code() -> None:
    """A service manager tells a stop that was asked for from a failure by it."""

    async def go() -> None:
        async with serving() as bed:
            over = asyncio.create_task(bed.service.last())
            bed.service.interrupted(15)
            assert await asyncio.wait_for(over, 5) == 143

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
            ending = asyncio.create_task(bed.service.close(30))
            done, _ = await asyncio.wait([ending], timeout=3)
            assert done, "it ends although the page is open"
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
