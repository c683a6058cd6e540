"""What an `expect` is by its shape: the grader it asks for, if any, and whether an object is a grader's form."""

from __future__ import annotations

import difflib
from typing import Any

from llmfan.errors import near
from llmfan.grading.choice import is_choice
from llmfan.grading.json_schema import is_schema
from llmfan.grading.number import find, is_number

#: The key that makes an object a form → the grader, and the keys that may stand beside it.
FORMS: dict[str, tuple[str, frozenset[str]]] = {
    "exact": ("exact", frozenset()),
    "contains": ("contains", frozenset()),
    "any": ("contains", frozenset()),
    "all": ("contains", frozenset()),
    "regex": ("regex", frozenset()),
    "number": ("number", frozenset({"tolerance", "within"})),
    "choice": ("choice", frozenset()),
    "json": ("json", frozenset()),
}
#: A reference text longer than this is written for a reader: no answer equals it, and to call all wrong would be false.
LONGEST = 100
#: A key this near to a form's is a slip of the keyboard (`contain`, `regexp`); `name` is not one.
_ALIKE = 0.85
_AS_JSON = '{"json": {…}}'


def kind_of(expect: Any) -> str:
    """The grader that fits the shape of an `expect`; "" where none does: null, nothing, or a long reference text."""
    if type(expect) is str:
        return _kind_of_text(expect)
    if type(expect) is bool:
        return "exact"
    if type(expect) in (int, float):
        return "number"
    if type(expect) is list:
        return _kind_of_list(expect)
    if type(expect) is dict:
        return form_of(expect) or "json"
    return ""


def form_of(expect: dict[str, Any]) -> str | None:
    """The grader whose form an object is. A schema is none: it has `type`, `properties` and the like."""
    for key, (name, beside) in FORMS.items():
        if key in expect and expect.keys() <= beside | {key}:
            return name
    return None


def slip(expect: dict[str, Any]) -> str | None:
    """What is wrong with an object that is nearly a form, and would else be taken for a JSON value."""
    if form_of(expect) or is_schema(expect):
        return None
    if len(expect) == 1 and (close := difflib.get_close_matches(next(iter(expect)), FORMS, 1, _ALIKE)):
        return f'{next(iter(expect))}: no such form (did you mean "{close[0]}"? a JSON value with this key: {_AS_JSON})'
    if "number" not in expect:
        return None
    others = sorted(expect.keys() - {"number", "tolerance", "within"})
    hints = [near(other, ("tolerance", "within")) for other in others]
    return f"{others[0]}: unknown beside number{hints[0]}" if hints and hints[0] else None


def _kind_of_text(text: str) -> str:
    if "####" in text and find(text.rpartition("####")[2]) is not None:
        return "number"
    if is_choice(text):
        return "choice"
    if is_number(text):
        return "number"
    return "exact" if 0 < len(text.strip()) <= LONGEST else ""


def _kind_of_list(items: list[Any]) -> str:
    if any(type(item) in (dict, list) for item in items):
        return "json"
    return "exact" if any(item is not None and item != "" for item in items) else ""
