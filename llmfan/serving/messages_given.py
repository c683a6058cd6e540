"""Messages of a request: what dialects rely on is checked, all else is the provider's to judge."""

from __future__ import annotations

from typing import Any, NoReturn

from llmfan.errors import near
from llmfan.records import Message
from llmfan.serving.faults import CallerFault, shown

ROLES = ("system", "developer", "user", "assistant", "tool", "function")
#: Fields of an assistant's message that stand in for its content.
_INSTEAD = ("tool_calls", "function_call", "refusal", "audio")
#: What a result of a tool says besides its content.
_NEEDED = {"tool": "tool_call_id", "function": "name"}


def messages_of(value: Any) -> list[Message]:
    """The messages without fields that are null, but for the content."""
    if type(value) is not list or not value:
        _fault("messages", "expected a list of messages", value)
    return [_message(message, i) for i, message in enumerate(value)]


def _message(given: Any, number: int) -> Message:
    field = f"messages[{number}]"
    if type(given) is not dict:
        _fault(field, "expected a message (role, content)", given)
    message: Message = given
    role = message.get("role")
    if type(role) is not str or role not in ROLES:
        hint = near(role[:40], ROLES) if type(role) is str else ""
        _fault(f"{field}.role", f"expected one of {', '.join(ROLES)}", role, hint)
    content = message.get("content")
    if len(message) > 2 or content is None or role in _NEEDED:
        message = _with_more(message, role, field)
    if type(content) is list:
        _check_parts(content, role, f"{field}.content", message)
    elif type(content) is not str and (content is not None or not any(message.get(name) for name in _INSTEAD)):
        _fault(f"{field}.content", "expected text or a list of parts", content)
    return message


def _with_more(message: Message, role: str, field: str) -> Message:
    """A message that has more than a role and text."""
    message = {name: value for name, value in message.items() if value is not None or name == "content"}
    if "tool_calls" in message:
        _check_calls(message["tool_calls"], f"{field}.tool_calls")
        if not message["tool_calls"]:
            del message["tool_calls"]
    if "function_call" in message:
        _check_function(message["function_call"], f"{field}.function_call")
    wanted = _NEEDED.get(role)
    for name in ("tool_call_id", "name"):
        if (name == wanted or name in message) and type(message.get(name)) is not str:
            _fault(f"{field}.{name}", "expected text", message.get(name))
    return message


def _check_parts(parts: list[Any], role: str, field: str, message: Message) -> None:
    if not parts and not (role == "assistant" and message.get("tool_calls")):
        _fault(field, "expected text or a list of parts", parts)
    for i, part in enumerate(parts):
        if type(part) is not dict or type(part.get("type")) is not str:
            _fault(f"{field}[{i}]", "expected a part (an object with a type)", part)
        kind = part["type"]
        if kind == "text" and type(part.get("text")) is not str:
            _fault(f"{field}[{i}].text", "expected text", part.get("text"))
        if kind == "image_url":
            image = part.get("image_url")
            url = image.get("url") if type(image) is dict else image
            if type(url) is not str or not url:
                _fault(f"{field}[{i}].image_url.url", "expected an address or a data: URL", url)


def _check_calls(calls: Any, field: str) -> None:
    if type(calls) is not list:
        _fault(field, "expected a list of tool calls", calls)
    for i, call in enumerate(calls):
        if type(call) is not dict:
            _fault(f"{field}[{i}]", "expected a tool call", call)
        if type(call.get("id")) is not str:
            _fault(f"{field}[{i}].id", "expected text", call.get("id"))
        if call.get("type", "function") == "function":
            _check_function(call.get("function"), f"{field}[{i}].function")


def _check_function(function: Any, field: str) -> None:
    if type(function) is not dict:
        _fault(field, "expected an object with a name and arguments", function)
    for name in ("name", "arguments"):
        if type(function.get(name)) is not str:
            _fault(f"{field}.{name}", "expected text", function.get(name))


def _fault(param: str, expected: str, value: Any, hint: str = "") -> NoReturn:
    if value is None:
        raise CallerFault(f"{param} is missing: {expected}", param=param)
    raise CallerFault(f"{param}: {expected}, got {shown(value)}{hint}", param=param)
