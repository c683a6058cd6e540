"""Answers that are not streamed: the server's own document, or one made from what was read."""

from __future__ import annotations

import json
from typing import Any

import pytest
from openai.types.chat import ChatCompletion

from llmfan.dialects.relay import Head
from llmfan.records import Answer, Usage
from llmfan.serving.answer import whole

HEAD = Head(id="chatcmpl-1", created=17)
USED = Usage(3, 4)
ANSWER = Answer(text="hi", finish_reason="stop")


def own(**fields: Any) -> bytes:
    document = {
        "id": "up", "object": "chat.completion", "created": 5, "model": "up-m", "system_fingerprint": "fp",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "logprobs": {"x": [1.50]}}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3, "own": 1},
    }  # fmt: skip
    return json.dumps(document | fields).encode()


def made(body: bytes | None, answer: Answer = ANSWER, usage: Usage = USED) -> dict:
    document = json.loads(whole(body, answer, usage, HEAD, "the-model"))
    ChatCompletion.model_validate(document | {"choices": [c | {"finish_reason": "stop"} for c in document["choices"]]})
    return document


def test_the_servers_own_document_passes_byte_for_byte() -> None:
    """Logprobs, a second choice, a field that nobody here knows: all are what somebody asked for."""
    assert whole(own(), ANSWER, USED, HEAD, "m") == own()


@pytest.mark.parametrize("name", ["id", "object", "created", "model", "usage"])
@pytest.mark.parametrize("null", [True, False])
def test_what_every_answer_of_the_form_has_is_filled_in(name: str, null: bool) -> None:
    """Programs read `usage.total_tokens` without a look, and local servers leave it out."""
    body = json.loads(own())
    body[name] = None
    if not null:
        del body[name]
    document = made(json.dumps(body).encode(), usage=Usage(3, 4, "estimated"))
    assert document[name]
    assert {key: value for key, value in document.items() if key != name} == {
        key: value for key, value in body.items() if key != name
    }
    assert (document["usage"].get("source") == "estimated") == (name == "usage")


@pytest.mark.parametrize(
    "body",
    [
        None,
        b"",
        b"<html>",
        b"data: {}\n\n",
        b"[]",
        b"{}",
        own(choices=[]),
        own(choices=[None]),
        own(choices=[{"delta": {}}]),
    ],
)
def test_what_is_no_such_document_is_made_from_what_was_read(body: bytes | None) -> None:
    """A server that streams unasked has given an answer all the same."""
    assert made(body) == {
        "id": "chatcmpl-1", "object": "chat.completion", "created": 17, "model": "the-model",
        "choices": [
            {
                "index": 0, "logprobs": None, "finish_reason": "stop",
                "message": {"role": "assistant", "content": "hi", "refusal": None},
            }
        ],
        "usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7},
    }  # fmt: skip


def test_calls_and_thoughts_are_told_in_the_words_of_the_form() -> None:
    """An agent looks at the reason to stop before it looks for calls, and decodes their arguments unasked."""
    call = {"id": None, "type": "function", "function": {"name": "f", "arguments": ""}}
    answer = Answer(text="", reasoning="hm", finish_reason="stop", tool_calls=[call])
    [choice] = made(None, answer)["choices"]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] is None
    assert choice["message"]["reasoning_content"] == "hm"
    [told] = choice["message"]["tool_calls"]
    assert told == {"id": "call_0", "type": "function", "function": {"name": "f", "arguments": "{}"}}


@pytest.mark.parametrize("body", [b"\xef\xbb\xbf" + own(), own(own="\u00e9").replace(b"\\u00e9", b"\xff")])
def test_a_server_with_bad_habits_reaches_callers_as_clean_json(body: bytes) -> None:
    """A byte order mark or bad UTF-8 ends the caller's program with an exception of its decoder."""
    document = json.loads(whole(body, ANSWER, USED, HEAD, "m").decode())
    assert document["id"] in ("up", "chatcmpl-1")
    assert document["choices"][0]["message"]["content"] == "hi"
