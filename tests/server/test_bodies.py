"""Request bodies: what is too large, too slow, too many, or not to be read at all."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest

from llmfan.server.bodies import BYTES, COPIES
from llmfan.server.terms import Patience
from tests.server.fleet_double import CHAT, HI, JSON, Bed, answers, serving, waits

HEAD = "Content-Type: application/json"
BODY = json.dumps(HI).encode()


def run(test: Callable[[Bed], Coroutine[Any, Any, None]], play: Any = answers, **terms: Any) -> None:
    async def go() -> None:
        async with serving(play, **terms) as bed:
            await asyncio.wait_for(test(bed), 10)

    asyncio.run(go())


def test_a_body_that_is_announced_too_large_is_refused_before_it_is_sent() -> None:
    """A hundred megabytes would be read for nothing."""

    async def test(bed: Bed) -> None:
        for more in ([], ["Expect: 100-continue"]):
            reader, writer = await asyncio.open_connection("127.0.0.1", bed.port)
            writer.write(bed.head(HEAD, "Content-Length: 104857600", *more))
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 413 ") and b"Connection: close" in head
            writer.close()
        assert not bed.fleet.asked

    run(test)


def test_a_body_of_unknown_length_is_read_no_further_than_it_may_be() -> None:
    """It could go on for ever."""

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 1000

    async def test(bed: Bed) -> None:
        try:
            got = await bed.send("POST", CHAT, data=endless(), headers=JSON)
            assert (got.status, got.error["code"]) == (413, "request_too_large")
        except OSError:
            pass  # it was closed while the rest was being sent: that is an answer as well
        assert not bed.fleet.asked and bed.service.house._bodies.held == 0

    run(test, max_body=5000, patience=Patience(head=0.2, sweep=0.05))


@pytest.mark.parametrize("sent", [b"", b'{"model'])
def test_a_body_that_does_not_come_is_waited_for_no_longer_than_that(sent: bytes) -> None:
    """Some thousand such requests, and there is no connection left for anybody."""

    async def test(bed: Bed) -> None:
        answer = await bed.raw(bed.head(HEAD, "Content-Length: 1000") + sent)
        assert answer.startswith(b"HTTP/1.1 408 ")

    run(test, patience=Patience(piece=0.05, head=0.2, sweep=0.05))


def test_a_body_that_drips_is_not_waited_for_either() -> None:
    """A byte now and then keeps every shorter time limit from passing."""

    async def test(bed: Bed) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", bed.port)
        writer.write(bed.head(HEAD, "Content-Length: 1000"))
        answer = asyncio.create_task(reader.read(20))
        while not answer.done():
            writer.write(b" ")
            await asyncio.wait([answer], timeout=0.01)
        assert answer.result().startswith(b"HTTP/1.1 408 ")
        writer.close()

    run(test, patience=Patience(body=0.1, piece=5))


def test_a_body_in_pieces_is_put_together() -> None:
    """Large ones always come so."""

    async def test(bed: Bed) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", bed.port)
        writer.write(bed.head(HEAD, f"Content-Length: {len(BODY)}", "Expect: 100-continue"))
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        for at in range(0, len(BODY), 10):
            writer.write(BODY[at : at + 10])
            await writer.drain()
            await asyncio.sleep(0)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
        writer.close()

    run(test)


def test_compressed_bodies_are_refused() -> None:
    """A kilobyte of them can hold a gigabyte."""

    async def test(bed: Bed) -> None:
        got = await bed.send("POST", CHAT, data=gzip.compress(BODY), headers={**JSON, "Content-Encoding": "gzip"})
        assert got.status == 415
        assert not bed.fleet.asked

    run(test)


def test_all_bodies_together_are_bounded_for_as_long_as_their_calls_last() -> None:
    """Ten thousand calls that wait, each with a picture, are more than the memory there is."""

    async def test(bed: Bed) -> None:
        first = asyncio.create_task(bed.ask())
        await bed.fleet.called.wait()
        got = await bed.ask()
        assert (got.status, got.headers["Retry-After"], got.error["code"]) == (503, "1", "overloaded")
        first.cancel()
        await bed.service.house.chat.quiet.wait()
        bed.fleet.play = answers
        assert (await bed.ask()).status == 200

    run(test, waits, max_bodies=int(1.5 * COPIES * len(BODY)))


def test_a_body_of_nothing_but_brackets_is_refused() -> None:
    """Read, each pair of them takes thirty times its size."""

    async def test(bed: Bed) -> None:
        got = await bed.send("POST", CHAT, data=io.BytesIO(b"[" + b"[]," * 2_000_001 + b"[]]"), headers=JSON)
        assert (got.status, got.error["code"]) == (400, "too_complex")

    run(test)


def test_a_broken_transfer_is_the_callers_fault() -> None:
    """A traceback for it would fill the log."""

    async def test(bed: Bed) -> None:
        for parts in ([b"5\r\n{}   \r\n", b"zz\r\n"], [b"zz\r\n"]):
            reader, writer = await asyncio.open_connection("127.0.0.1", bed.port)
            writer.write(bed.head(HEAD, "Transfer-Encoding: chunked"))
            for part in parts:
                await asyncio.sleep(0.01)  # so that it is no part of what was read before
                writer.write(part)
            assert (await reader.readline()).split()[1] in (b"400", b"408")  # by how the framework takes it
            writer.close()
        assert "Traceback" not in bed.said

    run(test, patience=Patience(piece=0.1))


def test_a_body_has_to_go_on_and_not_only_to_drip() -> None:
    """A byte now and then costs nothing, and holds a connection for as long as a whole body may take."""

    async def test(bed: Bed) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", bed.port)
        writer.write(bed.head(HEAD, "Content-Length: 1000000"))
        answer = asyncio.create_task(reader.read(20))
        while not answer.done():
            writer.write(b" ")
            await asyncio.wait([answer], timeout=0.01)
        assert answer.result().startswith(b"HTTP/1.1 408 ")
        writer.close()

    run(test, patience=Patience(body=30, piece=0.2))


def test_a_large_body_that_goes_on_is_waited_for() -> None:
    """Over a slow line a picture takes longer than any one piece of it may."""

    async def test(bed: Bed) -> None:
        body = json.dumps({**HI, "user": "x" * 200_000}).encode()
        reader, writer = await asyncio.open_connection("127.0.0.1", bed.port)
        writer.write(bed.head(HEAD, f"Content-Length: {len(body)}"))
        for at in range(0, len(body), 20_000):
            writer.write(body[at : at + 20_000])
            await asyncio.sleep(0.05)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
        writer.close()

    run(test, patience=Patience(body=30, piece=0.3))


def test_a_body_alone_always_fits() -> None:
    """`--max-body` would promise what is never kept."""

    async def test(bed: Bed) -> None:
        assert (await bed.ask(user="x" * 10_000)).status == 200
        first = asyncio.create_task(bed.ask(user="x" * 1000))
        bed.fleet.play = waits
        await bed.fleet.has(2)
        assert (await bed.ask(user="x" * 10_000)).status == 503
        answers(bed.fleet.tickets[1])
        assert (await first).status == 200
        assert bed.service.house._bodies.held == 0

    run(test, max_bodies=100)


def test_there_is_no_asking_for_room_that_is_not_there() -> None:
    """Thirty megabytes would be sent, and then refused."""

    async def test(bed: Bed) -> None:
        first = asyncio.create_task(bed.ask())
        await bed.fleet.has(1)
        for more in ([], ["Expect: 100-continue"]):
            answer = await bed.raw(bed.head(HEAD, "Content-Length: 5000", *more))
            assert answer.startswith(b"HTTP/1.1 503 ") and b"Retry-After: 1" in answer
        answers(bed.fleet.tickets[0])
        await first

    run(test, waits, max_bodies=10_000, patience=Patience(piece=0.1))


def test_a_body_counts_for_what_it_takes_and_not_for_what_it_was_sent_as() -> None:
    """Four bytes for each letter, if there is one picture of a face among them: memory is full before the count is."""

    async def test(bed: Bed) -> None:
        for sign, count in (("", COPIES), ("\U0001f600", BYTES + 4)):
            asking = asyncio.create_task(bed.ask(user="x" * 100_000 + sign))
            await bed.fleet.called.wait()
            bed.fleet.called.clear()
            assert count <= bed.service.house._bodies.held / 100_000 < count + 0.1
            answers(bed.fleet.tickets[-1])
            await asking
        assert bed.service.house._bodies.held == 0

    run(test, waits)
