"""How long a request is, in characters of text: what is no text counts as so much of it as it may cost.

Pictures and files travel as base64, or as an address: neither length says what a model counts for them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from llmfan.records import Message

#: Characters that a message adds to its text.
FRAME = 8
#: A picture, in characters of text: 1,500 tokens, which is about the most that one counts for where the size is fitted.
PICTURE = 6000
#: A sound, a film or a document has no usual size: that of a picture, and a character for so many of its data.
DENSITY = 10
#: Params that no model reads, however long they are.
UNREAD = frozenset(
    {"logit_bias", "metadata", "stop", "stream_options", "user", "provider", "route", "transforms", "safetySettings"}
)


def length_of(messages: Iterable[Message], params: Mapping[str, Any]) -> int:
    """Of messages and what goes with them: tools, a response's schema, a system text of its own."""
    return sum(map(_of_message, messages)) + besides(params)


def besides(params: Mapping[str, Any]) -> int:
    """Characters that params add to a prompt; a switch or a number adds none."""
    read = (value for name, value in params.items() if name not in UNREAD)
    return sum(_json(value) for value in read if isinstance(value, dict | list) or (isinstance(value, str) and value))


def _of_message(message: Message) -> int:
    content = message.get("content")
    total = 0
    if isinstance(content, str):
        total = len(content) + FRAME
    elif isinstance(content, list):
        total = FRAME + sum(map(_of_part, content))
    if len(message) > 2 or content is None:
        more = (value for name, value in message.items() if name not in ("role", "content"))
        total += sum(_json(value) for value in more if value)
    return total


def _of_part(part: Any) -> int:
    if not isinstance(part, dict):
        return len(str(part))
    text = part.get("text")
    if isinstance(text, str):
        return len(text)
    kind = str(part.get("type", ""))
    if "image" in kind or "image_url" in part:
        return PICTURE
    if "tool" in kind:
        return _of_tool(part)
    return PICTURE + _json(part) // DENSITY


def _of_tool(part: Mapping[str, Any]) -> int:
    """A call, or its result: text, or parts in their turn."""
    content = part.get("content")
    if not isinstance(content, list):
        return _json(part)
    return FRAME + sum(map(_of_part, content))


def _json(value: Any) -> int:
    return len(value) if isinstance(value, str) else len(msgspec.json.encode(value))
