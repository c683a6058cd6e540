"""The chat-completions form: what is sent, what is read, what an end means."""

from __future__ import annotations

import json

import pytest

from llmfan import __version__
from llmfan.dialects import dialect
from llmfan.records import Answer, Call, Failure, Usage
from llmfan.secret import Secret
from llmfan.settings import FieldRules, HeaderRow, Preset

PRESET = Preset(name="Test", checked="2026-11-20")
HI = [{"role": "user", "content": "hi"}]


def form(**rows: object):
    return dialect("openai_chat", Preset(name="Test", checked="2026-11-20", **rows))


def event(delta: dict | None = None, finish: str | None = None, **more: object) -> bytes:
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    return b"data: " + json.dumps({"choices": choices, **more}).encode() + b"\n\n"


END = b"data: [DONE]\n\n"


def read(*events: bytes, **rows: object) -> Answer | Failure:
    reader = form(**rows).stream()
    for at, data in enumerate(events):
        reader.feed(data, 10.0 + at)
    return reader.finish()


def body(call: Call, **rules: object) -> dict:
    return json.loads(form(fields=FieldRules(**rules)).body(call))


# ---------------------------------------------------------------- requests


def test_a_streamed_call_asks_for_usage_and_a_plain_one_does_not_stream() -> None:
    """Without usage every token count is an estimate."""
    call = Call(model="m", messages=HI, max_tokens=9, temperature=0.0)
    sent = body(call)
    assert sent == {
        "model": "m", "messages": HI, "max_tokens": 9, "temperature": 0.0, "stream": True,
        "stream_options": {"include_usage": True},
    }  # fmt: skip
    plain = Call(model="m", messages=HI, max_tokens=9, stream=False, params={"stream_options": {}, "stream": True})
    assert body(plain) == {"model": "m", "messages": HI, "max_tokens": 9}


def test_fields_are_renamed_then_dropped_then_held_to_the_list() -> None:
    """A provider that refuses unknown fields answers every call with 422."""
    call = Call(model="m", messages=HI, max_tokens=9, params={"seed": 1, "top_k": 2, "logprobs": True})
    sent = body(call, rename={"seed": "random_seed"}, drop=["logprobs"], ask_usage=False)
    assert sent == {"model": "m", "messages": HI, "max_tokens": 9, "random_seed": 1, "top_k": 2, "stream": True}
    allowed = body(call, rename={"seed": "random_seed"}, allow=["model", "messages", "max_tokens", "random_seed"])
    assert allowed == {"model": "m", "messages": HI, "max_tokens": 9, "random_seed": 1}


def test_both_names_of_the_output_cap_are_one_field() -> None:
    """Two caps in one request are refused, and the wrong one of them is obeyed."""
    call = Call(model="m", messages=HI, max_tokens=9, params={"max_completion_tokens": 5})
    assert body(call)["max_tokens"] == 5
    renamed = body(call, rename={"max_tokens": "max_completion_tokens"})
    assert renamed["max_completion_tokens"] == 5
    assert "max_tokens" not in renamed


def test_headers_name_this_program_and_hold_the_key_only_if_there_is_one() -> None:
    """Some fronts refuse a library's own User-Agent; a local server needs no key."""
    headers = form(headers={"X-Own": "1"}).headers(Secret("sk-recognisable-key"))
    assert headers["User-Agent"] == f"llmfan/{__version__}"
    assert headers["Authorization"] == "Bearer sk-recognisable-key"
    assert headers["X-Own"] == "1"
    assert "recognisable" not in repr(headers)
    assert "Authorization" not in form().headers(None)
    assert form(auth_header="x-api-key", auth_scheme="").headers(Secret("k"))["x-api-key"] == "k"
    assert form(account_in_key=True).headers(Secret("acc:tok"))["Authorization"] == "Bearer tok"


def test_the_address_takes_a_base_with_or_without_a_slash() -> None:
    """A doubled slash is another address, and a 404."""
    for base in ("http://h/v1", "http://h/v1/"):
        assert form().address(base, "m") == ("http://h/v1/chat/completions",) * 2


# ---------------------------------------------------------------- moments


def test_first_is_the_first_text_of_any_kind_and_first_output_the_answer() -> None:
    """A role chunk taken for text makes TTFT too good; reasoning left out makes it too bad."""
    answer = read(
        b": ping\n\n",
        event({"role": "assistant", "content": ""}),
        event(None, usage={"prompt_tokens": 1, "completion_tokens": 0}),
        event({"reasoning_content": "hm"}),
        event({"content": "a"}) + event({"content": "b"}),
        event({"content": "c"}),
        event({}, "stop"),
        END,
    )
    assert isinstance(answer, Answer)
    assert (answer.first, answer.first_output) == (13.0, 14.0)
    assert answer.gaps == [(1.0, 1), (0.0, 1), (1.0, 1)]
    assert (answer.text, answer.reasoning) == ("abc", "hm")


