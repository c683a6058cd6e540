"""Numerals in running text: every way in which people and models write a number."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

from llmfan.grading.plain import plain

#: Letters of scripts that part words by blanks. In others a number may touch the word before it.
_LETTER = "A-Za-z_\u00b5-\u024f\u0370-\u052f"
_MONEY = "$€£¥₹₩₽₺₫฿¢"
_NUM = r"\d++(?:[.,]\d++)*+"
#: Possessive throughout: a run of digits is taken whole or not at all, so that 100 kB of them cost one look.
_TOKEN = re.compile(
    rf"""
      ^[ \t]*+(?P<item>\d{{1,3}})[.)](?=[ \t]+\S)                      # "2. " of a list
    | [{_LETTER}]++(?:-?\d[{_LETTER}\d.,]*+)?+                         # a word, and H2O, GPT-4, x1
    | \^\{{?-?\d++\}}?                                                 # cm^2
    | {_NUM}(?:[-:]{_NUM})++ | {_NUM}(?:/{_NUM}){{2,}}+                # 3-5, 10:30, 2024-05-06, 1/2/2024
    | (?P<minus>(?<![{_LETTER}\d)\]}}%])-[{_MONEY}]?(?=[\d.])|[{_MONEY}]-(?=[\d.]))?+
      (?: (?P<whole>\d++)\ (?:and\ )?(?P<over>\d++)/(?P<under>\d++)    # 1 1/2
        | (?P<core>\d++(?:[.,'_]\d++|\ \d{{3}}(?!\d))*+|\.\d++)
          (?:[eE](?P<exp>[+-]?\d{{1,3}})(?![\d{_LETTER}]))?+
          (?:\s?[×x*·]\s?10\^\{{?(?P<ten>[+-]?\d{{1,3}})\}}?(?!\d))?+
          (?:\^\{{?(?P<power>\d{{1,2}})\}}?(?!\d))?+
          (?:\s?/\s?(?P<part>\d++(?:\.\d++)?+))?+ )
      (?P<scale>\s?%|\s?(?i:percent|per\ cent|pct)\b|[\ -]?(?i:hundred|thousand|million|billion|trillion|dozen)\b
        |(?:[kKMB]|bn)(?![{_LETTER}\d]))?+
    """,
    re.VERBOSE | re.MULTILINE,
)
_SCALES = {
    "%": Fraction(1, 100), "percent": Fraction(1, 100), "per cent": Fraction(1, 100), "pct": Fraction(1, 100),
    "dozen": Fraction(12), "hundred": Fraction(100), "thousand": Fraction(10**3), "k": Fraction(10**3),
    "million": Fraction(10**6), "m": Fraction(10**6), "billion": Fraction(10**9), "b": Fraction(10**9),
    "bn": Fraction(10**9), "trillion": Fraction(10**12),
}  # fmt: skip
_PLAIN = re.compile(r"\d*\.\d+|\d+")
_GROUPED = re.compile(r"[1-9]\d{0,2}(?:,\d{3})+(?:\.\d+)?|[1-9]\d?(?:,\d{2})+,\d{3}(?:\.\d+)?")
_DOTTED = re.compile(r"[1-9]\d{0,2}(?:(?:\.\d{3}){2,}(?:,\d+)?|\.\d{3},\d+)")
_PARTED = re.compile(r"[1-9]\d{0,2}(?:([ '_])\d{3})(?:\1\d{3})*(?:[.,]\d+)?")
_COMMA = re.compile(r"\d+,\d+")
#: Nobody means a longer one as a number.
_LONGEST = 400

_FRACTION = re.compile(r"(\d?)\s*\\[dtc]?frac\s*\{\s*(-?[\d.]{1,40})\s*\}\s*\{\s*([\d.]{1,40})\s*\}")
_VULGAR = re.compile("(?<=\\d)\\s?(?=[\u00bc-\u00be\u2150-\u215e\u2189])")
_RAISED = re.compile("(?<=\\d)(?=[⁰¹²³⁴-⁹⁻])")
_SAID_NEGATIVE = re.compile(
    rf"(?:\bnegative\s+|(?:\A|\b(?:is|be|was|equals)|[:=])\s*\bminus\s+)(?=[{_MONEY}]?\d)", re.I
)


class Numeral(NamedTuple):
    """One number of a text: as written, what a word or sign after it makes of it (% is 1/100), and where it stands."""

    written: Fraction
    factor: Fraction | None
    start: int
    end: int
    item: bool = False


def readable(text: str) -> str:
    """The text as `numerals` wants it: signs, fractions and spaces in one spelling each, no Markdown, no LaTeX."""
    if not text.isascii():
        text = _RAISED.sub("^", _VULGAR.sub(" ", text))
    text = plain(text)
    if not text.isascii():
        text = "".join(c if c.isascii() or not c.isdecimal() else str(unicodedata.decimal(c)) for c in text)
        text = text.replace("٫", ".").replace("٬", ",")
    if "\\" in text:
        text = _FRACTION.sub(lambda m: f"{m[1]} {m[2]}/{m[3]}" if m[1] else f"{m[2]}/{m[3]}", text)
        text = text.replace("\\times", "×").replace("\\cdot", "×").replace("\\$", "$").replace("\\%", "%")
        text = re.sub(r"(?<=\d)(?:\\[,;:! ]|\\thinspace)(?=\d{3})", " ", text)
    return _SAID_NEGATIVE.sub("-", text.replace("{,}", ","))


def numerals(text: str) -> Iterator[Numeral]:
    """Every number of a readable text in its order. Numbers in words, ranges, dates and times are none."""
    for found in _TOKEN.finditer(text):
        if found["item"] is not None:
            yield Numeral(Fraction(int(found["item"])), None, found.start("item"), found.end(), item=True)
        elif found["whole"] is not None or found["core"] is not None:
            value = _value(found)
            if value is not None:
                scale = found["scale"]
                factor = _SCALES[scale.strip(" -\t\n").lower()] if scale else None
                yield Numeral(-value if found["minus"] else value, factor, found.start(), found.end())


def _value(found: re.Match[str]) -> Fraction | None:
    if found.end() - found.start() > _LONGEST:
        return None
    if found["whole"] is not None:
        under = int(found["under"])
        return int(found["whole"]) + Fraction(int(found["over"]), under) if under else None
    value = _core(found["core"])
    if value is None:
        return None
    value *= Fraction(10) ** (int(found["exp"] or 0) + int(found["ten"] or 0))
    if found["power"]:
        if found["exp"] or found["ten"] or len(found["core"]) > 20:
            return None
        value = value ** int(found["power"])
    if found["part"]:
        part = Fraction(found["part"])
        return value / part if part else None
    return value


def _core(text: str) -> Fraction | None:
    """Digits and separators into a value. A dot alone is the decimal point and three digits after a comma are
    thousands (`1.234`, `1,234`); `1.234,5`, `12,5`, `1 234` and `12,34,567` can mean one thing only.
    """
    if _PLAIN.fullmatch(text):
        return Fraction(text)
    if _GROUPED.fullmatch(text):
        return Fraction(text.replace(",", ""))
    if _DOTTED.fullmatch(text):
        return Fraction(text.replace(".", "").replace(",", "."))
    if parted := _PARTED.fullmatch(text):
        return Fraction(text.replace(parted[1], "").replace(",", "."))
    if _COMMA.fullmatch(text):
        return Fraction(text.replace(",", "."))
    for separator in (" ", ","):  # a list without blanks, or a year before a count: the last one stands
        head, mark, last = text.rpartition(separator)
        if mark and head:
            return _core(last)
    return None
