"""From what a caller gives to what the engine takes: prompts, and who can serve them. Faults are UserErrors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from llmfan.errors import Fault, InputFaults, UserError, near
from llmfan.fan.fields import misplaced
from llmfan.fan.opening import span
from llmfan.inputs.catalogue_files import dialect_name
from llmfan.inputs.digests import fingerprint
from llmfan.inputs.jsontext import Misfit
from llmfan.inputs.messages import system_first
from llmfan.inputs.reading import made_id
from llmfan.inputs.shapes import ReadOptions, Shapes
from llmfan.records import Prompt, Target
from llmfan.serving.faults import CallerFault
from llmfan.serving.fields import Capabilities
from llmfan.serving.model_names import Names
from llmfan.serving.placing import Place, place
from llmfan.serving.request import Asked, asked
from llmfan.settings import Fleet

Priority = Literal["interactive", "batch"]
_NOBODY = (None, None, None)
_PRIORITIES = ("interactive", "batch")
#: Longest wait in seconds, ten years: timers take no infinity.
_FOREVER = 3e8
#: Names of columns that are remembered as no slips.
_KEPT = 1000
_ENDS = "the map ends here; the results of all prompts before this one were given"
#: One spelling of a prompt, whose hash is its id: the same as in a run, so that the two can be joined.
_ENCODE = msgspec.json.Encoder(order="sorted").encode


class Calls:
    """Reads what callers of one fleet ask for."""

    def __init__(self, fleet: Fleet, targets: Iterable[Target]):
        self._names = Names(targets)
        self._capabilities = Capabilities(fleet.providers, dialect_name)

    def one(
        self, document: Mapping[str, Any], system: str | None, id_: str | None, metadata: Any
    ) -> tuple[Asked, Place]:
        """A call in the chat-completions form, checked as the server checks it. `system` takes the place of its own."""
        check_texts(system=system, id=id_)
        try:
            found = asked(document)
            where = place(found, self._names, self._capabilities)
        except CallerFault as fault:
            raise UserError(_words(fault)) from None
        prompt = replace(found.prompt, metadata=noted(metadata))
        if system is not None:
            prompt = replace(prompt, messages=system_first(prompt.messages, system))
        return replace(found, prompt=replace(prompt, id=id_ or content_id(prompt))), where

    def settled(self, model: str, settings: Mapping[str, Any]) -> Settings:
        """What all prompts of a batch have in common, found out once."""
        common, _ = self.one({**settings, "model": model, "messages": [{"role": "user", "content": "?"}]}, *_NOBODY)
        return Settings(model, common.prompt)

    def place(self, model: str, prompt: Prompt) -> Place:
        return place(Asked(model=model, prompt=prompt), self._names, self._capabilities)


class Settings(Struct, frozen=True):
    """Those of a batch: a prompt's own go first."""

    model: str
    common: Prompt


class Reader:
    """Reads the prompts of a batch, one after another: text, a list of messages, or a prompt set's document."""

    def __init__(self, calls: Calls, settings: Settings, system: str | None, metadata: Any):
        check_texts(system=system)
        self._calls, self._settings, self._system, self._metadata = calls, settings, system, noted(metadata)
        self._shapes = Shapes(ReadOptions())
        self._columns: set[str] = set()

    def __call__(self, item: Any, position: int) -> tuple[Prompt, Place]:
        try:
            prompt = self._prompt(item, position)
            return prompt, self._calls.place(self._settings.model, prompt)
        except Misfit as misfit:
            faults = [Fault(f"prompts[{position}]", 0, _plain(why), field) for field, why in misfit.faults]
            raise InputFaults(faults, _ENDS) from None
        except CallerFault as fault:
            raise UserError(f"prompts[{position}]: {_words(fault)}\n{_ENDS}") from None
        except UserError as error:
            raise UserError(f"prompts[{position}]: {error}\n{_ENDS}") from None

    def _prompt(self, item: Any, position: int) -> Prompt:
        if isinstance(item, str):
            read = self._shapes(item)
        elif isinstance(item, list):
            read = self._shapes({"messages": _copied(item)})
        elif isinstance(item, Mapping):
            document = _copied(item)
            self._check_names(document)
            read = self._shapes(document)
        else:
            kind = type(item).__name__
            raise UserError(f"expected text, a list of messages, or an object as in a prompt set, got {kind}")
        return self._completed(read, position)

    def _check_names(self, document: Mapping[str, Any]) -> None:
        """Any column may stand beside a prompt, but hardly one that is a setting but for a letter."""
        for name in document.keys() - self._columns:
            if document[name] is None:  # as good as absent, as anywhere in a prompt set
                continue
            if wrong := misplaced(name):
                raise Misfit((name, wrong))
            if len(self._columns) < _KEPT:
                self._columns.add(name)

    def _completed(self, read: Prompt, position: int) -> Prompt:
        common, messages = self._settings.common, read.messages
        if self._system is not None and messages[0].get("role") not in ("system", "developer"):
            messages = system_first(messages, self._system)
        params = {**common.params, **read.params}
        if read.max_tokens is not None and "max_completion_tokens" not in read.params:
            params.pop("max_completion_tokens", None)  # the other name of what the prompt says itself
        whole = replace(
            read, index=position, messages=messages, max_tokens=read.max_tokens or common.max_tokens,
            temperature=common.temperature if read.temperature is None else read.temperature,
            params=params,
            metadata=self._metadata if read.metadata is None else read.metadata,
        )  # fmt: skip
        return replace(whole, id=read.id or content_id(whole))


def content_id(prompt: Prompt) -> str:
    content = [prompt.messages, prompt.turns, prompt.max_tokens, prompt.temperature, prompt.params]
    return made_id(fingerprint(_ENCODE(content)), 1)


def batched(priority: str) -> bool:
    if priority not in _PRIORITIES:
        known = " or ".join(_PRIORITIES)
        raise UserError(f"priority: expected {known}, got {priority!r}{near(str(priority), _PRIORITIES)}")
    return priority == "batch"


def patience(own: float | str | None, fans: float | None) -> float | None:
    """Seconds a call may wait: its own word, else the fan's."""
    wait = fans if own is None else span("max_wait", own)
    return None if wait is None else min(wait, _FOREVER)


def check_texts(**given: Any) -> None:
    for name, value in given.items():
        if value is not None and not isinstance(value, str):
            raise UserError(f"{name}: expected text, got {type(value).__name__}")


def noted(metadata: Any) -> Any:
    """It stands in the result, and a result can be written down."""
    try:
        return None if metadata is None else _copied(metadata)
    except UserError as error:
        raise UserError(f"metadata: {error}") from None


def _words(fault: CallerFault) -> str:
    """Without what only helps callers of the server."""
    return fault.message.partition("; GET /")[0]


def _plain(why: str) -> str:
    """Without what only helps at the command line."""
    return why.partition("; say which one is to be asked, as in --")[0]


def _copied(value: Any) -> Any:
    """As it stands now, whatever becomes of the caller's lists while it waits; and what is no JSON is found here."""
    try:
        return msgspec.json.decode(msgspec.json.encode(value))
    except UnicodeEncodeError:
        raise UserError("a text holds half a character (a lone surrogate), which cannot be sent") from None
    except (TypeError, ValueError, RecursionError) as error:
        raise UserError(f"cannot be put as JSON: {error}") from None
