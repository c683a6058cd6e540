"""Chat messages as lines hold them: checked, counted, and given a system message."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from llmfan.errors import near
from llmfan.inputs.jsontext import shown
from llmfan.records import Message

ROLES = ("system", "developer", "user", "assistant", "tool", "function")

Faults = list[tuple[str, str]]
#: The messages to send, and the turns that follow the first answer.
Spoken = tuple[list[Message], list[Message]]


def user(text: str) -> Message:
    return {"role": "user", "content": text}


def spoken(value: Any, field: str, faults: Faults) -> Spoken:
    """Text is one message, a list of texts a conversation's turns, a list of objects messages."""
    if type(value) is str:
        return [user(value)], []
    if type(value) is list and value:
        if all(type(item) is str for item in value):
            return [user(value[0])], [user(text) for text in value[1:]]
        if type(value[0]) is dict:
            return check_messages(value, field, faults), []
    faults.append((field, f"expected text, a list of texts (turns) or a list of messages, got {shown(value)}"))
    return [], []


def check_messages(value: Any, field: str, faults: Faults, *, lone: bool = False) -> list[Message]:
    """The messages as they are, every fault of theirs noted. `lone`: `field` names the one message itself."""
    if type(value) is not list or not value:
        faults.append((field, f"expected a list of messages, got {shown(value)}"))
        return []
    for i, message in enumerate(value):
        _check_message(message, field if lone else f"{field}[{i}]", faults)
    return value


def _check_message(message: Any, field: str, faults: Faults) -> None:
    if type(message) is not dict:
        faults.append((field, f"expected a message (role, content), got {shown(message)}"))
        return
    role = message.get("role")
    if role not in ROLES:
        got = "none" if "role" not in message else shown(role)
        hint = near(role, ROLES) if type(role) is str else ""
        faults.append((f"{field}.role", f"expected one of {', '.join(ROLES)}, got {got}{hint}"))
    content = message.get("content")
    if type(content) is str:
        return
    if type(content) is list:
        _check_parts(content, f"{field}.content", faults)
    elif content is not None or not (message.get("tool_calls") or message.get("function_call")):
        got = "none" if "content" not in message else shown(content)
        faults.append((f"{field}.content", f"expected text or a list of parts, got {got}"))


def _check_parts(parts: list[Any], field: str, faults: Faults) -> None:
    if not parts:
        faults.append((field, "expected text or a list of parts, got an empty list"))
    for i, part in enumerate(parts):
        if type(part) is not dict or type(part.get("type")) is not str:
            faults.append((f"{field}[{i}]", f"expected a part (an object with a type), got {shown(part)}"))
        elif part["type"] == "text" and type(part.get("text")) is not str:
            faults.append((f"{field}[{i}].text", f"expected text, got {shown(part.get('text'))}"))


def system_first(messages: list[Message], text: str) -> list[Message]:
    """The messages under this system message: it takes the place of those they open with, later ones stand.

    Empty text is the way to ask for none.
    """
    start = 0
    while start < len(messages) and messages[start].get("role") in ("system", "developer"):
        start += 1
    return [*([{"role": "system", "content": text}] if text else []), *messages[start:]]


def characters(messages: Iterable[Message]) -> int:
    """Characters of text, for estimates; pictures and tool calls count for nothing here."""
    total = 0
    for message in messages:
        content = message.get("content")
        if type(content) is str:
            total += len(content)
        elif type(content) is list:
            total += sum(len(part.get("text", "")) for part in content if part.get("type") == "text")
    return total
