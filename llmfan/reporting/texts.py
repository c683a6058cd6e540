"""Keeps a page small: however long the texts are, together they take no more than so many bytes of it."""

from __future__ import annotations

import re
from collections.abc import Iterable

import msgspec

#: Bytes of a page that the texts of its rows may take, escaped as JSON in HTML is.
BUDGET = 2_000_000
_encode = msgspec.json.Encoder().encode
#: What a page writes as `\u003c`, lest it be read as HTML.
_ESCAPED = re.compile("[<>&\u2028\u2029]")


def cost(text: str) -> int:
    """Its bytes in the page."""
    return len(_encode(text)) + 5 * len(_ESCAPED.findall(text))


def level(texts: Iterable[str], budget: int) -> int | None:
    """The most bytes each may have so that all fit; None where all fit as they are.

    Short ones leave their share to longer ones, so an ordinary prompt is whole beside a huge answer.
    """
    costs = sorted(cost(text) for text in texts)
    if sum(costs) <= budget:
        return None
    left = budget
    for i, each in enumerate(costs):
        share = left // (len(costs) - i)
        if each > share:
            return share
        left -= each
    return None


def cut(text: str, most: int) -> str:
    """Its beginning, of at most `most` bytes in the page."""
    there = cost(text)
    while there > most and text:
        text = text[: min(len(text) - 1, len(text) * most // there)]
        there = cost(text)
    return text
