"""The stream behind the dashboard: one document for all who watch, nothing for nobody, and an end that is told."""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple, cast

import aiohttp
import pytest
from aiohttp import web

from llmfan.overview import Overview
from llmfan.server import events
from llmfan.server.events import add_events
from llmfan.server.watching import Place
from tests.loopback.serving import ROOT

TICK_S = 0.02


class Shown:
    """An overview whose documents are numbered. `padding` makes them large."""

    def __init__(self, padding: int = 0) -> None:
        self.made, self._padding = 0, "x" * padding
        self.breaks = False

    async def refreshed(self, fresh: float = 0.0) -> dict[str, Any]:
        if self.breaks:
            raise RuntimeError("a fault")
        return self.status()

    def status(self) -> dict[str, Any]:
        return {"total_providers": self.made}

    def document(self) -> dict[str, Any]:
        self.made += 1
        return {"n": self.made, "status": self.status(), "padding": self._padding}


class Event(NamedTuple):
    kind: str
    data: dict[str, Any]


class Bed:
    def __init__(self, shown: Shown, http: aiohttp.ClientSession, port: int, runner: web.AppRunner):
        self.shown, self.http, self.port, self.runner = shown, http, port, runner

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[Watch]:
        async with self.http.get("/events") as response:
            assert response.status == 200
            yield Watch(response)


class Watch:
    def __init__(self, response: aiohttp.ClientResponse):
        self.response = response

    async def next(self) -> Event | None:
        """The next event; None at the end."""
        kind = "message"
        while line := (await self.response.content.readline()).decode():
            name, _, value = line.strip().partition(": ")
            if name == "event":
                kind = value
            elif name == "data":
                return Event(kind, json.loads(value))
        return None


def serve(story: Callable[[Bed], Awaitable[None]], padding: int = 0) -> None:
    async def main() -> None:
        shown, app = Shown(padding), web.Application()
        add_events(app, cast(Overview, shown), "serve")
        runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        connector = aiohttp.TCPConnector(limit=0)
        try:
            async with (
                asyncio.timeout(20),
                aiohttp.ClientSession(f"http://127.0.0.1:{port}", connector=connector, read_bufsize=1 << 22) as http,
            ):
                await story(Bed(shown, http, port, runner))
        finally:
            await runner.cleanup()

    asyncio.run(main())


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "EVERY_S", TICK_S)


@pytest.mark.usefixtures("quick")
def test_a_watcher_is_told_at_once_and_then_again_and_again() -> None:
    """An empty page for the first second looks broken; one that stands still is worse."""

    async def story(bed: Bed) -> None:
        async with bed.watching() as watch:
            assert watch.response.content_type == "text/event-stream"
            assert watch.response.headers["Cache-Control"] == "no-store"
            got = [await watch.next() for _ in range(4)]
            assert [each.data["n"] for each in got if each is not None] == [1, 2, 3, 4]
            assert all(each is not None and (each.kind, each.data["what"]) == ("message", "serve") for each in got)

    serve(story)


def test_who_comes_later_is_shown_the_same_at_once() -> None:
    """Between two ticks of a second as well: what stands there already costs nothing to be shown."""

    async def story(bed: Bed) -> None:
        async with bed.watching() as first, bed.watching() as second:
            assert await first.next() == await second.next()
            assert bed.shown.made == 1

    serve(story)


@pytest.mark.usefixtures("quick")
def test_many_watchers_cost_no_more_than_one() -> None:
    """Thirty people who look at one page must not slow the calls it shows."""

    async def story(bed: Bed) -> None:
        async with bed.watching() as first:
            others = [bed.http.get("/events") for _ in range(20)]
            answers = [await other for other in others]
            seen = [await first.next() for _ in range(5)]
            assert seen[-1] is not None
            assert bed.shown.made <= seen[-1].data["n"] + 1
            for answer in answers:
                answer.close()

    serve(story)


@pytest.mark.usefixtures("quick")
def test_nothing_is_made_while_nobody_watches() -> None:
    """A page that was closed last week must not cost anything today."""

    async def story(bed: Bed) -> None:
        async with bed.watching() as watch:
            await watch.next()
        ticking = {task for task in asyncio.all_tasks() if "_tick" in repr(task.get_coro())}
        await asyncio.wait(ticking)
        made = bed.shown.made
        await asyncio.sleep(3 * TICK_S)
        assert bed.shown.made == made
        async with bed.watching() as watch:
            event = await watch.next()
            assert event is not None and event.data["n"] == made + 1

    serve(story)


