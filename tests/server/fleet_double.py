"""A fleet that answers as a test tells it, and a service over it on a real port."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, NamedTuple, cast

import aiohttp

from llmfan.conduct.ticket import Refusal, Ticket
from llmfan.dialects import dialect
from llmfan.dialects.relay import Head
from llmfan.engine import Engine
from llmfan.options import RunOptions
from llmfan.records import Answer, ErrorInfo, Prompt, ResultLine, Target, Usage
from llmfan.scheduling.jobs import Job
from llmfan.secret import Redactor
from llmfan.server.log import Log
from llmfan.server.service import Service
from llmfan.server.sockets import listeners
from llmfan.server.terms import Terms
from llmfan.settings import Fleet, Preset

TARGET = Target(provider="acme", model="some/model", key="acme#1")
HI = {"model": "auto", "messages": [{"role": "user", "content": "hi"}]}
CHAT = "/v1/chat/completions"
SECRET = "sk-double/5a4b3c2d"
USED = Usage(input_tokens=3, output_tokens=2, source="server")
JSON = {"content-type": "application/json"}
WHOLE = json.dumps(
    {
        "id": "up-1", "object": "chat.completion", "created": 1, "model": "some/model",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
    }
).encode()  # fmt: skip
Play = Callable[[Ticket], None]


class FleetDouble:
    """`play` is what happens to each call; `asked` is with what words it came."""

    def __init__(self, play: Play, *, simulate: bool = False):
        self.play = play
        self.asked: list[dict[str, Any]] = []
        self.tickets: list[Ticket] = []
        self.cancelled: list[Ticket] = []
        self.drained: list[float] = []
        self.called, self.closed, self.ended = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.closed.set()
        self.redact = Redactor([SECRET])
        self.lanes = [SimpleNamespace(target=TARGET)]
        self.fleet, self.options = Fleet(file="", providers=[]), RunOptions(simulate=simulate, callers=True)
        self.overview = SimpleNamespace(
            status=dict, document=dict, refreshed=self._refreshed, dispatcher=SimpleNamespace(lanes=self.lanes)
        )

    @property
    def alive(self) -> bool:
        return not self.ended.is_set()

    def submit(self, prompt: Prompt, *, streams: bool = False, usage: bool = False, **words: Any) -> Ticket:
        self.asked.append({"prompt": prompt, **words})
        head = Head(id=f"chatcmpl-{len(self.asked)}", created=1)
        ticket = Ticket(Job(prompt, 0, ""), streams=streams, head=head, usage=usage, submitted=0.0)
        self.tickets.append(ticket)
        self.play(ticket)
        self.called.set()
        return ticket

    def cancel(self, ticket: Ticket) -> None:
        self.cancelled.append(ticket)
        ticket.result.cancel()
        ticket.begun.cancel()

    async def has(self, count: int) -> None:
        """Waits until so many calls have come."""
        while len(self.tickets) < count:
            self.called.clear()
            await self.called.wait()

    async def drain(self, grace: float) -> None:
        self.drained.append(grace)
        await self.closed.wait()

    async def _refreshed(self, *_: object, **__: object) -> dict[str, Any]:
        return {}


class Stream:
    """An answer that a test lets come piece by piece."""

    def __init__(self, ticket: Ticket):
        self._ticket = ticket
        self._reader = dialect("openai_chat", Preset(name="Test", checked="2026-11-20")).stream()
        ticket.job.sent += 1
        ticket.attempt(TARGET, self._reader, True, 0.25)

    def text(self, text: str) -> None:
        chunk = {"id": "up-1", "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]}
        self._reader.feed(b"data: " + json.dumps(chunk).encode() + b"\n\n", 1.0)

    def end(self) -> None:
        self._ticket.answered(Answer(text="hello", finish_reason="stop"), USED, b"")
        self._ticket.ended(result())

    def die(self, kind: str = "truncated_stream") -> None:
        self._ticket.ended(failed(kind))


def result(**other: Any) -> ResultLine:
    line: dict[str, Any] = {
        "id": "x", "index": 0, "repeat": 0, "status": "ok", "provider": "acme", "model": "some/model", "key": "acme#1",
        "text": "hello", "reasoning": None, "finish_reason": "stop", "usage": None, "cost_usd": None, "wait_s": 0.25,
        "retry_s": 0.0, "ttft_s": None, "ttfo_s": None, "latency_s": 1.0, "total_s": 1.25, "attempts": 1, "error": None,
        "expect": None, "score": None, "metadata": None, "simulated": False,
    }  # fmt: skip
    return ResultLine(**{**line, **other})


def failed(kind: str) -> ResultLine:
    return result(status="failed", error=ErrorInfo(kind, "the engine fell over", None))


def answers(ticket: Ticket) -> None:
    """Whole, at once."""
    ticket.job.sent += 1
    ticket.attempt(TARGET, None, True, 0.25)
    ticket.answered(Answer(text="hello", finish_reason="stop"), USED, b"" if ticket.streams else WHOLE)
    ticket.ended(result())


def refuses(refusal: Refusal) -> Play:
    def play(ticket: Ticket) -> None:
        ticket.refusal = refusal
        ticket.ended(failed("rate_limited"))

    return play


def waits(ticket: Ticket) -> None:
    """For ever."""


class Got(NamedTuple):
    """An answer, read to its end."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def document(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found

    @property
    def error(self) -> dict[str, Any]:
        found: dict[str, Any] = self.document["error"]
        return found


class Bed:
    def __init__(self, service: Service, http: aiohttp.ClientSession, fleet: FleetDouble, said: list[str]):
        self.service, self.http, self.fleet, self._said = service, http, fleet, said
        self.port = int(service.url.rpartition(":")[2])

    @property
    def said(self) -> str:
        """The whole log; nothing more is written to it."""
        self.service._log.close()
        return "".join(self._said)

    async def ask(self, **more: Any) -> Got:
        headers = more.pop("headers", {})
        return await self.send("POST", CHAT, json={**HI, **more}, headers=headers)

    async def send(self, method: str, path: str, **more: Any) -> Got:
        async with self.http.request(method, path, **more) as response:
            return Got(response.status, response.headers, await response.read())

    async def raw(self, data: bytes) -> bytes:
        """All that comes back until the connection is closed."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(data)
        try:
            return await asyncio.wait_for(reader.read(), 5)
        finally:
            writer.close()

    def head(self, *lines: str, method: str = "POST", path: str = CHAT) -> bytes:
        """A request's head, with the right `Host`."""
        return "\r\n".join([f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{self.port}", *lines, "", ""]).encode()


@asynccontextmanager
async def serving(
    play: Play = answers, *, simulate: bool = False, quiet: bool = False, **terms: Any
) -> AsyncIterator[Bed]:
    fleet, said = FleetDouble(play, simulate=simulate), []
    log = Log(lambda data: said.append(data.decode()), quiet=quiet)
    sockets = listeners("127.0.0.1", 0)
    service = Service(cast(Engine, fleet), Terms(port=0, **terms), sockets, log)
    await service.open()
    try:
        async with aiohttp.ClientSession(service.url) as http:
            yield Bed(service, http, fleet, said)
    finally:
        if not service.house.draining:
            service.house.chat.leave()
            await service.close(0)
        log.close()
