"""What an answer rules out: "It can't be A", "A and C are wrong", "not 18". What is named there is not the answer."""

from __future__ import annotations

import re

_ONE = r"(?<![\w'])[(\[]?(?-i:[A-Z])(?![\w'])[)\]]?"
#: "A", "A and B", "A, B, and C"; but "B, and C" are two clauses, and so may be "B, C".
_LIST = rf"{_ONE}(?:(?:,\s?{_ONE}){{1,8}},?\s(?:and|or|nor|&)\s{_ONE}|(?:\s(?:and|or|nor|&)\s|\s?/\s?){_ONE})?"
_SURELY = r"(?:(?:both|all|each|also|clearly|obviously|simply|definitely|certainly|surely|actually|probably)\s){0,2}"
_BAD = (
    rf"{_SURELY}(?:not\b(?!\s(?:only|just|merely))|wrong|incorrect|false|untrue|invalid|inaccurate|impossible"
    r"|out\b|ruled\sout|eliminated|excluded)"
)
_MANY = (
    rf"{_SURELY}(?:(?:are|were|seem|look)\s{_BAD}|(?:are|were|can|ca|do|did|would|could|wo|must|should)n't\b|cannot\b"
    rf"|(?:can|could|do|did|would|will|must|should)\snot\b|can\s{_SURELY}be\s(?:ruled\sout|eliminated|excluded|discarded))"
)
_SINGLE = rf"{_SURELY}(?:(?:is|was|seems|looks)\s{_BAD}|(?:is|was|does)n't\b|(?:does|has)\snot\b)"
_RULED_OUT = re.compile(rf"(?:{_LIST}|{_ONE}(?:,\s?{_ONE}){{1,8}})\s{_MANY}|{_ONE}\s{_SINGLE}", re.IGNORECASE)
_NOT = re.compile(
    r"(?:\bnot|n't|\bcannot|\brather\sthan|\binstead\sof|\bunlike|\bneither|\bnor"
    r"|\beliminat(?:e|es|ed|ing)|\brul(?:e|es|ed|ing)\sout|\bexclud(?:e|es|ed|ing)|\bdiscard(?:s|ed|ing)?)\s"
    rf"(?:(?:be|either|the|answer|options?|choices?)\s){{0,3}}{_LIST}",
    re.IGNORECASE,
)
_NOT_THIS = re.compile(
    r"(?:\bnot|n't|\bneither|\bnor)\s(?:be\s|equal\s(?:to\s)?|simply\s|about\s)?[$€£¥]?\Z", re.IGNORECASE
)
_NEGATIONS = re.compile(r"not\b|n't|neither|nor\b", re.IGNORECASE)
_OR = re.compile(r"\s?,?\s?n?or\s[$€£¥]?", re.IGNORECASE)


def without_denied(text: str) -> tuple[str, str]:
    """The text without the letters of a choice that it rules out; and with those that it calls wrong left in.

    The second is for a question that asks which is wrong.
    """
    left = _NOT.sub("…", text)
    return _RULED_OUT.sub("…", left), left


def denies(text: str) -> bool:
    """Whether there is any negation in a text; to look for one at every number would take long."""
    return _NEGATIONS.search(text) is not None


def denied(text: str, start: int) -> bool:
    """Whether what begins there comes behind a "not"."""
    return _NOT_THIS.search(text[max(0, start - 24) : start]) is not None


def either(between: str) -> bool:
    """Whether the text between two numbers makes them two at once: "18 or 19"."""
    return _OR.fullmatch(between) is not None
