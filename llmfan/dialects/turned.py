"""Requests of the chat-completions form turned into the other two.

Prompts and `params` are written in that form; what has no counterpart is left out, what neither form knows passes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from llmfan.dialects.chat_parts import (
    calls_in,
    cap_of,
    functions_of,
    inline_of,
    is_result,
    is_system,
    parts_of,
    result_id,
    stops_of,
    system_of,
    text_of,
)
from llmfan.records import Call, Message

#: Fields of the chat-completions form alone.
FOREIGN = frozenset(
    {"model", "messages", "stream", "stream_options", "n", "seed", "logprobs", "top_logprobs", "logit_bias", "store"}
    | {"presence_penalty", "frequency_penalty", "response_format", "parallel_tool_calls", "user", "reasoning_effort"}
    | {"max_tokens", "max_completion_tokens", "temperature", "top_p", "top_k", "stop", "tools", "tool_choice"}
    | {"metadata", "service_tier", "safety_identifier", "prompt_cache_key", "prompt_cache_options", "verbosity"}
    | {"prompt_cache_retention", "prediction", "modalities", "audio", "web_search_options", "moderation", "min_p"}
    | {"functions", "function_call", "repetition_penalty", "reasoning", "reasoning_format", "include_reasoning"}
)
#: The messages form demands a cap: of a caller who wants none, this one.
DEMANDED = 8192
#: In place of the signature of a turn's first call that another model made: the form's own documentation on thought
#: signatures has it so (read 2026-11-22).
UNSIGNED = "skip_thought_signature_validator"
_ONE_CALL = "disable_parallel_tool_use"
_COMMON = {"max_tokens", "max_completion_tokens", "temperature", "top_p", "top_k", "stop", "tools", "tool_choice"}
_TURNED = {"seed", "presence_penalty", "frequency_penalty", "response_format"}
#: Fields that one of the other forms has alone.
_MESSAGES_ALONE = {"thinking", "mcp_servers", "container", "context_management"}
_CONTENTS_ALONE = {"generationConfig", "safetySettings", "toolConfig", "cachedContent"}
#: What each of them has no counterpart for, or none whose answer could be told.
LACKING = {
    "messages": FOREIGN - _COMMON - {"user", "parallel_tool_calls", "metadata", "service_tier"} | _CONTENTS_ALONE,
    "generate_content": FOREIGN - _COMMON - _TURNED | _MESSAGES_ALONE,
}


def to_messages(call: Call) -> dict[str, Any]:
    params = call.params
    document: dict[str, Any] = {"model": call.model, "max_tokens": cap_of(call) or DEMANDED}
    system = system_of(call.messages)
    if system:
        document["system"] = system
    document["messages"] = _together([_message(message) for message in call.messages if not is_system(message)])
    temperature = params.get("temperature", call.temperature)
    if temperature is not None:
        document["temperature"] = temperature
    document |= {name: params[name] for name in ("top_p", "top_k") if name in params}
    if "stop" in params:
        document["stop_sequences"] = stops_of(params)
    functions, others = functions_of(params)
    if functions or others:
        document["tools"] = [*map(_tool, functions), *others]
        document |= _tool_choice(params)
    document |= _of_its_own(params)
    return document | {name: value for name, value in params.items() if name not in FOREIGN}


def to_contents(call: Call) -> dict[str, Any]:
    params = call.params
    document: dict[str, Any] = {}
    system = system_of(call.messages)
    if system:
        document["systemInstruction"] = {"parts": [{"text": system}]}
    document["contents"] = _contents(call.messages)
    own = {name: value for name, value in params.items() if name not in FOREIGN}
    document["generationConfig"] = _generation(call)
    if isinstance(own.get("generationConfig"), dict):
        document["generationConfig"] |= own.pop("generationConfig")
    functions, others = functions_of(params)
    if functions or others:
        document["tools"] = [{"functionDeclarations": [_declared(f) for f in functions]}] if functions else others
        document |= _calling(params.get("tool_choice"))
    return document | own


# ---------------------------------------------------------------- the messages form


def _together(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Results of calls that were made at once stand in one message, and an empty turn of the assistant's in none."""
    joined: list[dict[str, Any]] = []
    for message in messages:
        if message["role"] == "assistant" and not message["content"]:
            continue
        if joined and _is_results(message) and _is_results(joined[-1]):
            joined[-1]["content"] += message["content"]
        else:
            joined.append(message)
    return joined


def _is_results(message: dict[str, Any]) -> bool:
    content = message["content"]
    return isinstance(content, list) and all(block.get("type") == "tool_result" for block in content) and bool(content)


