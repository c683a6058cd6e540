"""The grader `number`: the number an answer ends on, whatever its units, separators and decoration.

Which number: the one after the last `####` if hardly more stands on that line (`####` is a heading as well); else the
last in the last `\\boxed{…}`; else the first after the last "answer is" or "answer:" (after its last `=`, if the clause
has one), since "The answer is 18. (A week has 7 days.)" means 18; else the last number of all that is not the number of
a list's item, nor in an aside behind another number ("42 (see page 3)"). Numbers within words (H2O, GPT-4), ranges
(3-5), dates, times, powers of units (cm^2), footnotes (42[1]) and what comes behind a "not" are none. A range as the
answer names no number, so it is wrong; so are two at once ("18 or 19").

Equal: two whole numbers where they are the same; others within a millionth of the expected one, or within `tolerance`
(a share of it; absolute where it is 0) or `within` (absolute) of `{"number": 18, "tolerance": 0.01}`. A percent sign or
a word such as "million" on one side only may count or not: 50% is 50 and 0.5, "5 million" is 5 and 5000000.
"""

from __future__ import annotations

import math
import re
from fractions import Fraction
from typing import Any

from llmfan.grading.conclusion import boxed, hashed, stated
from llmfan.grading.denied import denied, denies, either
from llmfan.grading.numerals import Numeral, numerals, readable

SAYS = (
    'the number after ####, in \\boxed{}, or after "answer is", else the last one; separators, currency, units, '
    "fractions, percent signs, ordinals, Markdown and LaTeX are read as people write them; whole numbers must "
    "be equal, others within 0.000001 of the expected one (a share), or within the expect's own tolerance; two at once "
    '("18 or 19") are wrong'
)
_CLAUSE_END = re.compile(r"[.!?](?=\s|$)|[;(]|,?\s(?:because|since|as|given|where|which)\b", re.IGNORECASE)
_EPSILON = Fraction(1, 10**6)
#: What stands before an aside, and what makes a bracket one: it speaks of something else than the result.
_COUNTED = re.compile(r"\d[.,]?\s?%?(?:[^\W\d]+\s?){0,2}\Z")
_CONCLUDES = re.compile(
    r"=|\b(?:so|thus|hence|total|i\.?e|that\sis|equals?|giving|making|answer|result|or)\b", re.IGNORECASE
)
_ASIDE = 80
#: Two numbers offered at once: equal to nothing.
_TWO = Numeral(Fraction(0), None, -1, -1)


def right(text: str, expect: Any, tolerance: float | None = None) -> bool | None:
    accepted = _accepted(expect)
    if not accepted:
        return None
    got = find(text)
    if got is None:
        return False
    own, within = _leeway(expect)
    share = own if own is not None else tolerance
    return any(_same(want, got, share, within) for want in accepted)


def fault(expect: Any) -> str | None:
    value = expect["number"] if type(expect) is dict and "number" in expect else expect
    if type(value) is dict:
        return "expected a number, got an object"
    if type(value) is list and not value:
        return "expected a number, got an empty list"
    if not all(_wanted(item) for item in (value if type(value) is list else [value])):
        return "expected a number, or text that holds one"
    if type(expect) is dict:
        for name in ("tolerance", "within"):
            leeway = expect.get(name)
            if leeway is not None and not (type(leeway) in (int, float) and 0 <= leeway < math.inf):
                return f"{name}: expected a number from 0 up"
    return None


def is_number(text: str) -> bool:
    """Whether a text is a number and nothing else. Digits behind a needless 0 are a code (007), not a number."""
    short = text.strip()
    if not short or len(short) > 60 or not any(c.isnumeric() for c in short):
        return False
    if len(short) > 1 and short[0] == "0" and short.isdigit():
        return False
    clean = readable(short).strip(" $€£¥₹.").strip()
    found = list(numerals(clean))
    return len(found) == 1 and found[0].start == 0 and found[0].end == len(clean)


def find(text: str) -> Numeral | None:
    """The number that a text gives as its answer."""
    found = _found(readable(text))
    return None if found is _TWO else found


def _found(text: str) -> Numeral | None:
    tail = hashed(text)
    if tail is not None and (found := _alone(tail)):
        return found
    box = boxed(text)
    if box is not None and (inside := _numbers(box)):
        return _chosen(box, inside, inside[-1])
    for statement in stated(text):
        if found := _said(statement):
            return found
    every = _numbers(text)
    plain = [n for n in reversed(every) if not n.item]
    last = next((n for n in plain if not _in_aside(text, n)), None) or next(iter(plain or reversed(every)), None)
    return _chosen(text, every, last) if last else None


