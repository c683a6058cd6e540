"""Which keywords are fields of a request, and which are slips of the keyboard: those must never be sent unseen."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypedDict

from llmfan.errors import UserError, near


class Fields(TypedDict, total=False):
    """Fields of a chat completion that may be given by name, beside `max_tokens` and `temperature`."""

    audio: Any
    frequency_penalty: float | None
    function_call: Any
    functions: list[Any] | None
    logit_bias: Mapping[str, float] | None
    logprobs: bool | None
    max_completion_tokens: int | None
    modalities: list[str] | None
    moderation: Any
    n: int | None
    parallel_tool_calls: bool | None
    prediction: Any
    presence_penalty: float | None
    prompt_cache_key: str | None
    prompt_cache_options: Any
    prompt_cache_retention: str | None
    reasoning_effort: str | None
    response_format: Mapping[str, Any] | None
    safety_identifier: str | None
    seed: int | None
    service_tier: str | None
    stop: str | list[str] | None
    store: bool | None
    stream_options: Mapping[str, Any] | None
    tool_choice: Any
    tools: list[Any] | None
    top_logprobs: int | None
    top_p: float | None
    user: str | None
    verbosity: str | None
    web_search_options: Any
    # what servers of open models take beyond those
    bad_words: list[str] | None
    best_of: int | None
    chat_template_kwargs: Mapping[str, Any] | None
    enable_thinking: bool | None
    guided_choice: Any
    guided_grammar: Any
    guided_json: Any
    guided_regex: Any
    ignore_eos: bool | None
    include_reasoning: bool | None
    length_penalty: float | None
    min_p: float | None
    min_tokens: int | None
    reasoning: Any
    reasoning_format: str | None
    repetition_penalty: float | None
    skip_special_tokens: bool | None
    stop_token_ids: list[int] | None
    structured_outputs: Any
    thinking: Any
    top_k: int | None


FIELDS = Fields.__optional_keys__ | {"max_tokens", "temperature"}
#: Settings that are the fleet's, for all its calls. (`seed` is a field of the request, `max_wait` is of either.)
OF_THE_FAN = frozenset({
    "env_file", "env", "state", "only", "exclude", "concurrency", "queue", "timeout", "max_attempts", "max_ambiguous",
    "max_cost", "simulate", "simulate_speed", "say",
})  # fmt: skip
#: Of a call, and not to be given twice.
_OWN = ("model", "messages", "stream")
#: Names that are sought where they are not.
_ELSEWHERE = {
    "stream": "only chat streams: chat(messages, stream=True)",
    "messages": "a conversation goes to chat(messages), or to map as one of its prompts",
    "ordered": "a setting of map",
    "ahead": "a setting of map",
    "id": 'a setting of ask and chat; a prompt of a map has its own: {"id": …, "prompt": …}',
    "timeout": "the Fan's, for each request: Fan(timeout=…); a call's wait for a permit is bounded by max_wait=…, "
    "a whole call by asyncio.timeout(…)",
    "extra_body": "its fields go in params={…}",
    "provider": 'model chooses who answers: model="PROVIDER" or model="PROVIDER/MODEL"',
}
#: Fields of a request that no table has as a column of its own data; all of several words are such, too.
_UNMISTAKEN = ("seed", "stop", "tools", "logprobs")
_OF_A_PROMPT = ("system", "max_tokens", "temperature", "params", "metadata")
#: As near as one slip in ten letters: a column `score` is no slip of `store`, nor `topic` of `top_p`.
_NEARLY = 0.88


def fields_of(
    call: Callable[..., Any], given: Mapping[str, Any], params: Mapping[str, Any] | None, **caps: Any
) -> dict[str, Any]:
    """What goes into the request: what is `given` by name, and `params`, which may have any name."""
    check_names(call, given)
    named = {name: value for name, value in {**given, **caps}.items() if value is not None}
    if params is None:
        return named
    if not isinstance(params, Mapping) or not all(isinstance(name, str) for name in params):
        raise UserError(f"params: expected request fields by their names, got {params!r:.60}")
    for name in params:
        if name in _OWN:
            raise UserError(f"params: {name} is the call's to say, not a further field")
        if name in named:
            raise UserError(f"params: {name} is given twice, by its name as well")
    return {**params, **named}


def check_names(call: Callable[..., Any], given: Iterable[str]) -> None:
    """Raises `UserError` for each that is neither a setting of this call nor a known field of a request."""
    unknown = sorted(set(given) - FIELDS)
    if unknown:
        own = settings_of(call)
        slips = [_slip(name, call.__name__, own) for name in unknown if name not in own]
        if slips:
            raise UserError("\n".join(slips))


def settings_of(call: Callable[..., Any]) -> set[str]:
    parameters = inspect.signature(call).parameters.values()
    return {parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY}


def misplaced(name: str) -> str:
    """What is wrong with a field of a prompt's object; "" if it may be data of its own, as any column of a table."""
    if name == "model":
        return "is no prompt's own: one model is chosen for all of a map, with model=…; or leave it out"
    if name in _OF_A_PROMPT:
        return ""
    if name in FIELDS:
        hint = f'a field of a request stands in the prompt\'s "params": {{"prompt": …, "params": {{"{name}": …}}}}'
        return hint if _is_unmistaken(name) else ""
    known = [*_OF_A_PROMPT, *filter(_is_unmistaken, FIELDS)]
    close = difflib.get_close_matches(name.lower(), known, n=1, cutoff=_NEARLY)
    return f'no field of a prompt (did you mean "{close[0]}"?)' if close else ""


def _is_unmistaken(field: str) -> bool:
    return "_" in field or field in _UNMISTAKEN


def _slip(name: str, call: str, own: Iterable[str]) -> str:
    if name in _ELSEWHERE:
        return f"{name}: {_ELSEWHERE[name]}"
    if name in OF_THE_FAN:
        return f"{name}: the Fan's, for all its calls: Fan({name}=…)"
    hint = near(name, {*own, *FIELDS, *OF_THE_FAN})
    other = f'params={{"{name}": …}} sends a field of any name'
    return f"{name}: neither a setting of {call} nor a known field of a request{hint}; {other}"
