"""The grader `exact`: the answer says what was expected and nothing else.

Both sides: Unicode NFKC, unseen characters dropped, quotes and dashes straightened, case folded, runs of blanks as one
space, Markdown emphasis and backticks dropped, a code fence around the whole taken off, `\\text{…}` unwrapped; then
bullets, quotes, sentence marks and brackets around the whole. Articles and marks within the text count. Right is the
whole answer, what stands in its last `\\boxed{…}`, behind its last `####`, or behind "The answer is".

A list means any of its texts. True and false are also yes and no, and an answer may go on behind that word ("Yes, …").
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from llmfan.grading.conclusion import boxed, hashed, stated
from llmfan.grading.plain import bare, plain, spaced, unfenced, unwrapped

SAYS = (
    "equal after Unicode NFKC, case folding, blanks as one space, and without Markdown, code fences, and quotes, "
    "sentence marks or brackets around the whole; the whole answer, or what stands in \\boxed{}, after ####, or after "
    '"the answer is"; of a list, any; true and false are also yes and no'
)
_VERDICTS = {True: ("true", "yes"), False: ("false", "no")}
_FIRST_WORD = re.compile(r"[a-z]+")


def right(text: str, expect: Any) -> bool | None:
    accepted = _accepted(expect)
    if not accepted:
        return None
    said = list(_said(text))
    for value in accepted:
        if type(value) is bool:
            if _verdict(said) is value:
                return True
        elif _normal(_text(value)) in said:
            return True
    return False


def fault(expect: Any) -> str | None:
    value = expect["exact"] if type(expect) is dict and "exact" in expect else expect
    if type(value) is dict:
        return "expected text, a number, true or false, or a list of them, got an object"
    if type(value) is list and not value:
        return "expected text, got an empty list"
    if not all(_fits(item) for item in (value if type(value) is list else [value])):
        return "expected text, a number, true or false, or a list of them, none of it empty"
    return None


def _accepted(expect: Any) -> list[Any]:
    value = expect.get("exact") if type(expect) is dict else expect
    return [item for item in (value if type(value) is list else [value]) if _fits(item)]


def _fits(item: Any) -> bool:
    return bool(item.strip()) if type(item) is str else type(item) in (int, float, bool)


def _text(value: Any) -> str:
    return value if type(value) is str else json.dumps(value)


def _said(text: str) -> Iterator[str]:
    """What the answer may be taken to say, each in normal form."""
    yield _normal(text)
    clean = plain(text)
    for part in (boxed(clean), hashed(clean), next(stated(clean), None)):
        if part:
            yield _normal(part)


def _normal(text: str) -> str:
    return bare(spaced(unwrapped(plain(unfenced(text))))).casefold()


def _verdict(said: list[str]) -> bool | None:
    """What the first words say; a statement at the end ("…, so the answer is no") overrules how the answer began."""
    for one in reversed(said):
        first = _FIRST_WORD.match(one)
        for value, words in _VERDICTS.items():
            if first and first[0] in words:
                return value
    return None