@pytest.mark.parametrize(
    "delta",
    [
        {"content": "x"},
        {"reasoning": "x"},
        {"reasoning_content": "x"},
        {"reasoning_details": [{"type": "reasoning.text", "text": "x"}]},
        {"refusal": "x"},
        {"content": [{"type": "text", "text": "x"}]},
        {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "x"}]}]},
        {"content": [{"type": "thinking", "thinking": "x"}]},
        {"tool_calls": [{"index": 0, "id": "1", "function": {"name": "x", "arguments": ""}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": "x"}}]},
        {"content": None, "reasoning": 7, "reasoning_content": "x"},
    ],
)
def test_every_carrier_of_text_starts_the_clock(delta: dict) -> None:
    """The field's commonest bug: a null TTFT on models that reason or call tools first."""
    answer = read(event({"role": "assistant"}), event(delta), event({}, "stop"))
    assert isinstance(answer, Answer)
    assert answer.first == 11.0


@pytest.mark.parametrize(
    "delta",
    [
        {},
        {"role": "assistant"},
        {"content": ""},
        {"content": None},
        {"content": []},
        {"reasoning": ""},
        {"tool_calls": []},
        {"tool_calls": [{"index": 0, "id": "1"}]},
    ],
)
def test_an_empty_chunk_starts_no_clock(delta: dict) -> None:
    """A zero that looks valid is worse than no figure."""
    answer = read(event(delta), event({}, "length"))
    assert isinstance(answer, Answer)
    assert (answer.first, answer.first_output, answer.gaps, answer.text) == (None, None, [], "")


def test_reasoning_sent_under_two_names_counts_once() -> None:
    """Routers send the same thought twice; doubled it would look like a longer answer."""
    answer = read(event({"reasoning": "a", "reasoning_details": [{"text": "a"}]}), event({}, "stop"))
    assert answer.reasoning == "a"


# ---------------------------------------------------------------- ends


@pytest.mark.parametrize("last", [END, event({}, "stop"), END.strip(), b"data: [DONE]\n", event({}, "length").strip()])
def test_each_known_end_sign_completes_a_stream(last: bytes) -> None:
    """Otherwise answers of servers that leave one out would be sent, and paid, again."""
    answer = read(event({"content": "x"}), last)
    assert isinstance(answer, Answer), answer
    assert answer.text == "x"


@pytest.mark.parametrize("tail", [b"", b'data: {"choices":[{"delta":{"con'])
def test_a_stream_without_an_end_sign_is_cut(tail: bytes) -> None:
    """Half an answer that counts as one spoils every figure, and nobody notices."""
    failure = read(event({"content": "x"}), tail)
    assert isinstance(failure, Failure)
    assert (failure.kind, failure.scope, failure.ambiguous) == ("truncated_stream", "provider", True)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"", "bad_response"),
        (b": ping\n\n: ping\n\n", "bad_response"),
        (b"<html><head><title>Sign in</title></head></html>", "bad_response"),
        (b"\n\n", "bad_response"),
        (END, "bad_response"),
        (b'{"detail": "no"}', "bad_response"),
        (b'{"error": {"message": "slow down", "code": 429}}', "rate_limited"),
        (b"[" * 100_000, "bad_response"),
    ],
)
def test_a_stream_without_an_event_is_no_answer(data: bytes, kind: str) -> None:
    """A login page with status 200 must not become an empty answer."""
    failure = read(data)
    assert isinstance(failure, Failure)
    assert failure.kind == kind
    assert not failure.ambiguous
    assert failure.http_status == 200


def test_a_plain_document_in_the_place_of_a_stream_is_read() -> None:
    """Some servers take no notice of `stream`; their answer is an answer."""
    answer = read(b'{"choices": [{"message": {"content": "x"}, "finish_reason": "stop"}]}')
    assert isinstance(answer, Answer)
    assert (answer.text, answer.first) == ("x", 10.0)


def test_broken_json_in_the_middle_is_a_bad_response() -> None:
    """Text would silently be missing from the answer."""
    failure = read(event({"content": "x"}), b"data: {oops\n\n", event({}, "stop"), END)
    assert isinstance(failure, Failure)
    assert (failure.kind, failure.ambiguous) == ("bad_response", True)


@pytest.mark.parametrize("beat", [b"data: ping\n\n", b"data:\n\n", b"data: null\n\n", b"data: 1\n\n"])
def test_heartbeats_that_are_no_json_objects_are_passed_over(beat: bytes) -> None:
    """A keep-alive of one server must not fail its answers."""
    answer = read(event({"content": "x"}), beat, event({}, "stop"))
    assert isinstance(answer, Answer)


