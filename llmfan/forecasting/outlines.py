"""A prompt set as a forecast needs it: how long each prompt is, and nothing of what it says."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator

from llmfan.records import Message, Prompt
from llmfan.scheduling.jobs import Job

_Shape = tuple[int, int | None, tuple[int, ...]]


class Outlines:
    """Four bytes a prompt: which of a few hundred blank prompts it is like, in length, cap and turns."""

    def __init__(self, prompts: Iterable[Prompt]):
        self._blanks: list[Prompt] = []
        self._places: dict[_Shape, int] = {}
        self._order = array("I")
        for prompt in prompts:
            turns = tuple(_rounded(_length([turn])) for turn in prompt.turns) if prompt.turns else ()
            shape = (_rounded(_length(prompt.messages)), prompt.max_tokens, turns)
            place = self._places.get(shape)
            if place is None:
                place = self._places[shape] = len(self._blanks)
                self._blanks.append(_blank(shape))
            self._order.append(place)
        self.mean_size = self._mean_size()

    def __len__(self) -> int:
        return len(self._order)

    def __iter__(self) -> Iterator[Prompt]:
        return map(self._blanks.__getitem__, self._order)

    def _mean_size(self) -> float:
        """Characters of a prompt, as the estimator counts them."""
        counts = Counter(self._order)
        sizes = {place: Job(blank).size() for place, blank in enumerate(self._blanks)}
        total = sum(n * sizes[place] for place, n in counts.items())
        return total / max(1, len(self._order))


def _length(messages: list[Message]) -> int:
    """Characters that one message would have to have to count as much as these."""
    if len(messages) == 1 and isinstance(content := messages[0].get("content"), str):
        return len(content)
    return max(0, Job(Prompt(id="", index=0, messages=messages)).size() - 8)


def _rounded(length: int) -> int:
    """To within 0.4 %, so that few lengths differ."""
    spare = max(0, length.bit_length() - 8)
    return (length + (1 << spare >> 1)) >> spare << spare


def _blank(shape: _Shape) -> Prompt:
    length, max_tokens, turns = shape
    return Prompt(
        id="", index=0, messages=[_says(length)], turns=[_says(turn) for turn in turns], max_tokens=max_tokens
    )


def _says(length: int) -> Message:
    return {"role": "user", "content": " " * length}
