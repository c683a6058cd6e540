"""The grader `regex`: a pattern (Python's `re`) is found in the answer.

Nothing is normalised: the answer is searched as it came, case and blanks count, `^` and `$` are the ends of the whole
answer; `(?i)`, `(?m)`, `(?s)` and `(?x)` at the pattern's start change that. A list means any of its patterns. Of an
answer longer than 20,000 characters the last 20,000 are searched. A repeat of nothing but a repeat, as in `(a+)+`, is
refused: on some answers it would take for ever.
"""

from __future__ import annotations

import re
import warnings
from functools import lru_cache
from re import _constants as codes  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

SAYS = (
    "the pattern (Python's re) is found anywhere in the answer as it came: case and blanks count unless the pattern "
    "starts with (?i) and the like; of a list, any"
)
#: Even `\d+$` takes time that grows with the square of the length, and `re` cannot be stopped.
_LONGEST = 20_000


def right(text: str, expect: Any) -> bool | None:
    patterns = [_compiled(item) for item in _items(expect) if type(item) is str]
    good = [pattern for pattern in patterns if not isinstance(pattern, str)]
    if not good:
        return None
    return any(pattern.search(text[-_LONGEST:]) for pattern in good)


def fault(expect: Any) -> str | None:
    items = _items(expect)
    if not items or not all(type(item) is str and item for item in items):
        return "expected a regular expression or a list of them"
    return next((f"bad regular expression: {why}" for item in items if isinstance(why := _compiled(item), str)), None)


def _items(expect: Any) -> list[Any]:
    value = expect.get("regex") if type(expect) is dict else expect
    return value if type(value) is list else [value]


@lru_cache(maxsize=1024)
def _compiled(text: str) -> re.Pattern[str] | str:
    """The pattern, or what is wrong with it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pattern = re.compile(text)
            endless = _endless(parser.parse(text))
    except (re.error, OverflowError, RecursionError, ValueError) as e:
        return str(e) or type(e).__name__
    return "a repeat of a repeat could take for ever; write (a+)+ as a+" if endless else pattern


def _endless(items: Any) -> bool:
    """Whether somewhere an unbounded repeat holds an unbounded repeat and nothing that must come between.

    The run (a+)+ can be cut up in 2^n ways, and a search that fails tries them all.
    """
    for code, value in items:
        if code in (codes.MAX_REPEAT, codes.MIN_REPEAT):
            if value[1] is codes.MAXREPEAT and _repeats(value[2]):
                return True
            if _endless(value[2]):
                return True
        elif code is codes.SUBPATTERN:
            if _endless(value[-1]):
                return True
        elif code is codes.BRANCH and any(_endless(branch) for branch in value[1]):
            return True
    return False


def _repeats(items: Any) -> bool:
    """Whether these are one unbounded repeat, beside what may be empty."""
    needed = [item for item in items if not (item[0] in (codes.MAX_REPEAT, codes.MIN_REPEAT) and item[1][0] == 0)]
    needed = needed or list(items)
    if len(needed) != 1:
        return False
    code, value = needed[0]
    if code is codes.SUBPATTERN:
        return _repeats(value[-1])
    if code is codes.BRANCH:
        return any(_repeats(branch) for branch in value[1])
    return code in (codes.MAX_REPEAT, codes.MIN_REPEAT) and value[1] is codes.MAXREPEAT
