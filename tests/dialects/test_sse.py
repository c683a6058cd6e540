"""A stream gives the same answer however the network cuts it."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmfan.dialects import dialect
from llmfan.dialects.sse import EVENT_CAP, Events
from llmfan.records import Answer, Failure
from llmfan.settings import Preset

PRESET = Preset(name="Test", checked="2026-11-20")


def chunk(delta: dict, finish: str | None = None, **more: object) -> str:
    return json.dumps({"choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **more}, ensure_ascii=False)


CHAT = [
    ": a comment",
    "data: " + chunk({"role": "assistant", "content": ""}),
    "data: " + chunk({"reasoning": "hm 🤔"}),
    "event: message\nid: 7\ndata: " + chunk({"content": "Grüße, "}),
    'data: {"choices":\ndata: [{"delta":{"content":"世界"}}]}',
    "retry: 100",
    'data: {"choices":[{"delta":{"content":"\\ud83d"}}]}',
    'data: {"choices":[{"delta":{"content":"\\ude00"}}]}',
    "data:" + chunk({"content": [{"type": "text", "text": "!"}]}),
    "data: " + chunk({"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f", "arguments": '{"x"'}}]}),
    "data: " + chunk({"tool_calls": [{"index": 0, "function": {"arguments": ":1}"}}]}),
    "data: " + chunk({}, "stop"),
    'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":5}}',
    "data: [DONE]",
]
BROKEN = [
    CHAT[:4],
    [*CHAT[:4], "event: error\ndata: slow down", *CHAT[4:]],
    [*CHAT[:4], 'data: {"error":{"code":429,"message":"slow"}}', *CHAT[4:]],
    [*CHAT[:4], "data: {broken", 'data: {"error":"late"}'],
    ["<html><head><title>Hi</title>", "<body>x</body>"],
    ['{"choices": [{"message":\n\n {"content": "plain"}, "finish_reason": "stop"}]}'],
    [": only comments", ": here"],
    [],
]


def read(pieces: list[bytes]) -> Answer | Failure:
    reader = dialect("openai_chat", PRESET).stream()
    for piece in pieces:
        reader.feed(piece, 1.0)
    return reader.finish()


def bare(answer: Answer | Failure) -> object:
    if isinstance(answer, Failure):
        return answer
    return answer.text, answer.reasoning, answer.finish_reason, answer.usage, answer.tool_calls


def cuts(body: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted({min(p, len(body)) for p in places}), len(body)]
    return [body[a:b] for a, b in pairwise(edges)]


places = st.lists(st.integers(0, 1600), max_size=40)
ends = st.sampled_from(["\n", "\r\n", "\r"])


@given(places, ends)
def test_any_cut_of_a_stream_gives_the_same_answer(where: list[int], end: str) -> None:
    """Otherwise an answer would depend on how packets happen to fall."""
    body = (end * 2).join([*CHAT, ""]).replace("\n", end).encode()
    answer = read(cuts(body, where))
    assert isinstance(answer, Answer), answer
    assert answer.text == "Grüße, 世界😀!"
    assert answer.reasoning == "hm 🤔"
    assert answer.tool_calls == [{"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}}]
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (3, 5)
    assert answer.finish_reason == "stop"


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_cut_at_each_single_byte_gives_the_same_answer(end: str) -> None:
    """Random cuts seldom fall between a CR and its LF, where one line end is easily taken for two."""
    body = (end * 2).join([*CHAT, ""]).replace("\n", end).encode()
    expected = bare(read([body]))
    assert isinstance(expected, tuple)
    wrong = [at for at in range(len(body)) if bare(read([body[:at], body[at:]])) != expected]
    assert not wrong
    assert bare(read([body[at : at + 1] for at in range(len(body))])) == expected


@given(places, ends, st.sampled_from(BROKEN))
def test_any_cut_of_a_bad_stream_gives_the_same_verdict(where: list[int], end: str, events: list[str]) -> None:
    """Otherwise the same fault would be blamed on different things from run to run."""
    body = (end * 2).join([*events, ""]).replace("\n", end).encode()
    assert bare(read(cuts(body, where))) == bare(read([body]))


@given(st.lists(st.binary(max_size=40), max_size=20), st.sampled_from(["openai_chat", "messages", "generate_content"]))
def test_no_bytes_at_all_make_a_reader_crash(pieces: list[bytes], name: str) -> None:
    """A crash in a reader takes the whole run with it."""
    reader = dialect(name, PRESET).stream()
    for piece in pieces:
        reader.feed(piece, 0.0)
    assert isinstance(reader.finish(), Answer | Failure)


NAMES = """choices delta content error usage message index finish_reason tool_calls function x_y type candidates parts
text thinking prompt_tokens content_block usageMetadata code details metadata status_code"""
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES.split()), inner, max_size=4),
    max_leaves=12,
)


@given(json_values, st.sampled_from(["openai_chat", "messages", "generate_content"]))
def test_no_json_of_odd_types_makes_a_dialect_crash(value: object, name: str) -> None:
    """Servers put objects where texts belong; one such line must not end a run."""
    form = dialect(name, PRESET)
    body = json.dumps(value).encode()
    assert isinstance(form.whole(body, {}), Answer | Failure)
    reader = form.stream()
    reader.feed(b"data: " + body + b"\n\n", 0.0)
    assert isinstance(reader.finish(), Answer | Failure)


def test_an_event_split_into_a_thousand_pieces_is_put_back() -> None:
    """Long events come in many packets; joining them at each packet would take quadratic time."""
    events = Events()
    pieces = [b"data: ", *[b"x" * 1000] * 1000, b"\n", b"\n"]
    found = [data for piece in pieces for data in events.feed(piece)]
    assert found == [b"x" * 1_000_000]


def test_a_byte_order_mark_is_no_part_of_the_first_event() -> None:
    """The first event would be lost, and with it the role or the error it carries."""
    assert Events().feed(b"\xef\xbb\xbfdata: 1\n\ndata: 2\n\n") == [b"1", b"2"]


def test_an_event_without_an_end_is_refused_at_its_cap() -> None:
    """A server that never closes its event would fill the memory."""
    reader = dialect("openai_chat", PRESET).stream()
    piece = b"data: " + b"x" * (EVENT_CAP // 4)
    for _ in range(5):
        reader.feed(piece, 0.0)
    failure = reader.finish()
    assert isinstance(failure, Failure)
    assert (failure.kind, failure.scope) == ("bad_response", "provider")
    assert "16 MiB" in failure.message


@pytest.mark.parametrize("field", ["content", "reasoning"])
def test_text_without_end_is_refused_at_its_cap(monkeypatch: pytest.MonkeyPatch, field: str) -> None:
    """A model in a loop would fill the memory."""
    monkeypatch.setattr("llmfan.dialects.reading.TEXT_CAP", 1000)
    reader = dialect("openai_chat", PRESET).stream()
    for _ in range(30):
        reader.feed(b"data: " + chunk({field: "x" * 50}).encode() + b"\n\n", 0.0)
    failure = reader.finish()
    assert isinstance(failure, Failure)
    assert failure.kind == "bad_response"
    assert failure.ambiguous
