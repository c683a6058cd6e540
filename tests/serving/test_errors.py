"""Failures in the form that callers' libraries know: the right class of exception, the right moment to come back."""

from __future__ import annotations

import json
from typing import Any, get_args, get_type_hints

import openai
import pytest

from llmfan.conduct.ticket import Refusal
from llmfan.records import ErrorInfo, ResultLine
from llmfan.serving.errors import KINDS, REFUSALS, event, of_bug, of_fault, of_refusal, of_result, retry_headers
from llmfan.serving.faults import CallerFault
from llmfan.settings import Kind


def failed(kind: str, message: str = "boom", **fields: Any) -> ResultLine:
    nothing = dict.fromkeys(
        ("text", "reasoning", "finish_reason", "usage", "cost_usd", "wait_s", "ttft_s", "ttfo_s", "latency_s",
         "total_s", "expect", "score", "metadata")
    )  # fmt: skip
    given: dict[str, Any] = {"provider": "p", "model": "m/x", "key": "p#2", "attempts": 3, **fields}
    return ResultLine(
        id="1", index=0, repeat=0, status="failed", retry_s=0.0, simulated=False,
        error=ErrorInfo(kind, message, 500), **nothing, **given,
    )  # fmt: skip


def raises(status: int) -> type[openai.APIStatusError]:
    """Which exception the official library chooses: by the status alone."""
    own = (openai.BadRequestError, openai.AuthenticationError, openai.PermissionDeniedError, openai.NotFoundError,
           openai.ConflictError, openai.UnprocessableEntityError, openai.RateLimitError)  # fmt: skip
    known: dict[int, type[openai.APIStatusError]] = {error.status_code: error for error in own}
    return known.get(status, openai.InternalServerError if status >= 500 else openai.APIStatusError)


@pytest.mark.parametrize(
    ("kind", "exception", "code"),
    [
        ("bad_request", openai.BadRequestError, "bad_request"),
        ("context_length", openai.BadRequestError, "context_length_exceeded"),
        ("content_filter", openai.BadRequestError, "content_filter"),
        ("model_not_found", openai.NotFoundError, "model_not_found"),
        ("rate_limited", openai.RateLimitError, "rate_limit_exceeded"),
        ("quota_exhausted", openai.RateLimitError, "insufficient_quota"),
        ("auth", openai.InternalServerError, "provider_auth"),
        ("payment_required", openai.InternalServerError, "provider_payment_required"),
        ("timeout", openai.InternalServerError, "timeout"),
        ("overloaded", openai.InternalServerError, "overloaded"),
        ("server_error", openai.InternalServerError, "server_error"),
        ("connection", openai.InternalServerError, "connection"),
        ("bad_response", openai.InternalServerError, "bad_response"),
        ("truncated_stream", openai.InternalServerError, "truncated_stream"),
    ],
)
def test_a_failed_call_raises_the_right_class(kind: str, exception: type, code: str) -> None:
    """A program that catches RateLimitError to wait would give up, or retry a prompt that is too long for ever."""
    told = of_result(failed(kind))
    assert raises(told.status) is exception
    assert told.document["error"]["code"] == code


def test_every_kind_of_failure_and_refusal_has_its_status() -> None:
    """One without would be told as something it is not."""
    assert KINDS.keys() == set(get_args(Kind))
    assert REFUSALS.keys() == set(get_args(get_type_hints(Refusal)["why"]))


def test_our_own_keys_are_none_of_the_callers_credentials() -> None:
    """With 401 a caller is told to change a key that is not at fault, or is asked to log in again."""
    for kind in ("auth", "payment_required"):
        assert of_result(failed(kind)).status == 503


def test_a_failure_says_who_failed_and_after_how_many_attempts() -> None:
    """With twenty keys behind one address, "server error" names nobody."""
    error = of_result(failed("server_error")).document["error"]
    assert error["message"] == "boom (p/m/x by p#2, after 3 attempts)"
    assert error["type"] == "server_error"
    once = of_result(failed("server_error", attempts=1)).document["error"]["message"]
    assert once.endswith("after 1 attempt)")
    never = of_result(failed("connection", provider=None, model=None, key=None, attempts=0)).document["error"]
    assert never["message"] == "boom (nobody was asked)"


@pytest.mark.parametrize(
    ("why", "exception"),
    [
        ("wait", openai.RateLimitError),
        ("full", openai.RateLimitError),
        ("nothing_left", openai.InternalServerError),
        ("closing", openai.InternalServerError),
    ],
)
def test_a_refused_call_raises_the_right_class(why: str, exception: type) -> None:
    """429 is worth a wait, 503 is for whoever runs the fleet."""
    told = of_refusal(why, "later", 12.5)
    assert raises(told.status) is exception
    assert told.retry_after == 12.5
    assert told.document["error"]["message"] == "later"


def test_a_callers_fault_names_the_field() -> None:
    """The libraries hand `param` and `code` to the program."""
    told = of_fault(CallerFault("no such model", param="model", code="model_not_found", status=404))
    assert told.status == 404
    assert told.document["error"] == {
        "message": "no such model", "type": "invalid_request_error", "param": "model", "code": "model_not_found",
    }  # fmt: skip
    plain = of_fault(CallerFault("the body is empty")).document["error"]
    assert (plain["param"], plain["code"]) == (None, None)


def test_a_bug_tells_nothing_of_the_inside() -> None:
    """A traceback shows paths and values to whoever can reach the port."""
    told = of_bug()
    assert told.status == 500
    assert told.document["error"]["code"] == "internal_error"


@pytest.mark.parametrize(
    ("seconds", "headers"),
    [
        (None, {}),
        (float("inf"), {}),
        (0.0, {"Retry-After": "1", "retry-after-ms": "1"}),
        (-3.0, {"Retry-After": "1", "retry-after-ms": "1"}),
        (0.2504, {"Retry-After": "1", "retry-after-ms": "251"}),
        (12.0, {"Retry-After": "12", "retry-after-ms": "12000"}),
        (12.1, {"Retry-After": "13", "retry-after-ms": "12100"}),
    ],
)
def test_who_comes_back_when_told_is_never_early(seconds: float | None, headers: dict) -> None:
    """Rounded down, every caller comes a moment too soon and is refused once more."""
    assert retry_headers(seconds) == headers


def test_the_event_that_ends_a_broken_stream_is_one_line_with_the_error() -> None:
    """Libraries raise where an event holds `error`; a line end in it would cut it in two."""
    told = of_result(failed("truncated_stream", "caf\u00e9\nline"))
    data = event(told)
    assert b"\n" not in data
    assert json.loads(data) == told.document
