"""Bodies of calls: what is taken, and what its caller is told where it is not."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmfan.conduct.caps import most_of
from llmfan.dialects import NAMES, dialect
from llmfan.dialects.openai_chat import ChatCompletions
from llmfan.records import Call
from llmfan.scheduling.lengths import length_of
from llmfan.serving.faults import CallerFault
from llmfan.serving.fields import Capabilities
from llmfan.serving.request import Asked, asked, read_request
from llmfan.settings import Preset, Provider

HI = [{"role": "user", "content": "hi"}]
CALLS = [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
PRESET = Preset(name="T", checked="2026-11-20")
FLEET = Capabilities(
    [
        Provider(name=form, preset=PRESET, preset_name="", api=form, base_url="", keys=[], models=[], limits={})
        for form in NAMES
    ],
    str,
)


def read(**fields: Any) -> Asked:
    return read_request(json.dumps({"messages": HI, **fields}).encode())


def fault(body: bytes) -> CallerFault:
    with pytest.raises(CallerFault) as caught:
        read_request(body)
    assert caught.value.status == 400
    return caught.value


def test_a_request_is_split_into_what_llmfan_decides_and_what_it_passes_on() -> None:
    """A field lost here is lost to every provider; one of llmfan's own passed on would be sent twice."""
    got = read(
        model="auto", stream=True, stream_options={"include_usage": True}, max_tokens=5, temperature=0, seed=1,
        own={"deep": [1]}, tools=[{"type": "function", "function": {"name": "f"}}], logprobs=True,
    )  # fmt: skip
    assert (got.model, got.streams, got.wants_usage) == ("auto", True, True)
    assert (got.prompt.id, got.prompt.messages, got.prompt.max_tokens, got.prompt.temperature) == ("", HI, 5, 0)
    assert list(got.prompt.params) == ["seed", "own", "tools", "logprobs"]
    assert got.prompt.params["own"] == {"deep": [1]}


def test_the_least_that_can_be_asked_is_taken() -> None:
    """`curl` with messages alone is how everybody begins."""
    got = read()
    assert (got.model, got.streams, got.wants_usage, got.prompt.max_tokens, got.prompt.params) == (
        "",
        False,
        False,
        None,
        {},
    )


def test_the_newer_name_of_the_cap_counts() -> None:
    """With both sent on, a provider refuses the call, and the wrong one of them is reserved for."""
    got = read(max_tokens=5, max_completion_tokens=7)
    assert (got.prompt.max_tokens, got.prompt.params) == (7, {"max_completion_tokens": 7})
    call = Call(model="m", messages=got.prompt.messages, max_tokens=7, params=got.prompt.params, stream=False)
    bare = msgspec.json.decode(ChatCompletions(Preset(name="own", checked="")).body(call))
    known = msgspec.json.decode(ChatCompletions(Preset(name="known", checked="2026-11-20")).body(call))
    assert [{k: v for k, v in sent.items() if k.startswith("max_")} for sent in (bare, known)] == [
        {"max_completion_tokens": 7},
        {"max_tokens": 7},
    ]


def test_null_is_absent() -> None:
    """SDKs and frameworks send null for all that nobody set; strict providers refuse the field."""
    got = read(model=None, stream=None, stream_options=None, max_tokens=None, temperature=None, n=None, tools=None)
    assert got == read()
    message = {"role": "assistant", "content": "a", "tool_calls": None, "refusal": None, "function_call": None}
    assert read(messages=[message]).prompt.messages == [{"role": "assistant", "content": "a"}]


def test_usage_of_a_call_that_is_not_streamed_is_no_wish() -> None:
    """Some frameworks send `stream_options` always."""
    assert not read(stream=False, stream_options={"include_usage": True}).wants_usage


