"""What the simulated fleet is told of the right answers, so that a simulated accuracy is neither 0 nor 100 %.

A made-up figure like its latencies: each provider knows a share of the answers that is drawn once. What was sent is
recognised by its body, as the far end of a real run would see no expected answer at all.
"""

from __future__ import annotations

import zlib
from collections import OrderedDict
from random import Random
from typing import Any

#: Requests remembered: more than can be in flight at once.
KEPT = 8192
#: The share of the answers that a provider knows lies between these.
LEAST, MOST = 0.6, 0.97
#: These would have to be escaped, and a simulated fleet writes its events by hand.
_UNSAFE = frozenset('"\\')
_STATED = "The answer is"


class Answers:
    """`tell` notes what a request's right answer is; `known` gives it to a provider that happens to know it."""

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed
        self._expected: OrderedDict[int, str] = OrderedDict()

    def tell(self, body: bytes, expect: Any) -> None:
        text = spoken(expect)
        if text is None:
            return
        self._expected[zlib.crc32(body)] = text
        if len(self._expected) > KEPT:
            self._expected.popitem(last=False)

    def known(self, provider: str, question: int) -> str | None:
        """`question`: the checksum of the request's body."""
        text = self._expected.get(question)
        if text is None:
            return None
        skill = Random(f"{self._seed}/{provider}/skill").uniform(LEAST, MOST)
        return text if Random(f"{self._seed}/{provider}/{question}").random() < skill else None


def put_into(words: list[str], answer: str) -> list[str]:
    """A number is said at the end of an answer; a text that is expected is the whole of one. A piece is a token."""
    if answer.startswith(_STATED) and len(words) > 1:
        return [*words[:-1], f" {answer}"]
    first, *others = answer.split()
    return [first, *(f" {word}" for word in others)]


def spoken(expect: Any) -> str | None:
    """How somebody who knows it would say it; None where that takes more than a word or a number."""
    if isinstance(expect, bool):
        return "yes" if expect else "no"
    if isinstance(expect, int | float):
        return f"{_STATED} {expect}."
    if isinstance(expect, list) and expect:
        return spoken(expect[0])
    if isinstance(expect, dict) and len(expect) == 1:
        (form, value), *_ = expect.items()
        return spoken(value) if form in ("number", "choice", "contains", "exact") else None
    if not isinstance(expect, str) or not expect.strip():
        return None
    _, mark, tail = expect.rpartition("####")
    text = f"{_STATED} {tail.strip()}." if mark else expect
    return text if text.isascii() and text.isprintable() and not _UNSAFE & set(text) else None
