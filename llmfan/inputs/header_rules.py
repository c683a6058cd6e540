"""`headers:` of a provider, over those of its preset."""

from __future__ import annotations

import re

from llmfan.inputs.draft import Draft
from llmfan.inputs.environment import fill
from llmfan.inputs.yaml_tree import join
from llmfan.settings import Preset

_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", re.ASCII)
#: Set by the client from the request itself; another value would break the message.
_OURS = frozenset({"host", "content-length", "content-type", "transfer-encoding", "connection", "accept-encoding"})


def headers_of(draft: Draft, preset: Preset) -> dict[str, str]:
    """Names keep the user's spelling but count without case; None takes away one of the preset's."""
    merged = dict(preset.headers)
    given: dict[str, tuple[int, str | None]] = draft.given.get("headers", {})
    for name, (line, text) in given.items():
        for old in [h for h in merged if h.lower() == name.lower()]:
            del merged[old]
        if text is None:
            continue
        value, problem = _value(draft, text)
        problem = problem or _problem(name, value, preset)
        if problem:
            draft.around.faults.add(line, join(join(draft.given.path, "headers"), name), problem)
        merged[name] = value
    return merged


def _value(draft: Draft, text: str) -> tuple[str, str]:
    """(value, what is wrong with it). In a simulation no variable is read: it may hold a secret."""
    if draft.around.simulate and fill(text, {})[1]:
        return "simulated", ""
    value, missing = fill(text, draft.around.env)
    return value.strip(), f"${missing[0]} is not set: set it in the environment or in .env" if missing else ""


def _problem(name: str, value: str, preset: Preset) -> str:
    if not _NAME.fullmatch(name):
        return "not a header's name"
    if name.lower() in _OURS:
        return "llmfan sets this header itself"
    if name.lower() == preset.auth_header.lower():
        return "this header carries the key: keys belong under keys"
    if any(ord(c) < 32 or ord(c) > 255 or 127 <= ord(c) < 160 for c in value):
        return "its value has a character that no HTTP header can carry"
    return ""
