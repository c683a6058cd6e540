"""Requests of callers in the other two forms: what is turned, and that nothing a caller writes can stop it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmfan.dialects import NAMES, dialect
from llmfan.dialects.turned import LACKING, UNSIGNED, to_contents, to_messages
from llmfan.records import Call
from llmfan.settings import Preset

PRESET = Preset(name="T", checked="2026-11-20")
FUNCTION = {"name": "f", "parameters": {"type": "object", "additionalProperties": False}, "strict": True}
TOOL = {"type": "function", "function": FUNCTION}


def call(messages: list[dict], **params: Any) -> Call:
    return Call(model="m", messages=messages, max_tokens=9, params=params)


def asked(number: int, name: str = "f") -> dict:
    return {"id": f"c{number}", "type": "function", "function": {"name": name, "arguments": '{"x":1}'}}


def test_results_of_calls_made_together_stand_together() -> None:
    """One content for each result is refused: as many results are wanted as there were calls."""
    contents = to_contents(
        call(
            [
                {"role": "user", "content": "go"},
                {"role": "assistant", "content": None, "tool_calls": [asked(1), asked(2, "g")]},
                {"role": "tool", "tool_call_id": "c1", "content": "1"},
                {"role": "tool", "tool_call_id": "c2", "content": "2"},
                {"role": "user", "content": "on"},
            ]
        )
    )["contents"]
    assert [c["role"] for c in contents] == ["user", "model", "user", "user"]
    assert [part["functionResponse"]["name"] for part in contents[2]["parts"]] == ["f", "g"]
    assert contents[3]["parts"] == [{"text": "on"}]


def test_a_function_is_declared_with_what_the_form_knows() -> None:
    """`strict`, or a schema's `additionalProperties` in the narrow field, is a 400 for every call with tools."""
    turned = to_contents(call([], tools=[TOOL], tool_choice={"type": "function", "function": {"name": "f"}}))
    assert turned["tools"] == [
        {"functionDeclarations": [{"name": "f", "parametersJsonSchema": FUNCTION["parameters"]}]}
    ]
    assert turned["toolConfig"] == {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f"]}}


def test_one_call_at_a_time_is_said_in_the_forms_own_way() -> None:
    """A program that can carry out one call at a time would be given two."""
    turned = to_messages(call([], tools=[TOOL], parallel_tool_calls=False))
    assert turned["tool_choice"] == {"type": "auto", "disable_parallel_tool_use": True}
    assert to_messages(call([], tools=[TOOL], parallel_tool_calls=True)).get("tool_choice") is None


@pytest.mark.parametrize("turn", [to_messages, to_contents])
def test_a_choice_among_no_tools_is_left_out(turn: Any) -> None:
    """Frameworks send `tool_choice: auto` with every call; without tools it is refused."""
    turned = turn(call([], tool_choice="auto", parallel_tool_calls=False, tools=[]))
    assert not {"tool_choice", "toolConfig", "tools"} & turned.keys()


@pytest.mark.parametrize("turn", [to_messages, to_contents])
def test_hints_of_the_chat_form_are_left_out(turn: Any) -> None:
    """A field that a form does not know is a 400, and these say nothing about the answer."""
    hints = {
        "metadata": {"team": "a"}, "service_tier": "default", "safety_identifier": "x", "prompt_cache_key": "k",
        "store": True,
    }  # fmt: skip
    assert not turn(call([], **hints)).keys() & hints.keys()


def test_what_both_forms_call_by_one_name_passes_with_the_values_of_its_own() -> None:
    """Settings of a providers file that were written for this form have to reach it."""
    turned = to_messages(call([], metadata={"user_id": "u"}, service_tier="standard_only"))
    assert (turned["metadata"], turned["service_tier"]) == ({"user_id": "u"}, "standard_only")


def test_sounds_and_documents_reach_who_can_read_them() -> None:
    """They were dropped without a word, and the model answered about nothing."""
    sound = {"type": "input_audio", "input_audio": {"data": "QUJD", "format": "mp3"}}
    paper = {"type": "file", "file": {"file_data": "data:application/pdf;base64,QUJD", "filename": "a.pdf"}}
    messages = [{"role": "user", "content": [sound, paper]}]
    assert to_contents(call(messages))["contents"][0]["parts"] == [
        {"inlineData": {"mimeType": "audio/mp3", "data": "QUJD"}},
        {"inlineData": {"mimeType": "application/pdf", "data": "QUJD"}},
    ]
    source = {"type": "base64", "media_type": "application/pdf", "data": "QUJD"}
    assert to_messages(call(messages))["messages"][0]["content"][1] == {"type": "document", "source": source}


def test_the_older_way_to_call_a_function_is_turned_as_well() -> None:
    """A conversation kept from before there were tools would be refused for its role."""
    messages = [
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "function", "name": "f", "content": "42"},
    ]
    turned = to_messages(call(messages))["messages"]
    assert turned[0]["content"][0]["id"] == turned[1]["content"][0]["tool_use_id"] == "f"
    assert [m["role"] for m in turned] == ["assistant", "user"]
    assert to_contents(call(messages))["contents"][1]["parts"][0]["functionResponse"]["name"] == "f"


