"""What a request wants other than prose: a call of one of its tools, or JSON that fits a schema; in each wire form."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

#: Any object will do.
ANY_OBJECT: dict[str, Any] = {}


class Tool(Struct, frozen=True):
    name: str
    schema: Any


class Wants(Struct, frozen=True):
    """`tool`: to be called now; `schema`: of the JSON that the answer has to be (`ANY_OBJECT`: any object)."""

    tool: Tool | None = None
    schema: Any = None


class Impossible(Exception):
    """A wish that no far end would serve; carries the words of its 400."""


def of_chat(data: dict[str, Any]) -> Wants | None:
    tools = [
        Tool(function["name"], function.get("parameters"))
        for function in (_in(each, "function") for each in _listed(data.get("tools")))
        if isinstance(function.get("name"), str)
    ]
    choice, last = data.get("tool_choice"), _last(data["messages"])
    named = _in(choice, "function").get("name")
    mode = choice if isinstance(choice, str) else "required" if named else "auto"
    tool = _called(tools, mode, [named] if named else [], last.get("role") in ("tool", "function"))
    wanted = data.get("response_format")
    kind = wanted.get("type") if isinstance(wanted, dict) else None
    if kind == "json_schema":
        return _wants(tool, _in(wanted, "json_schema").get("schema") or ANY_OBJECT)
    return _wants(tool, ANY_OBJECT if kind == "json_object" else None)


def of_messages(data: dict[str, Any]) -> Wants | None:
    listed = [each for each in _listed(data.get("tools")) if isinstance(each, dict) and "input_schema" in each]
    tools = [Tool(str(each.get("name")), each["input_schema"]) for each in listed]
    choice = data.get("tool_choice")
    kind = choice.get("type") if isinstance(choice, dict) else "auto"
    named = [choice.get("name")] if isinstance(choice, dict) and kind == "tool" else []
    blocks = _listed(_last(data["messages"]).get("content"))
    result = any(isinstance(block, dict) and block.get("type") == "tool_result" for block in blocks)
    tool = _called(tools, "required" if kind in ("any", "tool") else str(kind), named, result)
    form = _in(data.get("output_config"), "format") or _in(data, "output_format")
    return _wants(tool, form.get("schema") or ANY_OBJECT if form.get("type") == "json_schema" else None)


def of_contents(data: dict[str, Any]) -> Wants | None:
    declared = [
        each
        for group in _listed(data.get("tools"))
        for each in _listed(group.get("functionDeclarations") if isinstance(group, dict) else None)
        if isinstance(each, dict)
    ]
    tools = [
        Tool(str(each.get("name")), each.get("parametersJsonSchema") or each.get("parameters")) for each in declared
    ]
    calling = _in(data.get("toolConfig"), "functionCallingConfig")
    mode = {"ANY": "required", "NONE": "none"}.get(str(calling.get("mode")), "auto")
    parts = _listed(_last(data["contents"]).get("parts"))
    result = any(isinstance(part, dict) and "functionResponse" in part for part in parts)
    tool = _called(tools, mode, _listed(calling.get("allowedFunctionNames")), result)
    config = _in(data, "generationConfig")
    if config.get("responseMimeType") != "application/json":
        return _wants(tool, None)
    return _wants(tool, config.get("responseJsonSchema") or config.get("responseSchema") or ANY_OBJECT)


def _called(tools: list[Tool], mode: str, named: list[Any], result: bool) -> Tool | None:
    """Where the choice is free the first tool is called, but not once more after its result: so that loops end."""
    if mode == "none" or (mode != "required" and (result or not tools)):
        return None
    found = next((tool for tool in tools if not named or tool.name in named), None)
    if found is None:
        raise Impossible(f"a tool has to be called, and `tools` has none{' of that name' if named else ''}")
    return found


def _wants(tool: Tool | None, schema: Any) -> Wants | None:
    return None if tool is None and schema is None else Wants(tool, schema)


def _in(holder: Any, name: str) -> dict[str, Any]:
    value = holder.get(name) if isinstance(holder, dict) else None
    return value if isinstance(value, dict) else {}


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _last(messages: Any) -> dict[str, Any]:
    last = messages[-1] if isinstance(messages, list) and messages else None
    return last if isinstance(last, dict) else {}
