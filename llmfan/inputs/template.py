"""Dotted paths into a line, and `--template`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

from llmfan.errors import near
from llmfan.inputs.jsontext import Misfit

#: What `dig` gives where there is nothing; null is something.
MISSING: Any = type("Missing", (), {"__repr__": lambda self: "<missing>"})()

_NAME = re.compile(r"\{\{[ \t]*(\w[\w.-]*)[ \t]*\}\}")


def dig(value: Any, path: str) -> Any:
    """What stands at `a.b.0.c`, else MISSING. A field whose own name holds the dots goes first."""
    if isinstance(value, dict) and path in value:
        return value[path]
    for step in path.split("."):
        if isinstance(value, dict) and step in value:
            value = value[step]
        elif isinstance(value, list) and step.isdecimal() and int(step) < len(value):
            value = value[int(step)]
        else:
            return MISSING
    return value


def missing(path: str, document: dict[str, Any], option: str, whose: str = "the line has") -> Misfit:
    """The fault of a line without a field that an option asks for."""
    return Misfit((path, f"{whose} no such field, which {option} asks for{near(path, _paths(document))}"))


class Template:
    """Text with `{{name}}` in it, cut up once. Anything else between braces stands as it is."""

    def __init__(self, text: str):
        self._parts = _NAME.split(text)  # text, name, text, name, …, text

    def fill(self, document: dict[str, Any]) -> str:
        made = list(self._parts)
        faults: list[tuple[str, str]] = []
        for i in range(1, len(made), 2):
            try:
                made[i] = _value(made[i], document)
            except Misfit as e:
                faults.extend(f for f in e.faults if f not in faults)
        if faults:
            raise Misfit(*faults)
        return "".join(made)


def _value(name: str, document: dict[str, Any]) -> str:
    """`vars` goes before the line's own fields. Text as it is, anything else as JSON."""
    value = dig(document.get("vars"), name)
    if value is MISSING:
        value = dig(document, name)
    if value is MISSING:
        raise missing(name, document, "the template")
    if value is None:
        raise Misfit((name, "is null, and the template asks for it"))
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _paths(document: dict[str, Any]) -> Iterable[str]:
    for name, value in document.items():
        yield name
        if isinstance(value, dict):
            yield from (inner if name == "vars" else f"{name}.{inner}" for inner in value)
