"""Regular expressions of a prompt set, searched in answers: patterns of Python's `re`, stopped when they take too long.

`re` itself cannot be stopped, and some patterns take for ever on some answers, so the third-party `regex` does the
search in its version 0, which is `re`'s own. It knows more than `re` does; what `re` refuses is a fault all the same,
and braces that `re` takes as they stand (`x{d}`) are none of its fuzzy matches.
"""

from __future__ import annotations

import re
import warnings
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import regex

#: Nothing that is meant takes a hundredth of it, and a run waits for each.
SECONDS = 0.25
#: A brace that begins no repeat, told from escapes; within brackets an escaped one is the same.
_BRACE = re.compile(r"\\N\{[^}]*\}|\\.|\{(?!\d*(?:,\d*)?\})", re.DOTALL)


def found(text: str, answer: str) -> bool:
    """Whether the pattern is somewhere in the answer. TimeoutError where that takes too long; ValueError if bad."""
    pattern = compiled(text)
    if isinstance(pattern, str):
        raise ValueError(pattern)
    return pattern.search(answer, timeout=SECONDS) is not None


@lru_cache(maxsize=1024)
def compiled(text: str) -> regex.Pattern[str] | str:
    """The pattern, or what is wrong with it."""
    import regex  # slow to load, and most prompt sets have no pattern

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            re.compile(text)
            return regex.compile(_BRACE.sub(_literal, text), regex.VERSION0)
    except (re.error, regex.error, OverflowError, RecursionError, ValueError) as e:
        return str(e) or type(e).__name__


def _literal(brace: re.Match[str]) -> str:
    return "\\{" if brace[0] == "{" else brace[0]
