"""Every accepted shape of a line, and every way in which one can be wrong."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmfan.inputs.jsontext import BLANK, Misfit, decoder
from llmfan.inputs.shapes import ReadOptions, Shapes
from llmfan.records import Prompt


def read(document: Any, **options: Any) -> Prompt:
    return Shapes(ReadOptions(**options))(document)


def faults(document: Any, **options: Any) -> dict[str, str]:
    with pytest.raises(Misfit) as caught:
        read(document, **options)
    return dict(caught.value.faults)


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


@pytest.mark.parametrize(
    "document",
    [
        "hi",
        {"prompt": "hi"},
        {"messages": [user("hi")]},
        {"prompt": [user("hi")]},
        {"custom_id": "x", "body": {"model": "m", "messages": [user("hi")], "stream": True, "stream_options": {}}},
        {"input": "hi"},
        {"input": [user("hi")], "target": "hello"},
        {"question": "hi", "answer": "hello"},
        {"turns": ["hi"]},
        {"prompt": "hi", "colour": "green", "messages_seen": 4},
    ],
)
def test_every_shape_says_the_same_to_a_model(document: Any) -> None:
    """A shape read otherwise than meant spoils a whole run without a sign."""
    prompt = read(document)
    assert (prompt.messages, prompt.turns, prompt.params) == ([user("hi")], [], {})


def test_turns_are_texts_or_user_messages_and_the_first_goes_first() -> None:
    """A conversation whose turns are lost or swapped measures something else."""
    prompt = read({"turns": ["a", user("b"), "c"], "system": "s"})
    assert prompt.messages == [{"role": "system", "content": "s"}, user("a")]
    assert prompt.turns == [user("b"), user("c")]


def test_a_batch_lines_body_becomes_settings_and_params() -> None:
    """The body's model and stream are the run's business; all else of it shapes the answer and must arrive."""
    body = {"model": "m", "messages": [user("x")], "max_tokens": 9, "temperature": 1, "seed": 3, "stream": False}
    prompt = read({"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": body})
    assert (prompt.id, prompt.max_tokens, prompt.temperature, prompt.params) == ("a", 9, 1.0, {"seed": 3})
    assert read({"custom_id": "a", "body": {**body, "max_completion_tokens": 5}}).max_tokens == 5
    own = read({"custom_id": "a", "body": body, "max_tokens": 7, "params": {"seed": 4}, "temperature": None})
    assert (own.max_tokens, own.temperature, own.params) == (7, 1.0, {"seed": 4})


def test_a_body_that_is_not_a_batch_lines_is_only_a_field() -> None:
    """An e-mail has a body too."""
    assert read({"prompt": "x", "body": {"seed": 1}}).params == {}
    assert read({"question": "x", "body": "text"}).messages == [user("x")]


def test_target_and_answer_are_expected_unless_expect_says_otherwise() -> None:
    """Else a run is scored against the wrong thing, or not at all."""
    assert read({"input": "x", "target": "y"}).expect == "y"
    assert read({"question": "x", "answer": 4}).expect == 4
    assert read({"question": "x", "answer": 4, "expect": None}).expect is None
    assert read({"prompt": "x", "answer": "y"}, expect_field="answer").expect == "y"
    assert read({"input": "x", "target": "y", "answer": "z"}).expect == "y"
    assert read({"question": "x", "target": "y", "answer": "z"}).expect == "z"


@pytest.mark.parametrize("field", ["expect", "target", "answer"])
@pytest.mark.parametrize(
    "shape",
    [
        {"prompt": "x"},
        {"messages": [{"role": "user", "content": "x"}]},
        {"custom_id": "x", "body": {"model": "m", "messages": [{"role": "user", "content": "x"}]}},
        {"input": "x"},
        {"question": "x"},
        {"turns": ["x"]},
    ],
)
def test_what_is_expected_may_stand_beside_any_shape(shape: dict[str, Any], field: str) -> None:
    """Dropped without a word, it leaves a whole run ungraded."""
    assert read({**shape, field: "y"}).expect == "y"
    assert read({**shape, field: "y", "expect": None}).expect is None


def test_the_settings_of_a_line_are_read() -> None:
    """Settings that are dropped in silence make two runs differ for no visible reason."""
    line = {"prompt": "x", "id": 7, "max_tokens": 3, "temperature": 0, "params": {"seed": 1}, "metadata": {"a": [1]}}
    prompt = read(line)
    assert (prompt.id, prompt.max_tokens, prompt.temperature) == ("7", 3, 0.0)
    assert (prompt.params, prompt.metadata) == ({"seed": 1}, {"a": [1]})


def test_a_system_field_takes_the_place_of_the_opening_system_message() -> None:
    """Two system messages one after the other are refused by some servers and mixed up by others."""
    opening, later = {"role": "developer", "content": "old"}, {"role": "system", "content": "later"}
    prompt = read({"messages": [opening, user("x"), later], "system": "new"})
    assert prompt.messages == [{"role": "system", "content": "new"}, user("x"), later]


def test_messages_with_tools_parts_and_answers_stand_as_they_are() -> None:
    """Reshaping a message on the way loses what its author put in."""
    call = {"role": "assistant", "content": None, "tool_calls": [{"id": "c", "type": "function"}]}
    parts = {"role": "user", "content": [{"type": "text", "text": "x"}, {"type": "image_url", "image_url": {}}]}
    messages = [parts, call, {"role": "tool", "content": "4", "tool_call_id": "c"}]
    assert read({"messages": messages}).messages == messages


@pytest.mark.parametrize(
    ("value", "messages", "turns"),
    [
        ("a", [user("a")], []),
        (["a", "b"], [user("a")], [user("b")]),
        ([user("a"), user("b")], [user("a"), user("b")], []),
    ],
)
def test_the_prompt_field_may_hold_text_turns_or_messages(value: Any, messages: Any, turns: Any) -> None:
    """Other people's files come in all three."""
    prompt = read({"data": [{"q": value}], "prompt": "not this"}, prompt_field="data.0.q")
    assert (prompt.messages, prompt.turns) == (messages, turns)


