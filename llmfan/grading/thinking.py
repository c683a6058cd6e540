"""Reasoning that a model wrote before its answer, taken off."""

from __future__ import annotations

_TAGS = ("think", "thinking", "thought", "reasoning")


def answer_of(text: str) -> str:
    """The text after a leading `<think>…</think>`.

    Two cases beside the plain one: a chat template that opens the block itself leaves only the closing tag, and an
    answer cut off in its reasoning has no answer at all.
    """
    for tag in _TAGS:
        opening, closing = f"<{tag}>", f"</{tag}>"
        start = text.lstrip()
        if start.startswith(opening):
            return start.partition(closing)[2].lstrip()
        if tag == "think" and closing in text:
            return text.partition(closing)[2].lstrip()
    return text