# ---------------------------------------------------------------- errors in a stream


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b'data: {"error":{"code":429,"message":"slow down"}}\n\n', "rate_limited"),
        (b'data: {"error":{"type":"rate_limit_exceeded","message":"slow down"}}\n\n', "rate_limited"),
        (b'data: {"error":{"type":"overloaded_error","message":"busy"}}\n\n', "overloaded"),
        (b'data: {"error":{"message":"boom"}}\n\n', "server_error"),
        (b'data: {"error":"boom"}\n\n', "server_error"),
        (b'event: error\ndata: {"message":"slow down","code":"429"}\n\n', "rate_limited"),
        (b"event: error\ndata: boom\n\n", "server_error"),
        (b'data: {"status_code":429,"message":"Requests per minute limit exceeded"}\n\n', "rate_limited"),
        (b'data: {"x_own":{"id":"1","error":"over_capacity"},"choices":[{"delta":{}}]}\n\n', "server_error"),
        (b'data: {"choices":[{"delta":{"content":""},"finish_reason":"error"}]}\n\n', "server_error"),
        (
            b'data: {"error":{"code":503,"message":"x"},"choices":[{"delta":{},"finish_reason":"error"}]}\n\n',
            "overloaded",
        ),
        (b'data: {"choices":[{"delta":{},"finish_reason":"error","error":{"code":429}}]}\n\n', "rate_limited"),
        (b'data: [{"error":{"code":429,"status":"RESOURCE_EXHAUSTED"}}]\n\n', "rate_limited"),
    ],
)
def test_an_error_event_in_a_200_is_that_error(data: bytes, kind: str) -> None:
    """Pitfall 8: taken for success it leaves empty answers, and the key goes on being hit."""
    early = read(data, END)
    assert isinstance(early, Failure)
    assert early.kind == kind
    assert early.http_status == 200
    late = read(event({"content": "x"}), data, END)
    assert isinstance(late, Failure)
    assert late.kind == kind
    assert late.ambiguous
    assert not late.free


def test_a_filtered_answer_is_a_failure_of_the_request() -> None:
    """No key is to blame, and no other key would help."""
    failure = read(event({"content": "x"}), event({}, "content_filter"), END)
    assert isinstance(failure, Failure)
    assert (failure.kind, failure.scope) == ("content_filter", "request")


# ---------------------------------------------------------------- usage


@pytest.mark.parametrize(
    ("events", "usage"),
    [
        ([event({}, "stop"), event(None, usage={"prompt_tokens": 3, "completion_tokens": 5})], Usage(3, 5)),
        ([event({}, "stop", usage={"prompt_tokens": 3, "completion_tokens": 5, "cached_tokens": 2})],
         Usage(3, 5, cached_tokens=2)),
        ([event({"content": "a"}, usage={"prompt_tokens": 3, "completion_tokens": 1}),
          event({}, "stop", usage={"prompt_tokens": 3, "completion_tokens": 2})], Usage(3, 2)),
        ([event({}, "stop", usage=None, x_own={"usage": {"prompt_tokens": 3, "completion_tokens": 5}})], Usage(3, 5)),
        ([event({}, "stop", usage={"prompt_tokens": 3, "total_tokens": 8, "prompt_tokens_details":
                                   {"cached_tokens": 1}})], Usage(3, 5, cached_tokens=1)),
        ([event({}, "stop", usage={"prompt_tokens": 3, "completion_tokens": 5, "prompt_cache_hit_tokens": 2})],
         Usage(3, 5, cached_tokens=2)),
        ([event({}, "stop", usage={"prompt_tokens": 3, "completion_tokens": 5, "neurons": 1.5})],
         Usage(3, 5, neurons=1.5)),
        ([event({}, "stop", usage={"prompt_tokens": "many"})], None),
        ([event({}, "stop", usage=None)], None),
        ([event({}, "stop")], None),
    ],
)  # fmt: skip
def test_usage_is_taken_wherever_it_comes(events: list[bytes], usage: Usage | None) -> None:
    """A missed count is replaced by an estimate, and the cost by a guess."""
    answer = read(event({"content": "x"}), *events, END)
    assert isinstance(answer, Answer)
    assert answer.usage == usage


def test_the_header_with_a_calls_cost_counts_where_the_body_is_silent() -> None:
    """A day's neurons would be reckoned from a table that may be out of date."""
    rows = [HeaderRow(name="cf-cost", axis="neurons_per_day", role="cost")]
    body = b'{"choices":[{"message":{"content":"x"}}],"usage":{"prompt_tokens":1,"completion_tokens":2}}'
    assert form(limit_headers=rows).whole(body, {"cf-cost": "2.5"}).usage == Usage(1, 2, neurons=2.5)


# ---------------------------------------------------------------- tool calls