@pytest.mark.usefixtures("quick")
def test_there_is_a_bound_on_watchers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A script that opens streams in a loop must not take all that the server has."""
    monkeypatch.setattr(events, "MOST", 3)

    async def story(bed: Bed) -> None:
        async with bed.watching(), bed.watching():
            async with bed.watching() as last:
                await last.next()
                async with bed.http.get("/events") as refused:
                    assert refused.status == 503
                    assert "Retry-After" in refused.headers
                    assert "3 dashboards" in (await refused.json())["error"]["message"]
            while True:  # its place is given back once its end has been noticed
                async with bed.http.get("/events") as again:
                    if again.status == 200:
                        return

    serve(story)


@pytest.mark.usefixtures("quick")
def test_who_takes_nothing_holds_nobody_up_and_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """A laptop that was closed in mid-stream takes nothing, for hours."""
    monkeypatch.setattr(events, "STUCK_S", 0.2)

    async def story(bed: Bed) -> None:
        slow = socket.socket()
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.connect(("127.0.0.1", bed.port))
        slow.sendall(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
        with slow:
            async with bed.watching() as watch:
                numbers = []
                while len(numbers) < 30:
                    event = await watch.next()
                    assert event is not None
                    numbers.append(event.data["n"])
                assert numbers[-1] - numbers[0] < 60, "the slow one held the other up"
            slow.settimeout(5)
            end = b""
            while more := await asyncio.to_thread(slow.recv, 1 << 16):
                end = more
            assert not end.endswith(b"0\r\n\r\n"), "it was waited for to the end"

    serve(story, padding=1 << 20)


@pytest.mark.usefixtures("quick")
def test_the_end_is_told_with_the_last_figures() -> None:
    """A page that loses its connection without a word shows `trying again` for a run that has ended well."""

    async def story(bed: Bed) -> None:
        async with bed.watching() as watch:
            await watch.next()
            ending = asyncio.ensure_future(bed.runner.cleanup())
            got = []
            while (event := await watch.next()) is not None:
                got.append(event)
            await ending
            assert [event.kind for event in got[-2:]] == ["message", "end"]
            assert got[-2].data["n"] == bed.shown.made

    serve(story)


@pytest.mark.usefixtures("quick")
def test_a_fault_ends_the_streams_instead_of_leaving_them_still() -> None:
    """Figures that stand still without a word are taken for the truth."""

    async def story(bed: Bed) -> None:
        async with bed.watching() as watch:
            await watch.next()
            bed.shown.breaks = True
            with pytest.raises(aiohttp.ClientPayloadError):
                while await watch.next() is not None:
                    pass
        bed.shown.breaks = False
        async with bed.watching() as watch:
            assert await watch.next() is not None, "it did not begin again"

    serve(story)


def test_a_run_is_shown_while_it_lasts(tmp_path: Path) -> None:
    """`llmfan run --dashboard`: the page, the stream and the figures of the run, for nobody but this machine's user."""
    prompts = tmp_path / "p.jsonl"
    prompts.write_text("".join(f'{{"prompt": "question {n}"}}\n' for n in range(90)))
    fleet = {"a": {"base_url": "https://a.example/v1", "keys": ["$A_1"], "model": "m", "limits": {"rpm": 60}}}
    (tmp_path / "providers.yaml").write_text(json.dumps({"version": 1, "providers": fleet}))
    command = [sys.executable, "-m", "llmfan", "run", "p.jsonl", "--simulate", "--simulate-speed", "20", "-o", "out"]
    process = subprocess.Popen(
        [*command, "--dashboard", "--dashboard-port", "0"], cwd=tmp_path, stdout=subprocess.PIPE, text=True,
        stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert process.stderr is not None
    told = re.search(r"dashboard: (http://127\.0\.0\.1:\d+/)", process.stderr.readline())
    assert told is not None, process.stderr.read()
    url = told[1]
    with _opened(f"{url}events") as stream:
        first = _events(stream, 1)[0]
        for headers in ({"Host": "evil.example"}, {"Origin": "http://evil.example"}):
            with pytest.raises(urllib.error.HTTPError, match="403"):
                _opened(url, headers)
        with _opened(f"{url}api/llm-providers") as answer:
            status = json.load(answer)
        with _opened(url) as page:
            assert b"<html" in page.read()
        rest = _events(stream, 1000)
    out, err = process.communicate(timeout=30)
    assert process.returncode in (0, 1), err
    assert (first["what"], first["simulated"], first["speed"], first["now"]["total"]) == ("run", True, 20.0, 90)
    assert status in [first["status"], *(each["status"] for each in rest)], "the page and the document differ"
    last = rest[-1]["now"]
    assert (last["done"], last["waiting"], last["in_flight"]) == (90, {"batch": 0}, 0)
    assert f"{last['attempts']}" in out
    (key,) = rest[-1]["status"]["quota_status"]["a"]["keys"]
    assert key["calls_today"] == last["attempts"]
    with pytest.raises(urllib.error.URLError):
        _opened(url)


def test_a_port_in_use_is_passed_by_and_told(capsys: pytest.CaptureFixture[str]) -> None:
    """Two runs at once are no fault: the second one's page is one door further."""
    first = Place(0)
    try:
        second = Place(first.port)
        assert second.port > first.port
        second.close()
    finally:
        first.close()


def _opened(url: str, headers: dict[str, str] | None = None) -> Any:
    return urllib.request.urlopen(urllib.request.Request(url, headers=headers or {}), timeout=20)


def _events(stream: Any, most: int) -> list[dict[str, Any]]:
    """Up to the end, which has to be told."""
    found: list[dict[str, Any]] = []
    kind = ""
    while len(found) < most:
        line = stream.readline().decode()
        assert line, "the stream ended without a word"
        name, _, value = line.strip().partition(": ")
        if name == "event":
            kind = value
        elif name == "data" and kind == "end":
            return found
        elif name == "data":
            found.append(json.loads(value))
    return found
