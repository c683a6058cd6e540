"""The chunks of the chat-completions form: typed for speed, and read tolerantly where a server's types differ."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from llmfan.dialects.bodies import encoded, error_in, mended, plain
from llmfan.records import Usage


class Delta(Struct, gc=False):
    """What a chunk adds, or a whole message: both hold the same fields."""

    content: str | list[Any] | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None
    reasoning_details: list[Any] | None = None
    refusal: str | None = None
    tool_calls: list[Any] | None = None


class Choice(Struct, gc=False):
    delta: Delta | None = None
    finish_reason: str | None = None
    message: Delta | None = None
    index: int = 0
    error: Any = None


class Chunk(Struct, gc=False):
    choices: list[Choice] | None = None
    usage: Any = None
    error: Any = None


def loose_chunk(payload: bytes) -> Chunk | None:
    """A chunk whatever its types; an error found anywhere in it stands in `error`. None: not a JSON object."""
    value = plain(payload)
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if not isinstance(value, dict):
        return None
    choices = value.get("choices")
    if not isinstance(choices, list):
        choices = []
    usage = value.get("usage")
    if not isinstance(usage, dict):
        own = (inner.get("usage") for name, inner in value.items() if name[:2] == "x_" and isinstance(inner, dict))
        usage = next((found for found in own if isinstance(found, dict)), None)
    return Chunk(
        choices=[_loose_choice(choice) for choice in choices if isinstance(choice, dict)],
        usage=usage,
        error=error_in(value),
    )


def text_of(content: list[Any]) -> tuple[str, str]:
    """(answer, reasoning) of content that is a list of parts."""
    answer, reasoning = [], []
    for part in content:
        if isinstance(part, str):
            answer.append(part)
        elif isinstance(part, dict):
            if part.get("type") in ("thinking", "reasoning", "reasoning_text"):
                reasoning.append(_flat(part.get("thinking") or part.get("text")))
            else:
                answer.append(_flat(part.get("text")))
    return "".join(answer), "".join(reasoning)


def reasoning_of(delta: Delta) -> str:
    """The reasoning of a delta. Servers send it under several names at once: one of them is taken."""
    found = delta.reasoning_content or delta.reasoning
    if found or not delta.reasoning_details:
        return found or ""
    details = [d for d in delta.reasoning_details if isinstance(d, dict)]
    return "".join(_flat(d.get("text") or d.get("summary")) for d in details)


def add_tool_calls(calls: list[dict[str, Any]], deltas: list[Any]) -> bool:
    """Adds pieces of tool calls to what is there, by index; whether any carried text."""
    said = False
    for delta in deltas:
        if not isinstance(delta, dict):
            continue
        function = delta.get("function")
        function = function if isinstance(function, dict) else {}
        name, arguments = _flat(function.get("name")), _arguments(function.get("arguments"))
        call = _slot(calls, delta)
        call["function"]["name"] = call["function"]["name"] or name
        call["function"]["arguments"] += arguments
        said = said or bool(name or arguments)
    return said


def finished_calls(calls: list[dict[str, Any]]) -> list[dict[str, Any]] | None:
    """Without what only a stream needs, and with characters whole."""
    done = []
    for call in calls:
        function = {name: text if text.isascii() else mended(text) for name, text in call["function"].items()}
        extra = {"extra_content": call["extra_content"]} if "extra_content" in call else {}
        done.append({"id": call["id"], "type": "function", "function": function, **extra})
    return done or None


_COMMON = {"prompt_tokens", "completion_tokens", "total_tokens"}


def usage_of(raw: Any) -> Usage | None:
    """Token counts under any of their names; None where the server counts nothing."""
    if not isinstance(raw, dict):
        return None
    if len(raw) == 3 and raw.keys() == _COMMON and all(type(n) is int and n >= 0 for n in raw.values()):
        return Usage(raw["prompt_tokens"], raw["completion_tokens"])
    given = count(raw, "prompt_tokens", "input_tokens")
    made = count(raw, "completion_tokens", "output_tokens")
    total = count(raw, "total_tokens")
    if made is None and given is not None and total is not None:
        made = max(total - given, 0)
    if given is None and made is None:
        return None
    details = raw.get("prompt_tokens_details") or raw.get("input_tokens_details")
    cached = count(details, "cached_tokens") if isinstance(details, dict) else None
    if cached is None:
        cached = count(raw, "cached_tokens", "prompt_cache_hit_tokens", "cache_read_input_tokens")
    return Usage(given or 0, made or 0, cached_tokens=cached or 0, neurons=amount(raw.get("neurons")))


def count(raw: dict[str, Any], *names: str) -> int | None:
    """The first of these fields that holds a sound number."""
    for name in names:
        number = amount(raw.get(name))
        if number is not None:
            return int(number)
    return None


def amount(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if 0 <= value < 1e15 else None


def _loose_choice(choice: dict[str, Any]) -> Choice:
    finish = choice.get("finish_reason")
    index = choice.get("index")
    error = choice.get("error")
    return Choice(
        delta=_loose_delta(choice.get("delta")),
        message=_loose_delta(choice.get("message")),
        finish_reason=mended(finish) if isinstance(finish, str) else None,
        index=index if isinstance(index, int) else 0,
        error={"error": error} if error else None,
    )


def _loose_delta(delta: Any) -> Delta | None:
    if not isinstance(delta, dict):
        return None
    content, calls, details = delta.get("content"), delta.get("tool_calls"), delta.get("reasoning_details")
    return Delta(
        content=content if isinstance(content, str | list) else None,
        reasoning=_flat(delta.get("reasoning")) or None,
        reasoning_content=_flat(delta.get("reasoning_content")) or None,
        reasoning_details=details if isinstance(details, list) else None,
        refusal=_flat(delta.get("refusal")) or None,
        tool_calls=calls if isinstance(calls, list) else None,
    )


def _slot(calls: list[dict[str, Any]], delta: dict[str, Any]) -> dict[str, Any]:
    """The call a piece belongs to: that of its index, unless it brings a new id; without an index the last one."""
    index, ident = delta.get("index"), delta.get("id")
    known: dict[str, Any]
    for known in reversed(calls):
        mine = known["index"] == index if isinstance(index, int) else not ident
        if mine and not (ident and known["id"] and ident != known["id"]):
            known["id"] = known["id"] or ident
            return known
    call: dict[str, Any] = {"index": index if isinstance(index, int) else len(calls), "id": ident, "type": "function"}
    call["function"] = {"name": "", "arguments": ""}
    calls.append(call)
    return call


def _flat(value: Any) -> str:
    """Text out of a string, or out of parts that hold one."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "".join(_flat(v.get("text") if isinstance(v, dict) else v) for v in value)
    return ""


def _arguments(value: Any) -> str:
    """Arguments come as JSON text; some servers send them as the object itself."""
    if isinstance(value, dict | list):
        return encoded(value).decode()
    return value if isinstance(value, str) else ""