@pytest.mark.parametrize(
    "message",
    [
        {"role": "assistant", "content": None, "tool_calls": CALLS},
        {"role": "assistant", "tool_calls": CALLS},
        {"role": "assistant", "content": [], "tool_calls": CALLS},
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": ""}},
        {"role": "assistant", "content": None, "refusal": "no"},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "type": "custom", "custom": {"name": "x"}}]},
        {"role": "tool", "content": "42", "tool_call_id": "c1"},
        {"role": "tool", "content": [{"type": "text", "text": "42"}], "tool_call_id": "c1"},
        {"role": "function", "content": "42", "name": "f"},
        {"role": "developer", "content": "be brief"},
        {"role": "user", "content": "", "name": "anna"},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://h/x.png", "detail": "low"}}]},
        {"role": "user", "content": [{"type": "own", "anything": 1}]},
    ],
)
def test_messages_of_every_legitimate_kind_are_taken(message: dict) -> None:
    """An agent's conversation is refused in its middle, with all its work done."""
    assert read(messages=[message]).prompt.messages == [message]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "empty"),
        (b" \n", "empty"),
        (b'{"messages": [', "ends in the middle"),
        (b'{"messages": [],}', "trailing comma in object at byte 17"),
        (b"{'messages': []}", "at byte 2"),
        (b'{"messages": "\xff"}', "byte 15 of the body (0xff) is not UTF-8"),
        (b"[]", "not a JSON object but a list"),
        (b"null", "not a JSON object but null"),
        (b'{"messages":[{"role":"user","content":"a"}],"x":NaN}', "not valid JSON"),
        (b'{"messages":[{"role":"user","content":"\\ud83d"}],"x":NaN}', "not valid JSON"),
        (b'{"messages":[{"role":"user","content":"a"}],"x":1e999}', "out of range"),
        (b'{"messages":[{"role":"user","content":"\\ud83d"}],"x":1e999}', "out of range"),
        (b'{"messages":[{"role":"user","content":"a"}],"x":' + b"9" * 30 + b"}", "out of range"),
        (b'{"messages":[{"role":"user","content":"a"}],"x":' + b"9" * 9999 + b"}", "not valid JSON"),
        (b'{"messages":[{"role":"user","content":"a"}],"x":' + b"[" * 200 + b"]" * 200 + b"}", "nested too deeply"),
        (b'{"x":' * 100_000, "nested too deeply"),
        (b"[" * 100_000 + b"]" * 100_000, "nested too deeply"),
    ],
)
def test_a_body_that_is_no_request_is_told_where(body: bytes, said: str) -> None:
    """ "Bad request" alone costs an hour; a number or a nesting without end must not reach an encoder."""
    assert said in fault(body).message


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": None}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"messages": {"role": "user"}}, "messages"),
        ({"messages": [*HI, "hi"]}, "messages[1]"),
        ({"messages": [{"content": "a"}]}, "messages[0].role"),
        ({"messages": [{"role": "usr", "content": "a"}]}, "messages[0].role"),
        ({"messages": [{"role": ["user"], "content": "a"}]}, "messages[0].role"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": {}}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": []}]}, "messages[0].content"),
        ({"messages": [{"role": "assistant", "content": None, "tool_calls": []}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": ["a"]}]}, "messages[0].content[0]"),
        ({"messages": [{"role": "user", "content": [{"text": "a"}]}]}, "messages[0].content[0]"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": 1}]}]}, "messages[0].content[0].text"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": 5}}]}]},
            "messages[0].content[0].image_url.url",
        ),
        ({"messages": [{"role": "assistant", "tool_calls": "f"}]}, "messages[0].tool_calls"),
        ({"messages": [{"role": "assistant", "tool_calls": ["f"]}]}, "messages[0].tool_calls[0]"),
        ({"messages": [{"role": "assistant", "tool_calls": [{"function": {}}]}]}, "messages[0].tool_calls[0].id"),
        (
            {"messages": [{"role": "assistant", "tool_calls": [{"id": "1", "function": "f"}]}]},
            "messages[0].tool_calls[0].function",
        ),
        (
            {"messages": [{"role": "assistant", "tool_calls": [{"id": "1", "function": {"name": "f"}}]}]},
            "messages[0].tool_calls[0].function.arguments",
        ),
        ({"messages": [{"role": "tool", "content": "a"}]}, "messages[0].tool_call_id"),
        ({"messages": [{"role": "function", "content": "a"}]}, "messages[0].name"),
        ({"messages": [{"role": "user", "content": "a", "name": 5}]}, "messages[0].name"),
        ({"model": 5}, "model"),
        ({"stream": "yes"}, "stream"),
        ({"stream": 1}, "stream"),
        ({"stream_options": True}, "stream_options"),
        ({"stream": True, "stream_options": {"include_usage": "yes"}}, "stream_options"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"max_tokens": 10.5}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"max_tokens": "9"}, "max_tokens"),
        ({"max_tokens": 2**40}, "max_tokens"),
        ({"max_completion_tokens": []}, "max_completion_tokens"),
        ({"max_output_tokens": "9" * 9000}, "max_output_tokens"),
        ({"generationConfig": {"maxOutputTokens": "9" * 9000}}, "generationConfig"),
        ({"options": {"num_predict": 1e300}}, "options"),
        ({"extra_body": 5}, "extra_body"),
        ({"n": 0}, "n"),
        ({"n": 129}, "n"),
        ({"n": 1.0}, "n"),
        ({"n": True}, "n"),
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": True}, "temperature"),
        ({"top_p": {}}, "top_p"),
        ({"seed": 1.5}, "seed"),
        ({"stop": [1]}, "stop"),
        ({"stop": 5}, "stop"),
        ({"logit_bias": []}, "logit_bias"),
        ({"user": {}}, "user"),
        ({"parallel_tool_calls": "no"}, "parallel_tool_calls"),
        ({"tools": {}}, "tools"),
        ({"tools": ["f"]}, "tools"),
        ({"tools": [{"type": "function", "function": "f"}]}, "tools"),
        ({"tools": [{"type": "function", "function": {}}]}, "tools"),
        ({"tools": [{"type": "function", "function": {"name": "f", "parameters": []}}]}, "tools"),
        ({"tool_choice": 5}, "tool_choice"),
        ({"tool_choice": {"type": "function", "function": {"name": None}}}, "tool_choice"),
        ({"response_format": "json"}, "response_format"),
        ({"response_format": {}}, "response_format"),
    ],
)  # fmt: skip
def test_a_field_of_a_wrong_kind_is_named(fields: dict, param: str) -> None:
    """Sent on, it is refused by one provider after the other, each at the cost of a request."""
    got = fault(json.dumps({"messages": HI, **fields}).encode())
    assert got.param == param
    assert got.message.startswith((f"{param}: expected ", f"{param} is missing: expected "))


