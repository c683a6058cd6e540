"""What a simulated provider says: prose, or where the request wants it, JSON or a tool's arguments."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from llmfan.simulation.answers import put_into
from llmfan.simulation.fitting import fitting
from llmfan.simulation.prose import Prose
from llmfan.simulation.questions import Question
from llmfan.simulation.wants import ANY_OBJECT, Wants

#: Characters to a token of JSON, as with the prompt's text.
_PIECE = 4


class Said(Struct, frozen=True):
    """One answer. Each piece counts as a token. `tool`: it is called, and the text is its arguments.

    `plain`: no piece needs escaping.
    """

    reasoning: list[str]
    text: list[str]
    finish: str  # stop, length or tool_calls
    tool: str = ""
    plain: bool = True

    @property
    def steps(self) -> int:
        return len(self.reasoning) + len(self.text)


def say(question: Question, words: Prose, seed: int, planned: int, right: str | None) -> Said:
    """`planned`: tokens of prose, unless the cap cuts them; `right`: what it happens to know."""
    count = min(planned, question.cap)
    lower = question.model.lower()
    thinks = "oss" in lower or "reason" in lower
    thoughts = min(round(planned * 0.35), count - 1) if thinks else 0
    said = words.words(seed, count)
    if question.wants is not None:
        return _made(question.cap, question.wants, said[:thoughts], words, seed, right)
    text = [said[thoughts].lstrip(), *said[thoughts + 1 :]]
    if right is not None:
        text = put_into(text, right)
    return Said(said[:thoughts], text, "length" if planned > question.cap else "stop")


def _made(cap: int, wants: Wants, thoughts: list[str], words: Prose, seed: int, right: str | None) -> Said:
    """As with real ones the cap may cut it, so that it is no JSON any more; thinking is cut first."""
    value = (
        fitting(wants.tool.schema, seed, words) if wants.tool is not None else _json(wants.schema, words, seed, right)
    )
    if wants.tool is not None and not isinstance(value, dict):  # no schema, or one of something else: no arguments
        value = {}
    whole = msgspec.json.encode(value).decode()
    pieces = [whole[at : at + _PIECE] for at in range(0, len(whole), _PIECE)]
    called = wants.tool.name if wants.tool is not None else ""
    finish = "length" if len(pieces) > cap else "tool_calls" if called else "stop"
    return Said(thoughts[: max(0, cap - len(pieces))], pieces[:cap], finish, called, plain=False)


def _json(schema: Any, words: Prose, seed: int, right: str | None) -> Any:
    if schema != ANY_OBJECT:
        return fitting(schema, seed, words)
    return {"answer": right or "".join(words.words(seed, 8)), "simulated": True}
