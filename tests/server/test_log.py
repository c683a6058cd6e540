"""The log of a service: it tells, and it never stands in the way."""

from __future__ import annotations

import asyncio
import threading

from llmfan.server.log import MOST, CallNote, Log, spelled


def test_a_log_that_nobody_reads_holds_nothing_up() -> None:
    """A pipe that is full would stop the service in the middle of somebody's answer."""
    may, taken, said = threading.Event(), threading.Event(), []

    def stuck(data: bytes) -> None:
        taken.set()
        may.wait(10)
        said.append(data.decode())

    async def go() -> None:
        log = Log(stuck)
        log.say("first")
        await asyncio.to_thread(taken.wait, 10)  # it is being written, and nobody takes it
        for number in range(MOST + 7):
            log.say(f"line {number}")
        may.set()
        log.close()

    asyncio.run(go())
    lines = "".join(said).splitlines()
    assert lines[0].endswith("first") and lines[-1] == "7 lines are left out: the log was not read fast enough"
    assert len(lines) == MOST + 2


def test_a_log_whose_reader_left_goes_on_in_silence() -> None:
    """`llmfan serve 2>&1 | head` must not end the service."""

    tried: list[bytes] = []

    def gone(data: bytes) -> None:
        tried.append(data)
        raise BrokenPipeError

    async def go() -> None:
        log = Log(gone)
        log.say("one")
        log.close()

    asyncio.run(go())
    assert len(tried) == 1


def test_what_strangers_wrote_stays_on_its_line() -> None:
    """A path with a line end in it could write the log's next line."""
    said: list[bytes] = []

    async def go() -> None:
        log = Log(said.append)
        log.refused(404, "GET", "/x\n2026 200 all is well\x1b[2J", "nothing here")
        log.close()

    asyncio.run(go())
    (line,) = b"".join(said).decode().splitlines()
    assert r"GET /x\n2026 200 all is well\x1b[2J: nothing here" in line


def test_a_line_tells_who_answered_or_why_nobody_did() -> None:
    """It is what is read first when something goes wrong."""
    well = CallNote(
        id="c-1", status=200, seconds=1.5, provider="a", model="m/n", key="a#1", attempts=2, wait=0.25, streamed=True
    )
    assert spelled(well) == "200 c-1 a/m/n by a#1, 2 attempts, waited 0.250 s, took 1.500 s, streamed"
    never = CallNote(status=413, seconds=0.1, end="refused (request_too_large): the body is over 32 MiB")
    assert spelled(never) == "413 refused (request_too_large): the body is over 32 MiB, took 0.100 s"
    well.end, well.broke = "timeout", True
    assert spelled(well).endswith("streamed, broke off after it had begun: timeout")