def test_what_is_missing_is_said_to_be_so() -> None:
    """`got null` sends a reader looking for a null that nobody wrote."""
    assert fault(b"{}").message == "messages is missing: expected a list of messages"
    assert fault(b'{"messages":[{"content":"a"}]}').message.startswith("messages[0].role is missing: expected one of")


def test_a_wrong_role_has_a_near_one() -> None:
    """A letter too few is the commonest of these faults."""
    assert 'did you mean "assistant"' in fault(b'{"messages":[{"role":"asistant","content":"a"}]}').message


def test_a_callers_words_are_quoted_short_and_plain() -> None:
    """A message goes to a log: escapes of terminals and a megabyte of text must not."""
    got = fault(json.dumps({"messages": HI, "stream": "\x1b[31m" + "é" * 100_000}).encode()).message
    assert len(got) < 1000
    assert got.isascii() or got.replace("…", "").isascii()
    assert "\x1b" not in got


def test_halves_of_characters_are_mended() -> None:
    """JavaScript cuts an emoji in two where a text is cut; the call is good all the same."""
    got = read_request(b'\xef\xbb\xbf{"messages":[{"role":"user","content":"a\\ud83d \\ud83d\\ude00"}]}')
    assert got.prompt.messages[0]["content"] == "a\ufffd \U0001f600"


def test_a_request_of_this_process_is_judged_like_one_of_the_network() -> None:
    """`Fan.chat` takes what the endpoint takes, and no more."""
    assert asked({"messages": tuple(HI), "model": "m", "seed": 1}) == read(model="m", seed=1)
    for wrong in ({"temperature": float("nan")}, {"own": object()}, {"own": {1j}}, {"own": b"x"}):
        with pytest.raises(CallerFault, match="cannot be put as JSON"):
            asked({"messages": HI, **wrong})
    circle: list[Any] = []
    circle.append(circle)
    with pytest.raises(CallerFault):
        asked({"messages": HI, "own": circle})


# ---------------------------------------------------------------- whatever is taken can be sent

FIELDS = (
    "role", "content", "tool_calls", "function_call", "tool_call_id", "name", "type", "text", "image_url", "file",
    "url", "input_audio", "data", "format", "file_data", "id", "function", "arguments", "parameters", "description",
    "schema", "json_schema", "maxOutputTokens", "n", "user_id", "include_usage",
)  # fmt: skip
WORDS = ("user", "system", "tool", "function", "assistant", "developer", "text", "image_url", "data:a/b;base64,QQ==",
         "json_schema", "json_object", "auto", "required", "{}", "[1]", "\\", "é", "9" * 20)  # fmt: skip
