"""The generateContent form: contents and parts, the model in the address, usage in every event, no end sign."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import msgspec
from msgspec import Struct

from llmfan.dialects.bodies import DECODE_FAULTS, encoded, plain
from llmfan.dialects.chunks import count
from llmfan.dialects.fields import fitted
from llmfan.dialects.headers import request_headers
from llmfan.dialects.reading import Reading, ReadWhole
from llmfan.dialects.turned import to_contents
from llmfan.dialects.verdicts import bad_response, no_answer
from llmfan.records import Answer, Call, Failure, Usage
from llmfan.secret import SealedHeaders, Secret
from llmfan.settings import Preset

_BLOCKED = "content_filter"
#: Its reasons to stop, in the words of the chat-completions form; others come in lower case.
STOPS = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "SAFETY": _BLOCKED,
    "RECITATION": _BLOCKED,
    "BLOCKLIST": _BLOCKED,
    "PROHIBITED_CONTENT": _BLOCKED,
    "SPII": _BLOCKED,
    "IMAGE_SAFETY": _BLOCKED,
}


class Part(Struct, gc=False, rename="camel"):
    text: str | None = None
    thought: bool | None = None
    function_call: Any = None
    thought_signature: str | None = None


class Content(Struct, gc=False):
    parts: list[Part] | None = None


class Candidate(Struct, gc=False, rename="camel"):
    content: Content | None = None
    finish_reason: str | None = None
    index: int = 0


class Piece(Struct, gc=False, rename="camel"):
    """An event, or a whole answer: both have the same form."""

    candidates: list[Candidate] | None = None
    usage_metadata: Any = None
    prompt_feedback: Any = None
    error: Any = None


class GenerateContent:
    native = False

    def __init__(self, preset: Preset):
        self._preset = preset
        self._decoder = msgspec.json.Decoder(Piece)

    def address(self, base_url: str, model: str) -> tuple[str, str]:
        name = quote(model.removeprefix("models/"), safe="/@:")
        url = f"{base_url.rstrip('/')}/models/{name}"
        return f"{url}:generateContent", f"{url}:streamGenerateContent?alt=sse"

    def headers(self, secret: Secret | None) -> SealedHeaders:
        return request_headers(self._preset, secret)

    def body(self, call: Call) -> bytes:
        return msgspec.json.encode(fitted(to_contents(call), self._preset.fields))

    def stream(self) -> PiecesReader:
        return PiecesReader(self._preset, self.whole, self._decoder)

    def whole(self, body: bytes, headers: Mapping[str, str]) -> Answer | Failure:
        """Read as a stream of one event, or of as many as an array holds (that is a stream asked for without `sse`)."""
        body = body.strip()
        value = plain(body)
        pieces = value if isinstance(value, list) else [value]
        if not any(isinstance(p, dict) and ("candidates" in p or "promptFeedback" in p) for p in pieces):
            return no_answer(body, headers, self._preset, "candidates")
        reader = self.stream()
        for piece in pieces:
            reader.feed(b"data: " + encoded(piece) + b"\n\n", 0.0)
        reader.close()
        answer = reader.finish()
        if isinstance(answer, Answer):
            return msgspec.structs.replace(answer, first=None, first_output=None, gaps=[])
        return answer


class PiecesReader(Reading):
    __slots__ = ("_decode", "_usage")

    def __init__(self, preset: Preset, whole: ReadWhole, decoder: msgspec.json.Decoder[Piece]):
        super().__init__(preset, whole)
        self._decode = decoder.decode
        self._usage: dict[str, Any] = {}

    def close(self) -> None:
        """Counts as ended: a document that could be read is whole."""
        self._done = True

    def _take(self, events: list[bytes]) -> int:
        said = 0
        for payload in events:
            try:
                piece = self._decode(payload)
            except DECODE_FAULTS:
                loose = self._loosely(payload)
                if loose is None:
                    if self._garbled or self._error is not None:
                        break
                    continue
                piece = loose
            if piece.error is not None:
                self._error = payload
                break
            if isinstance(piece.usage_metadata, dict):
                self._usage.update(piece.usage_metadata)
            if isinstance(piece.prompt_feedback, dict) and piece.prompt_feedback.get("blockReason"):
                self._started = True
                self._finish = _BLOCKED
            if piece.candidates:
                self._started = True
                said += self._add(piece.candidates[0])
        return said

    def _judge(self) -> Answer | Failure:
        if self._finish == "malformed_function_call":
            return bad_response("the model wrote a tool call that cannot be read")
        return super()._judge()

    def _usage_seen(self) -> Usage | None:
        """Thinking is counted apart, and paid as output."""
        given, made = count(self._usage, "promptTokenCount"), count(self._usage, "candidatesTokenCount")
        if given is None and made is None:
            return None
        thought = count(self._usage, "thoughtsTokenCount") or 0
        cached = count(self._usage, "cachedContentTokenCount") or 0
        return Usage(given or 0, (made or 0) + thought, cached_tokens=cached)

    def _add(self, candidate: Candidate) -> bool:
        if candidate.index:
            return False
        if candidate.finish_reason:
            self._finish = STOPS.get(candidate.finish_reason, candidate.finish_reason.lower())
        parts = candidate.content.parts if candidate.content is not None else None
        said = False
        for part in parts or ():
            if part.text:
                (self._reasoning if part.thought else self._text).append(part.text)
                said = True
            if isinstance(part.function_call, dict):
                self._call(part.function_call, part.thought_signature)
                said = True
        return said

    def _call(self, call: dict[str, Any], signature: str | None) -> None:
        """Thinking models want a call's signature back with it: it goes where the provider's own chat form has it."""
        arguments = encoded(call.get("args") or {}).decode()
        function = {"name": str(call.get("name") or ""), "arguments": arguments}
        ident = call.get("id") or f"call_{len(self._calls)}"
        extra = {"extra_content": {"google": {"thought_signature": signature}}} if signature else {}
        self._calls.append({"id": ident, "type": "function", "function": function, **extra})

    def _loosely(self, payload: bytes) -> Piece | None:
        value = plain(payload)
        self._loose = True
        if isinstance(value, list) and len(value) == 1:
            value = value[0]
        if not isinstance(value, dict):
            if payload.strip() == b"[DONE]":
                self._done = True
            elif payload.lstrip()[:1] in (b"{", b"["):
                self._garbled = "an event that is not JSON"
            return None
        if value.get("error"):
            self._error = encoded(value)
            return None
        try:
            return msgspec.convert(_without_strange(value), Piece)
        except DECODE_FAULTS:
            self._garbled = "an event of an unknown form"
            return None


def _without_strange(value: dict[str, Any]) -> dict[str, Any]:
    """Only what is read here, where it has the type it should have."""
    candidates = value.get("candidates")
    kept = [_candidate(c) for c in candidates if isinstance(c, dict)] if isinstance(candidates, list) else []
    return value | {"candidates": kept}


def _candidate(candidate: dict[str, Any]) -> dict[str, Any]:
    content = candidate.get("content")
    parts = content.get("parts") if isinstance(content, dict) else None
    kept = [_part(part) for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []
    finish = candidate.get("finishReason")
    return {"content": {"parts": kept}, "finishReason": finish if isinstance(finish, str) else None}


def _part(part: dict[str, Any]) -> dict[str, Any]:
    text, signature = part.get("text"), part.get("thoughtSignature")
    return {
        "text": text if isinstance(text, str) else None,
        "thought": bool(part.get("thought")),
        "functionCall": part.get("functionCall"),
        "thoughtSignature": signature if isinstance(signature, str) else None,
    }
