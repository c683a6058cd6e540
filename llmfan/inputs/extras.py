"""The optional fields of a line: system, max_tokens, temperature, params, metadata."""

from __future__ import annotations

from typing import Any

from llmfan.inputs.jsontext import shown
from llmfan.inputs.messages import Faults

#: Fields with a meaning on any line beside its shape and its id.
SETTINGS = frozenset({"system", "max_tokens", "temperature", "params", "metadata", "expect", "target", "answer"})
#: Fields of a batch line's body that are the run's business, not the prompt's.
_IGNORED = frozenset({"model", "messages", "stream", "stream_options"})


def line_settings(document: dict[str, Any], batch: bool, faults: Faults) -> dict[str, Any]:
    """Arguments for a `Prompt`, and `system`; a batch line's body gives what the line itself does not.

    Null is as good as absent: tables written as JSON lines have it wherever a cell is empty.
    """
    found: dict[str, Any] = {}
    body = document["body"] if batch else None
    if type(body) is dict:
        _numbers(body, "body.", found, faults)
        limit = _positive(body.get("max_completion_tokens"), "body.max_completion_tokens", faults)
        if limit is not None:
            found["max_tokens"] = limit
        known = _IGNORED | {"max_tokens", "max_completion_tokens", "temperature"}
        found["params"] = {name: value for name, value in body.items() if name not in known}
    _numbers(document, "", found, faults)
    params = document.get("params")
    if type(params) is dict:
        found["params"] = {**found.get("params", {}), **params}
    elif params is not None:
        faults.append(("params", f"expected an object, got {shown(params)}"))
    system = document.get("system")
    if type(system) is str:
        found["system"] = system
    elif system is not None:
        faults.append(("system", f"expected text, got {shown(system)}"))
    if "metadata" in document:
        found["metadata"] = document["metadata"]
    return found


def _numbers(source: dict[str, Any], prefix: str, found: dict[str, Any], faults: Faults) -> None:
    limit = _positive(source.get("max_tokens"), prefix + "max_tokens", faults)
    if limit is not None:
        found["max_tokens"] = limit
    heat: Any = source.get("temperature")
    if type(heat) in (int, float) and heat >= 0:
        found["temperature"] = float(heat)
    elif heat is not None:
        faults.append((prefix + "temperature", f"expected a number from 0 up, got {shown(heat)}"))


def _positive(value: Any, field: str, faults: Faults) -> int | None:
    if type(value) is int and value > 0:
        return value
    if value is not None:
        faults.append((field, f"expected a whole number above 0, got {shown(value)}"))
    return None
