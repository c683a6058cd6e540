"""The generateContent form: requests turned, pieces read."""

from __future__ import annotations

import json

import pytest

from llmfan.dialects import dialect
from llmfan.dialects.turned import UNSIGNED
from llmfan.records import Answer, Call, Failure, Usage
from llmfan.settings import Preset

FORM = dialect("generate_content", Preset(name="T", checked="2026-11-20", auth_header="x-own-key", auth_scheme=""))


def sent(messages: list[dict], temperature: float | None = None, **params: object) -> dict:
    call = Call(model="m", messages=messages, max_tokens=9, temperature=temperature, params=params)
    return json.loads(FORM.body(call))


def piece(*parts: dict, finish: str | None = None, **more: object) -> bytes:
    candidate: dict = {"content": {"parts": list(parts), "role": "model"}, "index": 0}
    if finish:
        candidate["finishReason"] = finish
    return b"data: " + json.dumps({"candidates": [candidate], **more}).encode() + b"\r\n\r\n"


def read(*events: bytes) -> Answer | Failure:
    reader = FORM.stream()
    for at, data in enumerate(events):
        reader.feed(data, 10.0 + at)
    return reader.finish()


def test_the_model_stands_in_the_address() -> None:
    """A plain call and a streamed one have different addresses here."""
    plain, streamed = FORM.address("https://h/v1beta/", "models/some-model")
    assert plain == "https://h/v1beta/models/some-model:generateContent"
    assert streamed == "https://h/v1beta/models/some-model:streamGenerateContent?alt=sse"
    assert "?" not in FORM.address("https://h", "a?b")[0]


def test_messages_and_settings_are_turned() -> None:
    """An unknown name is a 400 for every prompt of the set."""
    messages = [("system", "brief"), ("user", "hi"), ("assistant", "ho")]
    params = {"top_p": 0.9, "stop": ["x"], "seed": 1, "response_format": {"type": "json_object"}}
    foreign = {"logprobs": True, "reasoning_effort": "low"}
    got = sent([{"role": role, "content": text} for role, text in messages], 0.5, **params, **foreign)
    assert got == {
        "systemInstruction": {"parts": [{"text": "brief"}]},
        "contents": [{"role": "user", "parts": [{"text": "hi"}]}, {"role": "model", "parts": [{"text": "ho"}]}],
        "generationConfig": {
            "maxOutputTokens": 9, "temperature": 0.5, "topP": 0.9, "stopSequences": ["x"], "seed": 1,
            "responseMimeType": "application/json",
        },
    }  # fmt: skip


