"""Is an answer what was expected? One door to six graders."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llmfan.grading import choice, contains, exact, json_schema, number, regex
from llmfan.grading.forms import form_of, kind_of, slip

__all__ = ["NAMES", "NORMALISATION", "fault", "grade", "kind_of"]

NAMES = ("exact", "contains", "regex", "number", "choice", "json")

#: What each grader does to both sides, in a sentence; the README and the definitions of a report are made from it.
NORMALISATION: dict[str, str] = {
    "exact": exact.SAYS,
    "contains": contains.SAYS,
    "regex": regex.SAYS,
    "number": number.SAYS,
    "choice": choice.SAYS,
    "json": json_schema.SAYS,
}
_RIGHT: dict[str, Callable[[str, Any], bool | None]] = {
    "exact": exact.right,
    "contains": contains.right,
    "regex": regex.right,
    "number": number.right,
    "choice": choice.right,
    "json": json_schema.right,
}
_FAULT: dict[str, Callable[[Any], str | None]] = {
    "exact": exact.fault,
    "contains": contains.fault,
    "regex": regex.fault,
    "number": number.fault,
    "choice": choice.fault,
    "json": json_schema.fault,
}


def grade(text: str, expect: Any, name: str | None, tolerance: float | None = None) -> float | None:
    """1.0 right, 0.0 wrong, None where it cannot be judged. `name` None: by the shape of `expect`.

    Whatever an answer holds, this returns: a run must not end because of one.
    """
    try:
        name = name or kind_of(expect)
        if expect is None or name not in _RIGHT or _of_another(expect, name):
            return None
        verdict = number.right(text, expect, tolerance) if name == "number" else _RIGHT[name](text, expect)
    except Exception:  # an answer is hostile text; that a grader stumbles over it says nothing of right or wrong
        return None
    return None if verdict is None else float(verdict)


def fault(expect: Any, name: str | None) -> str | None:
    """Why this `expect` cannot be graded by that grader (None: by its shape), or None where it can.

    By shape, text that no grader fits is no fault: it is left unjudged.
    """
    if expect is None:
        return None
    if type(expect) is dict:
        if name in (None, "number") and (wrong := slip(expect)):
            return wrong
        if name is not None and (other := _of_another(expect, name)):
            return f"is meant for the grader {other}, and the chosen one is {name}"
    name = name or (kind_of(expect) if type(expect) is dict else None)
    check = _FAULT.get(name or "")
    return check(expect) if check is not None else None


def _of_another(expect: Any, name: str) -> str | None:
    """The grader whose form an object is, if not this one's. To `json` any other form is a value."""
    form = form_of(expect) if type(expect) is dict else None
    return form if form not in (None, name) and name != "json" else None
