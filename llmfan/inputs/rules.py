"""What a single value may be: one rule a kind, each with the words that follow "expected".

msgspec judges strictly: "30" is no number, and true is no 1.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any
from zoneinfo import ZoneInfo, available_timezones

import msgspec
from msgspec import UNSET, Meta

from llmfan.errors import near
from llmfan.inputs.yaml_tree import Broken, Faults, Listing, Node, Scalar, Table

_KINDS = {str: "text", bool: "true or false"}


@dataclass(frozen=True, slots=True)
class Rule:
    """`written`: take the value as the user wrote it, whatever YAML makes of it (`off` is false to YAML).

    `secret`: never quote the value in a message.
    """

    type: Any
    phrase: str
    written: bool = False
    secret: bool = False
    hint: str = ""


POSITIVE = Rule(Annotated[float, Meta(gt=0)], "a positive number", hint="to send nothing there, use --exclude")
AMOUNT = Rule(Annotated[float, Meta(ge=0)], "a number, 0 or more")
SECONDS = Rule(Annotated[float, Meta(gt=0)], "a positive number of seconds")
COUNT = Rule(Annotated[int, Meta(gt=0)], "a positive whole number", hint="to send nothing there, use --exclude")
TOKENS = Rule(Annotated[int, Meta(gt=0)], "a positive whole number")
WHOLE = Rule(int, "a whole number")
FLAG = Rule(bool, "true or false")
VERSION = Rule(Annotated[int, Meta(ge=1, le=1)], "1 (the only version there is)")
NAME = Rule(Annotated[str, Meta(pattern=r"\A\S(.*\S)?\Z")], "a name (in quotes where YAML takes it for something else)")
TEXT = Rule(str, "text", secret=True)
KEY = Rule(str, "$NAME, $NAME* or a key, as text", secret=True)


def choice(*words: str) -> Rule:
    pattern = rf"\A({'|'.join(words)})\Z"
    return Rule(Annotated[str, Meta(pattern=pattern)], _either(words), written=True)


def value_of(node: Node, rule: Rule, where: str, faults: Faults) -> Any:
    """The value if it keeps the rule, None where nothing stands, UNSET if its fault has been noted."""
    if isinstance(node, Broken):
        return UNSET
    if isinstance(node, Scalar):
        if node.value is None:
            return None
        try:
            found = msgspec.convert(node.text if rule.written else node.value, rule.type)
            if not isinstance(found, float) or math.isfinite(found):
                return found
        except msgspec.ValidationError:
            pass
    hint = f" ({rule.hint})" if rule.hint and isinstance(node, Scalar) and node.text == "0" else ""
    faults.add(node.line, where, f"expected {rule.phrase}, got {said(node, rule.secret)}{hint}")
    return UNSET


def entries(node: Node, path: str, faults: Faults) -> Iterator[tuple[str, int, Node]]:
    if isinstance(node, Table):
        yield from ((key, entry.line, entry.node) for key, entry in node.entries.items())
    elif not isinstance(node, Broken):
        faults.add(node.line, path, f"expected a mapping (key: value), got {said(node, secret=True)}")


def said(node: Node, secret: bool = False) -> str:
    """A value as a message may quote it."""
    if not isinstance(node, Scalar):
        return "a list" if isinstance(node, Listing) else "a mapping"
    if node.value is None:
        return "nothing"
    if secret:
        return _KINDS.get(type(node.value), "a number")
    text = node.text if len(node.text) <= 60 else node.text[:57] + "…"
    return f'"{text}"' if isinstance(node.value, str) else text


def zone(node: Node, where: str, faults: Faults) -> Any:
    """When a day begins: `utc`, `rolling`, or a zone that this machine's time zone data knows."""
    name = value_of(node, Rule(str, "utc, rolling or a zone such as America/Los_Angeles"), where, faults)
    if not isinstance(name, str):
        return name
    if name.lower() in ("utc", "rolling"):
        return name.lower()
    try:
        ZoneInfo(name)
        return name
    except (OSError, ValueError, KeyError):  # unknown, a folder of zones, a path
        hint = near(name, available_timezones())
        faults.add(node.line, where, f'expected utc, rolling or a time zone, got "{name}"{hint}')
        return UNSET


def _either(words: tuple[str, ...]) -> str:
    return " or ".join((", ".join(words[:-1]), words[-1])) if len(words) > 1 else words[0]
