"""The relay: what callers are given of an answer while it comes, whichever form the provider speaks."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmfan.dialects import dialect
from llmfan.dialects.reading import Reading
from llmfan.dialects.relay import Head, Relay
from llmfan.records import Answer, Usage
from llmfan.settings import Preset

PRESET = Preset(name="T", checked="2026-11-20")
HEAD = Head(id="chatcmpl-1", created=1_700_000_000)
COUNTED = Usage(3, 7, cached_tokens=2)
END = b"[DONE]"


def chunk(delta: dict | None = None, finish: str | None = None, **more: Any) -> bytes:
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    return json.dumps({"id": "up-1", "created": 9, "model": "up-model", "choices": choices, **more}).encode()


class Stream:
    """One attempt: events go through the form's own reader, and what it hands on through a relay."""

    def __init__(self, form: str = "openai_chat", *, usage: bool = False):
        made = dialect(form, PRESET).stream()
        assert isinstance(made, Reading)
        self.reader = made
        self.relay = Relay(HEAD, "the-model", native=form == "openai_chat", usage=usage)
        self.told: list[bytes] = []
        self.reader.tap = lambda events: self.told.extend(self.relay.take(events, self.reader))

    def feed(self, *events: bytes) -> Stream:
        for payload in events:
            framed = b"\n".join(b"data: " + line for line in payload.split(b"\n"))
            self.reader.feed(framed + b"\n\n", 1.0)
        return self

    def end(self, usage: Usage = COUNTED) -> list[dict]:
        answer = self.reader.finish()
        assert isinstance(answer, Answer), answer
        self.told += self.relay.end(answer, usage)
        return [json.loads(payload) for payload in self.told]


def text_in(chunks: list[dict], field: str = "content") -> str:
    return "".join(c["choices"][0]["delta"].get(field) or "" for c in chunks if c["choices"])


def finishes(chunks: list[dict]) -> list[str]:
    return [c["choices"][0]["finish_reason"] for c in chunks if c["choices"] and c["choices"][0].get("finish_reason")]


# ---------------------------------------------------------------- the provider's own chunks


def test_the_providers_own_chunks_pass_byte_for_byte() -> None:
    """A caller who asks for logprobs, or reads a field that nobody here knows, would lose it."""
    events = [
        chunk({"role": "assistant", "content": ""}, system_fingerprint="fp"),
        chunk({"reasoning": "hm", "odd": [1, 2.50]}, x_own={"a": None}),
        b'{"choices": [ {"index":0,"delta":{"content":"a"},"logprobs":{"content":[{"p":-1.0e-05}]}} ],"usage":null}',
        chunk({"tool_calls": [{"index": 0, "id": "c", "function": {"name": "f", "arguments": "{}"}}]}),
        b'{"choices":[{"index":1,"delta":{"content":"the second answer"}},{"index":0,"delta":{"content":"b"}}]}',
        chunk({}, "stop"),
    ]
    stream = Stream().feed(*events, END)
    assert stream.told == events
    assert len(stream.end()) == len(events)


@pytest.mark.parametrize(
    "payload",
    [
        END,
        b"",
        b"null",
        b'"text"',
        b"{}",
        b'{"object":"ping"}',
        b'{"choices":[]}',
        b'{"choices":{"0":{}}}',
        b'{"choices":["a"]}',
        b'{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}',
        b'{"usage":{"prompt_tokens":1,"completion_tokens":2}}',
    ],
)
def test_what_is_no_chunk_with_a_choice_never_passes(payload: bytes) -> None:
    """Callers take the first choice of each chunk without a look: an empty list ends their program."""
    stream = Stream().feed(chunk({"content": "a"}), payload, chunk({"content": "b"}, "stop"))
    assert stream.told == [chunk({"content": "a"}), chunk({"content": "b"}, "stop")]


@pytest.mark.parametrize(
    "payload",
    [
        b'{"error":{"message":"boom","code":500}}',
        b'{"error":"boom","choices":[{"index":0,"delta":{"content":"x"}}]}',
        b'{"choices":[{"index":0,"delta":{"content":""},"finish_reason":"error","error":{"message":"boom"}}]}',
        b'{"x_own":{"error":"boom"},"choices":[{"index":0,"delta":{}}]}',
        b'{"choices":[{"index":0,"del',
        b"[]",
    ],
)
def test_an_error_does_not_pass_nor_what_comes_after_it(payload: bytes) -> None:
    """A provider's error in the middle of a stream that goes on looks like a short answer."""
    stream = Stream()
    stream.reader.feed(b"".join(b"data: " + p + b"\n\n" for p in (chunk({"content": "a"}), payload)), 1.0)
    stream.feed(chunk({"content": "b"}, "stop"))
    assert [json.loads(p)["choices"][0]["delta"]["content"] for p in stream.told] == ["a"]
    assert not isinstance(stream.reader.finish(), Answer)


