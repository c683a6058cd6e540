"""Failures as callers of the chat-completions form know them: a status, a document, and when to come back.

Their libraries choose an exception by the status alone, and try again by themselves after 408, 409, 429 and from 500
on. So what is wrong with the request has a status below 500 that is none of these, and what is wrong with the fleet's
own keys is none of the caller's credentials (401, 403) but 503.
"""

from __future__ import annotations

import math
from typing import Any

import msgspec
from msgspec import Struct

from llmfan.records import ResultLine
from llmfan.serving.faults import CallerFault

_CALLER, _LIMIT, _SERVER = "invalid_request_error", "rate_limit_error", "server_error"
#: Error kind → (status, type, code). 502: who was asked has failed; 503: nobody can be asked; 504: it took too long.
KINDS: dict[str, tuple[int, str, str]] = {
    "bad_request": (400, _CALLER, "bad_request"),
    "context_length": (400, _CALLER, "context_length_exceeded"),
    "content_filter": (400, _CALLER, "content_filter"),
    "model_not_found": (404, _CALLER, "model_not_found"),
    "rate_limited": (429, _LIMIT, "rate_limit_exceeded"),
    "quota_exhausted": (429, "insufficient_quota", "insufficient_quota"),
    "timeout": (504, _SERVER, "timeout"),
    "overloaded": (503, _SERVER, "overloaded"),
    "server_error": (502, _SERVER, "server_error"),
    "connection": (502, _SERVER, "connection"),
    "bad_response": (502, _SERVER, "bad_response"),
    "truncated_stream": (502, _SERVER, "truncated_stream"),
    "auth": (503, _SERVER, "provider_auth"),
    "payment_required": (503, _SERVER, "provider_payment_required"),
    "cancelled": (499, _SERVER, "cancelled"),  # nobody is there to be told
}
_UNKNOWN = (502, _SERVER, "server_error")
#: Why a call was not sent → the same.
REFUSALS: dict[str, tuple[int, str, str]] = {
    "wait": (429, _LIMIT, "rate_limit_exceeded"),
    "full": (429, _LIMIT, "queue_full"),
    "nothing_left": (503, _SERVER, "nothing_left"),
    "closing": (503, _SERVER, "closing"),
}


class Told(Struct, frozen=True):
    """`document`: the whole body, `{"error": {…}}`. `retry_after`: seconds, None where nobody knows."""

    status: int
    document: dict[str, Any]
    retry_after: float | None = None


def of_fault(fault: CallerFault) -> Told:
    return _told((fault.status, _CALLER, fault.code), fault.message, param=fault.param)


def said(fault: CallerFault) -> str:
    """The same for a log: without the value that was sent, which may be a piece of a prompt."""
    words = fault.message.partition(", got ")[0]
    return words if not fault.param or fault.param in words else f"{fault.param}: {words}"


def of_refusal(why: str, message: str, retry_after: float | None) -> Told:
    """A call that was not sent; the arguments are those of a ticket's `Refusal`."""
    return _told(REFUSALS.get(why, REFUSALS["nothing_left"]), message, retry_after)


def of_result(result: ResultLine, retry_after: float | None = None) -> Told:
    """A call that was sent and failed. The same document is the error event in a stream that has begun."""
    kind, message = (result.error.kind, result.error.message) if result.error is not None else ("", "no answer")
    param = {"context_length": "messages", "model_not_found": "model"}.get(kind, "")
    return _told(KINDS.get(kind, _UNKNOWN), f"{message or kind} ({_whence(result)})", retry_after, param)


def of_bug() -> Told:
    """llmfan's own fault: 500, and nothing of what went wrong inside."""
    return _told((500, _SERVER, "internal_error"), "llmfan has failed; its log says how")


def retry_headers(retry_after: float | None) -> dict[str, str]:
    """`Retry-After` in whole seconds, rounded up, at least 1, and `retry-after-ms`; nothing where nobody knows."""
    if retry_after is None or not math.isfinite(retry_after):
        return {}
    return {
        "Retry-After": str(max(1, math.ceil(retry_after))),
        "retry-after-ms": str(max(1, math.ceil(retry_after * 1e3))),
    }


def event(told: Told) -> bytes:
    """`{"error": {…}}` as the data of the event that ends a stream which has begun."""
    return msgspec.json.encode(told.document)


def _told(facts: tuple[int, str, str], message: str, retry_after: float | None = None, param: str = "") -> Told:
    status, kind, code = facts
    error = {"message": message, "type": kind, "param": param or None, "code": code or None}
    return Told(status, {"error": error}, retry_after)


def _whence(result: ResultLine) -> str:
    """Who failed it, and after how many requests."""
    tries = f"{result.attempts} {'attempt' if result.attempts == 1 else 'attempts'}"
    if result.provider is None:
        return f"after {tries}" if result.attempts else "nobody was asked"
    if result.key is None:
        return "nobody was asked" if not result.attempts else f"{result.provider}/{result.model}, after {tries}"
    return f"{result.provider}/{result.model} by {result.key}, after {tries}"