def _numbers(text: str) -> list[Numeral]:
    """The numbers of a text but for those it denies, and for footnotes if there are others."""
    every = list(numerals(text))
    if denies(text):
        every = [n for i, n in enumerate(every) if not _denied(text, every, i)]
    if "[" in text:
        every = [n for n in every if not _footnote(text, n)] or every
    return every


def _denied(text: str, every: list[Numeral], i: int) -> bool:
    """ "not 18", and the 19 of "not 18 or 19"."""
    first = i
    while first > max(0, i - 4) and either(text[every[first - 1].end : every[first].start]):
        first -= 1
    return denied(text, every[first].start)


def _footnote(text: str, n: Numeral) -> bool:
    """Whether this is a 1 as in "42[1]" or "42 [1]"; that of "The answer is [1]" is none."""
    start, end = n.start - 1, n.end
    if start < 1 or end - start > 3 or text[start] != "[" or text[end : end + 1] != "]":
        return False
    before = text[start - 1]
    return text[start - 2 : start - 1].isdigit() if before.isspace() else before not in "$([={"


def _in_aside(text: str, n: Numeral) -> bool:
    """Whether this stands in brackets behind a number, in words that are no conclusion: "42 (see page 3)"."""
    opening = text.rfind("(", max(0, n.start - _ASIDE), n.start)
    if opening < 0 or ")" in text[opening : n.start] or not text[opening + 1].isalpha():
        return False
    closing = text.find(")", n.end, n.end + _ASIDE)
    inside = text[opening + 1 : closing if closing >= 0 else n.end]
    return _COUNTED.search(text[max(0, opening - 24) : opening]) is not None and not _CONCLUDES.search(inside)


def _chosen(text: str, numbers: list[Numeral], one: Numeral) -> Numeral:
    """This number, or `_TWO` where another is offered in its place."""
    at = numbers.index(one)
    for left, right in zip(numbers[max(0, at - 1) : at + 1], numbers[max(1, at) : at + 2], strict=False):
        if left.written != right.written and either(text[left.end : right.start]):
            return _TWO
    return one


def _alone(line: str) -> Numeral | None:
    """The number of a line that has little else: "18", "$18", "18 dollars a day", not "2. Add them up"."""
    found = _numbers(line)
    fits = len(found) == 1 and not found[0].item and found[0].start <= 2 and len(line) - found[0].end <= 30
    return found[0] if fits else None


def _said(statement: str) -> Numeral | None:
    clause = statement[: end.start()] if (end := _CLAUSE_END.search(statement)) else statement
    equals = clause.rfind("=")
    for part in (clause[equals + 1 :], clause) if equals >= 0 else (clause,):
        if numbers := _numbers(part):
            return _chosen(part, numbers, numbers[0])
    return None


def _accepted(expect: Any) -> list[Numeral]:
    value = expect.get("number") if type(expect) is dict else expect
    wanted = [_wanted(item) for item in (value if type(value) is list else [value])]
    return [one for one in wanted if one is not None]


def _wanted(value: Any) -> Numeral | None:
    if type(value) is int or (type(value) is float and math.isfinite(value)):
        return Numeral(Fraction(str(value)) if type(value) is float else Fraction(value), None, 0, 0)
    if type(value) is not str:
        return None
    if len(value) <= 18 and value.isascii() and value.isdigit():  # most prompt sets have nothing else
        return Numeral(Fraction(int(value)), None, 0, len(value))
    if "####" in value:
        tail = list(numerals(readable(hashed(value) or "")))
        return tail[0] if tail else None
    return find(value)


def _leeway(expect: Any) -> tuple[float | None, float | None]:
    return (expect.get("tolerance"), expect.get("within")) if type(expect) is dict else (None, None)


def _same(want: Numeral, got: Numeral, share: float | None, within: float | None) -> bool:
    pairs = [(want.written, got.written)]
    if want.factor is not None and got.factor is not None:
        pairs = [(want.written * want.factor, got.written * got.factor)]
    elif want.factor is not None:
        pairs.append((want.written * want.factor, got.written))
    elif got.factor is not None:
        pairs.append((want.written, got.written * got.factor))
    return any(_close(one, other, share, within) for one, other in pairs)


def _close(want: Fraction, got: Fraction, share: float | None, within: float | None) -> bool:
    if want == got:
        return True
    if share is None and within is None:
        whole = want.denominator == got.denominator == 1
        return not whole and abs(want - got) <= _EPSILON * (abs(want) or 1)
    leeway = Fraction(share or 0) * (abs(want) or 1)
    return abs(want - got) <= max(leeway, Fraction(within or 0)) * (1 + Fraction(1, 10**9))