def test_an_error_without_a_reason_does_not_pass_either() -> None:
    """`error` is no reason to finish that callers know."""
    stream = Stream().feed(chunk({"content": "a"}), chunk({}, "error"), END)
    assert stream.told == [chunk({"content": "a"})]
    assert not isinstance(stream.reader.finish(), Answer)


def test_an_error_and_what_follows_in_one_piece_of_the_network_do_not_pass() -> None:
    """The reader stops at the error, and so must what callers are given."""
    stream = Stream()
    events = (chunk({"content": "a"}), b'{"error":{"message":"boom"}}', chunk({"content": "b"}))
    stream.reader.feed(b"".join(b"data: " + p + b"\n\n" for p in events), 1.0)
    assert stream.told == [events[0]]


def test_usage_comes_once_at_the_end_and_only_to_who_asked() -> None:
    """SDKs take the last chunk's counts; one that nobody asked for has no choices to take the first of."""
    counts = {"prompt_tokens": 3, "completion_tokens": 7, "total_tokens": 10, "own": {"x": 1}}
    for events in (
        [chunk({"content": "a"}), chunk({}, "stop"), chunk(None, usage=counts), END],
        [chunk({"content": "a"}), chunk({}, "stop", usage=counts), END],
        [chunk({"content": "a"}, usage={"prompt_tokens": 3}), chunk({}, "stop"), chunk(None, usage=counts), END],
    ):
        silent = Stream().feed(*events).end()
        assert [c.get("usage") for c in silent] == [None, None]
        told = Stream(usage=True).feed(*events).end()
        assert [c.get("usage") for c in told] == [None, None, counts]
        assert told[-1]["choices"] == []
        assert told[-1]["id"] == "up-1"


def test_usage_that_the_server_did_not_give_is_made_and_marked() -> None:
    """Who asked for counts gets them; a guess must not look like the server's word."""
    chunks = Stream(usage=True).feed(chunk({"content": "a"}, "stop"), END).end(Usage(5, 6, "estimated"))
    assert chunks[-1]["usage"] == {
        "prompt_tokens": 5, "completion_tokens": 6, "total_tokens": 11, "source": "estimated",
    }  # fmt: skip
    assert (chunks[-1]["id"], chunks[-1]["model"], chunks[-1]["choices"]) == ("up-1", "up-model", [])


def test_a_stream_without_a_reason_to_finish_is_given_one() -> None:
    """Callers wait for it, and take an answer without it for one that was cut."""
    chunks = Stream().feed(chunk({"content": "a"}), END).end()
    assert finishes(chunks) == ["stop"]
    assert chunks[-1]["id"] == "up-1"


def test_a_message_in_the_place_of_a_delta_is_put_right() -> None:
    """Callers read `delta` of each choice; a server that says `message` would end their program."""
    chunks = Stream().feed(b'{"choices":[{"index":0,"message":{"content":"a"},"finish_reason":"stop"}]}').end()
    assert text_in(chunks) == "a"


@pytest.mark.parametrize(
    "payload",
    [
        b'{"choices":[{"index":0,"delta":{"content":"a\xff"}}]}',
        rb'{"choices":[{"index":0,"delta":{"content":"a\ud83d"}}]}',
        b'{"choices":\n[{"index":0,\n"delta":{"content":"a"}}]}',
        b'[{"choices":[{"index":0,"delta":{"content":"a"}}]}]',
    ],
)
def test_a_server_with_bad_habits_reaches_callers_as_one_line_of_clean_json(payload: bytes) -> None:
    """A line end in an event cuts it in two, and bad UTF-8 ends the caller's stream with an exception."""
    stream = Stream().feed(payload)
    [told] = stream.told
    assert b"\n" not in told
    assert json.loads(told.decode())["choices"][0]["delta"]["content"][0] == "a"


def test_an_answer_that_was_not_streamed_is_told_whole() -> None:
    """Some servers take no notice of `stream`; the caller asked for chunks all the same."""
    stream = Stream(usage=True)
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}}
    message = {"content": "hi", "reasoning_content": "hm", "tool_calls": [call]}
    document = {"id": "u", "choices": [{"message": message, "finish_reason": "tool_calls"}]}
    stream.reader.feed(json.dumps(document).encode(), 1.0)
    assert stream.told == []
    chunks = stream.end()
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    assert (text_in(chunks), text_in(chunks, "reasoning_content")) == ("hi", "hm")
    assert [c["choices"][0]["delta"].get("tool_calls") for c in chunks if c["choices"]][3] == [{"index": 0, **call}]
    assert finishes(chunks) == ["tool_calls"]
    assert chunks[-1]["usage"]["total_tokens"] == 10
    assert {(c["id"], c["object"], c["created"], c["model"]) for c in chunks} == {
        ("chatcmpl-1", "chat.completion.chunk", 1_700_000_000, "the-model")
    }


@pytest.mark.parametrize("native", [True, False])
def test_an_empty_answer_still_has_a_role_and_an_end(native: bool) -> None:
    """A stream without a chunk is an error to every SDK."""
    relay = Relay(HEAD, "m", native=native, usage=False)
    chunks = [json.loads(c) for c in relay.end(Answer(text="", finish_reason="stop"), COUNTED)]
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    assert finishes(chunks) == ["stop"]


