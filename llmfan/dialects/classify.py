"""From (status, headers, body) to a failure: kind, scope, permanence and wait, all by rows."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from msgspec.structs import replace

from llmfan.dialects.bodies import ErrorBody, one_line, read_error
from llmfan.dialects.headers import value_of
from llmfan.dialects.quotas import told
from llmfan.dialects.signs import ROWS, STATUS_WORDS
from llmfan.dialects.waits import is_asked, wait_for
from llmfan.records import Failure
from llmfan.settings import ErrorRow, Kind, Preset, Scope

#: Refused before it was processed: costs no attempt.
FREE: frozenset[Kind] = frozenset(
    {"rate_limited", "quota_exhausted", "overloaded", "auth", "payment_required", "model_not_found"}
)
#: A gateway gave up on a server that may well have gone on: sent, perhaps answered and billed.
_UNSURE = frozenset({408, 502, 504, 520, 524})
#: Network faults that happen before anything is sent, whatever the phase: (kind, scope, permanent).
_UNSENT: dict[str, tuple[Kind, Scope, bool]] = {
    "refused": ("connection", "provider", False),
    "dns": ("connection", "provider", False),
    "tls": ("connection", "provider", True),
    "connect_timeout": ("connection", "provider", False),
    "proxy": ("connection", "provider", False),
    "local": ("connection", "request", False),
}
_FAULT_WORDS = {
    "refused": "connection refused",
    "dns": "name not found",
    "tls": "TLS handshake failed",
    "connect_timeout": "no connection in time",
    "proxy": "the proxy refused",
    "local": "this machine has no room for another connection",
    "reset": "connection reset",
    "disconnected": "server closed the connection",
    "timeout": "timed out",
    "payload": "the body ended before its announced length",
    "malformed": "not HTTP",
    "too_large": "the answer is larger than the cap",
}
_PHASE_WORDS = {
    "first_byte": "waiting for the first byte",
    "idle": "idle between chunks",
    "whole": "the whole request",
    "connect": "connecting",
}


def classify(status: int, headers: Mapping[str, str], body: bytes, preset: Preset, now_wall: float | None) -> Failure:
    """The provider's own signs first, then those of everybody; then, likewise, what the status alone means."""
    if 300 <= status < 400:
        where = value_of(headers, "location") or "an address it does not name"
        message = one_line(f"answered with a redirect to {where}")
        return Failure(kind="bad_response", scope="provider", message=message, http_status=status, permanent=True)
    error = read_error(body)
    row = _row_for(status, headers, body, error, preset)
    said = told(row, status, headers, error, preset, now_wall)
    free = row.kind in FREE
    wait = wait_for(row, headers, error, said, preset, now_wall)
    return Failure(
        kind=row.kind,
        scope=row.scope,
        message=one_line(error.message) or f"HTTP status {status} without a reason",
        http_status=status,
        permanent=row.permanent,
        wait=wait,
        latest=wait is not None and not is_asked(headers, error, now_wall),
        free=free,
        ambiguous=status in _UNSURE and not free,
        axis=said.axis,
        reports=said.reports,
    )


def classify_inside(
    body: bytes, headers: Mapping[str, str], preset: Preset, now_wall: float | None, *, begun: bool = False
) -> Failure:
    """An error that came inside an answer with status 200; `begun`: after some of the answer's text.

    Without a code that says otherwise it is the server's. Its wait counts; that it was sent and begun does too.
    """
    error = read_error(body)
    failure = classify(status_within(error) or 502, headers, body, preset, now_wall)
    if not error.message:
        failure = replace(failure, message="an error inside the answer, without a reason")
    if begun:
        failure = replace(failure, free=False, ambiguous=True)
    return replace(failure, http_status=200)


def status_within(error: ErrorBody) -> int | None:
    """The HTTP status that a body's codes stand for."""
    for code in error.codes:
        if re.fullmatch(r"[45]\d\d", code):
            return int(code)
    for pattern, status in STATUS_WORDS:
        if any(re.fullmatch(pattern, code, re.I) for code in error.codes):
            return status
    return None


def from_fault(fault: str, phase: str, detail: str) -> Failure:
    """A failure of the network. What is unsent is free; what may have arrived is ambiguous."""
    message = _fault_message(fault, phase, detail)
    if fault in _UNSENT:
        kind, scope, permanent = _UNSENT[fault]
        return Failure(kind=kind, scope=scope, message=message, permanent=permanent, free=True)
    if fault == "timeout":
        return Failure(kind="timeout", scope="provider", message=message, ambiguous=True)
    if fault == "payload":
        return Failure(kind="truncated_stream", scope="provider", message=message, ambiguous=True)
    if fault in ("malformed", "too_large"):
        return Failure(kind="bad_response", scope="provider", message=message)
    unsent = phase == "connect"
    return Failure(kind="connection", scope="provider", message=message, free=unsent, ambiguous=not unsent)


def _fault_message(fault: str, phase: str, detail: str) -> str:
    text = _FAULT_WORDS.get(fault, fault or "connection lost")
    if fault == "timeout" and phase:
        text += f": {_PHASE_WORDS.get(phase, phase.replace('_', ' '))}"
    return one_line(f"{text} ({detail})" if detail else text)


def _row_for(status: int, headers: Mapping[str, str], body: bytes, error: ErrorBody, preset: Preset) -> ErrorRow:
    text = body[:65536].decode("utf-8", "replace")
    for row in _in_order(preset):
        if _fits(row, status, headers, text, error):
            return row
    return ErrorRow(kind="server_error" if status >= 500 else "bad_response", scope="provider")


def _in_order(preset: Preset) -> Iterator[ErrorRow]:
    for signed in (True, False):
        for rows in (preset.errors, ROWS):
            yield from (row for row in rows if bool(row.code or row.message or row.body or row.header) is signed)


def _fits(row: ErrorRow, status: int, headers: Mapping[str, str], text: str, error: ErrorBody) -> bool:
    if row.status and status not in row.status:
        return False
    if row.code and not any(re.fullmatch(row.code, code, re.I) for code in error.codes):
        return False
    if row.message and not re.search(row.message, error.message, re.I):
        return False
    if row.body and not re.search(row.body, text, re.I):
        return False
    return not row.header or _header_fits(row.header, headers)


def _header_fits(sign: str, headers: Mapping[str, str]) -> bool:
    """In full: the sign `…-limit: 0` must not fit a limit of 60."""
    name, _, pattern = sign.partition(":")
    value = value_of(headers, name.strip())
    return value is not None and re.fullmatch(pattern.strip(), value.strip(), re.I) is not None
