"""The words of a JSON Schema that hold patterns, checked in a way that can be stopped."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from llmfan.grading.patterns import found


def unnamed(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema without its `$schema`: at one the library goes on with the draft's own checks, not with these."""
    return {name: value for name, value in schema.items() if name != "$schema"}


def _pattern(validator: Any, pattern: str, value: Any, schema: Any) -> Iterator[Any]:
    if type(value) is str and not found(pattern, value):
        yield _error()


def _pattern_properties(validator: Any, patterns: dict[str, Any], value: Any, schema: Any) -> Iterator[Any]:
    for pattern, wanted in patterns.items():
        for name in value if type(value) is dict else ():
            if found(pattern, name):
                yield from validator.descend(value[name], wanted, path=name, schema_path=pattern)


def _additional_properties(validator: Any, wanted: Any, value: Any, schema: Any) -> Iterator[Any]:
    for name in value if type(value) is dict else ():
        if name in schema.get("properties", {}) or any(found(p, name) for p in schema.get("patternProperties", {})):
            continue
        if type(wanted) is dict:
            yield from validator.descend(value[name], wanted, path=name)
        elif not wanted:
            yield _error()


def _error() -> Exception:
    from jsonschema import ValidationError

    return ValidationError("")  # nobody reads it: an answer fits or does not


CHECKS: dict[str, Callable[[Any, Any, Any, Any], Iterator[Any]]] = {
    "pattern": _pattern,
    "patternProperties": _pattern_properties,
    "additionalProperties": _additional_properties,
}