def test_a_field_whose_name_has_a_dot_is_found() -> None:
    """Flattened tables have such names, and nobody can rename them."""
    assert read({"data.q": "x", "data": {"q": "y"}}, prompt_field="data.q").messages == [user("x")]


def test_a_template_takes_vars_before_fields_and_leaves_the_rest() -> None:
    """A template that touches other braces breaks every prompt that holds code."""
    text = "{{a}} {{ b.c }} {{n}} {d} {{ }} {{#if}} {{{a}}} ${x} \\1"
    line = {"vars": {"a": "A"}, "a": "no", "b": {"c": "C"}, "n": [1, "é"], "id": "i"}
    prompt = read(line, template=text)
    assert prompt.messages == [user('A C [1, "é"] {d} {{ }} {{#if}} {A} ${x} \\1')]
    assert prompt.id == "i"


@given(st.text(), st.text(alphabet="ab{} \n", max_size=30))
def test_what_a_field_holds_is_never_taken_for_a_template(value: str, around: str) -> None:
    """A prompt that quotes `{{name}}` must arrive as it is, whatever it holds."""
    text = around.replace("{", "(") + "{{x}}"
    assert read({"x": value, "y": "?"}, template=text).messages[0]["content"] == around.replace("{", "(") + value


def test_a_missing_name_is_a_fault_that_names_a_near_one() -> None:
    """A prompt with a hole in it would be sent and paid for."""
    found = faults({"vars": {"name": "x"}, "nothing": None}, template="{{nmae}} {{nothing}} {{nmae}}")
    assert 'did you mean "name"' in found["nmae"] and "null" in found["nothing"] and len(found) == 2


