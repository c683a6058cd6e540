"""Requests of the chat-completions form turned into the other two.

Prompts and `params` are written in that form; what has no counterpart is left out, what neither form knows passes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import msgspec

from llmfan.records import Call, Message

#: Fields of the chat-completions form alone.
FOREIGN = frozenset(
    {"model", "messages", "stream", "stream_options", "n", "seed", "logprobs", "top_logprobs", "logit_bias", "store"}
    | {"presence_penalty", "frequency_penalty", "response_format", "parallel_tool_calls", "user", "reasoning_effort"}
    | {"max_tokens", "max_completion_tokens", "temperature", "top_p", "top_k", "stop", "tools", "tool_choice"}
)
#: The messages form demands a cap: of a caller who wants none, this one.
DEMANDED = 8192
_SYSTEM = ("system", "developer")
_DATA_URL = re.compile(r"data:([\w/+.-]+);base64,(.*)", re.S)


def to_messages(call: Call) -> dict[str, Any]:
    params = call.params
    document: dict[str, Any] = {"model": call.model, "max_tokens": cap_of(call) or DEMANDED}
    system = system_of(call.messages)
    if system:
        document["system"] = system
    document["messages"] = [_message(message) for message in call.messages if message.get("role") not in _SYSTEM]
    temperature = params.get("temperature", call.temperature)
    if temperature is not None:
        document["temperature"] = temperature
    document |= {name: params[name] for name in ("top_p", "top_k") if name in params}
    if "stop" in params:
        document["stop_sequences"] = stops_of(params)
    if params.get("tools"):
        document["tools"] = [_tool(tool) for tool in params["tools"]]
    if params.get("tool_choice"):
        document["tool_choice"] = _tool_choice(params["tool_choice"])
    if params.get("user"):
        document["metadata"] = {"user_id": params["user"]}
    return document | {name: value for name, value in params.items() if name not in FOREIGN}


def to_contents(call: Call) -> dict[str, Any]:
    params = call.params
    document: dict[str, Any] = {}
    system = system_of(call.messages)
    if system:
        document["systemInstruction"] = {"parts": [{"text": system}]}
    names = _names_of_calls(call.messages)
    rest = [message for message in call.messages if message.get("role") not in _SYSTEM]
    document["contents"] = [_content(message, names) for message in rest]
    own = {name: value for name, value in params.items() if name not in FOREIGN}
    document["generationConfig"] = _generation(call) | own.pop("generationConfig", {})
    if params.get("tools"):
        functions = [tool["function"] for tool in params["tools"] if "function" in tool]
        document["tools"] = [{"functionDeclarations": functions}] if functions else params["tools"]
    if isinstance(params.get("tool_choice"), str):
        mode = {"none": "NONE", "required": "ANY"}.get(params["tool_choice"], "AUTO")
        document["toolConfig"] = {"functionCallingConfig": {"mode": mode}}
    return document | own


def cap_of(call: Call) -> Any:
    """`max_completion_tokens` is the newer name of the same cap. 0: none."""
    return call.params.get("max_completion_tokens", call.params.get("max_tokens", call.max_tokens))


def stops_of(params: dict[str, Any]) -> list[Any]:
    stop = params["stop"]
    return [stop] if isinstance(stop, str) else list(stop or [])


def system_of(messages: Iterable[Message]) -> str:
    return "\n\n".join(filter(None, (_text(m.get("content")) for m in messages if m.get("role") in _SYSTEM)))


def _text(content: Any) -> str:
    if isinstance(content, list):
        return "".join(_text(part.get("text") if isinstance(part, dict) else part) for part in content)
    return content if isinstance(content, str) else ""


def _message(message: Message) -> dict[str, Any]:
    content = message.get("content")
    if message.get("role") == "tool":
        result = {"type": "tool_result", "tool_use_id": message.get("tool_call_id"), "content": _text(content)}
        return {"role": "user", "content": [result]}
    blocks = [_block(part) for part in content] if isinstance(content, list) else []
    if message.get("tool_calls"):
        if isinstance(content, str) and content:
            blocks.append({"type": "text", "text": content})
        blocks += [_tool_use(call) for call in message["tool_calls"]]
    return {"role": message.get("role", "user"), "content": blocks or content or ""}


def _block(part: Any) -> dict[str, Any]:
    if not isinstance(part, dict):
        return {"type": "text", "text": str(part)}
    url = _image_url(part)
    if not url:
        return part
    inline = _DATA_URL.match(url)
    if not inline:
        return {"type": "image", "source": {"type": "url", "url": url}}
    return {"type": "image", "source": {"type": "base64", "media_type": inline[1], "data": inline[2]}}


def _image_url(part: dict[str, Any]) -> str:
    image = part.get("image_url")
    url = image.get("url") if isinstance(image, dict) else image
    return url if isinstance(url, str) else ""


def _tool_use(call: dict[str, Any]) -> dict[str, Any]:
    function = call.get("function", {})
    return {
        "type": "tool_use",
        "id": call.get("id"),
        "name": function.get("name"),
        "input": _decoded(function.get("arguments")),
    }


def _decoded(arguments: Any) -> Any:
    try:
        return msgspec.json.decode(arguments or "{}")
    except (msgspec.DecodeError, TypeError):
        return {}


def _tool(tool: dict[str, Any]) -> dict[str, Any]:
    function = tool.get("function")
    if not isinstance(function, dict):
        return tool
    turned = {"name": function.get("name"), "input_schema": function.get("parameters") or {"type": "object"}}
    if function.get("description"):
        turned["description"] = function["description"]
    return turned


def _tool_choice(choice: Any) -> dict[str, Any]:
    if isinstance(choice, dict):
        function = choice.get("function")
        return {"type": "tool", "name": function.get("name")} if isinstance(function, dict) else choice
    return {"type": {"required": "any", "none": "none"}.get(choice, "auto")}


def _names_of_calls(messages: Iterable[Message]) -> dict[str, str]:
    calls = (call for message in messages for call in message.get("tool_calls") or [])
    return {call.get("id"): call.get("function", {}).get("name", "") for call in calls}


def _content(message: Message, names: dict[str, str]) -> dict[str, Any]:
    content = message.get("content")
    if message.get("role") == "tool":
        name = names.get(message.get("tool_call_id", ""), message.get("name", ""))
        answer = {"functionResponse": {"name": name, "response": {"result": _text(content)}}}
        return {"role": "user", "parts": [answer]}
    parts = [_part(part) for part in content] if isinstance(content, list) else []
    if isinstance(content, str) and (content or not message.get("tool_calls")):
        parts.append({"text": content})
    for call in message.get("tool_calls") or []:
        function = call.get("function", {})
        parts.append({"functionCall": {"name": function.get("name"), "args": _decoded(function.get("arguments"))}})
    return {"role": "model" if message.get("role") == "assistant" else "user", "parts": parts or [{"text": ""}]}


def _part(part: Any) -> dict[str, Any]:
    if not isinstance(part, dict):
        return {"text": str(part)}
    url = _image_url(part)
    if not url:
        return {"text": _text(part.get("text"))}
    inline = _DATA_URL.match(url)
    return {"inlineData": {"mimeType": inline[1], "data": inline[2]}} if inline else {"fileData": {"fileUri": url}}


def _generation(call: Call) -> dict[str, Any]:
    params = call.params
    cap = cap_of(call)
    config: dict[str, Any] = {"maxOutputTokens": cap} if cap else {}
    temperature = params.get("temperature", call.temperature)
    if temperature is not None:
        config["temperature"] = temperature
    if "stop" in params:
        config["stopSequences"] = stops_of(params)
    for name, turned in (
        ("top_p", "topP"), ("top_k", "topK"), ("seed", "seed"), ("n", "candidateCount"),
        ("presence_penalty", "presencePenalty"), ("frequency_penalty", "frequencyPenalty"),
    ):  # fmt: skip
        if name in params:
            config[turned] = params[name]
    wanted = params.get("response_format")
    if isinstance(wanted, dict) and wanted.get("type") in ("json_object", "json_schema"):
        config["responseMimeType"] = "application/json"
        schema = wanted.get("json_schema")
        if isinstance(schema, dict) and "schema" in schema:
            config["responseJsonSchema"] = schema["schema"]
    return config
