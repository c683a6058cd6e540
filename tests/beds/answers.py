"""What the upstream says to a request: its own last message back, so that each answer can be told from all others."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

CALL = {"id": "call-1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Bern"}'}}
LOGPROBS = {"content": [{"token": "a", "logprob": -0.25, "bytes": [97], "top_logprobs": []}], "refusal": None}


def marker(asked: dict[str, Any]) -> str:
    """The text of the last message."""
    content = asked["messages"][-1].get("content") or ""
    if isinstance(content, str):
        return content
    return " ".join(part["text"] for part in content if part.get("type") == "text")


def text(asked: dict[str, Any]) -> str:
    said = marker(asked)
    images = sum(p.get("type") == "image_url" for m in asked["messages"] if isinstance(m.get("content"), list)
                 for p in m["content"])  # fmt: skip
    if images:
        return f"{images} images; {said}"
    if asked.get("response_format", {}).get("type", "text") != "text":
        return json.dumps({"echo": said})
    return f"You said: {said}"


def calls_tool(asked: dict[str, Any]) -> bool:
    return bool(asked.get("tools")) and asked["messages"][-1]["role"] != "tool"


def usage(asked: dict[str, Any]) -> dict[str, int]:
    given, said = len(asked["messages"]) * 5, max(1, len(text(asked)) // 4)
    return {"prompt_tokens": given, "completion_tokens": said, "total_tokens": given + said}


def document(asked: dict[str, Any]) -> dict[str, Any]:
    """An unstreamed answer. `x_extra` is a field that nobody between here and the caller knows."""
    message: dict[str, Any] = {"role": "assistant", "content": None if calls_tool(asked) else text(asked)}
    if calls_tool(asked):
        message["tool_calls"] = [CALL]
    choices = [
        {
            "index": index,
            "message": message,
            "logprobs": LOGPROBS if asked.get("logprobs") else None,
            "finish_reason": _finish(asked),
        }
        for index in range(asked.get("n") or 1)
    ]
    return {**_frame(asked, "chat.completion"), "choices": choices, "usage": usage(asked), "x_extra": "kept"}


def events(asked: dict[str, Any], chunks: int) -> Iterator[bytes]:
    """A role-only event, `chunks` with something in them, an end, a usage event if it was asked for, the end sign."""
    yield _event(asked, {"role": "assistant", "content": ""})
    for delta in _tool_deltas() if calls_tool(asked) else _text_deltas(asked, chunks):
        yield _event(asked, delta)
    yield _event(asked, {}, _finish(asked))
    if (asked.get("stream_options") or {}).get("include_usage"):
        yield _packed({**_frame(asked, "chat.completion.chunk"), "choices": [], "usage": usage(asked)})
    yield b"[DONE]"


def _text_deltas(asked: dict[str, Any], chunks: int) -> Iterator[dict[str, Any]]:
    said = text(asked)
    size = max(1, -(-len(said) // chunks))
    pieces = [said[at : at + size] for at in range(0, len(said), size)]
    for number in range(chunks):
        yield {"content": pieces[number] if number < len(pieces) else " "}


def _tool_deltas() -> Iterator[dict[str, Any]]:
    """The call's name first, its arguments in two pieces."""
    whole = str(CALL["function"]["arguments"])  # type: ignore[index]
    head = {"index": 0, "id": CALL["id"], "type": "function", "function": {"name": "weather", "arguments": ""}}
    yield {"tool_calls": [head]}
    for piece in (whole[:6], whole[6:]):
        yield {"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}


def _event(asked: dict[str, Any], delta: dict[str, Any], finish: str | None = None) -> bytes:
    logprobs = LOGPROBS if asked.get("logprobs") and delta.get("content") else None
    choice = {"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": finish}
    return _packed({**_frame(asked, "chat.completion.chunk"), "choices": [choice]})


def _finish(asked: dict[str, Any]) -> str:
    return "tool_calls" if calls_tool(asked) else "stop"


def _frame(asked: dict[str, Any], kind: str) -> dict[str, Any]:
    return {"id": "chatcmpl-up", "object": kind, "created": 1750000000, "model": asked["model"],
            "system_fingerprint": "fp_up"}  # fmt: skip


def _packed(value: dict[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
