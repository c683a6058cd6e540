"""The body of an answer that is not streamed."""

from __future__ import annotations

from typing import Any

from llmfan.dialects.bodies import encoded, plain
from llmfan.dialects.relay import Head
from llmfan.dialects.retold import calls_of, finish_of, usage_document
from llmfan.records import Answer, Usage


def whole(body: bytes | None, answer: Answer, usage: Usage, head: Head, model: str) -> bytes:
    """The server's own document where there is one (`body`), else one made from the answer.

    The server's passes byte for byte, unless it lacks what every answer of the form has.
    """
    document = plain(body) if body else None
    if not isinstance(document, dict) or not _has_choices(document):
        return encoded(_frame(head, model) | {"choices": [_choice(answer)], "usage": usage_document(usage)})
    needed = _frame(head, model) | {"usage": usage_document(usage)}
    missing = {name: value for name, value in needed.items() if document.get(name) is None}
    if not missing and body is not None and _is_clean(body):
        return body
    return encoded(document | missing)


def _frame(head: Head, model: str) -> dict[str, Any]:
    return {"id": head.id, "object": "chat.completion", "created": head.created, "model": model}


def _has_choices(document: dict[str, Any]) -> bool:
    choices = document.get("choices")
    return (
        isinstance(choices, list)
        and bool(choices)
        and all(isinstance(choice, dict) and isinstance(choice.get("message"), dict) for choice in choices)
    )


def _is_clean(body: bytes) -> bool:
    """Whether its bytes can be sent as they are: a byte order mark or bad UTF-8 is none of its caller's troubles."""
    if body.lstrip()[:1] != b"{":
        return False
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True


def _choice(answer: Answer) -> dict[str, Any]:
    calls = calls_of(answer)
    message: dict[str, Any] = {"role": "assistant", "content": answer.text or (None if calls else "")}
    message["refusal"] = None
    if answer.reasoning:
        message["reasoning_content"] = answer.reasoning
    if calls:
        message["tool_calls"] = calls
    return {"index": 0, "message": message, "logprobs": None, "finish_reason": finish_of(answer)}
