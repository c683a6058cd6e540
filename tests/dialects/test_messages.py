"""The messages form: requests turned, typed events read."""

from __future__ import annotations

import json

import pytest

from llmfan.dialects import dialect
from llmfan.records import Answer, Call, Failure, Usage
from llmfan.secret import Secret
from llmfan.settings import Preset

FORM = dialect(
    "messages",
    Preset(name="T", checked="2026-11-20", auth_header="x-api-key", auth_scheme="", headers={"a-version": "1"}),
)


def sent(messages: list[dict], stream: bool = True, **params: object) -> dict:
    return json.loads(FORM.body(Call(model="m", messages=messages, max_tokens=9, params=params, stream=stream)))


def event(kind: str, **fields: object) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()


def text(words: str, index: int = 0) -> bytes:
    return event("content_block_delta", index=index, delta={"type": "text_delta", "text": words})


START = event("message_start", message={"usage": {"input_tokens": 3, "output_tokens": 1, "cache_read_input_tokens": 4}})
BLOCK = event("content_block_start", index=0, content_block={"type": "text", "text": ""})
DELTA = event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 7})
STOP = event("message_stop")


def read(*events: bytes) -> Answer | Failure:
    reader = FORM.stream()
    for at, data in enumerate(events):
        reader.feed(data, 10.0 + at)
    return reader.finish()


def test_system_messages_stand_beside_the_others() -> None:
    """Among the messages they are refused, and every call with a system text fails."""
    got = sent([{"role": "system", "content": "be brief"}, {"role": "user", "content": "hi"}], stream=False)
    assert got == {
        "model": "m", "max_tokens": 9, "system": "be brief", "messages": [{"role": "user", "content": "hi"}],
    }  # fmt: skip


def test_fields_of_the_other_form_are_turned_or_left_out() -> None:
    """An unknown field is a 400 for every prompt of the set."""
    tool = {"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}}
    got = sent([], stop="x", tools=[tool], tool_choice="required", seed=1, max_completion_tokens=5, thinking={"a": 1})
    assert got["stop_sequences"] == ["x"]
    assert got["tools"] == [{"name": "f", "description": "d", "input_schema": {"type": "object"}}]
    assert got["tool_choice"] == {"type": "any"}
    assert got["max_tokens"] == 5
    assert got["thinking"] == {"a": 1}
    assert "seed" not in got
    assert got["stream"] is True


def test_images_and_tool_results_take_the_forms_own_shape() -> None:
    """A conversation with tools or pictures would be refused half way."""
    call = {"id": "1", "function": {"name": "f", "arguments": '{"x":1}'}}
    got = sent(
        [
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD"}}]},
            {"role": "assistant", "content": "calling", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "1", "content": "42"},
        ]
    )["messages"]
    source = {"type": "base64", "media_type": "image/png", "data": "QUJD"}
    assert got[0]["content"] == [{"type": "image", "source": source}]
    assert got[1]["content"][1] == {"type": "tool_use", "id": "1", "name": "f", "input": {"x": 1}}
    assert got[2] == {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1", "content": "42"}]}


def test_the_key_goes_where_the_rows_say() -> None:
    """A key in the wrong header is a 401, and the key is thought dead."""
    headers = FORM.headers(Secret("k"))
    assert headers["x-api-key"] == "k"
    assert headers["a-version"] == "1"
    assert "Authorization" not in headers


def test_a_stream_gives_text_thinking_usage_and_moments() -> None:
    """Input comes in the first event and output in the last; cached input counts as input."""
    thought = event("content_block_delta", index=0, delta={"type": "thinking_delta", "thinking": "hm"})
    answer = read(START, event("ping"), BLOCK, thought, text("a") + text("b"), text("c"), DELTA, STOP)
    assert isinstance(answer, Answer)
    assert (answer.text, answer.reasoning, answer.finish_reason) == ("abc", "hm", "stop")
    assert answer.usage == Usage(7, 7, cached_tokens=4)
    assert (answer.first, answer.first_output) == (13.0, 14.0)
    assert answer.gaps == [(1.0, 1), (0.0, 1), (1.0, 1)]


def test_tool_use_is_given_in_the_other_forms_shape() -> None:
    """Results must not differ in shape by provider."""
    start = event(
        "content_block_start", index=0, content_block={"type": "tool_use", "id": "1", "name": "f", "input": {}}
    )
    parts = [event("content_block_delta", index=0, delta={"partial_json": p}) for p in ('{"x"', ":1}")]
    answer = read(START, start, *parts, STOP)
    assert answer.tool_calls == [{"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}}]
    assert answer.first_output == 11.0


@pytest.mark.parametrize("end", [STOP, DELTA])
def test_either_end_sign_completes_a_stream(end: bytes) -> None:
    """Answers that ended properly must not be sent again."""
    assert isinstance(read(START, BLOCK, text("a"), end), Answer)


def test_a_stream_that_just_stops_is_cut() -> None:
    """Half an answer must not count as one."""
    failure = read(START, BLOCK, text("a"))
    assert (failure.kind, failure.ambiguous) == ("truncated_stream", True)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("overloaded_error", "overloaded"), ("rate_limit_error", "rate_limited"), ("api_error", "server_error"),
     ("invalid_request_error", "bad_request"), ("authentication_error", "auth")],
)  # fmt: skip
def test_an_error_event_is_that_error(kind: str, expected: str) -> None:
    """Pitfall 8 in this form: an overloaded model must not look like a cut stream."""
    error = event("error", error={"type": kind, "message": "x"})
    assert read(START, error).kind == expected
    late = read(START, BLOCK, text("a"), error)
    assert (late.kind, late.ambiguous) == (expected, True)


def test_a_refusal_is_a_filtered_answer() -> None:
    """It is the request, not the key."""
    failure = read(START, event("message_delta", delta={"stop_reason": "refusal"}), STOP)
    assert (failure.kind, failure.scope) == ("content_filter", "request")


def test_a_whole_answer_is_read() -> None:
    """Without streaming the same things must come out."""
    body = {
        "content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "x"},
                    {"type": "tool_use", "id": "1", "name": "f", "input": {"a": 1}}],
        "stop_reason": "max_tokens", "usage": {"input_tokens": 3, "output_tokens": 5},
    }  # fmt: skip
    answer = FORM.whole(json.dumps(body).encode(), {})
    assert isinstance(answer, Answer)
    assert (answer.text, answer.reasoning, answer.finish_reason, answer.usage) == ("x", "hm", "length", Usage(3, 5))
    assert answer.tool_calls[0]["function"] == {"name": "f", "arguments": '{"a":1}'}


@pytest.mark.parametrize("body", [b"", b"<html>", b"{}", b'{"content": null}', b"[" * 100_000])
def test_a_whole_body_without_content_is_a_bad_response(body: bytes) -> None:
    """An empty success would be counted as a wrong answer of the model."""
    assert FORM.whole(body, {}).kind == "bad_response"


def test_an_error_body_in_a_200_is_that_error() -> None:
    """Pitfall 8, not streamed."""
    body = b'{"type":"error","error":{"type":"overloaded_error","message":"busy"}}'
    assert FORM.whole(body, {}).kind == "overloaded"
