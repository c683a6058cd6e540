"""The body of a call of the chat-completions form: what it asks for, or what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct

from llmfan.records import Prompt
from llmfan.serving.faults import CallerFault, shown
from llmfan.serving.json_body import decoded, encoded
from llmfan.serving.messages_given import messages_of

#: Answers to one request, as in the form's own reference.
MOST_ANSWERS = 128
MOST_TOKENS = 2**31 - 1


class Asked(Struct, frozen=True, kw_only=True):
    """A request that can be sent. `wants_usage`: the stream's last chunk is to tell the token counts.

    `prompt` has no id yet; its `params` are all further fields, in the order they came, without those that are null.
    """

    model: str
    prompt: Prompt
    streams: bool = False
    wants_usage: bool = False


def read_request(body: bytes) -> Asked:
    """Raises `CallerFault` for anything that cannot be sent."""
    given = {name: value for name, value in decoded(body).items() if value is not None}
    messages = messages_of(given.pop("messages", None))
    for name, value in given.items():
        check = _CHECKS.get(name)
        if check is not None and (expected := check(value)):
            raise CallerFault(f"{name}: expected {expected}, got {shown(value)}", param=name)
    model, streams = given.pop("model", ""), given.pop("stream", False)
    options = given.pop("stream_options", {})
    cap = given.pop("max_tokens", None)
    cap = given.get("max_completion_tokens", cap)  # it stays: some providers know a cap by this name alone
    prompt = Prompt(
        id="", index=0, messages=messages, max_tokens=cap, temperature=given.pop("temperature", None), params=given
    )
    return Asked(
        model=model, prompt=prompt, streams=streams, wants_usage=streams and bool(options.get("include_usage"))
    )


def asked(document: Mapping[str, Any]) -> Asked:
    """The same for a request that is no JSON yet (`model`, `messages`, `stream` …). Raises `CallerFault`."""
    return read_request(encoded(document))


# ---------------------------------------------------------------- checks: what was expected, "" if that is what came


def _text(value: Any) -> str:
    return "" if type(value) is str else "text"


def _switch(value: Any) -> str:
    return "" if type(value) is bool else "true or false"


def _number(value: Any) -> str:
    return "" if type(value) in (int, float) else "a number"


def _whole_number(value: Any) -> str:
    return "" if type(value) is int else "a whole number"


def _object(value: Any) -> str:
    return "" if type(value) is dict else "an object"


def _list(value: Any) -> str:
    return "" if type(value) is list else "a list"


def _texts(value: Any) -> str:
    return "" if type(value) is list and all(type(item) is str for item in value) else "a list of texts"


def _stop(value: Any) -> str:
    return "" if type(value) is str or not _texts(value) else "text or a list of texts"


def _cap(value: Any) -> str:
    return "" if type(value) is int and 1 <= value <= MOST_TOKENS else "a whole number from 1"


def _answers(value: Any) -> str:
    return "" if type(value) is int and 1 <= value <= MOST_ANSWERS else f"a whole number from 1 to {MOST_ANSWERS}"


def _options(value: Any) -> str:
    sound = type(value) is dict and type(value.get("include_usage", False)) in (bool, type(None))
    return "" if sound else "an object whose include_usage is true or false"


def _other_cap(value: Any) -> str:
    """Of a form that is not this one; -1 and 0 are ways to ask for none."""
    return "" if type(value) in (int, float) and abs(value) <= MOST_TOKENS else "a number"


def _nest(value: Any) -> str:
    """Settings in an object of their own: caps in it are counted like those outside."""
    if type(value) is not dict:
        return "an object"
    wrong = [name for name, given in value.items() if given is not None and name in _CAPS and _CAPS[name](given)]
    return f"a number in {wrong[0]}" if wrong else ""


def _choice(value: Any) -> str:
    if type(value) is str or (type(value) is dict and not _named(value)):
        return ""
    return "auto, none, required or an object that names a function"


def _named(value: dict[str, Any]) -> str:
    """What is wrong with an object that may hold a function by its name."""
    function = value.get("function", {"name": ""})
    return "" if type(function) is dict and type(function.get("name")) is str else "a function with a name"


def _tools(value: Any) -> str:
    wanted = "a list of tools, each an object with a type and, for a function, its name"
    if type(value) is not list or not all(type(tool) is dict for tool in value):
        return wanted
    return wanted if any(_named(t) or type(t.get("type", "function")) is not str for t in value) else _schemas(value)


def _schemas(tools: list[dict[str, Any]]) -> str:
    schemas = (tool["function"].get("parameters") for tool in tools if "function" in tool)
    return "" if all(schema is None or type(schema) is dict for schema in schemas) else "parameters that are an object"


def _format(value: Any) -> str:
    return "" if type(value) is dict and type(value.get("type")) is str else "an object with a type"


#: Names by which servers take the cap of an answer, and how many answers there are to be.
_CAPS: dict[str, Callable[[Any], str]] = {
    "max_tokens": _other_cap, "max_completion_tokens": _other_cap, "max_output_tokens": _other_cap,
    "max_new_tokens": _other_cap, "maxOutputTokens": _other_cap, "maxTokens": _other_cap, "num_predict": _other_cap,
    "n": _answers, "best_of": _answers, "candidateCount": _answers,
}  # fmt: skip
_CHECKS: dict[str, Callable[[Any], str]] = {
    **_CAPS, "generationConfig": _nest, "options": _nest, "inferenceConfig": _nest, "extra_body": _nest,
    "model": _text, "stream": _switch, "stream_options": _options, "max_tokens": _cap, "max_completion_tokens": _cap,
    "temperature": _number, "top_p": _number, "presence_penalty": _number,
    "frequency_penalty": _number, "seed": _whole_number, "stop": _stop, "logprobs": _switch,
    "top_logprobs": _whole_number, "logit_bias": _object, "user": _text, "metadata": _object, "store": _switch,
    "parallel_tool_calls": _switch, "tools": _tools, "tool_choice": _choice, "response_format": _format,
    "modalities": _texts, "reasoning_effort": _text, "functions": _list, "verbosity": _text,
}  # fmt: skip