def _message(message: Message) -> dict[str, Any]:
    content = message.get("content")
    if is_result(message):
        result = {"type": "tool_result", "tool_use_id": result_id(message), "content": text_of(content)}
        return {"role": "user", "content": [result]}
    blocks = [_block(part) for part in parts_of(message)]
    calls = calls_in(message)
    if calls and isinstance(content, str) and content:
        blocks.append({"type": "text", "text": content})
    blocks += [{"type": "tool_use", "id": call.id, "name": call.name, "input": call.arguments} for call in calls]
    return {"role": message.get("role", "user"), "content": blocks or content or ""}


def _block(part: Any) -> dict[str, Any]:
    if not isinstance(part, dict):
        return {"type": "text", "text": str(part)}
    found = inline_of(part)
    if found is None or found.kind.startswith("audio/"):
        return part
    source = {"type": "url", "url": found.url}
    if not found.url:
        source = {"type": "base64", "media_type": found.kind, "data": found.data}
    return {"type": "document" if "file" in part else "image", "source": source}


def _tool(function: dict[str, Any]) -> dict[str, Any]:
    turned = {"name": function.get("name"), "input_schema": function.get("parameters") or {"type": "object"}}
    if function.get("description"):
        turned["description"] = function["description"]
    return turned


def _tool_choice(params: dict[str, Any]) -> dict[str, Any]:
    choice = params.get("tool_choice")
    single = params.get("parallel_tool_calls") is False
    if not choice and not single:
        return {}
    if isinstance(choice, dict):
        function = choice.get("function")
        turned = {"type": "tool", "name": function.get("name")} if isinstance(function, dict) else dict(choice)
    else:
        turned = {"type": {"required": "any", "none": "none"}.get(str(choice), "auto")}
    if single and turned.get("type") != "none":
        turned[_ONE_CALL] = True
    return {"tool_choice": turned}


def _of_its_own(params: dict[str, Any]) -> dict[str, Any]:
    """Fields that both forms have under one name, with values of their own."""
    own: dict[str, Any] = {}
    metadata = params.get("metadata")
    if params.get("user"):
        own["metadata"] = {"user_id": params["user"]}
    if isinstance(metadata, dict) and metadata.keys() == {"user_id"}:
        own["metadata"] = metadata
    if params.get("service_tier") in ("auto", "standard_only"):
        own["service_tier"] = params["service_tier"]
    return own


# ---------------------------------------------------------------- the generateContent form


def _contents(messages: Iterable[Message]) -> list[dict[str, Any]]:
    """Results of calls that were made together stand together: as many as there were calls, or all is refused."""
    contents: list[dict[str, Any]] = []
    names: dict[str, str] = {}
    last = False
    for message in messages:
        if is_system(message):
            continue
        result = is_result(message)
        content = _result(message, names) if result else _content(message)
        if result and last:
            contents[-1]["parts"] += content["parts"]
        else:
            contents.append(content)
        last = result
        names |= {call.id: call.name for call in calls_in(message) if isinstance(call.id, str)}
    return contents


def _result(message: Message, names: dict[str, str]) -> dict[str, Any]:
    ident = result_id(message)
    name = names.get(ident, message.get("name", "")) if isinstance(ident, str) else message.get("name", "")
    answer = {"functionResponse": {"name": name, "response": {"result": text_of(message.get("content"))}}}
    return {"role": "user", "parts": [answer]}


def _content(message: Message) -> dict[str, Any]:
    content = message.get("content")
    calls = calls_in(message)
    parts = [_part(part) for part in parts_of(message)]
    if isinstance(content, str) and (content or not calls):
        parts.append({"text": content})
    for number, call in enumerate(calls):
        part = {"functionCall": {"name": call.name, "args": call.arguments}}
        signature = call.signature or (UNSIGNED if number == 0 else "")
        parts.append(part | {"thoughtSignature": signature} if signature else part)
    return {"role": "model" if message.get("role") == "assistant" else "user", "parts": parts or [{"text": ""}]}


def _part(part: Any) -> dict[str, Any]:
    if not isinstance(part, dict):
        return {"text": str(part)}
    found = inline_of(part)
    if found is None:
        return {"text": text_of(part.get("text"))}
    if found.url:
        return {"fileData": {"fileUri": found.url}}
    return {"inlineData": {"mimeType": found.kind, "data": found.data}}


def _declared(function: dict[str, Any]) -> dict[str, Any]:
    """`parameters` takes a part of JSON Schema there; the other field takes all of it."""
    turned = {name: function[name] for name in ("name", "description") if function.get(name)}
    if function.get("parameters"):
        turned["parametersJsonSchema"] = function["parameters"]
    return turned


def _calling(choice: Any) -> dict[str, Any]:
    config: dict[str, Any] = {}
    if isinstance(choice, str):
        config["mode"] = {"none": "NONE", "required": "ANY"}.get(choice, "AUTO")
    elif isinstance(choice, dict) and isinstance(choice.get("function"), dict):
        config = {"mode": "ANY", "allowedFunctionNames": [choice["function"].get("name")]}
    return {"toolConfig": {"functionCallingConfig": config}} if config else {}


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
