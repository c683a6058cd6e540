"""Answers on the wire, in each of the three forms: whole, or as the events of a stream.

Prose is put in bytes by hand: its words are plain ASCII, and a simulated fleet must cost less than what it tests.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import msgspec
from msgspec import Struct

from llmfan.settings import Preset
from llmfan.simulation.questions import Question
from llmfan.simulation.saying import Said

encode = msgspec.json.encode
_THOUGHT = {"type": "thinking", "thinking": ""}, "thinking_delta", "thinking"
_TEXT = {"type": "text", "text": ""}, "text_delta", "text"


class Reply(Struct, frozen=True):
    """What is answered: one answer, or as many as were asked for."""

    id: str
    question: Question
    created: int
    choices: list[Said]
    neurons: float | None = None

    @property
    def first(self) -> Said:
        return self.choices[0]

    @property
    def output(self) -> int:
        return sum(each.steps for each in self.choices)

    @property
    def call(self) -> str:
        """The name by which the result of its tool is given back."""
        return f"call_{self.id}"


class Form(ABC):
    """One wire form. A stream is `opening`, a write for each word of the first answer (reasoning first), `closing`."""

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
        choices = [
            {"index": n, "message": self._message(reply, said, n), "finish_reason": said.finish}
            for n, said in enumerate(reply.choices)
        ]
        return encode({**self._head(reply, "chat.completion"), "choices": choices, "usage": _usage(reply)})

    def opening(self, reply: Reply) -> bytes:
        chunks = []
        for n, said in enumerate(reply.choices):
            delta = {"role": "assistant", "content": None if said.tool else ""}
            chunks.append(self._chunk(reply, n, delta))
        return b"".join(chunks)

    def words(self, reply: Reply) -> list[bytes]:
        """The words of further answers come with those of the first one, the rest of longer ones with its last."""
        found = self._words(reply, reply.first, 0)
        last = len(found) - 1
        for n, said in enumerate(reply.choices[1:], 1):
            for place, chunk in enumerate(self._words(reply, said, n)):
                found[min(place, last)] += chunk
        return found

    def closing(self, reply: Reply) -> bytes:
        head, asked = self._head(reply, "chat.completion.chunk"), reply.question.usage
        told = self.preset.usage_at == "finish"
        ends = []
        for n, said in enumerate(reply.choices):
            last = {"usage": _usage(reply)} if told and n == len(reply.choices) - 1 else {}
            ends.append(event({**head, "choices": [{"index": n, "delta": {}, "finish_reason": said.finish}], **last}))
        if asked and not told:
            ends.append(event({**head, "choices": [], "usage": _usage(reply)}))
        return b"".join(ends) + b"data: [DONE]\n\n"

    def _message(self, reply: Reply, said: Said, n: int) -> dict[str, Any]:
        text = "".join(said.text)
        message: dict[str, Any] = {"role": "assistant", "content": None if said.tool else text}
        if said.reasoning:
            message[self.preset.reasoning_field] = "".join(said.reasoning)
        if said.tool:
            message["tool_calls"] = [self._call(reply, said, n, text)]
        return message

    def _words(self, reply: Reply, said: Said, n: int) -> list[bytes]:
        head = encode(self._head(reply, "chat.completion.chunk")).decode()[:-1]
        open_, close = f'data: {head},"choices":[{{"index":{n},"delta":{{"', '"},"finish_reason":null}]}\n\n'
        thought, spoken = f'{open_}{self.preset.reasoning_field}":"', f'{open_}content":"'
        found = [f"{thought}{word}{close}".encode() for word in said.reasoning]
        if said.tool:
            return found + self._arguments(reply, said, n)
        return found + [f"{spoken}{word}{close}".encode() for word in _safe(said)]

    def _arguments(self, reply: Reply, said: Said, n: int) -> list[bytes]:
        """The call's name comes first, without arguments, and then these piece by piece."""
        calls = [{"index": 0, "function": {"arguments": piece}} for piece in said.text]
        found = [self._chunk(reply, n, {"tool_calls": [call]}) for call in calls]
        found[0] = self._chunk(reply, n, {"tool_calls": [{"index": 0, **self._call(reply, said, n, "")}]}) + found[0]
        return found

    def _call(self, reply: Reply, said: Said, n: int, arguments: str) -> dict[str, Any]:
        ident = f"{reply.call}-{n}" if n else reply.call
        return {"id": ident, "type": "function", "function": {"name": said.tool, "arguments": arguments}}

    def _chunk(self, reply: Reply, n: int, delta: dict[str, Any]) -> bytes:
        choice = {"index": n, "delta": delta, "finish_reason": None}
        return event({**self._head(reply, "chat.completion.chunk"), "choices": [choice]})

    def _head(self, reply: Reply, kind: str) -> dict[str, Any]:
        return {"id": reply.id, "object": kind, "created": reply.created, "model": reply.question.model}


