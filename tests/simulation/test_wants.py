"""Structured answers, tool calls and several answers of the simulated fleet, in the wire forms that have them."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from llmfan.dialects import dialect
from llmfan.records import Answer, Call
from llmfan.simulation.faults import NO_FAULTS
from llmfan.simulation.provider import SimulatedProvider
from llmfan.simulation.script import Script

CHAT = "/alpha/v1/chat/completions"
NOW = 1234.5
FORMS = ["openai_chat", "messages", "generate_content"]
SCHEMA = {
    "type": "object",
    "properties": {
        "city": {"type": "string"}, "days": {"type": "integer", "minimum": 3, "maximum": 5}, "dry": {"type": "boolean"},
        "unit": {"enum": ["C", "F"]}, "kind": {"const": "forecast"}, "where": {"$ref": "#/$defs/Place"},
        "hours": {"type": "array", "items": {"type": "number"}, "minItems": 3}, 'a "quoted" näme': {"type": "null"},
        "note": {"anyOf": [{"type": "null"}, {"type": "string", "format": "date"}]},
    },
    "required": ["city", "days", "dry", "unit", "kind", "where", "hours", 'a "quoted" näme'],
    "$defs": {"Place": {"properties": {"lat": {"type": "number", "maximum": -90}}, "required": ["lat"]}},
}  # fmt: skip
TOOLS = [
    {"type": "function", "function": {"name": "weather", "parameters": SCHEMA}},
    {"type": "function", "function": {"name": "clock"}},
]
ASKED = {"role": "user", "content": "How is it?"}
CALLED = {"id": "c", "type": "function", "function": {"name": "clock", "arguments": "{}"}}
RESULT = {"role": "tool", "tool_call_id": "c", "content": "noon"}
AGAIN = [ASKED, {"role": "assistant", "tool_calls": [CALLED]}, RESULT]


def fits(value: Any) -> bool:
    """Whether it fits SCHEMA."""
    return (
        value.keys() == SCHEMA["properties"].keys()  # type: ignore[attr-defined]
        and isinstance(value["city"], str) and value["days"] in (3, 4, 5) and isinstance(value["dry"], bool)
        and value["unit"] in ("C", "F") and value["kind"] == "forecast" and value["where"]["lat"] <= -90
        and len(value["hours"]) == 3 and all(isinstance(each, int | float) for each in value["hours"])
        and value['a "quoted" näme'] is None and value["note"] == "2026-01-15"
    )  # fmt: skip


def asked(
    hand: SimpleNamespace, form: str, stream: bool, messages: Any = (ASKED,), cap: int = 400, **params: Any
) -> Answer:
    """What llmfan makes of the answer to a request that it puts itself."""
    preset = hand.preset()
    far = SimulatedProvider(hand.provider(models=("reason-1",), of=preset), 1, 1.0, NO_FAULTS)
    speaks = dialect(form, preset)
    call = Call(
        model="reason-1", messages=list(messages), max_tokens=cap, temperature=None, params=params, stream=stream
    )
    url, streamed = speaks.address("/alpha/v1", "reason-1")
    script = far.handle(NOW, streamed if stream else url, hand.key(), speaks.body(call))
    assert script.status == 200, whole(script)
    if not stream:
        answer = speaks.whole(whole(script), {})
    else:
        reader = speaks.stream()
        for at, data in script.writes:
            reader.feed(data, at)
        answer = reader.finish()
    assert isinstance(answer, Answer)
    return answer


def chat(hand: SimpleNamespace, **fields: Any) -> Script:
    far = SimulatedProvider(hand.provider(), 1, 1.0, NO_FAULTS)
    return far.handle(NOW, CHAT, hand.key(), hand.chat(**fields))


def whole(script: Script) -> bytes:
    return b"".join(data for _, data in script.writes)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("form", ["openai_chat", "generate_content"])
def test_who_asks_for_json_gets_json(hand: SimpleNamespace, form: str, stream: bool) -> None:
    """A program that reads JSON fails at its first look, and its author blames llmfan."""
    answer = asked(hand, form, stream, response_format={"type": "json_object"})
    assert json.loads(answer.text).keys() == {"answer", "simulated"}
    assert answer.finish_reason == "stop" and answer.reasoning and answer.usage and answer.usage.output_tokens > 10


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("form", FORMS)
def test_who_gives_a_schema_gets_an_object_that_fits_it(hand: SimpleNamespace, form: str, stream: bool) -> None:
    """Validation is the next line of such a program."""
    params: dict[str, Any] = {
        "response_format": {"type": "json_schema", "json_schema": {"name": "w", "schema": SCHEMA}}
    }
    if form == "messages":
        params = {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}}
    answer = asked(hand, form, stream, **params)
    assert fits(json.loads(answer.text)) and answer.finish_reason == "stop"


def test_a_schema_in_capitals_is_one(hand: SimpleNamespace) -> None:
    """One of the forms writes its types so."""
    schema = {"type": "OBJECT", "properties": {"n": {"type": "ARRAY", "items": {"type": "INTEGER"}, "maxItems": "1"}}}
    config = {"responseMimeType": "application/json", "responseSchema": schema}
    (number,) = json.loads(asked(hand, "generate_content", True, generationConfig=config).text)["n"]
    assert isinstance(number, int)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("choice", ["auto", "required", {"type": "function", "function": {"name": "clock"}}])
def test_a_tool_is_called_with_arguments_that_fit(hand: SimpleNamespace, form: str, stream: bool, choice: Any) -> None:
    """A loop of an agent, or a library that reads structured answers out of tool calls, could not be tried at all."""
    answer = asked(hand, form, stream, tools=TOOLS, tool_choice=choice)
    assert answer.finish_reason == (
        "stop" if form == "generate_content" else "tool_calls"
    )  # that form has no such word
    assert not answer.text and answer.tool_calls
    (call,) = answer.tool_calls
    arguments = json.loads(call["function"]["arguments"])
    if choice in ("auto", "required"):
        assert call["function"]["name"] == "weather" and fits(arguments)
    else:
        assert call["function"]["name"] == "clock" and arguments == {}
    assert call["id"]


@pytest.mark.parametrize("form", FORMS)
def test_after_a_tools_result_comes_an_answer(hand: SimpleNamespace, form: str) -> None:
    """An agent that is called upon to call a tool each time never ends."""
    for more in ({"messages": AGAIN}, {"tool_choice": "none"}):
        answer = asked(hand, form, False, tools=TOOLS, **more)
        assert answer.text and not answer.tool_calls and answer.finish_reason == "stop"


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "other"}}])
def test_a_tool_that_is_not_there_cannot_be_called(hand: SimpleNamespace, choice: Any) -> None:
    """Real ones refuse it; what passes in rehearsal fails in earnest."""
    tools = None if choice == "required" else TOOLS
    assert chat(hand, tools=tools, tool_choice=choice).status == 400


def test_a_call_is_streamed_as_the_form_has_it(hand: SimpleNamespace) -> None:
    """Clients put the pieces together by these rules: the name once and first, then arguments piece by piece."""
    found = [data for _, data in hand.events(whole(chat(hand, tools=TOOLS, stream=True, cap=400)))]
    choices = [json.loads(data)["choices"][0] for data in found[:-1]]
    assert choices[0]["delta"] == {"role": "assistant", "content": None}
    calls = [choice["delta"]["tool_calls"][0] for choice in choices[1:-1]]
    assert calls[0]["function"] == {"name": "weather", "arguments": ""} and calls[0]["type"] == "function"
    assert all(call["index"] == 0 and call.keys() == {"index", "function"} for call in calls[1:])
    assert fits(json.loads("".join(call["function"]["arguments"] for call in calls)))
    assert choices[-1] == {"index": 0, "delta": {}, "finish_reason": "tool_calls"}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("stream", [True, False])
def test_a_cap_cuts_json_as_it_cuts_prose(hand: SimpleNamespace, form: str, stream: bool) -> None:
    """That a cap was too small is found with a real provider otherwise."""
    answer = asked(hand, form, stream, cap=3, tools=TOOLS)
    assert answer.finish_reason == "length" and answer.usage and answer.usage.output_tokens == 3


def test_n_answers_come_where_n_are_wanted(hand: SimpleNamespace) -> None:
    """Who votes among answers would take the one there is for all of them."""
    answer = json.loads(whole(chat(hand, n=3)))
    texts = [choice["message"]["content"] for choice in answer["choices"]]
    assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2] and len(set(texts)) == 3
    assert answer["usage"]["completion_tokens"] == sum(len(text.split()) for text in texts)
    told = [json.loads(data) for _, data in hand.events(whole(chat(hand, n=3, stream=True)))[:-1]]
    streamed, ends = ["", "", ""], [0, 0, 0]
    for choice in (choice for chunk in told for choice in chunk["choices"]):
        streamed[choice["index"]] += choice["delta"].get("content", "")
        ends[choice["index"]] += choice["finish_reason"] is not None
    assert ends == [1, 1, 1] and all(streamed) and len(set(streamed)) == 3
    assert len(json.loads(whole(chat(hand, n=2, tools=TOOLS)))["choices"][1]["message"]["tool_calls"]) == 1
    assert chat(hand, n=0).status == chat(hand, n=10**9).status == 400


def test_the_same_question_gets_the_same_object(hand: SimpleNamespace) -> None:
    """A failing run could not be played again."""
    first, second = (asked(hand, "openai_chat", False, tools=TOOLS) for _ in "ab")
    assert first == second
