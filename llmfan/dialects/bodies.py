"""Bodies read tolerantly: what an error says, in any of the shapes in use.

Shapes: `{"error":{…}}`, the same fields unwrapped, a list of the first, `{"errors":[…]}`, `{"message"}` alone,
`{"status","title"}` or `{"detail"}`, `{"error":"text"}`, and an error object with `status` and `details`. Besides
them HTML, plain text and nothing.
"""

from __future__ import annotations

import json
import re
from html import unescape
from typing import Any, NamedTuple

import msgspec

#: All that a JSON decoder may throw at strange bytes: bad JSON, wrong types, bad UTF-8, nesting without end.
DECODE_FAULTS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
MESSAGE_LENGTH = 300
#: How much of a body's own message is looked at: signs and waits often stand at its end.
_LOOKED_AT = 8000

_CODE_FIELDS = ("code", "type", "status", "error_type", "error_code", "reason", "status_code", "raw_status_code")
_INNER = ("availability", "metadata", "innererror")
_TITLE = re.compile(r"<title[^>]*>(.*?)</title>", re.I | re.S)
_HEADING = re.compile(r"<h1[^>]*>(.*?)</h1>", re.I | re.S)
_TAG = re.compile(r"<[^>]*>")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")


class ErrorBody(NamedTuple):
    """`codes`: every code, type and status word; `message`: one clean line, not yet shortened.

    `details`: the error object as it came, for hints on waiting.
    """

    codes: list[str]
    message: str
    details: dict[str, Any]


def read_error(body: bytes) -> ErrorBody:
    value = plain(body)
    if isinstance(value, list):
        value = next((v for v in value if isinstance(v, dict)), None)
    if isinstance(value, dict):
        error = _error_object(value)
        codes = list(dict.fromkeys([*_codes(error), *(() if error is value else _codes(value))]))
        return ErrorBody(codes, _clean(_message(error) or _message(value)), error)
    if isinstance(value, str):
        return ErrorBody([], _clean(value), {})
    return ErrorBody([], _clean(_from_text(body[:65536].decode("utf-8", "replace"))), {})


def plain(data: bytes) -> Any:
    """Any JSON as plain values, None if it is none. NaN and broken UTF-8 are let through: the rest may be sound."""
    try:
        return msgspec.json.decode(data)
    except DECODE_FAULTS:
        pass
    try:
        return json.loads(data.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return None


def encoded(value: Any) -> bytes:
    """JSON of anything `plain` gave, halves of characters included: those are escaped again."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        return json.dumps(value).encode()


def is_html(body: bytes) -> bool:
    return body[:512].lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"<"


def error_in(value: dict[str, Any]) -> dict[str, Any] | None:
    """The document of an error that came in the place of an answer, None if there is none in it.

    A field whose name begins with `x_` is a vendor's own; an `error` inside it stops the stream.
    """
    if value.get("error") or value.get("type") == "error" or value.get("object") == "error":
        return value
    if not value.get("choices") and (value.get("success") is False or value.get("errors")):
        return value
    if "message" in value and isinstance(value.get("status_code"), int) and value["status_code"] >= 400:
        return value
    for name, inner in value.items():
        if name.startswith("x_") and isinstance(inner, dict) and inner.get("error"):
            return {"error": inner["error"]}
    return None


def one_line(text: str) -> str:
    """Safe to print: one line, no control characters, at most 300 characters."""
    text = _clean(text)
    return text if len(text) <= MESSAGE_LENGTH else text[: MESSAGE_LENGTH - 1] + "…"


def mended(text: str) -> str:
    """Joins the halves of characters that a server cut in two and escaped apart (`\\ud83d`, then `\\ude00`)."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _clean(text: str) -> str:
    return " ".join(_CONTROL.sub(" ", text[:_LOOKED_AT]).split())


def _error_object(value: dict[str, Any]) -> dict[str, Any]:
    error = value.get("error")
    if isinstance(error, dict):
        return error
    errors = value.get("errors")
    if isinstance(errors, list) and errors and isinstance(errors[0], dict):
        return errors[0]
    return value


def _codes(value: dict[str, Any]) -> list[str]:
    found = [value.get(name) for name in _CODE_FIELDS]
    for name in _INNER:
        inner = value.get(name)
        if isinstance(inner, dict):
            found += [inner.get(n) for n in (*_CODE_FIELDS, "provider_code")]
    for entry in _entries(value):
        found += [entry.get("reason"), entry.get("code"), entry.get("type")]
        violations = entry.get("violations")
        if isinstance(violations, list):
            found += [v.get("quotaId") for v in violations if isinstance(v, dict)]
    return [str(code) for code in found if isinstance(code, str | int) and not isinstance(code, bool) and code != ""]


def _entries(value: dict[str, Any]) -> list[dict[str, Any]]:
    message = value.get("message")
    lists = [value.get("details"), value.get("detail"), value.get("errors")]
    if isinstance(message, dict):
        lists.append(message.get("detail"))
    return [entry for some in lists if isinstance(some, list) for entry in some if isinstance(entry, dict)]


def _message(value: dict[str, Any]) -> str:
    for name in ("message", "error", "detail", "error_description", "msg", "title", "reason"):
        text = _said(value.get(name))
        if text:
            return _with_cause(text, value)
    return ""


def _said(found: Any) -> str:
    """Text of a message that may be a text, an object with a list of faults, or such a list."""
    if isinstance(found, str):
        return found
    if isinstance(found, dict):
        return _said(found.get("message") or found.get("detail") or found.get("msg"))
    if isinstance(found, list):
        return "; ".join(filter(None, map(_fault, found[:5])))
    return ""


def _fault(entry: Any) -> str:
    if not isinstance(entry, dict):
        return entry if isinstance(entry, str) else ""
    text = _said(entry.get("msg") or entry.get("message") or entry.get("type"))
    place = entry.get("loc")
    return f"{'.'.join(map(str, place))}: {text}" if isinstance(place, list) and place else text


def _with_cause(text: str, value: dict[str, Any]) -> str:
    """A router's "provider returned error" says nothing; what it was told stands in its metadata."""
    metadata = value.get("metadata")
    raw = metadata.get("raw") if isinstance(metadata, dict) else None
    return f"{text}: {raw}" if isinstance(raw, str) and raw and raw not in text else text


def _from_text(text: str) -> str:
    if not text.lstrip("\ufeff \t\r\n").startswith("<"):
        return text
    found = _TITLE.search(text) or _HEADING.search(text)
    return unescape(_TAG.sub(" ", found[1] if found else "an HTML page"))