@pytest.mark.parametrize(
    ("document", "field", "words"),
    [
        (None, "", "got null"),
        (5, "", "got 5"),
        (True, "", "got true"),
        ([], "", "one prompt a line"),
        ({}, "", "empty object"),
        ({"promt": "x"}, "", 'did you mean "prompt"'),
        ({"label": 3, "text": "x"}, "", "--prompt-field text"),
        ({"bad \x1b[31m name": "x"}, "", "\\u001b"),
        ({"prompt": 7}, "prompt", "got 7"),
        ({"prompt": []}, "prompt", "empty list"),
        ({"prompt": ["a", 5]}, "prompt", "list of texts"),
        ({"messages": []}, "messages", "empty list"),
        ({"messages": [5]}, "messages[0]", "got 5"),
        ({"messages": [{"role": "usr", "content": "x"}]}, "messages[0].role", 'did you mean "user"'),
        ({"messages": [{"content": "x"}]}, "messages[0].role", "got none"),
        ({"messages": [{"role": ["user"], "content": "x"}]}, "messages[0].role", "got a list"),
        ({"messages": [{"role": "user"}]}, "messages[0].content", "got none"),
        ({"messages": [{"role": "assistant", "content": None}]}, "messages[0].content", "got null"),
        ({"messages": [{"role": "user", "content": []}]}, "messages[0].content", "empty list"),
        ({"messages": [{"role": "user", "content": ["x"]}]}, "messages[0].content[0]", "part"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0].text", "got null"),
        ({"custom_id": "x", "body": "y"}, "body", "object"),
        ({"custom_id": "x", "body": {"input": "y"}}, "body.messages", '"input"'),
        ({"custom_id": "x", "url": "/v1/embeddings", "body": {"input": "y"}}, "url", "/v1/embeddings"),
        ({"custom_id": "x", "body": {"messages": [user("x")], "max_tokens": 0}}, "body.max_tokens", "got 0"),
        ({"input": "x", "instruction": "y", "output": "z"}, "instruction", "--template"),
        ({"turns": []}, "turns", "empty list"),
        ({"turns": "x"}, "turns", 'got "x"'),
        ({"turns": ["a", {"role": "assistant", "content": "b"}]}, "turns[1].role", "assistant"),
        ({"turns": ["a", 5]}, "turns[1]", "got 5"),
        ({"vars": {"a": 1}}, "vars", "--template"),
        ({"prompt": "x", "id": ""}, "id", "empty"),
        ({"prompt": "x", "id": None}, "id", "got null"),
        ({"prompt": "x", "id": True}, "id", "got true"),
        ({"prompt": "x", "custom_id": 1.5}, "custom_id", "1.5"),
        ({"prompt": "x", "max_tokens": 2.5}, "max_tokens", "2.5"),
        ({"prompt": "x", "max_tokens": True}, "max_tokens", "true"),
        ({"prompt": "x", "temperature": -1}, "temperature", "-1"),
        ({"prompt": "x", "temperature": "hot"}, "temperature", "hot"),
        ({"prompt": "x", "params": [1]}, "params", "a list"),
        ({"prompt": "x", "system": 4}, "system", "got 4"),
    ],
)
def test_a_wrong_line_is_told_field_and_reason(document: Any, field: str, words: str) -> None:
    """A user with a million lines needs to know which field of which line, and what would be right."""
    assert words in faults(document)[field]


def test_all_faults_of_a_line_are_told_at_once() -> None:
    """One fault at a time means as many runs as there are faults."""
    line = {"messages": [{"role": "x"}], "id": [], "max_tokens": 0, "params": 1}
    assert set(faults(line)) == {"messages[0].role", "messages[0].content", "id", "max_tokens", "params"}


@pytest.mark.parametrize(
    ("line", "value"),
    [
        (b"", BLANK),
        (b" \t\r", BLANK),
        (b"\xef\xbb\xbf", BLANK),
        (b'\xef\xbb\xbf"x"\r', "x"),
        (rb'"a\ud83db"', "a\ufffdb"),
        (rb'"\ud83d\ude00"', "\U0001f600"),
        (rb'"a\u0000b"', "a\0b"),
        (b'"a\0b\tc"', "a\0b\tc"),
        (b"123456789012345678901234567890", 123456789012345678901234567890),
    ],
)
def test_odd_lines_are_read_as_they_are(line: bytes, value: Any) -> None:
    """Files from editors, spreadsheets and cut-off chats hold these, and each can be sent."""
    found = decoder()(line)
    assert found == value
    assert found is BLANK or msgspec.json.encode(found)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b'{"prompt": "caf\xe9"}', "byte 16 of the line (0xe9) is not UTF-8"),
        (b'{"prompt": "x', "cut off"),
        (b"\xef\xbb\xbf{'prompt': 1}", "at byte 2; JSON wants double quotes"),
        (b"What is love?", "plain text needs quotes"),
        (b'{"prompt": NaN}', "not valid JSON"),
        (b'{"a": 1,}', "trailing comma in object at byte 9"),
        (b"[" * 100_000, "nested too deeply"),
    ],
)
def test_bad_json_is_told_in_plain_words(line: bytes, words: str) -> None:
    """A parser's own message sends people to a search engine."""
    with pytest.raises(Misfit) as caught:
        decoder()(line)
    assert words in caught.value.faults[0][1]