def test_tools_and_pictures_are_turned() -> None:
    """A conversation with tools would be refused half way."""
    call = {"id": "1", "function": {"name": "f", "arguments": '{"x":1}'}}
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    got = sent(
        [
            {"role": "user", "content": [{"type": "text", "text": "see"},
                                         {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD"}}]},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "1", "content": "42"},
        ],
        tools=[tool], safetySettings=[1], max_completion_tokens=5, generationConfig={"thinkingConfig": {}},
    )  # fmt: skip
    assert got["contents"][0]["parts"][1] == {"inlineData": {"mimeType": "image/png", "data": "QUJD"}}
    assert got["contents"][1] == {
        "role": "model",
        "parts": [{"functionCall": {"name": "f", "args": {"x": 1}}, "thoughtSignature": UNSIGNED}],
    }
    assert got["contents"][2]["parts"] == [{"functionResponse": {"name": "f", "response": {"result": "42"}}}]
    assert got["tools"] == [{"functionDeclarations": [{"name": "f", "parametersJsonSchema": {"type": "object"}}]}]
    assert got["safetySettings"] == [1]
    assert got["generationConfig"] == {"maxOutputTokens": 5, "thinkingConfig": {}}


def test_a_stream_gives_text_thoughts_and_usage() -> None:
    """Thinking is paid as output though it is counted apart; the last count is the right one."""
    answer = read(
        piece({"text": ""}),
        piece({"text": "hm", "thought": True}, usageMetadata={"promptTokenCount": 3}),
        piece({"text": "a"}) + piece({"text": "b"}, usageMetadata={"promptTokenCount": 3, "candidatesTokenCount": 1}),
        piece(finish="STOP", usageMetadata={"promptTokenCount": 3, "candidatesTokenCount": 2, "thoughtsTokenCount": 5}),
    )
    assert isinstance(answer, Answer)
    assert (answer.text, answer.reasoning, answer.finish_reason) == ("ab", "hm", "stop")
    assert answer.usage == Usage(3, 7)
    assert (answer.first, answer.first_output, answer.gaps) == (11.0, 12.0, [(1.0, 1), (0.0, 1)])


def test_function_calls_are_given_in_the_other_forms_shape() -> None:
    """Results must not differ in shape by provider."""
    answer = read(piece({"functionCall": {"name": "f", "args": {"x": 1}}}, finish="STOP"))
    assert answer.tool_calls == [
        {"id": "call_0", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}}
    ]


def test_a_calls_signature_is_kept() -> None:
    """Without it the model refuses the call's result: no agent would come to its second turn."""
    answer = read(piece({"functionCall": {"name": "f", "args": {}}, "thoughtSignature": "c2ln"}, finish="STOP"))
    assert answer.tool_calls[0]["extra_content"] == {"google": {"thought_signature": "c2ln"}}


def test_a_stream_without_a_reason_to_finish_is_cut() -> None:
    """This form has no other end sign."""
    failure = read(piece({"text": "a"}))
    assert (failure.kind, failure.ambiguous) == ("truncated_stream", True)


@pytest.mark.parametrize(
    "data", [piece(finish="SAFETY"), b'data: {"promptFeedback": {"blockReason": "SAFETY"}}\n\n',
             piece({"text": "a"}, finish="RECITATION")],
)  # fmt: skip
def test_a_blocked_prompt_or_answer_is_a_failure_of_the_request(data: bytes) -> None:
    """An empty text would count as a wrong answer; another key would be blocked as well."""
    failure = read(data)
    assert isinstance(failure, Failure)
    assert (failure.kind, failure.scope) == ("content_filter", "request")


def test_an_error_in_mid_stream_is_that_error() -> None:
    """Pitfall 8 in this form."""
    error = b'data: {"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "slow"}}\n\n'
    assert read(error).kind == "rate_limited"
    late = read(piece({"text": "a"}), error)
    assert (late.kind, late.ambiguous) == ("rate_limited", True)


@pytest.mark.parametrize("odd", [{"text": 5}, {"text": None}, {"thought": "yes", "text": "r"}, {"inlineData": {}}])
def test_parts_of_odd_types_do_not_spoil_the_rest(odd: dict) -> None:
    """One strange part must not lose the answer."""
    answer = read(piece(odd), piece({"text": "a"}, finish="STOP"))
    assert isinstance(answer, Answer)
    assert answer.text == "a"


def test_a_whole_answer_is_read_alone_or_in_an_array() -> None:
    """A stream asked for without `alt=sse` comes as one array."""
    one = {"candidates": [{"content": {"parts": [{"text": "a"}]}, "finishReason": "MAX_TOKENS"}],
           "usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 2}}  # fmt: skip
    for body, text in ((one, "a"), ([one, one], "aa")):
        answer = FORM.whole(json.dumps(body).encode(), {})
        assert isinstance(answer, Answer)
        assert (answer.text, answer.finish_reason, answer.usage) == (text, "length", Usage(1, 2))
        assert answer.first is None


@pytest.mark.parametrize(
    ("body", "kind"),
    [(b"", "bad_response"), (b"{}", "bad_response"), (b'{"candidates": []}', "bad_response"),
     (b'{"promptFeedback": {"blockReason": "OTHER"}}', "content_filter"),
     (b'[{"error": {"code": 503, "status": "UNAVAILABLE", "message": "x"}}]', "overloaded"),
     (b"[" * 100_000, "bad_response")],
)  # fmt: skip
def test_a_200_without_candidates_is_a_failure_of_its_kind(body: bytes, kind: str) -> None:
    """An error in a 200 must not count as a success."""
    assert FORM.whole(body, {}).kind == kind