class Messages(Form):
    """Messages: named events round content blocks; the prompt's tokens come first, the answer's last."""

    def whole(self, reply: Reply) -> bytes:
        said, text = reply.first, "".join(reply.first.text)
        blocks: list[dict[str, Any]] = []
        if said.reasoning:
            blocks.append({"type": "thinking", "thinking": "".join(said.reasoning)})
        if not said.tool:
            blocks.append({"type": "text", "text": text})
        elif said.finish != "length":  # half a call cannot be told here
            blocks.append({**self._use(reply), "input": msgspec.json.decode(text)})
        usage = {"input_tokens": reply.question.prompt, "output_tokens": reply.output}
        return encode({**self._head(reply, blocks), "stop_reason": _stop(reply), "usage": usage})

    def opening(self, reply: Reply) -> bytes:
        usage = {"input_tokens": reply.question.prompt, "output_tokens": 1}
        start = {"type": "message_start", "message": {**self._head(reply, []), "stop_reason": None, "usage": usage}}
        return event(start, "message_start") + event({"type": "ping"}, "ping")

    def words(self, reply: Reply) -> list[bytes]:
        said = reply.first
        found = self._block(0, _THOUGHT, said.reasoning)
        if found:
            found[-1] += event({"type": "content_block_stop", "index": 0}, "content_block_stop")
        block = ({**self._use(reply), "input": {}}, "input_json_delta", "partial_json") if said.tool else _TEXT
        return found + self._block(1 if found else 0, block, _safe(said))

    def closing(self, reply: Reply) -> bytes:
        stop = {"type": "content_block_stop", "index": 1 if reply.first.reasoning and reply.first.text else 0}
        delta = {
            "type": "message_delta",
            "delta": {"stop_reason": _stop(reply), "stop_sequence": None},
            "usage": {"output_tokens": reply.output},
        }
        ends = event(stop, "content_block_stop"), event(delta, "message_delta")
        return b"".join(ends) + event({"type": "message_stop"}, "message_stop")

    def _block(self, index: int, block: tuple[dict[str, Any], str, str], words: list[str]) -> list[bytes]:
        """A content block: its start with the first delta. `block`: how it begins, its deltas' name and field."""
        begins, kind, field = block
        delta = f'{{"type":"content_block_delta","index":{index},"delta":{{"type":"{kind}","{field}":"'
        found = [f'event: content_block_delta\ndata: {delta}{word}"}}}}\n\n'.encode() for word in words]
        if found:
            start = {"type": "content_block_start", "index": index, "content_block": begins}
            found[0] = event(start, "content_block_start") + found[0]
        return found

    def failing(self, reply: Reply) -> bytes:
        return event({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}, "error")

    def _use(self, reply: Reply) -> dict[str, Any]:
        return {"type": "tool_use", "id": reply.call, "name": reply.first.tool}

    def _head(self, reply: Reply, blocks: list[dict[str, Any]]) -> dict[str, Any]:
        model = reply.question.model
        return {"id": reply.id, "type": "message", "role": "assistant", "model": model, "content": blocks}


class GenerateContent(Form):
    """generateContent: each event a whole response with usage so far; the last one carries the finish reason."""

    def whole(self, reply: Reply) -> bytes:
        parts = self._parts(reply)
        if reply.first.reasoning:
            parts.insert(0, {"text": "".join(reply.first.reasoning), "thought": True})
        return encode(self._response(reply, parts, reply.output, last=True))

    def opening(self, reply: Reply) -> bytes:
        return b""

    def words(self, reply: Reply) -> list[bytes]:
        said, found = reply.first, []
        for n, word in enumerate(said.reasoning + said.text):
            part = {"text": word, "thought": True} if n < len(said.reasoning) else {"text": word}
            found.append(event(self._response(reply, [part], n + 1, last=False)))
        if said.tool:  # a call comes whole, when all of it is there
            found[len(said.reasoning) :] = [b""] * len(said.text)
            found[-1] = event(self._response(reply, self._parts(reply), said.steps, last=False))
        return found

    def closing(self, reply: Reply) -> bytes:
        return event(self._response(reply, [{"text": ""}], reply.output, last=True))

    def failing(self, reply: Reply) -> bytes:
        return event({"error": {"code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE"}})

    def _parts(self, reply: Reply) -> list[dict[str, Any]]:
        """What was said, besides thoughts. Half a call cannot be told here."""
        said, text = reply.first, "".join(reply.first.text)
        if not said.tool:
            return [{"text": text}]
        whole = said.finish != "length"
        return [{"functionCall": {"name": said.tool, "args": msgspec.json.decode(text)}}] if whole else [{"text": ""}]

    def _response(self, reply: Reply, parts: list[dict[str, Any]], done: int, last: bool) -> dict[str, Any]:
        candidate: dict[str, Any] = {"content": {"parts": parts, "role": "model"}, "index": 0}
        if last:
            candidate["finishReason"] = "MAX_TOKENS" if reply.first.finish == "length" else "STOP"
        thoughts = min(done, len(reply.first.reasoning))
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
    if any(said.reasoning for said in reply.choices):
        thoughts = sum(len(said.reasoning) for said in reply.choices)
        usage["completion_tokens_details"] = {"reasoning_tokens": thoughts}
    if reply.neurons is not None:
        usage["neurons"] = reply.neurons
    return usage


def _stop(reply: Reply) -> str:
    return {"length": "max_tokens", "tool_calls": "tool_use"}.get(reply.first.finish, "end_turn")


def _safe(said: Said) -> list[str]:
    """Pieces as they may stand between two quotes. Prose needs no look at it."""
    return said.text if said.plain else [encode(piece).decode()[1:-1] for piece in said.text]
