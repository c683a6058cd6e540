"""Far ends that are simple functions: for rehearsals and for the tests of everything that talks to a provider."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from llmfan.simulation.limiter import Bucket, Counter, FixedWindow, SlidingLog
from llmfan.simulation.script import EVENT_STREAM, FOREVER, Script

#: (moment, key, body of the request) → what happens.
Behaviour = Callable[[float, str, bytes], Script]


class Seen(Struct, frozen=True):
    """One request that arrived at a scripted far end. The key is in it: for tests with invented keys only."""

    at: float
    provider: str
    key: str
    body: bytes
    status: int


class ScriptedFleet:
    """Providers by name, each a behaviour; `providers` is what a transport or a loopback server takes."""

    def __init__(self, behaviours: Mapping[str, Behaviour]):
        self.seen: list[Seen] = []
        self.providers = {name: _Scripted(name, behave, self.seen) for name, behave in behaviours.items()}

    def count(self, provider: str) -> int:
        return sum(s.provider == provider for s in self.seen)


class _Scripted:
    def __init__(self, name: str, behave: Behaviour, seen: list[Seen]):
        self._name, self._behave, self._seen = name, behave, seen

    def handle(self, now: float, path: str, headers: Mapping[str, str], body: bytes) -> Script:
        given = {name.lower(): value for name, value in headers.items()}
        names = ("authorization", "x-api-key", "x-goog-api-key")
        key = next((given[n].rpartition(" ")[2] for n in names if n in given), "")
        script = self._behave(now, key, body)
        self._seen.append(Seen(now, self._name, key, body, script.status))
        return script


def good(latency: float = 0.1, text: str = "An answer.", output_tokens: int = 3) -> Behaviour:
    """Answers every chat completion after `latency` seconds, streamed if asked (first text halfway)."""

    def behave(now: float, key: str, body: bytes) -> Script:
        if not _streams(body):
            return whole_answer(latency, text, output_tokens)
        opening, first, rest = _events(text, output_tokens)
        return Script(200, {"content-type": EVENT_STREAM}, [(latency / 2, opening + first), (latency, rest)])

    return behave


def hanging(headers_first: bool = False) -> Behaviour:
    """Takes the request and says nothing, or nothing after the headers and the first event."""

    def behave(now: float, key: str, body: bytes) -> Script:
        begun = [(0.05, _events("", 0)[0])] if headers_first else []
        return Script(200, {"content-type": EVENT_STREAM}, [*begun, (FOREVER, b"")])

    return behave


def always(
    status: int, body: bytes | dict[str, Any] = b"", headers: Mapping[str, str] | None = None, latency: float = 0.02
) -> Behaviour:
    """The same answer to everything."""
    raw, kind = (body, "text/html") if isinstance(body, bytes) else (msgspec.json.encode(body), "application/json")

    def behave(now: float, key: str, _: bytes) -> Script:
        return Script(status, {"content-type": kind, **(headers or {})}, [(latency, raw)])

    return behave


def cut_stream(latency: float = 0.1, text: str = "An answer that", abort: bool = False) -> Behaviour:
    """Begins a stream and ends it without a finish reason; `abort` breaks the connection instead."""

    def behave(now: float, key: str, body: bytes) -> Script:
        opening, first, _ = _events(text, 0)
        return Script(200, {"content-type": EVENT_STREAM}, [(latency, opening + first)], abort=abort)

    return behave


def limited(kind: str, L: float, T: float, then: Behaviour | None = None, retry_after: bool = True) -> Behaviour:
    """`L` requests a key in `T` seconds by a `sliding`, `fixed` or `bucket` limiter; `then` answers the admitted."""
    make: dict[str, Callable[[float, float], Counter]] = {
        "sliding": SlidingLog, "fixed": FixedWindow, "bucket": Bucket,
    }  # fmt: skip
    counters: dict[str, Counter] = {}
    admitted = then or good()

    def behave(now: float, key: str, body: bytes) -> Script:
        counter = counters.setdefault(key, make[kind](L, T))
        seen = counter.admit(now, 1.0)
        if seen.ok:
            return admitted(now, key, body)
        hint = {"retry-after": f"{seen.retry_after:.3f}"} if retry_after else {}
        error = {"error": {"message": "Rate limit reached.", "type": "requests", "code": "rate_limit_exceeded"}}
        return always(429, error, hint)(now, key, body)

    return behave


def in_turn(*behaviours: Behaviour) -> Behaviour:
    """The first request gets the first behaviour, and so on; the last one stays."""
    left = list(behaviours)

    def behave(now: float, key: str, body: bytes) -> Script:
        return (left.pop(0) if len(left) > 1 else left[0])(now, key, body)

    return behave


def whole_answer(latency: float, text: str, output_tokens: int) -> Script:
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    body = {"id": "fake", "object": "chat.completion", "choices": [choice], "usage": _usage(output_tokens)}
    return Script(200, {"content-type": "application/json"}, [(latency, msgspec.json.encode(body))])


def _events(text: str, output_tokens: int) -> tuple[bytes, bytes, bytes]:
    """The role-only chunk; the chunk with the text; finish, usage and the end mark."""
    finish = _chunk({}, "stop") + _data({"choices": [], "usage": _usage(output_tokens)}) + b"data: [DONE]\n\n"
    return _chunk({"role": "assistant", "content": ""}), _chunk({"content": text}), finish


def _chunk(delta: dict[str, str], finish: str | None = None) -> bytes:
    return _data({"id": "fake", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})


def _data(data: dict[str, Any]) -> bytes:
    return b"data: " + msgspec.json.encode(data) + b"\n\n"


def _usage(output_tokens: int) -> dict[str, int]:
    return {"prompt_tokens": 5, "completion_tokens": output_tokens, "total_tokens": 5 + output_tokens}


def _streams(body: bytes) -> bool:
    try:
        return bool(msgspec.json.decode(body, type=dict[str, Any]).get("stream"))
    except msgspec.MsgspecError:
        return False
