"""Connections: those that ask nothing, or too slowly, must not keep out those that ask."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from llmfan.conduct.ticket import Ticket
from llmfan.server.connections import LEAVING
from llmfan.server.terms import Patience
from tests.server.fleet_double import CHAT, HI, WHOLE, Bed, Stream, answers, serving, waits

Line = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def run(test: Callable[[Bed], Coroutine[Any, Any, None]], play: Any = answers, **terms: Any) -> None:
    async def go() -> None:
        async with serving(play, **terms) as bed:
            await asyncio.wait_for(test(bed), 10)

    asyncio.run(go())


async def opened(bed: Bed, count: int, first: bytes = b"") -> list[Line]:
    lines = [await asyncio.open_connection("127.0.0.1", bed.port) for _ in range(count)]
    for _, writer in lines:
        writer.write(first)
    return lines


async def closed(line: Line) -> bool:
    """Waits until the other side has closed it."""
    try:
        return not await asyncio.wait_for(line[0].read(), 5)
    except ConnectionError:
        return True


async def soon(held: Callable[[], bool]) -> None:
    for _ in range(5000):
        if held():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("not in time")


def leave(lines: list[Line]) -> None:
    for _, writer in lines:
        writer.close()


def test_a_thousand_idle_connections_leave_room_for_a_call() -> None:
    """They cost nothing to open, and would be the end of the service."""

    async def test(bed: Bed) -> None:
        lines = await opened(bed, 500) + await opened(bed, 500, b"GET / HT")
        assert (await bed.ask()).status == 200
        assert len(bed.service.connections.all) <= 100
        assert await closed(lines[0]) and await closed(lines[500])
        leave(lines)

    run(test, connections=100)


def test_a_head_that_does_not_end_is_waited_for_no_longer_than_that() -> None:
    """A line of it now and then keeps every timer from passing that counts from the last byte."""

    async def test(bed: Bed) -> None:
        (line,) = await opened(bed, 1, b"GET / HTTP/1.1\r\n")
        end = asyncio.create_task(closed(line))
        while not end.done():
            line[1].write(b"X-More: yes\r\n")
            await asyncio.wait([end], timeout=0.02)
        assert end.result()
        leave([line])

    run(test, patience=Patience(head=0.1, sweep=0.02))


def test_a_second_request_has_no_more_time_than_the_first() -> None:
    """One whole request would buy a connection for ever."""

    async def test(bed: Bed) -> None:
        (line,) = await opened(bed, 1, bed.head(method="GET", path="/healthz"))
        await line[0].readuntil(b'{"status":"ok"}')
        line[1].write(b"GET / HT")
        assert await closed(line)
        leave([line])

    run(test, patience=Patience(head=0.05, idle=60, sweep=0.02))


def test_a_connection_that_asks_no_more_is_closed_after_a_while() -> None:
    """Clients come and go, and not all of them say so."""

    async def test(bed: Bed) -> None:
        (line,) = await opened(bed, 1, bed.head(method="GET", path="/healthz"))
        await line[0].readuntil(b'{"status":"ok"}')
        assert await closed(line)
        leave([line])

    run(test, patience=Patience(head=60, idle=0.05, sweep=0.02))


def test_calls_at_work_are_never_closed_to_make_room() -> None:
    """Whoever waits for an answer would pay for those who ask nothing."""

    async def test(bed: Bed) -> None:
        asking = [asyncio.create_task(bed.ask()) for _ in range(3)]
        await bed.fleet.has(3)
        leave(await opened(bed, 20))
        (line,) = await opened(bed, 1, b"GET / HT")
        assert len(bed.service.connections.all) <= 4
        for ticket in bed.fleet.tickets:
            answers(ticket)
        assert [(await each).body for each in asking] == [WHOLE] * 3
        leave([line])

    run(test, waits, connections=4)


def test_when_all_are_at_work_another_is_told_so() -> None:
    """A closed connection without a word is tried again at once."""

    async def test(bed: Bed) -> None:
        asking = [asyncio.create_task(bed.ask()) for _ in range(2)]
        await bed.fleet.has(2)
        reader, writer = await asyncio.open_connection("127.0.0.1", bed.port)
        answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 503 ") and b"Retry-After: 1\r\n" in answer
        assert answer.endswith(b'"code":"overloaded"}}')
        writer.close()
        for ticket in bed.fleet.tickets:
            answers(ticket)
        await asyncio.gather(*asking)

    run(test, waits, connections=2)


def test_requests_piled_up_behind_one_are_bounded() -> None:
    """They would fill the memory while the first one waits for its permit."""

    async def test(bed: Bed) -> None:
        body = b'{"messages": [{"role": "user", "content": "hi"}]}'
        head = bed.head("Content-Type: application/json", f"Content-Length: {len(body)}")
        (line,) = await opened(bed, 1, head + body)
        await bed.fleet.called.wait()
        try:
            while True:
                line[1].write(bed.head(method="GET", path="/healthz") * 1000)
                await line[1].drain()
        except ConnectionError:
            pass
        await bed.service.house.chat.quiet.wait()
        assert bed.fleet.cancelled == bed.fleet.tickets
        leave([line])

    run(test, waits)


def test_a_caller_that_takes_nothing_of_its_answer_is_let_go() -> None:
    """Its answer would lie in memory for as long as it likes."""

    def play(ticket: Ticket) -> None:
        stream = Stream(ticket)
        for _ in range(200):
            stream.text("x" * 100_000)

    async def test(bed: Bed) -> None:
        async with bed.http.post(CHAT, json={**HI, "stream": True}) as response:
            response.connection.transport.pause_reading()  # type: ignore[union-attr]
            await bed.service.house.chat.quiet.wait()
        assert bed.fleet.cancelled == bed.fleet.tickets

    run(test, play, patience=Patience(stuck=0.1, sweep=0.02))


SLOW = ("Content-Type: application/json", "Content-Length: 100000")


def test_bodies_that_do_not_come_leave_room_for_a_call() -> None:
    """A head and a byte now and then cost nothing, and would lock out everybody else for as long as a body may take."""

    async def test(bed: Bed) -> None:
        lines = await opened(bed, 100, bed.head(*SLOW) + b"{")
        await soon(lambda: len(bed.service.connections.bodies) == 100)
        for _ in range(3):
            assert (await bed.ask()).status == 200
        assert len(bed.service.connections.all) <= 100
        head = await lines[0][0].readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 503 ") and b"Retry-After: 1\r\n" in head
        leave(lines)

    run(test, connections=100)


def test_of_bodies_the_one_makes_room_that_has_stood_still_for_longest() -> None:
    """A large picture over a slow line is older than those that only pretend to send something."""

    async def test(bed: Bed) -> None:
        honest, *others = await opened(bed, 3, bed.head(*SLOW) + b"{")
        await soon(lambda: len(bed.service.connections.bodies) == 3)
        first = next(iter(bed.service.connections.bodies))
        honest[1].write(b" " * 20_000)
        await soon(lambda: next(iter(bed.service.connections.bodies)) is not first)
        assert (await bed.ask()).status == 200
        assert first in bed.service.connections.bodies and len(bed.service.connections.bodies) == 2
        leave([honest, *others])

    run(test, connections=3)


def test_who_is_turned_away_hears_why_though_it_sends_its_request_first() -> None:
    """A broken pipe looks like a fault of the network, and says nothing of coming back."""

    async def test(bed: Bed) -> None:
        asking = asyncio.create_task(bed.ask())
        await bed.fleet.has(1)
        reader, writer = await asyncio.open_connection("127.0.0.1", bed.port)
        for _ in range(20):
            writer.write(bed.head(*SLOW) + b" " * 1000)
            await writer.drain()
            await asyncio.sleep(0.001)
        assert (await reader.read()).startswith(b"HTTP/1.1 503 ")
        writer.close()
        answers(bed.fleet.tickets[0])
        await asking

    run(test, waits, connections=1)


def test_those_who_are_turned_away_are_kept_neither_long_nor_in_any_number() -> None:
    """Each of them has a file, and those are what connections are bounded for."""

    async def test(bed: Bed) -> None:
        asking = asyncio.create_task(bed.ask())
        await bed.fleet.has(1)
        lines = await opened(bed, 2 * LEAVING)
        await soon(lambda: len(bed.service.connections.leaving) == LEAVING)
        for _ in range(20):
            await asyncio.sleep(0)
            assert len(bed.service.connections.leaving) <= LEAVING
        await soon(lambda: not bed.service.connections.leaving)
        answers(bed.fleet.tickets[0])
        await asking
        leave(lines)

    run(test, waits, connections=1, patience=Patience(sweep=0.05))


def test_callers_that_leave_in_the_middle_of_a_body_are_no_fault_of_ours() -> None:
    """Thousands of lines about an internal error hide the one that is true."""

    async def test(bed: Bed) -> None:
        lines = await opened(bed, 30, bed.head(*SLOW, "Expect: 100-continue"))
        lines += await opened(bed, 30, bed.head(*SLOW) + b"{")
        lines += await opened(bed, 30, bed.head(*SLOW) + b"{")
        for number, (_, writer) in enumerate(lines):
            if number % 2:
                writer.transport.abort()
            else:
                writer.close()
        await soon(lambda: not bed.service.connections.all)
        assert (await bed.ask()).status == 200
        assert {status for _, status in bed.service.house._metrics._calls} == {"200", "499"}
        said = bed.said
        assert "internal error" not in said and "Traceback" not in said

    run(test)
