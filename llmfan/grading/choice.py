"""The grader `choice`: which letter of a multiple-choice question an answer picks.

Both sides: Unicode NFKC, Markdown and LaTeX wrapping dropped, case folded, brackets around the letter and marks after
it dropped ("(B)", "B)", "B.", "**B**", "b"). The letter is, first of these that is there: the whole answer; the last
`\\boxed{…}`;
behind the last "answer is", "answer:", "correct option is"; before the last "is correct", "is the right answer"; the
last line, alone or before its text ("B) Paris"); the first line in the same way; behind the last "I choose", "option";
or the only letter that stands alone in the whole answer. "A" and "I" before a word count as letters only in brackets or
where the sentence goes on with "because" and the like. Letters that the answer rules out ("It can't be A", "A and C are
wrong") do not count, unless there are no others. Two letters offered at once ("A or B") are wrong.
"""

from __future__ import annotations

import re
from typing import Any

from llmfan.grading.conclusion import boxed
from llmfan.grading.denied import without_denied
from llmfan.grading.plain import bare, plain, unwrapped

SAYS = (
    'the letter that the answer picks (alone, in brackets, in \\boxed{}, after "answer is", before an option\'s text), '
    'case, brackets and Markdown aside; the articles "a" and "I" are no letters, and those it rules out do not '
    "count; two at once are wrong; of a list, any"
)
_EXPECTED = re.compile(r"\W*(?:(?:option|answer|choice)\b\W*)?([A-Za-z])\W*", re.IGNORECASE)
_FILL = (
    r"(?:\s*(?:is|was|be|would|should|must|therefore|thus|clearly|definitely|most|likely|probably|the|correct|right|best"
    r"|option|choice|letter|answer|number|final|indeed|simply|then|so)\b)"
)
#: One letter that stands for an option. What follows an A or an I must not make a word of a sentence of it.
_LETTER = (
    r"(?P<open>[(\[]\s*)?(?<![\w'])(?P<letter>[A-Za-z])(?![\w'])(?(open)\s*[)\]])"
    r"(?P<more>\s*(?:,|/|&|\bor\b|\band\b)\s*(?:option\s+)?[(\[]?(?:[B-HJ-Z](?![\w'])|[AI](?![\w'])(?!\s+\w))[)\]]?)?"
)
_STATED = re.compile(
    r"(?:<answer>|\b(?:answer|solution)\b|\b(?:correct|right|best|final)\s+(?:option|choice|one|letter|answer)\b"
    r"|答案)(?:\s+(?:to|for)\s[^\n.:]{1,60}?(?=\sis\b|:))?[^\w(\[\n]{0,6}"
    + _FILL
    + r"{0,8}[^\w(\[]{0,8}是?[^\w(\[]{0,4}"
    + _LETTER,
    re.IGNORECASE,
)
_CONFIRMED = re.compile(
    _LETTER
    + r"[^\w\n]{0,4}\s(?:is|are|was|would\s+be|must\s+be)\s+"
    + r"(?:(?:the|clearly|most|likely)\s+){0,3}(?:correct|right|best|answer)\b",
    re.IGNORECASE,
)
_CHOSEN = re.compile(
    r"\b(?:choose|chose|choosing|pick|picked|select|go\s+with|going\s+with|option|choice)\b[^\w(\[\n]{0,4}"
    + _FILL
    + r"{0,4}[^\w(\[\n]{0,4}"
    + _LETTER,
    re.IGNORECASE,
)
_LINE = re.compile(
    r"\s*(?:[-*•>#]+\s+)?(?:option\s+)?" + _LETTER + r"(?:\s*$|\s*[).:\]—-](?!\w)|(?(open)\s|(?!)))", re.IGNORECASE
)
_ALONE = re.compile(_LETTER)
_GOES_ON = re.compile(r"\s+(?:because|since|as|for|due|given|based|which|by|is|was)\b|\s*(?:[^\w\s]|$)|\s*\n")


def right(text: str, expect: Any) -> bool | None:
    accepted = {letter for item in _items(expect) if (letter := _expected(item))}
    return find(text) in accepted if accepted else None


def fault(expect: Any) -> str | None:
    items = _items(expect)
    if not items or not all(_expected(item) for item in items):
        return "expected a letter of a choice, such as B or (B)"
    return None


def is_choice(text: str) -> bool:
    """Whether a text is one letter, with or without brackets or a mark after it, and nothing else."""
    short = text.strip()
    return len(short) <= 5 and re.fullmatch(r"[(\[]?\s?[A-Za-z]\s?[)\].:]?", short) is not None


def find(text: str) -> str | None:
    """The picked letter in upper case; None where there is none, or more than one."""
    text = unwrapped(plain(text)).strip()
    whole = _EXPECTED.fullmatch(text) if len(text) <= 40 else None
    if whole:
        return whole[1].upper()
    if (box := boxed(text)) is not None and (inside := _EXPECTED.fullmatch(unwrapped(box))):
        return inside[1].upper()
    chosen, named = without_denied(text)
    return _picked(chosen if _ALONE.search(chosen) else named)


def _picked(text: str) -> str | None:
    for pattern in (_STATED, _CONFIRMED):
        if found := _last(pattern, text):
            return _letter(found)
    lines = [line for line in text.splitlines() if line.strip()]
    starts = [found for line in (lines[-1:] + lines[:1]) if (found := _LINE.match(line)) and _meant(found)]
    if starts and len({_letter(found) for found in starts}) == 1:
        return _letter(starts[0])
    if starts and len(lines) > 1 and _LINE.match(lines[-1]) and len(bare(lines[-1])) <= 3:
        return _letter(starts[0])
    if found := _last(_CHOSEN, text):
        return _letter(found)
    letters = {_letter(found) for found in _ALONE.finditer(text) if _meant(found)}
    return letters.pop() if len(letters) == 1 else None


def _items(expect: Any) -> list[Any]:
    value = expect.get("choice") if type(expect) is dict else expect
    return value if type(value) is list else [value]


def _expected(item: Any) -> str | None:
    found = _EXPECTED.fullmatch(unwrapped(plain(item))) if type(item) is str and len(item) <= 40 else None
    return found[1].upper() if found else None


def _last(pattern: re.Pattern[str], text: str) -> re.Match[str] | None:
    good = [found for found in pattern.finditer(text) if _meant(found)]
    return good[-1] if good else None


def _letter(found: re.Match[str]) -> str | None:
    """The letter, or None where another is offered beside it."""
    return None if found["more"] else found["letter"].upper()


def _meant(found: re.Match[str]) -> bool:
    """Whether this is an option and no word: "A dog", "I think", "a" and other lower-case letters without brackets."""
    letter, rest = found["letter"], found.string[found.end("letter") : found.end("letter") + 20]
    if found["open"] or (letter.isupper() and letter not in "AI"):
        return True
    return _GOES_ON.match(rest) is not None and (letter.isupper() or found.re is not _ALONE)
