"""The chat-completions form, which nearly every provider speaks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from llmfan.dialects.bodies import DECODE_FAULTS, encoded, mended
from llmfan.dialects.chunks import (
    Chunk,
    Delta,
    add_tool_calls,
    finished_calls,
    loose_chunk,
    reasoning_of,
    text_of,
    usage_of,
)
from llmfan.dialects.classify import classify_inside
from llmfan.dialects.fields import fitted
from llmfan.dialects.headers import costs_told, request_headers
from llmfan.dialects.reading import Reading, ReadWhole
from llmfan.dialects.verdicts import bad_response, filtered, no_answer, server_time
from llmfan.records import Answer, Call, Failure, Usage
from llmfan.secret import SealedHeaders, Secret
from llmfan.settings import Preset

#: A field of a vendor's own (`x_…`): it may hold usage, or an error that ended the stream.
_VENDOR = b'"x_'
_END = b"[DONE]"
_EMPTY = Delta()


class ChatCompletions:
    """Puts calls and reads answers; one for each provider, so that its decoder is made once."""

    native = True  # what it reads has the form that callers of a fleet speak

    def __init__(self, preset: Preset):
        self._preset = preset
        self._decoder = msgspec.json.Decoder(Chunk)

    def address(self, base_url: str, model: str) -> tuple[str, str]:
        url = base_url.rstrip("/") + "/chat/completions"
        return url, url

    def headers(self, secret: Secret | None) -> SealedHeaders:
        return request_headers(self._preset, secret)

    def body(self, call: Call) -> bytes:
        document: dict[str, Any] = {"model": call.model, "messages": call.messages}
        if call.max_tokens:
            document["max_tokens"] = call.max_tokens
        if call.temperature is not None:
            document["temperature"] = call.temperature
        if call.params:
            document |= _params(call.params, known=bool(self._preset.checked))
            if "max_completion_tokens" in document:
                document.pop("max_tokens", None)
        if call.stream:
            document["stream"] = True
            if self._preset.fields.ask_usage:
                document.setdefault("stream_options", {"include_usage": True})
            else:
                document.pop("stream_options", None)
        else:
            document.pop("stream_options", None)
        return msgspec.json.encode(fitted(document, self._preset.fields))

    def stream(self) -> ChatReader:
        return ChatReader(self._preset, self.whole, self._decoder)

    def whole(self, body: bytes, headers: Mapping[str, str]) -> Answer | Failure:
        body = body.strip()
        if body.startswith((b"data:", b"event:", b":")):
            return self._streamed_after_all(body)
        try:
            chunk: Chunk | None = self._decoder.decode(body)
            loose = False
        except DECODE_FAULTS:
            chunk, loose = loose_chunk(body), True
        if chunk is None or not chunk.choices or chunk.error is not None:
            return no_answer(body, headers, self._preset, "choices")
        choice = chunk.choices[0]
        if choice.error or choice.finish_reason == "error":
            inside = encoded({"error": choice.error} if choice.error else {})
            return classify_inside(inside, headers, self._preset, server_time(headers))
        if choice.finish_reason == "content_filter":
            return filtered("the answer was stopped by a content filter")
        message = choice.message or choice.delta
        if message is None:
            return bad_response("a choice without a message")
        return self._answer(message, choice.finish_reason, self._usage(chunk.usage, headers), loose)

    def _answer(self, message: Delta, finish: str | None, usage: Usage | None, loose: bool) -> Answer:
        content = message.content
        text, thought = text_of(content) if isinstance(content, list) else (content or "", "")
        text, thought = text or message.refusal or "", reasoning_of(message) or thought
        calls: list[dict[str, Any]] = []
        if message.tool_calls:
            add_tool_calls(calls, message.tool_calls)
        if loose:
            text, thought = mended(text), mended(thought)
        return Answer(
            text=text, reasoning=thought or None, finish_reason=finish, usage=usage, tool_calls=finished_calls(calls)
        )

    def _usage(self, raw: Any, headers: Mapping[str, str]) -> Usage | None:
        usage = usage_of(raw)
        if usage is None or usage.neurons is not None or not self._preset.limit_headers:
            return usage
        news = costs_told(self._preset, headers, None)
        costs = [value for axis, role, value in news if role == "cost" and axis == "neurons_per_day"]
        return msgspec.structs.replace(usage, neurons=costs[0]) if costs else usage

    def _streamed_after_all(self, body: bytes) -> Answer | Failure:
        """Some servers stream whether asked to or not. Nobody saw the moments, so there are none."""
        # Where there is no event after all, the document must not come back here.
        reader = ChatReader(self._preset, lambda rest, _: no_answer(rest, {}, self._preset, "choices"), self._decoder)
        reader.feed(body, 0.0)
        answer = reader.finish()
        if isinstance(answer, Answer):
            return msgspec.structs.replace(answer, first=None, first_output=None, gaps=[])
        return answer


class ChatReader(Reading):
    __slots__ = ("_decode", "_usage")

    def __init__(self, preset: Preset, whole: ReadWhole, decoder: msgspec.json.Decoder[Chunk]):
        super().__init__(preset, whole)
        self._decode = decoder.decode
        self._usage: Any = None

    def _take(self, events: list[bytes]) -> int:
        count = 0
        decode, text = self._decode, self._text
        for payload in events:
            try:
                chunk = decode(payload)
                if chunk.error is not None or not (chunk.choices or chunk.usage):
                    chunk = loose_chunk(payload) or chunk
            except DECODE_FAULTS:
                loose = self._loosely(payload)
                if loose is None:
                    if self._garbled:
                        break
                    continue
                chunk = loose
            if chunk.error is not None:
                self._error = encoded(chunk.error)
                break
            if chunk.usage is not None:
                self._usage = chunk.usage
            if not chunk.choices:
                continue
            self._started = True
            choice = chunk.choices[0]
            if choice.index:
                continue
            if choice.finish_reason is not None:
                self._finish = choice.finish_reason or self._finish
                if choice.error is not None:
                    self._error = encoded({"error": choice.error})
                    break
            said = False
            delta = choice.delta or choice.message or _EMPTY
            content = delta.content
            if content:
                if content.__class__ is str:
                    text.append(content)
                    said = True
                else:
                    said = self._parts(content)
            if (
                delta.reasoning or delta.reasoning_content or delta.tool_calls or delta.refusal
                or delta.reasoning_details
            ):  # fmt: skip
                said = self._besides(delta) or said
            if said:
                count += 1
            elif _VENDOR in payload and not self._vendor(payload):
                break
        return count

    def _usage_seen(self) -> Usage | None:
        return usage_of(self._usage)

    def _vendor(self, payload: bytes) -> bool:
        """A chunk without text that has a vendor's own field; false if that says the stream has failed."""
        chunk = loose_chunk(payload)
        if chunk is None:
            return True
        if isinstance(chunk.usage, dict):
            self._usage = chunk.usage
        if chunk.error is not None:
            self._error = encoded(chunk.error)
        return chunk.error is None

    def _parts(self, content: Any) -> bool:
        answer, thought = text_of(content)
        if answer:
            self._text.append(answer)
        if thought:
            self._reasoning.append(thought)
        return bool(answer or thought)

    def _besides(self, delta: Delta) -> bool:
        """All that a delta holds beside its content; whether it was text."""
        said = False
        thought = reasoning_of(delta)
        if thought:
            self._reasoning.append(thought)
            said = True
        if delta.refusal:
            self._text.append(delta.refusal)
            said = True
        if delta.tool_calls:
            said = add_tool_calls(self._calls, delta.tool_calls) or said
        return said

    def _loosely(self, payload: bytes) -> Chunk | None:
        """What the typed decoder refused: the end sign, a server's own types, a heartbeat, or broken JSON."""
        payload = payload.strip()
        if payload == _END:
            self._done = True
            return None
        chunk = loose_chunk(payload)
        self._loose = True
        if chunk is None and payload[:1] in (b"{", b"["):
            self._garbled = "an event that is not JSON"
        return chunk


def _params(params: Mapping[str, Any], *, known: bool) -> dict[str, Any]:
    """Further fields as given. What this program decides itself (model, messages, stream) is not theirs to change.

    A cap has two names: where it is `known` which of them a provider takes, `fitted` gives it that one.
    """
    found = {name: value for name, value in params.items() if name not in ("model", "messages", "stream")}
    if known and "max_completion_tokens" in found:
        found["max_tokens"] = found.pop("max_completion_tokens")
    return found
