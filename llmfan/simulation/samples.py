"""Texts that a simple regular expression accepts: how an error row's own pattern becomes an error message.

Understands what such rows use (literals, classes, groups, alternatives, repeats). Every text is checked against the
pattern, so one that needs more yields nothing rather than something wrong.
"""

from __future__ import annotations

import re
from itertools import islice, product

MOST = 48
#: What stands for any digit.
DIGIT = "7"
_CLASSES = {"d": DIGIT, "w": "x", "s": " ", "S": "x", "D": "x", "W": " ", "b": "", "B": "", "A": "", "Z": "", "n": "\n"}


def samples(pattern: str, full: bool = False) -> list[str]:
    """Texts that the pattern is found in (`full`: that it matches whole), at most a few dozen."""
    try:
        texts, _ = _alternatives(pattern, 0)
        fits = re.compile(pattern).fullmatch if full else re.compile(pattern).search
    except (re.error, IndexError, ValueError):
        return []
    return [t for t in dict.fromkeys(texts) if fits(t)]


def _alternatives(text: str, at: int) -> tuple[list[str], int]:
    found: list[str] = []
    while True:
        branch, at = _sequence(text, at)
        found += branch
        if at >= len(text) or text[at] != "|":
            return found[:MOST], at
        at += 1


def _sequence(text: str, at: int) -> tuple[list[str], int]:
    parts: list[list[str]] = []
    while at < len(text) and text[at] not in "|)":
        part, at = _atom(text, at)
        part, at = _repeat(text, at, part)
        parts.append(part)
    return ["".join(p) for p in islice(product(*parts), MOST)], at


def _atom(text: str, at: int) -> tuple[list[str], int]:
    mark = text[at]
    if mark == "(":
        return _group(text, at)
    if mark == "[":
        return _choice(text, at)
    if mark == "\\":
        return [_CLASSES.get(text[at + 1], text[at + 1])], at + 2
    if mark in "^$":
        return [""], at + 1
    return [" " if mark == "." else mark], at + 1


def _group(text: str, at: int) -> tuple[list[str], int]:
    head = re.compile(r"\(\?(?:[aimsx]+\)|(?:[aimsx]*:|P<\w+>)|<?[=!])|\(").match(text, at)
    if head is None:
        raise ValueError(text)
    if head[0].startswith("(?") and head[0].endswith(")"):  # flags alone, as in (?i)
        return [""], head.end()
    inner, end = _alternatives(text, head.end())
    if text[end] != ")":
        raise ValueError(text)
    looks = head[0][-1] in "=!" and head[0] != "("
    return [""] if looks else inner, end + 1


def _choice(text: str, at: int) -> tuple[list[str], int]:
    end = text.index("]", at + 2)
    inside = text[at + 1 : end]
    first = "x" if inside[0] == "^" else _CLASSES.get(inside[1], inside[1]) if inside[0] == "\\" else inside[0]
    return [first], end + 1


def _repeat(text: str, at: int, part: list[str]) -> tuple[list[str], int]:
    mark = re.compile(r"([*+?]|\{(\d+)(?:,\d*)?\})[?+]?").match(text, at)
    if mark is None:
        return part, at
    if mark[1] == "?":
        part = [*part, ""]
    elif mark[1] == "*":
        part = [" ", ""] if part == [" "] else [""]
    elif mark[2]:
        part = [p * int(mark[2]) for p in part]
    return part, mark.end()
