"""One line of JSON text into Python values, and what is wrong with it in plain words."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgspec

BOM = b"\xef\xbb\xbf"
#: What a blank line holds: no value at all, not even null.
BLANK: Any = type("Blank", (), {"__repr__": lambda self: "<blank line>"})()

Decode = Callable[[bytes], Any]


class Misfit(Exception):
    """A line that cannot be used, with each reason as (field, message)."""

    def __init__(self, *faults: tuple[str, str]):
        super().__init__(faults)
        self.faults = faults


def decoder() -> Decode:
    """A reader of single lines: a value, BLANK, or a Misfit.

    The fast decoder takes nearly every line; one that it refuses is looked at again by slower means, since some of
    those are blank, start with a BOM or hold lone surrogates, and are to be read as they are.
    """
    fast = msgspec.json.Decoder().decode

    def decode(line: bytes) -> Any:
        try:
            return fast(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
            return _second_look(line, fast, fault)

    return decode


def shown(value: Any) -> str:
    """A value as a message quotes it: JSON, ASCII only (no terminal escapes), and short."""
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list" if value else "an empty list"
    if isinstance(value, str) and len(value) > 40:
        return json.dumps(value[:40])[:-1] + '…"'
    return json.dumps(value)


def _second_look(line: bytes, fast: Decode, fault: Exception) -> Any:
    if not line.removeprefix(BOM).strip():
        return BLANK
    try:
        text = line.decode().removeprefix("\ufeff")
    except UnicodeDecodeError as e:
        where = f"byte {e.start + 1} of the line (0x{line[e.start]:02x})"
        raise Misfit(("", f"{where} is not UTF-8; save the file as UTF-8")) from None
    try:
        # strict=False: a raw NUL or tab inside a string is bad JSON that nobody can take for anything else
        whole = json.dumps(json.loads(text, strict=False), ensure_ascii=False)
        return fast(_without_lone_surrogates(whole).encode())
    except RecursionError:
        raise Misfit(("", "nested too deeply")) from None
    except ValueError:
        raise Misfit(("", _plain(text, fast, fault))) from None


def _without_lone_surrogates(text: str) -> str:
    """Half a character (a cut emoji, mostly) cannot go on the wire; it becomes U+FFFD."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _plain(text: str, fast: Decode, fault: Exception) -> str:
    try:
        fast(text.encode())
    except (msgspec.DecodeError, RecursionError) as e:
        fault = e  # the place without the BOM
    said = str(fault)
    start = text.lstrip()[:1]
    if "truncated" in said:
        return "the JSON ends in the middle: the line was cut off, or goes on in the next one"
    if start not in ("{", "[", '"'):
        return f'not JSON: a line of plain text needs quotes around it ("…"); this one starts with {shown(text[:20])}'
    what = said.removeprefix("JSON is malformed: ")
    hint = "; JSON wants double quotes" if text.lstrip()[1:2] == "'" else ""
    return f"not valid JSON: {_from_one(what)}{hint}"


def _from_one(what: str) -> str:
    """`trailing comma in object (byte 7)` counts from 0; people and editors count from 1."""
    head, mark, tail = what.rpartition(" (byte ")
    number = tail.rstrip(")")
    return f"{head} at byte {int(number) + 1}" if mark and number.isdecimal() else what
