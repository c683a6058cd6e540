"""The grader `regex`: a pattern (Python's `re`) is found in the answer.

Nothing is normalised: the answer is searched as it came, case and blanks count, `^` and `$` are the ends of the whole
answer; `(?i)`, `(?m)`, `(?s)` and `(?x)` at the pattern's start change that. A list means any of its patterns. A search
that takes longer than a quarter of a second, as that for `^(a|a)*$` may, leaves the answer ungraded.
"""

from __future__ import annotations

from typing import Any

from llmfan.grading.patterns import compiled, found

SAYS = (
    "the pattern (Python's re) is found anywhere in the answer as it came: case and blanks count unless the pattern "
    "starts with (?i) and the like; of a list, any; a search that takes longer than 0.25 s leaves it ungraded"
)


def right(text: str, expect: Any) -> bool | None:
    patterns = [item for item in _items(expect) if type(item) is str and not isinstance(compiled(item), str)]
    if not patterns:
        return None
    try:
        return any(found(pattern, text) for pattern in patterns)
    except TimeoutError:
        return None


def fault(expect: Any) -> str | None:
    items = _items(expect)
    if not items or not all(type(item) is str and item for item in items):
        return "expected a regular expression or a list of them"
    return next((f"bad regular expression: {why}" for item in items if isinstance(why := compiled(item), str)), None)


def _items(expect: Any) -> list[Any]:
    value = expect.get("regex") if type(expect) is dict else expect
    return value if type(value) is list else [value]
