"""The messages form: typed events, the system text beside the messages, the cap always given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from llmfan.dialects.bodies import DECODE_FAULTS, encoded, plain
from llmfan.dialects.chunks import amount, count, finished_calls
from llmfan.dialects.fields import fitted
from llmfan.dialects.headers import request_headers
from llmfan.dialects.reading import Reading, ReadWhole
from llmfan.dialects.turned import to_messages
from llmfan.dialects.verdicts import filtered, no_answer
from llmfan.records import Answer, Call, Failure, Usage
from llmfan.secret import SealedHeaders, Secret
from llmfan.settings import Preset

#: Its reasons to stop, in the words of the chat-completions form; others stay as they are.
STOPS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}


class Piece(Struct, gc=False):
    """A `delta` of any kind of event."""

    text: str | None = None
    thinking: str | None = None
    partial_json: str | None = None
    stop_reason: str | None = None


class Event(Struct, gc=False):
    type: str = ""
    delta: Piece | None = None
    index: int = 0
    content_block: Any = None
    message: Any = None
    usage: Any = None
    error: Any = None


class Messages:
    native = False

    def __init__(self, preset: Preset):
        self._preset = preset
        self._decoder = msgspec.json.Decoder(Event)

    def address(self, base_url: str, model: str) -> tuple[str, str]:
        url = base_url.rstrip("/") + "/messages"
        return url, url

    def headers(self, secret: Secret | None) -> SealedHeaders:
        return request_headers(self._preset, secret)

    def body(self, call: Call) -> bytes:
        document = to_messages(call)
        if call.stream:
            document["stream"] = True
        return msgspec.json.encode(fitted(document, self._preset.fields))

    def stream(self) -> MessagesReader:
        return MessagesReader(self._preset, self.whole, self._decoder)

    def whole(self, body: bytes, headers: Mapping[str, str]) -> Answer | Failure:
        body = body.strip()
        value = plain(body)
        blocks = value.get("content") if isinstance(value, dict) else None
        if not isinstance(value, dict) or not isinstance(blocks, list) or value.get("error"):
            return no_answer(body, headers, self._preset, "content")
        stop = value.get("stop_reason")
        finish = STOPS.get(stop, stop) if isinstance(stop, str) else None
        if finish == "content_filter":
            return filtered("the model refused to answer")
        text, reasoning, calls = _blocks([block for block in blocks if isinstance(block, dict)])
        return Answer(
            text=text,
            reasoning=reasoning or None,
            finish_reason=finish,
            usage=usage_of(value.get("usage")),
            tool_calls=finished_calls(calls),
        )


class MessagesReader(Reading):
    __slots__ = ("_by_index", "_decode", "_usage")

    def __init__(self, preset: Preset, whole: ReadWhole, decoder: msgspec.json.Decoder[Event]):
        super().__init__(preset, whole)
        self._decode = decoder.decode
        self._usage: dict[str, Any] = {}
        self._by_index: dict[int, dict[str, Any]] = {}

    def _take(self, events: list[bytes]) -> int:
        said = 0
        for payload in events:
            try:
                event = self._decode(payload)
            except DECODE_FAULTS:
                loose = self._loosely(payload)
                if loose is None:
                    if self._garbled:
                        break
                    continue
                event = loose
            if event.error is not None or event.type == "error":
                self._error = payload
                break
            if event.type == "content_block_delta":
                said += event.delta is not None and self._add(event.delta, event.index)
            else:
                said += self._step(event)
        return said

    def _usage_seen(self) -> Usage | None:
        return usage_of(self._usage)

    def _add(self, piece: Piece, index: int) -> bool:
        if piece.text:
            self._text.append(piece.text)
        elif piece.thinking:
            self._reasoning.append(piece.thinking)
        elif piece.partial_json and index in self._by_index:
            self._by_index[index]["function"]["arguments"] += piece.partial_json
        else:
            return False
        return True

    def _step(self, event: Event) -> bool:
        """Events that frame the text; whether one of them held text itself."""
        if event.type == "message_stop":
            self._done = True
        elif event.type == "message_start":
            self._started = True
            if isinstance(event.message, dict):
                self._count(event.message.get("usage"))
        elif event.type == "message_delta":
            self._count(event.usage)
            if event.delta is not None and event.delta.stop_reason:
                self._finish = STOPS.get(event.delta.stop_reason, event.delta.stop_reason)
        elif event.type == "content_block_start" and isinstance(event.content_block, dict):
            return self._open(event.content_block, event.index)
        return False

    def _open(self, block: dict[str, Any], index: int) -> bool:
        self._started = True
        text, reasoning, calls = _blocks([block])
        if calls:
            self._calls += calls
            self._by_index[index] = calls[0]
            if calls[0]["function"]["arguments"] == "{}":
                calls[0]["function"]["arguments"] = ""
        self._text += [text] if text else []
        self._reasoning += [reasoning] if reasoning else []
        return bool(text or reasoning or calls)

    def _count(self, usage: Any) -> None:
        """The last figure counts: the first event already holds a few output tokens."""
        if isinstance(usage, dict):
            self._usage.update({name: value for name, value in usage.items() if value is not None})

    def _loosely(self, payload: bytes) -> Event | None:
        value = plain(payload)
        self._loose = True
        if not isinstance(value, dict):
            if payload.strip() == b"[DONE]":
                self._done = True
            elif payload.lstrip()[:1] in (b"{", b"["):
                self._garbled = "an event that is not JSON"
            return None
        delta = value.get("delta")
        delta = delta if isinstance(delta, dict) else {}
        names = ("text", "thinking", "partial_json", "stop_reason")
        texts = {name: delta[name] for name in names if isinstance(delta.get(name), str)}
        index = value.get("index")
        return Event(
            type=str(value.get("type", "")),
            delta=Piece(**texts),
            index=index if isinstance(index, int) else 0,
            content_block=value.get("content_block"),
            message=value.get("message"),
            usage=value.get("usage"),
            error=value.get("error"),
        )


def usage_of(raw: Any) -> Usage | None:
    """Here input counts what no cache gave; with the other two it is the whole prompt, as everywhere else."""
    if not isinstance(raw, dict):
        return None
    fresh, made = count(raw, "input_tokens"), count(raw, "output_tokens")
    if fresh is None and made is None:
        return None
    read = count(raw, "cache_read_input_tokens") or 0
    written = count(raw, "cache_creation_input_tokens") or 0
    return Usage((fresh or 0) + read + written, made or 0, cached_tokens=read, neurons=amount(raw.get("neurons")))


def _blocks(blocks: list[dict[str, Any]]) -> tuple[str, str, list[dict[str, Any]]]:
    """(text, reasoning, tool calls) of content blocks."""
    text, reasoning, calls = "", "", []
    for block in blocks:
        kind = block.get("type")
        if kind == "text":
            text += str(block.get("text") or "")
        elif kind == "thinking":
            reasoning += str(block.get("thinking") or "")
        elif kind == "tool_use":
            arguments = encoded(block.get("input") or {}).decode()
            function = {"name": str(block.get("name") or ""), "arguments": arguments}
            calls.append({"id": block.get("id"), "type": "function", "function": function})
    return text, reasoning, calls
