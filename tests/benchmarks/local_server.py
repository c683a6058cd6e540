"""A server with fixed answers on loopback, so that what is measured is the client.

nginx if it is on the PATH (one process, its configuration generated into a temporary folder), else a small asyncio
server in a process of its own: slower, so wall times differ, but the client's CPU hardly does.

    python local_server.py PORT json|sse      (how the second one is started)
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple, cast

EVENTS = 44
WORDS = ("barley", "copper", "drift", "ember", "flint", "gravel", "hollow", "indigo", "juniper", "kestrel")
#: nginx refuses words of its configuration above 4 KiB.
PIECE = 3500


class Server(NamedTuple):
    """Base URLs of the two answers, and what serves them."""

    json_url: str
    sse_url: str
    kind: str


@contextmanager
def serving(folder: Path, cpu: int | None = None) -> Iterator[Server]:
    """Serves for as long as the block lasts. `cpu`: the one core it may use."""
    ports = _free_ports(2)
    with ExitStack() as stack:
        nginx = shutil.which("nginx")
        if nginx:
            command = [nginx, "-p", str(folder), "-c", str(_nginx_conf(folder, *ports))]
            stack.enter_context(_process(command, cpu))
        else:
            for port, form in zip(ports, ("json", "sse"), strict=True):
                stack.enter_context(_process([sys.executable, __file__, str(port), form], cpu))
        for port in ports:
            _wait_for(port)
        urls = [f"http://127.0.0.1:{port}/v1" for port in ports]
        yield Server(*urls, kind="nginx" if nginx else "asyncio")


def json_body() -> str:
    message = {"role": "assistant", "content": _text()}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    return json.dumps({**_frame("chat.completion"), "choices": [choice], "usage": _usage()})


def sse_body() -> str:
    """A role-only event, the words, an end, a usage event: EVENTS of about 230 bytes, and the mark of the end."""
    words = _text().split(" ")
    deltas = [
        {"role": "assistant", "content": ""},
        *({"content": w if i == 0 else f" {w}"} for i, w in enumerate(words)),
    ]
    events = [_event(delta, None) for delta in deltas]
    events.append(_event({}, "stop"))
    events.append(json.dumps({**_frame("chat.completion.chunk"), "choices": [], "usage": _usage()}))
    assert len(events) == EVENTS
    return "".join(f"data: {event}\n\n" for event in [*events, "[DONE]"])


def _event(delta: dict[str, str], finish: str | None) -> str:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    return json.dumps({**_frame("chat.completion.chunk"), "choices": [choice]})


def _frame(kind: str) -> dict[str, object]:
    return {
        "id": "chatcmpl-bench", "object": kind, "created": 1750000000, "model": "bench-model",
        "system_fingerprint": "fp_bench",
    }  # fmt: skip


def _text() -> str:
    return " ".join(WORDS[i % len(WORDS)] for i in range(EVENTS - 3))


def _usage() -> dict[str, int]:
    return {"prompt_tokens": 50, "completion_tokens": EVENTS - 3, "total_tokens": 47 + EVENTS}


# -------------------------------------------------------------------- nginx


def _nginx_conf(folder: Path, json_port: int, sse_port: int) -> Path:
    """One process in the foreground: nothing to clean up but it and its folder."""
    user = "user root;" if os.geteuid() == 0 else ""
    temporary = " ".join(f"{kind}_temp_path {folder}/{kind};" for kind in ("proxy", "fastcgi", "uwsgi", "scgi"))
    path = folder / "nginx.conf"
    path.write_text(
        f"""
{user} daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/nginx.log crit;
events {{ worker_connections 4096; }}
http {{
  access_log off; tcp_nodelay on; keepalive_requests 10000000; keepalive_timeout 600s;
  client_body_buffer_size 128k; client_body_temp_path {folder}/client; {temporary}
  types {{ }}
  {_nginx_server(json_port, "application/json", json_body())}
  {_nginx_server(sse_port, "text/event-stream", sse_body())}
}}
"""
    )
    return path


def _nginx_server(port: int, kind: str, body: str) -> str:
    pieces = [body[at : at + PIECE] for at in range(0, len(body), PIECE)]
    parts = "\n".join(f"set $part{i} '{piece}';" for i, piece in enumerate(pieces))
    whole = "".join(f"$part{i}" for i in range(len(pieces)))
    return f"""server {{ listen 127.0.0.1:{port} backlog=1024; default_type {kind};
    location = /v1/chat/completions {{ {parts} return 200 "{whole}"; }} }}"""


# -------------------------------------------------------------------- the other one


class Answering(asyncio.Protocol):
    """Reads a request by its length and writes the one answer."""

    def __init__(self, answer: bytes):
        self._answer, self._held = answer, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by descent

    def data_received(self, data: bytes) -> None:
        self._held += data
        while (end := self._held.find(b"\r\n\r\n")) >= 0:
            head = self._held[:end].lower()
            length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
            if len(self._held) < end + 4 + length:
                return
            self._held = self._held[end + 4 + length :]
            self._transport.write(self._answer)


async def _answer_for_ever(port: int, form: str) -> None:
    body = (json_body() if form == "json" else sse_body()).encode()
    kind = "application/json" if form == "json" else "text/event-stream"
    answer = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
    server = await asyncio.get_running_loop().create_server(lambda: Answering(answer), "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


# -------------------------------------------------------------------- processes and ports


@contextmanager
def _process(command: list[str], cpu: int | None) -> Iterator[None]:
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        if cpu is not None:
            os.sched_setaffinity(process.pid, {cpu})
        yield
    finally:
        process.terminate()
        process.wait()


def _free_ports(count: int) -> list[int]:
    """Held together, so that no two are the same."""
    with ExitStack() as stack:
        held = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in held:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in held]


def _wait_for(port: int) -> None:
    for _ in range(200):
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    sys.exit(f"the server on port {port} did not start")


if __name__ == "__main__":
    runner = asyncio.run
    with suppress(ImportError):
        import uvloop

        runner = uvloop.run
    runner(_answer_for_ever(int(sys.argv[1]), sys.argv[2]))
