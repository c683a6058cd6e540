"""Where an answer says that it now gives its answer: `#### 18`, `\\boxed{18}`, "The answer is 18"."""

from __future__ import annotations

import re
from collections.abc import Iterator

_STATED = re.compile(
    r"<answer>\s*"
    r"|\banswers?\b[\"'*_)\]]*"
    r"(?:\s+(?:to|for|of|in)\s[^\n.:=]{1,80}?(?=\s(?:is|was|are|equals)\b|[:=]))?"
    r"(?:,?\s+(?:therefore|thus|then|so|hence)\b,?)?"
    r"\s*(?:[:=]|\b(?:is|was|are|equals|(?:would|will|must|should)\sbe|comes\sto)\b(?:\s*(?:therefore|thus|simply|then)\b)?)"
    r"[\s:=]*",
    re.IGNORECASE,
)
_BRACE = re.compile(r"[{}]")
#: Longer tails hold more than an answer; and many statements of one are a model gone round in circles.
_TAIL = 240
_STATEMENTS = 20


def boxed(text: str) -> str | None:
    r"""What stands in the last `\boxed{…}`, brackets inside it included; None without one."""
    at = text.rfind("\\boxed{")
    if at < 0:
        return None
    start, depth = at + len("\\boxed{"), 1
    for brace in _BRACE.finditer(text, start):
        depth += 1 if brace[0] == "{" else -1
        if depth == 0:
            return text[start : brace.start()]
    return text[start : start + _TAIL].partition("\n")[0]  # cut off before it closed


def hashed(text: str) -> str | None:
    """The rest of the line after the last `####`; None without one."""
    _, mark, tail = text.rpartition("####")
    return tail.partition("\n")[0].strip() if mark else None


def stated(text: str) -> Iterator[str]:
    """What follows "the answer is" and "answer:" up to the line's end, the last statement first."""
    ends = [found.end() for found in _STATED.finditer(text)]
    for end in reversed(ends[-_STATEMENTS:]):
        line = text[end : end + _TAIL].partition("\n")[0]
        yield line.partition("</answer>")[0].strip()