def test_what_a_form_lacks_is_what_turning_leaves_out() -> None:
    """Who says that a field is taken and then leaves it out answers another question than was asked."""
    given = {"seed": 7, "presence_penalty": 0.5, "frequency_penalty": 0.5, "top_p": 0.5, "top_k": 5, "stop": ["x"],
             "response_format": {"type": "json_object"}, "logprobs": True, "logit_bias": {"1": 2}, "verbosity": "low",
             "reasoning_effort": "low", "modalities": ["audio"], "prediction": {"type": "content"},
             "parallel_tool_calls": False}  # fmt: skip
    for form, turn in (("messages", to_messages), ("generate_content", to_contents)):
        plain = json.dumps(turn(call([], tools=[TOOL])))
        taken = {
            name for name, value in given.items() if json.dumps(turn(call([], tools=[TOOL], **{name: value}))) != plain
        }
        assert taken == given.keys() - LACKING[form]


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.sampled_from([0.5, 1e300]) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
FIELDS = ("role", "content", "tool_calls", "function_call", "tool_call_id", "name", "type", "text", "image_url", "file",
          "url", "input_audio", "data", "format", "file_data", "id", "function", "arguments")  # fmt: skip
SHAPES = st.recursive(
    ANYTHING | st.sampled_from(["user", "system", "tool", "function", "assistant", "data:a/b;base64,QQ=="]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=4),
    max_leaves=12,
)
PARAMS = st.dictionaries(st.sampled_from(sorted(LACKING["messages"] | {"tools", "tool_choice", "stop", "x"})), SHAPES)


@settings(deadline=None)
@given(messages=st.lists(st.dictionaries(st.sampled_from(FIELDS), SHAPES, max_size=5), max_size=4), params=PARAMS)
def test_no_request_can_stop_a_dialect(messages: list[dict], params: dict[str, Any]) -> None:
    """What raises here ends the dispatcher's loop, and with it the fleet for everybody else."""
    for name in NAMES:
        body = dialect(name, PRESET).body(Call(model="m", messages=messages, max_tokens=9, params=params))
        assert isinstance(json.loads(body), dict)


def test_the_signature_of_a_thought_goes_back_with_its_call() -> None:
    """Thinking models refuse the second turn of an agent whose calls have lost it."""
    signed = {"google": {"thought_signature": "c2ln"}}
    calls = [
        {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}, "extra_content": signed},
        {"id": "b", "type": "function", "function": {"name": "g", "arguments": "{}"}},
    ]
    asked = [{"role": "user", "content": "Go."}, {"role": "assistant", "content": None, "tool_calls": calls}]
    unsigned = [{key: value for key, value in call.items() if key != "extra_content"} for call in calls]
    own = to_contents(Call(model="m", messages=asked, max_tokens=0))["contents"][1]["parts"]
    assert [part.get("thoughtSignature") for part in own] == ["c2ln", None]
    foreign = [asked[0], {**asked[1], "tool_calls": unsigned}]
    others = to_contents(Call(model="m", messages=foreign, max_tokens=0))["contents"][1]["parts"]
    assert [part.get("thoughtSignature") for part in others] == [UNSIGNED, None]


def test_results_of_calls_made_at_once_stand_in_one_message() -> None:
    """The messages form wants the answers to all calls of a turn together, and refuses an empty turn."""
    made = [{"id": i, "type": "function", "function": {"name": "f", "arguments": "{}"}} for i in "ab"]
    said = [
        {"role": "user", "content": "Go."},
        {"role": "assistant", "content": None, "tool_calls": made},
        *({"role": "tool", "tool_call_id": i, "content": i} for i in "ab"),
        {"role": "assistant", "content": ""},
        {"role": "user", "content": "And?"},
    ]
    messages = to_messages(Call(model="m", messages=said, max_tokens=5))["messages"]
    assert [message["role"] for message in messages] == ["user", "assistant", "user", "user"]
    assert [block["tool_use_id"] for block in messages[2]["content"]] == ["a", "b"]
