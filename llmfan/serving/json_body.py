"""Bytes of a request into plain values that every dialect can put on the wire again."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, NoReturn

import msgspec

from llmfan.serving.faults import CallerFault

#: Levels of nesting: a schema of a tool has some, hardly fifty; encoders give up at some hundreds.
DEEPEST = 100
_BOM = b"\xef\xbb\xbf"
_LEAST, _MOST = -(2**63), 2**64 - 1

_decode = msgspec.json.Decoder().decode


def decoded(body: bytes) -> dict[str, Any]:
    """A JSON object; what no dialect could encode again is a fault: numbers without end, nesting without end."""
    try:
        value = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
        value = _second_look(body, fault)
    if type(value) is not dict:
        raise CallerFault(f"the body is not a JSON object but {_kind(value)}")
    check(value)
    return value


def encoded(document: Mapping[str, Any]) -> bytes:
    """A request made in this process as JSON, so that one that came by the network is judged no differently."""
    try:
        return json.dumps(document, allow_nan=False).encode()
    except RecursionError:
        raise CallerFault("the request is nested too deeply") from None
    except (TypeError, ValueError) as fault:
        raise CallerFault(f"the request cannot be put as JSON: {fault}") from None


def check(document: dict[str, Any]) -> None:
    """By levels, so that nothing here can be nested too deeply for it."""
    boxes: list[Any] = [document]
    depth = 0
    while boxes:
        depth += 1
        if depth > DEEPEST:
            raise CallerFault(f"nested too deeply: more than {DEEPEST} levels")
        inner: list[Any] = []
        for box in boxes:
            for value in box.values() if box.__class__ is dict else box:
                kind = value.__class__
                if kind is dict or kind is list:
                    inner.append(value)
                elif (kind is int and not _LEAST <= value <= _MOST) or (kind is float and not math.isfinite(value)):
                    raise CallerFault("a number out of range")
        boxes = inner


def _second_look(body: bytes, fault: Exception) -> Any:
    """Halves of characters (a cut emoji, mostly) are mended; a byte order mark is passed over."""
    if not body.removeprefix(_BOM).strip():
        raise CallerFault("the body is empty: a JSON object with messages is expected") from None
    try:
        text = body.decode().removeprefix("\ufeff")
    except UnicodeDecodeError as e:
        raise CallerFault(f"byte {e.start + 1} of the body (0x{body[e.start]:02x}) is not UTF-8") from None
    try:
        whole = _whole(json.dumps(json.loads(text, parse_constant=_no_number), ensure_ascii=False))
    except RecursionError:
        raise CallerFault("nested too deeply") from None
    except ValueError:
        raise CallerFault(f"not valid JSON: {_place(fault)}") from None
    try:
        return _decode(whole.encode())
    except (msgspec.DecodeError, RecursionError) as e:  # numbers without end become a word, which is no JSON
        what = "nested too deeply" if isinstance(e, RecursionError) else "a number out of range"
        raise CallerFault(what) from None


def _no_number(text: str) -> NoReturn:
    raise ValueError(text)


def _whole(text: str) -> str:
    """Half a character cannot go on the wire; it becomes U+FFFD."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _place(fault: Exception) -> str:
    """`trailing comma in object (byte 7)` counts from 0; people and editors count from 1."""
    what = str(fault).removeprefix("JSON is malformed: ")
    if "truncated" in what:
        return "it ends in the middle"
    head, mark, tail = what.rpartition(" (byte ")
    number = tail.rstrip(")")
    return f"{head} at byte {int(number) + 1}" if mark and number.isdecimal() else what


def _kind(value: Any) -> str:
    names = {list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")