# ---------------------------------------------------------------- other forms


def block(kind: str, **fields: Any) -> bytes:
    return json.dumps({"type": kind, **fields}).encode()


def piece(*parts: dict, finish: str | None = None) -> bytes:
    return json.dumps({"candidates": [{"content": {"parts": list(parts)}, "finishReason": finish}]}).encode()


def test_typed_events_are_told_as_chunks() -> None:
    """A caller of one form must not be able to see which form the provider speaks."""
    tool = {"type": "tool_use", "id": "t1", "name": "f", "input": {}}
    stream = Stream("messages", usage=True)
    stream.feed(block("message_start", message={}), block("ping"))
    assert stream.told == []
    stream.feed(
        block("content_block_delta", index=0, delta={"type": "thinking_delta", "thinking": "hm"}),
        block("content_block_start", index=1, content_block={"type": "text", "text": ""}),
        block("content_block_delta", index=1, delta={"type": "text_delta", "text": "a"}),
        block("content_block_delta", index=1, delta={"type": "text_delta", "text": "b"}),
        block("content_block_start", index=2, content_block=tool),
        block("content_block_delta", index=2, delta={"type": "input_json_delta", "partial_json": '{"x"'}),
        block("content_block_delta", index=2, delta={"type": "input_json_delta", "partial_json": ":1}"}),
        block("content_block_start", index=3, content_block=tool | {"id": "t2", "name": "g"}),
        block("message_delta", delta={"stop_reason": "tool_use"}, usage={"output_tokens": 7}),
        block("message_stop"),
    )
    chunks = stream.end()
    deltas = [c["choices"][0]["delta"] for c in chunks if c["choices"]]
    assert deltas[:4] == [
        {"role": "assistant", "content": ""}, {"reasoning_content": "hm"}, {"content": "a"}, {"content": "b"},
    ]  # fmt: skip
    calls = [call for delta in deltas for call in delta.get("tool_calls", [])]
    assert calls[0] == {"index": 0, "id": "t1", "type": "function", "function": {"name": "f", "arguments": ""}}
    assert "".join(c["function"]["arguments"] for c in calls if c["index"] == 0) == '{"x":1}'
    assert "".join(c["function"]["arguments"] for c in calls if c["index"] == 1) == "{}"
    assert finishes(chunks) == ["tool_calls"]
    assert chunks[-1]["usage"] == {
        "prompt_tokens": 3, "completion_tokens": 7, "total_tokens": 10,
        "prompt_tokens_details": {"cached_tokens": 2},
    }  # fmt: skip


def test_pieces_are_told_as_chunks() -> None:
    """The form without ids and end signs: ids are made, a call ends with `tool_calls` as callers expect."""
    stream = Stream("generate_content").feed(
        piece({"text": "hm", "thought": True}),
        piece({"text": "a"}),
        piece({"functionCall": {"name": "f", "args": {"x": 1}}, "thoughtSignature": "c2ln"}, finish="STOP"),
    )
    chunks = stream.end()
    assert (text_in(chunks), text_in(chunks, "reasoning_content")) == ("a", "hm")
    [call] = [c for chunk in chunks for c in chunk["choices"][0]["delta"].get("tool_calls", [])]
    assert call == {
        "index": 0, "id": "call_0", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'},
        "extra_content": {"google": {"thought_signature": "c2ln"}},
    }  # fmt: skip
    assert finishes(chunks) == ["tool_calls"]


def test_a_reason_that_callers_do_not_know_is_an_ordinary_end() -> None:
    """Strict clients refuse a chunk whose reason is none of the form's own."""
    assert finishes(Stream("generate_content").feed(piece({"text": "a"}, finish="OTHER")).end()) == ["stop"]
    assert finishes(Stream("generate_content").feed(piece({"text": "a"}, finish="MAX_TOKENS")).end()) == ["length"]


WORDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)


@settings(deadline=None)
@given(texts=st.lists(WORDS, min_size=1, max_size=8), cuts=st.lists(st.integers(1, 60), max_size=8), form=st.booleans())
def test_callers_are_told_the_text_that_the_journal_keeps(texts: list[str], cuts: list[int], form: bool) -> None:
    """However the network cuts it, nothing is lost, doubled or out of order."""
    if form:
        stream, events = Stream(), [chunk({"content": text}) for text in texts] + [chunk({}, "stop"), END]
    else:
        stream, events = Stream("generate_content"), [piece({"text": text}) for text in texts]
        events.append(piece(finish="STOP"))
    data = b"".join(b"data: " + payload + b"\n\n" for payload in events)
    for cut in cuts:
        stream.reader.feed(data[:cut], 1.0)
        data = data[cut:]
    stream.reader.feed(data, 2.0)
    assert text_in(stream.end()) == "".join(texts)
