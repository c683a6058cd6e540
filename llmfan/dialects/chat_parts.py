"""What stands in requests of the chat-completions form, read tolerantly: none of this raises, whatever JSON it is."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec

from llmfan.dialects.bodies import DECODE_FAULTS
from llmfan.records import Call, Message

_SYSTEM = ("system", "developer")
_RESULTS = ("tool", "function")
_DATA_URL = re.compile(r"data:([\w/+.-]+);base64,(.*)", re.S)


class ToolCall(NamedTuple):
    """A call that the assistant made. `arguments`: an object, empty where they cannot be read. `signature`: of the
    thought behind it, "" where there is none.
    """

    id: Any
    name: str
    arguments: dict[str, Any]
    signature: str = ""


class Inline(NamedTuple):
    """Data of a part: a picture, a sound, a document. `url` where they are not in the request itself."""

    kind: str
    data: str
    url: str = ""


def cap_of(call: Call) -> Any:
    """`max_completion_tokens` is the newer name of the same cap. 0: none."""
    return call.params.get("max_completion_tokens", call.params.get("max_tokens", call.max_tokens))


def stops_of(params: dict[str, Any]) -> list[Any]:
    stop = params.get("stop")
    return [stop] if isinstance(stop, str) else list(stop) if isinstance(stop, list) else []


def system_of(messages: Iterable[Message]) -> str:
    return "\n\n".join(filter(None, (text_of(m.get("content")) for m in messages if is_system(m))))


def is_system(message: Message) -> bool:
    return message.get("role") in _SYSTEM


def is_result(message: Message) -> bool:
    """Whether it tells what a tool gave back."""
    return message.get("role") in _RESULTS


def text_of(content: Any) -> str:
    if isinstance(content, list):
        return "".join(text_of(part.get("text") if isinstance(part, dict) else part) for part in content)
    return content if isinstance(content, str) else ""


def parts_of(message: Message) -> list[Any]:
    content = message.get("content")
    return content if isinstance(content, list) else []


def calls_in(message: Message) -> list[ToolCall]:
    """Tool calls of an assistant's message, the older single `function_call` among them: its name is its id."""
    calls = message.get("tool_calls")
    found = [_call(call) for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []
    old = message.get("function_call")
    if not found and isinstance(old, dict):
        found.append(_call({"id": old.get("name"), "function": old}))
    return found


def result_id(message: Message) -> Any:
    """Which call a result answers."""
    return message.get("name") if message.get("role") == "function" else message.get("tool_call_id")


def functions_of(params: dict[str, Any]) -> tuple[list[dict[str, Any]], list[Any]]:
    """(functions, tools of another kind, as they are)."""
    tools = params.get("tools")
    tools = tools if isinstance(tools, list) else []
    functions = [t["function"] for t in tools if isinstance(t, dict) and isinstance(t.get("function"), dict)]
    others = [t for t in tools if not (isinstance(t, dict) and isinstance(t.get("function"), dict))]
    return functions, others


def inline_of(part: dict[str, Any]) -> Inline | None:
    """The data of a part that holds some; None for text and what nobody here knows."""
    sound, file = part.get("input_audio"), part.get("file")
    if isinstance(sound, dict) and isinstance(sound.get("data"), str):
        return Inline(f"audio/{sound.get('format') or 'wav'}", sound["data"])
    image = part.get("image_url")
    url = image.get("url") if isinstance(image, dict) else image
    if isinstance(file, dict):
        url = file.get("file_data")
    if not isinstance(url, str) or not url:
        return None
    found = _DATA_URL.match(url)
    return Inline(found[1], found[2]) if found else Inline("", "", url)


def _call(call: dict[str, Any]) -> ToolCall:
    function = call.get("function")
    function = function if isinstance(function, dict) else {}
    name = function.get("name")
    arguments = _decoded(function.get("arguments"))
    return ToolCall(call.get("id"), name if isinstance(name, str) else "", arguments, _signature(call))


def _signature(call: dict[str, Any]) -> str:
    found: Any = call
    for name in ("extra_content", "google", "thought_signature"):
        found = found.get(name) if isinstance(found, dict) else None
    return found if isinstance(found, str) else ""


def _decoded(arguments: Any) -> dict[str, Any]:
    if isinstance(arguments, str):
        try:
            arguments = msgspec.json.decode(arguments)
        except (*DECODE_FAULTS, UnicodeEncodeError):
            arguments = None
    return arguments if isinstance(arguments, dict) else {}