LEAVES = st.none() | st.booleans() | st.sampled_from([0, 1, -1, 7, 2**63, 0.5, 1e308]) | st.sampled_from(WORDS)
SHAPES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=4),
    max_leaves=10,
)
WORD = st.sampled_from(WORDS)
PART = (
    st.fixed_dictionaries({"type": st.just("text"), "text": WORD}, optional={"own": SHAPES})
    | st.fixed_dictionaries({"type": st.just("image_url"), "image_url": WORD | st.fixed_dictionaries({"url": WORD})})
    | st.fixed_dictionaries(
        {"type": WORD, "text": WORD}, optional=dict.fromkeys(["file", "input_audio", "content"], SHAPES)
    )
)
FUNCTION = st.fixed_dictionaries({"name": WORD, "arguments": WORD})
CALL = st.fixed_dictionaries({"id": WORD, "function": FUNCTION}, optional={"own": SHAPES})
CUSTOM = st.fixed_dictionaries({"id": WORD, "type": st.just("custom")}, optional={"custom": SHAPES, "function": SHAPES})
MESSAGE = st.fixed_dictionaries(
    {"role": st.sampled_from(WORDS[:6]), "content": WORD | st.lists(PART, min_size=1, max_size=3)},
    optional={
        "tool_calls": st.none() | st.lists(CALL | CUSTOM, max_size=2), "function_call": st.none() | FUNCTION,
        "tool_call_id": WORD, "name": WORD, "own": SHAPES, "file": SHAPES, "image_url": SHAPES,
    },
)  # fmt: skip
ODD = st.dictionaries(st.sampled_from(FIELDS), SHAPES, max_size=4)
NAMED = st.fixed_dictionaries(
    {"name": WORD}, optional={"parameters": st.dictionaries(WORD, SHAPES), "description": SHAPES, "own": SHAPES}
)
TOOL = st.fixed_dictionaries({}, optional={"type": WORD, "function": NAMED, "custom": SHAPES, "own": SHAPES})
FORMAT = st.fixed_dictionaries({"type": WORD}, optional={"json_schema": SHAPES, "schema": SHAPES})
ANY = (
    "metadata",
    "functions",
    "thinking",
    "own",
    "service_tier",
    "top_k",
    "stream_options",
    "stop",
    "logprobs",
    "input",
)
PARAMS = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(ANY, SHAPES),
        "tools": st.lists(TOOL, max_size=2), "tool_choice": WORD | TOOL, "response_format": FORMAT,
        "n": st.integers(1, 128), "max_tokens": st.sampled_from([1, 2**31 - 1]), "stream": st.booleans(),
        "stop": WORD | st.lists(WORD, max_size=2), "user": WORD, "temperature": st.sampled_from([0, 0.5, 1e308]),
        "generationConfig": st.dictionaries(WORD, SHAPES), "candidateCount": st.integers(1, 128),
        "max_output_tokens": st.sampled_from([-1, 0, 7, 1.5]), "parallel_tool_calls": st.booleans(),
    },
)  # fmt: skip


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(
    messages=st.lists(MESSAGE, min_size=1, max_size=3) | st.lists(MESSAGE | ODD, min_size=1, max_size=2), params=PARAMS
)
def test_what_is_taken_can_be_sent_in_every_form(messages: list[dict], params: dict[str, Any]) -> None:
    """What raises behind this door ends the dispatcher's loop, and with it the fleet for everybody else."""
    try:
        got = read_request(json.dumps({"messages": messages, **params}).encode())
    except CallerFault:
        return
    prompt = got.prompt
    assert FLEET.banned(prompt.params) <= set(NAMES)
    assert FLEET.fault(prompt.params, NAMES).message
    assert 0 < length_of(prompt.messages, prompt.params) < 1e9
    for form in NAMES:
        speaks = dialect(form, PRESET)
        for stream in (True, False):
            call = Call(
                model="m", messages=prompt.messages, max_tokens=prompt.max_tokens or 0,
                temperature=prompt.temperature, params=prompt.params, stream=stream,
            )  # fmt: skip
            assert 0 < most_of(speaks.body(call), 512) < 2**40


@settings(deadline=None)
@given(body=st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_no_bytes_are_more_than_a_fault(body: bytes) -> None:
    """Anything else is a 500, and a traceback in the log for whoever wants to fill it."""
    with pytest.raises(CallerFault):
        read_request(body)