def test_tool_calls_are_put_back_from_their_pieces() -> None:
    """Half a call, or two in one, is useless to whoever runs it."""

    def piece(**call: object) -> bytes:
        return event({"tool_calls": [call]})

    answer = read(
        piece(index=0, id="a", type="function", function={"name": "f", "arguments": ""}),
        piece(index=0, function={"arguments": '{"x"'}),
        piece(index=1, id="b", function={"name": "g", "arguments": "{}"}),
        piece(index=0, function={"arguments": ":1}"}),
        piece(index=0, id="c", function={"name": "h", "arguments": {"y": 2}}),
        event({}, "tool_calls"),
    )
    assert [(c["id"], c["function"]["name"], c["function"]["arguments"]) for c in answer.tool_calls] == [
        ("a", "f", '{"x":1}'),
        ("b", "g", "{}"),
        ("c", "h", '{"y":2}'),
    ]
    assert answer.first_output == 10.0


# ---------------------------------------------------------------- whole answers


def whole(body: bytes | str, headers: dict[str, str] | None = None, **rows: object) -> Answer | Failure:
    return form(**rows).whole(body.encode() if isinstance(body, str) else body, headers or {})


@pytest.mark.parametrize(
    ("message", "text", "reasoning"),
    [
        ({"content": "x"}, "x", None),
        ({"content": None, "reasoning_content": "r"}, "", "r"),
        ({"content": "x", "reasoning": "r"}, "x", "r"),
        ({"content": [{"type": "thinking", "thinking": [{"text": "r"}]}, {"type": "text", "text": "x"}]}, "x", "r"),
        ({"content": None, "refusal": "no"}, "no", None),
        ({"content": "x", "tool_calls": {}, "reasoning": {"odd": 1}}, "x", None),
    ],
)
def test_a_whole_answer_is_read_in_every_form_of_content(message: dict, text: str, reasoning: str | None) -> None:
    """An answer of parts read as nothing would score as wrong."""
    answer = whole(json.dumps({"choices": [{"message": message, "finish_reason": "stop"}]}))
    assert isinstance(answer, Answer)
    assert (answer.text, answer.reasoning, answer.finish_reason) == (text, reasoning, "stop")
    assert (answer.first, answer.gaps) == (None, [])


def test_blank_lines_before_an_answer_are_no_part_of_it() -> None:
    """They are one server's keep-alive; read as text they make the JSON invalid."""
    assert whole('\n\n \r\n\n{"choices":[{"message":{"content":"x"}}]}\n').text == "x"


def test_numbers_that_are_none_do_not_spoil_a_sound_answer() -> None:
    """NaN is no JSON, yet Python servers send it."""
    answer = whole('{"choices":[{"message":{"content":"x"},"logprobs":NaN}],"usage":{"prompt_tokens":NaN}}')
    assert isinstance(answer, Answer)
    assert (answer.text, answer.usage) == ("x", None)


def test_a_stream_nobody_asked_for_is_read() -> None:
    """Some servers stream whatever is asked."""
    answer = whole(event({"content": "x"}) + event({}, "stop") + END)
    assert isinstance(answer, Answer)
    assert (answer.text, answer.first, answer.gaps) == ("x", None, [])


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ("", "bad_response"),
        ("<!DOCTYPE html><title>Welcome</title>", "bad_response"),
        ("plain words", "bad_response"),
        ("[]", "bad_response"),
        ("{}", "bad_response"),
        ('{"choices": []}', "bad_response"),
        ('{"choices": [{}]}', "bad_response"),
        ('{"choices": "no"}', "bad_response"),
        ("[" * 200_000, "bad_response"),
        ('{"a":' * 200_000, "bad_response"),
        ('{"error": {"code": 429, "message": "slow"}}', "rate_limited"),
        ('{"error": {"code": "insufficient_quota", "message": "pay"}}', "payment_required"),
        ('[{"error": {"code": 503, "message": "busy"}}]', "overloaded"),
        ('{"success": false, "errors": [{"code": 1, "message": "boom"}]}', "server_error"),
        ('{"choices": [{"error": {"code": 502, "message": "x"}, "finish_reason": "error"}]}', "server_error"),
        ('{"choices": [{"message": {"content": "x"}, "finish_reason": "content_filter"}]}', "content_filter"),
    ],
)
def test_a_200_without_an_answer_is_a_failure_of_its_kind(body: str, kind: str) -> None:
    """Pitfall 8, not streamed: an error in a 200 must not count as a success."""
    failure = whole(body)
    assert isinstance(failure, Failure)
    assert failure.kind == kind
    assert failure.http_status == 200


def test_an_html_page_is_named_by_its_title() -> None:
    """`bad response` alone does not tell a user that a login page stands in the way."""
    assert "Sign in" in whole("<html><title>Sign in</title></html>").message
