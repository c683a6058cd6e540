"""The JSON that an answer holds: all of it, in a code fence, or amid prose."""

from __future__ import annotations

import json
import re
from typing import Any

#: No JSON at all, not even null.
NONE: Any = type("NoJson", (), {"__repr__": lambda self: "<no JSON>"})()

_FENCE = re.compile(r"```[^\n`]*\n(.*?)```", re.DOTALL)
_START = re.compile(r"[{\[]")
#: Places in prose where JSON may start; each failed one costs a look at what follows it.
_TRIES = 40


def found_json(text: str) -> Any:
    """The answer's JSON value or NONE: the whole answer, else its last code fence that is JSON, else the longest object
    or list within its prose.
    """
    value = _whole(text)
    if value is not NONE:
        return value
    for fence in reversed(_FENCE.findall(text)[-_TRIES:]):
        value = _whole(fence)
        if value is not NONE:
            return value
    return _within(text)


def _whole(text: str) -> Any:
    try:
        return json.loads(text.strip().removeprefix("\ufeff"), parse_constant=_refused)
    except (ValueError, RecursionError):
        return NONE


def _within(text: str) -> Any:
    decode = json.JSONDecoder(parse_constant=_refused).raw_decode
    best, longest, at = NONE, 0, 0
    for _ in range(_TRIES):
        start = _START.search(text, at)
        if start is None:
            break
        at = start.end()
        try:
            value, end = decode(text, start.start())
        except (ValueError, RecursionError):
            continue
        if end - start.start() > longest:
            best, longest = value, end - start.start()
        at = end
    return best


def _refused(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")
