"""Which providers take the fields of a request."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from llmfan.dialects.turned import LACKING
from llmfan.serving.faults import CallerFault, shown
from llmfan.settings import Provider

#: Fields that change nothing of an answer: where they are not taken they are left out.
HINTS = frozenset(
    {"user", "metadata", "safety_identifier", "prompt_cache_key", "prompt_cache_options", "prompt_cache_retention"}
    | {"service_tier", "store", "stream_options"}
)
#: A cap goes out by the name that a provider knows.
RENAMED = frozenset({"max_completion_tokens"})
#: Values that ask for nothing: they are what a server does unasked.
HARMLESS: dict[str, tuple[Any, ...]] = {
    "n": (1,), "best_of": (1,), "logprobs": (False,), "top_logprobs": (0,), "top_p": (1,), "presence_penalty": (0,),
    "frequency_penalty": (0,), "repetition_penalty": (1,), "parallel_tool_calls": (True,), "tool_choice": ("auto",),
    "function_call": ("auto",), "response_format": ({"type": "text"},), "modalities": (["text"],), "stop": ([], ""),
    "tools": ([],), "functions": ([],), "logit_bias": ({},), "min_p": (0,), "echo": (False,),
}  # fmt: skip
#: Kinds of a field's value that only the chat-completions form knows: field → kinds that the other two know as well.
_KINDS = {
    "response_format": ("text", "json_object", "json_schema"),
    "tool_choice": ("function", "auto", "any", "tool", "none"),
}
#: Different sets of fields that are remembered at most.
KEPT = 1000
#: Letters of the names of fields in such a set at most.
LONGEST = 500


#: What a request asks for: pairs of a field and, for a value of a kind that few know, that kind.
Asks = tuple[tuple[str, str], ...]


class Capabilities:
    """What each provider of a fleet takes. `form_of`: a provider's `api` → the dialect that speaks it."""

    def __init__(self, providers: Iterable[Provider], form_of: Callable[[str], str]):
        self._providers = {provider.name: (provider, form_of(provider.api)) for provider in providers}
        self._known: dict[Asks, frozenset[str]] = {(): frozenset()}

    def banned(self, params: Mapping[str, Any]) -> frozenset[str]:
        """Names of the providers that cannot serve a call with these fields."""
        asks = asks_of(params) if params else ()
        known = self._known.get(asks)
        return self._banned(asks) if known is None else known

    def fault(self, params: Mapping[str, Any], names: Iterable[str]) -> CallerFault:
        """Why none of these providers can: which field (its name in `param`), and who would take it."""
        asks = asks_of(params)
        lacking = {name: untaken(*self._providers[name], asks) for name in sorted(names) if name in self._providers}
        for ask in asks:
            if lacking and all(ask in lacks for lacks in lacking.values()):
                return CallerFault(
                    f"{_said(ask)} is not taken by {', '.join(lacking)}; {self._takers(ask)}", param=ask[0]
                )
        each = "; ".join(f"{name} does not take {_said(lacks[0])}" for name, lacks in lacking.items() if lacks)
        first = next((lacks[0][0] for lacks in lacking.values() if lacks), "")
        return CallerFault(f"no provider takes all fields of this request: {each}", param=first)

    def _banned(self, asks: Asks) -> frozenset[str]:
        banned = frozenset(name for name, facts in self._providers.items() if untaken(*facts, asks))
        if sum(len(field) for field, _ in asks) <= LONGEST:  # else whoever asks could fill the memory
            if len(self._known) >= KEPT:
                self._known = {(): frozenset()}
            self._known[asks] = banned
        return banned

    def _takers(self, ask: tuple[str, str]) -> str:
        takers = [name for name, facts in self._providers.items() if not untaken(*facts, (ask,))]
        return f"it is by {', '.join(takers)}" if takers else "nor by anybody else in this fleet"


def untaken(provider: Provider, form: str, asks: Asks) -> list[tuple[str, str]]:
    """What of it this provider does not take."""
    rules = provider.preset.fields
    if (lacking := LACKING.get(form)) is not None:
        return [ask for ask in asks if ask[1] or ask[0] in lacking or ask[0] in rules.drop]
    wire = [(ask, rules.rename.get(ask[0], ask[0])) for ask in asks]
    return [ask for ask, name in wire if name in rules.drop or (rules.allow and name not in rules.allow)]


def asks_of(params: Mapping[str, Any]) -> Asks:
    """Without hints, and without values that ask for nothing."""
    return tuple(
        (name, _kind(name, value))
        for name, value in params.items()
        if name not in HINTS and name not in RENAMED and not (name in HARMLESS and value in HARMLESS[name])
    )


def _kind(name: str, value: Any) -> str:
    if name == "tools":
        return "custom" if any(isinstance(tool, dict) and "custom" in tool for tool in value) else ""
    if name in _KINDS and isinstance(value, dict):
        kind = str(value.get("type", "function"))
        return "" if kind in _KINDS[name] else kind[:40]
    return ""


def _said(ask: tuple[str, str]) -> str:
    field, kind = ask
    return f"{shown(field)} ({shown(kind)})" if kind else shown(field)
