"""Answers on the wire, in each of the three forms: whole, or as the events of a stream.

Events are put in bytes by hand: the words are plain ASCII, and a simulated fleet must cost less than what it tests.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import msgspec
from msgspec import Struct

from llmfan.settings import Preset
from llmfan.simulation.questions import Question

encode = msgspec.json.encode


class Reply(Struct, frozen=True):
    """What is answered. Each word counts as a token."""

    id: str
    question: Question
    created: int
    reasoning: list[str]
    text: list[str]
    finish: str  # stop or length
    neurons: float | None = None

    @property
    def output(self) -> int:
        return len(self.reasoning) + len(self.text)


class Form(ABC):
    """One wire form. A stream is `opening`, an event for each word (reasoning first), then `closing`."""

    def __init__(self, preset: Preset):
        self.preset = preset

    @abstractmethod
    def whole(self, reply: Reply) -> bytes: ...

    @abstractmethod
    def opening(self, reply: Reply) -> bytes: ...

    @abstractmethod
    def words(self, reply: Reply) -> list[bytes]: ...

    @abstractmethod
    def closing(self, reply: Reply) -> bytes: ...

    def failing(self, reply: Reply) -> bytes:
        """An error in the middle of a stream that began with 200."""
        return event({"error": {"message": "The model is overloaded.", "type": "overloaded", "code": 503}})


class Chat(Form):
    """Chat completions: a chunk a word, a finish, perhaps a chunk of usage alone, `[DONE]`."""

    def whole(self, reply: Reply) -> bytes:
        message: dict[str, Any] = {"role": "assistant", "content": "".join(reply.text)}
        if reply.reasoning:
            message[self.preset.reasoning_field] = "".join(reply.reasoning)
        choice = {"index": 0, "message": message, "finish_reason": reply.finish}
        return encode({**self._head(reply, "chat.completion"), "choices": [choice], "usage": _usage(reply)})

    def opening(self, reply: Reply) -> bytes:
        return self._chunk(reply, {"role": "assistant", "content": ""})

    def words(self, reply: Reply) -> list[bytes]:
        head = encode(self._head(reply, "chat.completion.chunk")).decode()[:-1]
        open_, close = head + ',"choices":[{"index":0,"delta":{"', '"},"finish_reason":null}]}\n\n'
        thought, said = f'data: {open_}{self.preset.reasoning_field}":"', f'data: {open_}content":"'
        found = [f"{thought}{word}{close}".encode() for word in reply.reasoning]
        return found + [f"{said}{word}{close}".encode() for word in reply.text]

    def closing(self, reply: Reply) -> bytes:
        head, asked = self._head(reply, "chat.completion.chunk"), reply.question.usage
        finish = {**head, "choices": [{"index": 0, "delta": {}, "finish_reason": reply.finish}]}
        if self.preset.usage_at == "finish":
            return event({**finish, "usage": _usage(reply)}) + b"data: [DONE]\n\n"
        extra = event({**head, "choices": [], "usage": _usage(reply)}) if asked else b""
        return event(finish) + extra + b"data: [DONE]\n\n"

    def _chunk(self, reply: Reply, delta: dict[str, str]) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": None}
        return event({**self._head(reply, "chat.completion.chunk"), "choices": [choice]})

    def _head(self, reply: Reply, kind: str) -> dict[str, Any]:
        return {"id": reply.id, "object": kind, "created": reply.created, "model": reply.question.model}


class Messages(Form):
    """Messages: named events round content blocks; the prompt's tokens come first, the answer's last."""

    def whole(self, reply: Reply) -> bytes:
        blocks = [{"type": "thinking", "thinking": "".join(reply.reasoning)}] if reply.reasoning else []
        blocks += [{"type": "text", "text": "".join(reply.text)}]
        usage = {"input_tokens": reply.question.prompt, "output_tokens": reply.output}
        return encode({**self._head(reply, blocks), "stop_reason": _stop(reply), "usage": usage})

    def opening(self, reply: Reply) -> bytes:
        usage = {"input_tokens": reply.question.prompt, "output_tokens": 1}
        start = {"type": "message_start", "message": {**self._head(reply, []), "stop_reason": None, "usage": usage}}
        return event(start, "message_start") + event({"type": "ping"}, "ping")

    def words(self, reply: Reply) -> list[bytes]:
        found = self._block(0, "thinking", reply.reasoning)
        if found:
            found[-1] += event({"type": "content_block_stop", "index": 0}, "content_block_stop")
        return found + self._block(1 if found else 0, "text", reply.text)

    def closing(self, reply: Reply) -> bytes:
        stop = {"type": "content_block_stop", "index": 1 if reply.reasoning and reply.text else 0}
        delta = {
            "type": "message_delta",
            "delta": {"stop_reason": _stop(reply), "stop_sequence": None},
            "usage": {"output_tokens": reply.output},
        }
        ends = event(stop, "content_block_stop"), event(delta, "message_delta")
        return b"".join(ends) + event({"type": "message_stop"}, "message_stop")

    def _block(self, index: int, name: str, words: list[str]) -> list[bytes]:
        """The deltas of one content block, its start with the first one."""
        delta = f'{{"type":"content_block_delta","index":{index},"delta":{{"type":"{name}_delta","{name}":"'
        found = [f'event: content_block_delta\ndata: {delta}{word}"}}}}\n\n'.encode() for word in words]
        if found:
            start = {"type": "content_block_start", "index": index, "content_block": {"type": name, name: ""}}
            found[0] = event(start, "content_block_start") + found[0]
        return found

    def failing(self, reply: Reply) -> bytes:
        return event({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}, "error")

    def _head(self, reply: Reply, blocks: list[dict[str, str]]) -> dict[str, Any]:
        model = reply.question.model
        return {"id": reply.id, "type": "message", "role": "assistant", "model": model, "content": blocks}


class GenerateContent(Form):
    """generateContent: each event a whole response with usage so far; the last one carries the finish reason."""

    def whole(self, reply: Reply) -> bytes:
        parts: list[dict[str, Any]] = [{"text": "".join(reply.text)}]
        if reply.reasoning:
            parts.insert(0, {"text": "".join(reply.reasoning), "thought": True})
        return encode(self._response(reply, parts, reply.output, last=True))

    def opening(self, reply: Reply) -> bytes:
        return b""

    def words(self, reply: Reply) -> list[bytes]:
        found = []
        for n, word in enumerate(reply.reasoning + reply.text):
            part = {"text": word, "thought": True} if n < len(reply.reasoning) else {"text": word}
            found.append(event(self._response(reply, [part], n + 1, last=False)))
        return found

    def closing(self, reply: Reply) -> bytes:
        return event(self._response(reply, [{"text": ""}], reply.output, last=True))

    def failing(self, reply: Reply) -> bytes:
        return event({"error": {"code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE"}})

    def _response(self, reply: Reply, parts: list[dict[str, Any]], done: int, last: bool) -> dict[str, Any]:
        candidate: dict[str, Any] = {"content": {"parts": parts, "role": "model"}, "index": 0}
        if last:
            candidate["finishReason"] = "MAX_TOKENS" if reply.finish == "length" else "STOP"
        thoughts = min(done, len(reply.reasoning))
        usage = {"promptTokenCount": reply.question.prompt, "candidatesTokenCount": done - thoughts}
        if thoughts:
            usage["thoughtsTokenCount"] = thoughts
        usage["totalTokenCount"] = reply.question.prompt + done
        return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": reply.question.model}


FORMS: dict[str, type[Form]] = {"openai_chat": Chat, "messages": Messages, "generate_content": GenerateContent}


def event(data: dict[str, Any], name: str = "") -> bytes:
    head = f"event: {name}\n".encode() if name else b""
    return head + b"data: " + encode(data) + b"\n\n"


def _usage(reply: Reply) -> dict[str, Any]:
    prompt, output = reply.question.prompt, reply.output
    usage: dict[str, Any] = {"prompt_tokens": prompt, "completion_tokens": output, "total_tokens": prompt + output}
    if reply.reasoning:
        usage["completion_tokens_details"] = {"reasoning_tokens": len(reply.reasoning)}
    if reply.neurons is not None:
        usage["neurons"] = reply.neurons
    return usage


def _stop(reply: Reply) -> str:
    return "max_tokens" if reply.finish == "length" else "end_turn"
