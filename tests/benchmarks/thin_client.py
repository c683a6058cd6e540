"""The yardstick: the thinnest aiohttp client that still does the job. It knows one server and no failure.

    python thin_client.py BASE_URL PROMPTS OUT N [--stream]

Each line of PROMPTS is decoded, its request encoded and sent with the next of eight keys, 64 in flight; the answer is
decoded, its times are noted and a line is written to OUT. No limits, no retries, no journal, no table: what llmfan
costs beyond this is the price of those.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from itertools import cycle, islice
from time import perf_counter
from typing import Any, BinaryIO

import aiohttp
import msgspec
import uvloop

IN_FLIGHT, KEYS = 64, 8


class Line(msgspec.Struct):
    id: str
    prompt: str


class Text(msgspec.Struct):
    content: str | None = None


class Choice(msgspec.Struct):
    message: Text | None = None
    delta: Text | None = None


class Usage(msgspec.Struct):
    prompt_tokens: int
    completion_tokens: int


class Body(msgspec.Struct):
    choices: list[Choice]
    usage: Usage | None = None


encode = msgspec.json.Encoder().encode
read_line, read_body = msgspec.json.Decoder(Line).decode, msgspec.json.Decoder(Body).decode


class Client:
    """`answered` counts the answers that were whole."""

    def __init__(self, url: str, out: BinaryIO, stream: bool):
        self.url, self.out, self.stream = f"{url}/chat/completions", out, stream
        self.answered = 0
        headers = {"Content-Type": "application/json"}
        self.headers = cycle([{**headers, "Authorization": f"Bearer sk-bench-{i}"} for i in range(KEYS)])

    async def run(self, lines: Iterator[bytes]) -> None:
        connector = aiohttp.TCPConnector(limit=IN_FLIGHT)
        timeout = aiohttp.ClientTimeout(total=None)
        jar = aiohttp.DummyCookieJar()
        async with aiohttp.ClientSession(connector=connector, timeout=timeout, cookie_jar=jar) as session:
            await asyncio.gather(*(self._work(session, lines) for _ in range(IN_FLIGHT)))

    async def _work(self, session: aiohttp.ClientSession, lines: Iterator[bytes]) -> None:
        for raw in lines:
            line = read_line(raw)
            body = self._request(line.prompt)
            sent = perf_counter()
            async with session.post(self.url, data=body, headers=next(self.headers)) as reply:
                if self.stream:
                    answer = await self._streamed(reply, sent)
                else:
                    answer = _whole(await reply.read())
            self.answered += answer["usage"] is not None
            self.out.write(encode({"id": line.id, "latency_s": perf_counter() - sent, **answer}) + b"\n")

    def _request(self, prompt: str) -> bytes:
        request: dict[str, Any] = {
            "model": "bench-model",
            "messages": [{"role": "user", "content": prompt}],
            "max_tokens": 40,
        }
        if self.stream:
            request |= {"stream": True, "stream_options": {"include_usage": True}}
        return encode(request)

    async def _streamed(self, reply: aiohttp.ClientResponse, sent: float) -> dict[str, Any]:
        """Cut by event, not by line; one time stamp a piece of the network's."""
        rest, texts, gaps = b"", [], []
        first = last = 0.0
        usage = None
        async for piece in reply.content.iter_any():
            now = perf_counter()
            events = (rest + piece).split(b"\n\n")
            rest = events.pop()
            for event in events:
                if event == b"data: [DONE]":
                    continue
                body = read_body(event[6:])
                usage = body.usage or usage
                if body.choices and (delta := body.choices[0].delta) is not None and delta.content:
                    texts.append(delta.content)
                    if first:
                        gaps.append(now - last)
                    else:
                        first = now
                    last = now
        return {"text": "".join(texts), "usage": usage, "ttft_s": first - sent, "gaps": gaps}


def _whole(raw: bytes) -> dict[str, Any]:
    body = read_body(raw)
    message = body.choices[0].message
    return {"text": message.content if message else None, "usage": body.usage}


def main() -> None:
    url, prompts, out, count = sys.argv[1:5]
    with open(prompts, "rb") as lines, open(out, "wb", buffering=1 << 20) as results:
        client = Client(url, results, "--stream" in sys.argv[5:])
        uvloop.run(client.run(islice(lines, int(count))))
    if client.answered != int(count):
        sys.exit(f"{client.answered} of {count} answered")


if __name__ == "__main__":
    main()
