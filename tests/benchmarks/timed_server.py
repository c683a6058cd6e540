"""A streaming server with known timing, on a bare asyncio protocol: python timed_server.py PORT

A role-only chunk at once, the first text after TTFT_S, CHUNKS chunks GAP_S apart, the first ones reasoning, each of
TOKENS tokens; a usage chunk and the end one gap after the last. Each request's own times go to standard output as a
JSON line: seconds from its receipt to its first text, to its first piece of the answer, and to its last byte.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

TTFT_S, GAP_S, CHUNKS, REASONING, TOKENS = 0.120, 0.010, 40, 10, 3
TTFO_S = TTFT_S + REASONING * GAP_S
LATENCY_S = TTFT_S + CHUNKS * GAP_S
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def _event(document: dict[str, object] | None) -> bytes:
    data = b"data: " + (json.dumps(document).encode() if document is not None else b"[DONE]") + b"\n\n"
    return b"%x\r\n%s\r\n" % (len(data), data)


def _chunk(delta: dict[str, object], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return _event({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]})


ROLE = _chunk({"role": "assistant", "content": ""})
TEXTS = [
    _chunk({"reasoning_content": "so it is "} if n < REASONING else {"content": "one two three "})
    for n in range(CHUNKS)
]
USAGE = {"prompt_tokens": 9, "completion_tokens": CHUNKS * TOKENS, "total_tokens": 9 + CHUNKS * TOKENS}
END = _chunk({}, "stop") + _event({"id": "c", "choices": [], "usage": USAGE}) + _event(None) + b"0\r\n\r\n"


class Timed(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport, self._buffer = transport, b""

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end].lower()
            length = int(head.partition(b"content-length:")[2].split(b"\r\n")[0] or 0)
            if len(self._buffer) < end + 4 + length:
                return
            self._buffer = self._buffer[end + 4 + length :]
            self._answer(time.perf_counter())

    def _answer(self, received: float) -> None:
        loop = asyncio.get_running_loop()
        start = loop.time()
        self._transport.write(_HEAD + ROLE)
        times: list[float] = []

        def step(number: int) -> None:
            times.append(time.perf_counter() - received)
            if self._transport.is_closing():
                return
            if number == CHUNKS:
                self._transport.write(END)
                print(json.dumps([times[0], times[REASONING], times[-1]]), flush=True)
                return
            self._transport.write(TEXTS[number])
            loop.call_at(start + TTFT_S + (number + 1) * GAP_S, step, number + 1)

        loop.call_at(start + TTFT_S, step, 0)


async def main(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Timed, "127.0.0.1", port, backlog=1024)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
