"""The grader `contains`: the expected text stands somewhere in the answer.

Both sides: Unicode NFKC, unseen characters dropped, quotes and dashes straightened, case folded, runs of blanks as one
space, Markdown emphasis and backticks dropped. It may be part of a word ("walk" is in "walking"), with two exceptions:
digits at an end of it must not go on ("18" is not in "180" nor in "1,180" nor in "18.5"), and a text of one to three
letters must be a whole word ("no" is not in "know").

A list, `{"contains": [...]}` and `{"any": [...]}` mean any of the texts; `{"all": [...]}` means every one.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from llmfan.grading.plain import plain, spaced

SAYS = (
    "the text stands somewhere in the answer after Unicode NFKC, case folding, blanks as one space, without Markdown; "
    "a number must not go on in more digits, a text of up to three letters must be a whole word; of a list, any; of "
    '{"all": [...]}, every one'
)
KEYS = ("contains", "any", "all")
_SHORT = 3
#: Scripts that part words by blanks; in others a short text may touch its neighbours.
_LETTER = "A-Za-z\u00b5-\u024f\u0370-\u052f"
_ONLY_LETTERS = re.compile(f"[{_LETTER}]{{1,{_SHORT}}}")


def right(text: str, expect: Any) -> bool | None:
    value, every = _meant(expect)
    texts = [item for item in (_text(one) for one in (value if type(value) is list else [value])) if item]
    if not texts:
        return None
    answer = _normal(text)
    return (all if every else any)(_pattern(item).search(answer) is not None for item in texts)


def fault(expect: Any) -> str | None:
    value, _ = _meant(expect)
    if type(value) is list and not value:
        return "expected text, got an empty list"
    if not all(_text(item) for item in (value if type(value) is list else [value])):
        return "expected text or a list of texts, none of it empty"
    return None


def _meant(expect: Any) -> tuple[Any, bool]:
    """(text or texts, whether all of them are wanted)."""
    if type(expect) is dict:
        key = next((key for key in KEYS if key in expect), None)
        return (expect[key], key == "all") if key else (None, False)
    return expect, False


def _text(item: Any) -> str:
    if type(item) is str:
        return item.strip() if _normal(item) else ""  # of unseen characters or Markdown alone nothing is left
    return str(item) if type(item) in (int, float) else ""


def _normal(text: str) -> str:
    return spaced(plain(text)).casefold()


@lru_cache(maxsize=1024)
def _pattern(item: str) -> re.Pattern[str]:
    wanted = _normal(item)
    before = r"(?<!\d)(?<!\d[.,])" if wanted[0].isdigit() else ""
    after = r"(?!\d|[.,]\d)" if wanted[-1].isdigit() else ""
    if _ONLY_LETTERS.fullmatch(wanted):
        before, after = f"(?<![{_LETTER}])", f"(?![{_LETTER}])"
    return re.compile(before + re.escape(wanted) + after)
