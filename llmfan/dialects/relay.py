"""An answer as it comes, told again in the form of callers: chunks of chat completions, whoever speaks."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from llmfan.dialects.bodies import DECODE_FAULTS, encoded, error_in, plain
from llmfan.dialects.reading import Reading
from llmfan.dialects.retold import calls_of, finish_of, usage_document
from llmfan.records import Answer, Usage

_decode = msgspec.json.Decoder().decode


class Head(Struct, frozen=True, kw_only=True):
    """What every chunk of one answer repeats. `created`: Unix time, whole seconds."""

    id: str
    created: int


class Relay:
    """One attempt's chunks, each a JSON document of `chat.completion.chunk`, without framing and without the end sign.

    `native`: the provider's own events have this form and pass as they are, fields nobody here knows included; what is
    no chunk (an end sign, an error, broken JSON) never passes. `usage`: whether a last chunk tells the token counts.
    """

    __slots__ = (
        "_arguments", "_changed", "_finished", "_head", "_last_payload", "_model", "_native", "_spoken", "_start",
        "_texts", "_thoughts", "_usage", "_usage_chunk",
    )  # fmt: skip

    def __init__(self, head: Head, model: str, *, native: bool, usage: bool):
        self._head, self._model = head, model
        self._start = _start(head, model, {})
        self._native, self._usage = native, usage
        self._usage_chunk = b""  # as the server gave it
        self._last_payload = b""  # the server's last chunk
        self._spoken = self._finished = False  # something has passed; a reason to stop has
        self._changed = False
        self._texts = self._thoughts = 0  # how many pieces of the reader's have been told
        self._arguments: list[int] = []  # of each tool call, how many characters of its arguments

    def take(self, events: list[bytes], reader: Reading) -> list[bytes]:
        """Chunks for events that the reader has just read."""
        if self._native:
            failed = reader._error is not None or reader._finish == "error" or bool(reader._garbled)
            return self._passed(events, failed, not (failed or reader._loose))
        return self._retold(reader)

    def end(self, answer: Answer, usage: Usage) -> list[bytes]:
        """What is still to be said when the answer is whole: all of it, where nothing was streamed."""
        chunks = self._missing(answer)
        if self._last_payload and not (self._finished and self._usage_chunk):
            last = plain(self._last_payload)
            self._start = _start(self._head, self._model, last if isinstance(last, dict) else {})
        if not self._finished:
            chunks.append(self._chunk({}, finish_of(answer)))
            self._finished = True
        if self._usage:
            own = b'[],"usage":' + encoded(usage_document(usage)) + b"}"
            chunks.append(self._usage_chunk or self._start + own)
        return chunks

    # ---------------------------------------------------------------- the provider's own chunks

    def _passed(self, events: list[bytes], failed: bool, sound: bool) -> list[bytes]:
        """`failed`: one of these events has ended the stream; it does not pass, nor do those after it. `sound`: the
        reader has read them all as chunks, so what shows nothing unusual need not be read again.
        """
        chunks: list[bytes] = []
        for payload in events:
            if sound and _is_plain(payload):
                self._last_payload = payload
                chunks.append(payload)
                continue
            try:
                chunk = _decode(payload)
                clean = chunk.__class__ is dict and b"\n" not in payload and b"\r" not in payload
            except DECODE_FAULTS:
                chunk, clean = plain(payload), False  # bad UTF-8, halves of characters: read as the reader does
            if not clean and chunk.__class__ is list and len(chunk) == 1:
                chunk = chunk[0]
            if failed and _is_end(chunk):
                break
            choices = chunk.get("choices") if chunk.__class__ is dict else None
            if choices.__class__ is not list:
                continue
            if chunk.get("usage").__class__ is dict:
                self._count(chunk)
                clean = False
            if choices and self._look(choices):
                self._last_payload = payload
                chunks.append(payload if clean and not self._changed else encoded(chunk))
        self._spoken = self._spoken or bool(chunks)
        return chunks

    def _count(self, chunk: dict[str, Any]) -> None:
        """A server's counts come once, at the end, to who asked for them; some give them beside choices."""
        if self._usage:
            self._usage_chunk = encoded(chunk | {"choices": []})
        del chunk["usage"]

    def _look(self, choices: list[Any]) -> bool:
        """Whether they are choices of a chunk. A message in the place of a delta is put right."""
        self._changed = False
        for choice in choices:
            if choice.__class__ is not dict:
                return False
            if choice.get("finish_reason"):
                self._finished = True
            if "delta" not in choice:
                choice["delta"] = choice.pop("message", None) or {}
                self._changed = True
        return True

    # ---------------------------------------------------------------- other forms

    def _retold(self, reader: Reading) -> list[bytes]:
        """What the reader has got since the last time."""
        chunks: list[bytes] = []
        if len(reader._reasoning) > self._thoughts:
            self._say(chunks, {"reasoning_content": "".join(reader._reasoning[self._thoughts :])})
            self._thoughts = len(reader._reasoning)
        if len(reader._text) > self._texts:
            self._say(chunks, {"content": "".join(reader._text[self._texts :])})
            self._texts = len(reader._text)
        for number, call in enumerate(reader._calls):
            self._tell_call(chunks, number, call)
        return chunks

    def _tell_call(self, chunks: list[bytes], number: int, call: dict[str, Any]) -> None:
        """A call is told by its name first, then by the pieces of its arguments."""
        function = call["function"]
        arguments = function["arguments"]
        if number == len(self._arguments):
            self._arguments.append(len(arguments))
            ident = call["id"] or f"call_{number}"
            named = {"name": function["name"], "arguments": arguments}
            told = {"index": number, "id": ident, "type": "function", "function": named}
            if "extra_content" in call:
                told["extra_content"] = call["extra_content"]
        elif len(arguments) > self._arguments[number]:
            told = {"index": number, "function": {"arguments": arguments[self._arguments[number] :]}}
            self._arguments[number] = len(arguments)
        else:
            return
        self._say(chunks, {"tool_calls": [told]})

    def _missing(self, answer: Answer) -> list[bytes]:
        """All of an answer that came as one document; of a streamed one the arguments of calls that have none."""
        chunks: list[bytes] = []
        if self._spoken:
            for number, size in enumerate(self._arguments):
                if not size:
                    self._say(chunks, {"tool_calls": [{"index": number, "function": {"arguments": "{}"}}]})
            return chunks
        if answer.reasoning:
            self._say(chunks, {"reasoning_content": answer.reasoning})
        if answer.text or not answer.tool_calls:
            self._say(chunks, {"content": answer.text})
        for number, call in enumerate(calls_of(answer)):
            self._say(chunks, {"tool_calls": [{"index": number, **call}]})
        return chunks

    def _say(self, chunks: list[bytes], delta: dict[str, Any]) -> None:
        if not self._spoken:
            self._spoken = True
            chunks.append(self._chunk({"role": "assistant", "content": ""}))
        chunks.append(self._chunk(delta))

    def _chunk(self, delta: dict[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return self._start + encoded([choice]) + b"}"


def _start(head: Head, model: str, like: dict[str, Any]) -> bytes:
    """A chunk's document up to its choices. What is added to a server's own chunks is `like` them."""
    document = {
        "id": like.get("id") or head.id,
        "object": "chat.completion.chunk",
        "created": like.get("created") or head.created,
        "model": like.get("model") or model,
    }
    return encoded(document)[:-1] + b',"choices":'


#: What makes a chunk worth reading: a reason to stop, counts, line ends, a whole message.
_UNUSUAL = (b'"finish_reason":"', b'"finish_reason": "', b'"usage":{', b'"usage": {', b'"message"', b"\n", b"\r")


def _is_plain(payload: bytes) -> bool:
    return b'"delta"' in payload and not any(sign in payload for sign in _UNUSUAL)


def _is_end(chunk: Any) -> bool:
    """Whether this is the event that ended a stream which has failed."""
    if chunk.__class__ is not dict or chunk.get("error") is not None or error_in(chunk) is not None:
        return True
    choices = chunk.get("choices")
    first = choices[0] if choices.__class__ is list and choices else None
    return first.__class__ is dict and (first.get("finish_reason") == "error" or bool(first.get("error")))
