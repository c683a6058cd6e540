"""The grader `number`: the number an answer ends on, whatever its units, separators and decoration.

Which number: the one after the last `####` if hardly more stands on that line (`####` is a heading as well); else the
last in the last `\\boxed{…}`; else the first after the last "answer is" or "answer:" (after its last `=`, if the clause
has one), since "The answer is 18. (A week has 7 days.)" means 18; else the last number of all that is not the number of
a list's item. Numbers within words (H2O, GPT-4), ranges (3-5), dates and times are none. A range as the answer names no
number, so it is wrong.

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
from llmfan.grading.numerals import Numeral, numerals, readable

SAYS = (
    'the number after ####, in \\boxed{}, or after "answer is", else the last one; separators, currency, units, '
    "fractions, percent signs, ordinals, Markdown and LaTeX are read as people write them; whole numbers must "
    "be equal, others within 0.000001 of the expected one (a share), or within the expect's own tolerance"
)
_CLAUSE_END = re.compile(r"[.!?](?=\s|$)|[;(]|,?\s(?:because|since|as|given|where|which)\b", re.IGNORECASE)
_EPSILON = Fraction(1, 10**6)


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
    text = readable(text)
    tail = hashed(text)
    if tail is not None and (found := _alone(tail)):
        return found
    box = boxed(text)
    if box is not None and (inside := list(numerals(box))):
        return inside[-1]
    for statement in stated(text):
        if found := _said(statement):
            return found
    every = list(numerals(text))
    return next((n for n in reversed(every) if not n.item), every[-1] if every else None)


def _alone(line: str) -> Numeral | None:
    """The number of a line that has little else: "18", "$18", "18 dollars a day", not "2. Add them up"."""
    found = list(numerals(line))
    fits = len(found) == 1 and not found[0].item and found[0].start <= 2 and len(line) - found[0].end <= 30
    return found[0] if fits else None


def _said(statement: str) -> Numeral | None:
    clause = statement[: end.start()] if (end := _CLAUSE_END.search(statement)) else statement
    equals = clause.rfind("=")
    if equals >= 0 and (result := next(numerals(clause[equals + 1 :]), None)):
        return result
    return next(numerals(clause), None)


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
