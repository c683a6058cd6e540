"""Right and wrong on the same prompts: how two providers (models, keys) differ where both answered."""

from __future__ import annotations

from itertools import combinations
from typing import Any

from llmfan.measures.intervals import paired_difference
from llmfan.records import ResultLine

_WRONG, _RIGHT = 1, 2
#: All pairs of so many places are compared; of more, each with the one that answered most.
ALL_PAIRS = 8


class Pairs:
    """A byte a prompt and place: one million prompts at ten providers take 10 MB. Only where `mode` compares.

    `prompts`: how many prompts one repeat has, where repeats are to be told apart.
    """

    def __init__(self, mode: str = "spread", prompts: int = 0):
        self._mode, self._prompts = mode, prompts
        self._verdicts: dict[str, bytearray] = {}

    def add(self, line: ResultLine, right: bool) -> None:
        place = self._place(line)
        if place is None:
            return
        at = line.repeat * self._prompts + line.index
        verdicts = self._verdicts.setdefault(place, bytearray())
        if at >= len(verdicts):
            verdicts.extend(bytes(max(at + 1 - len(verdicts), len(verdicts) // 2)))
        verdicts[at] = _RIGHT if right else _WRONG

    def _place(self, line: ResultLine) -> str | None:
        match self._mode:
            case "providers":
                return line.provider
            case "models":
                return f"{line.provider}/{line.model}"
            case "keys":
                return line.key
        return None

    def differences(self) -> list[dict[str, Any]]:
        """`b` minus `a` on the prompts both answered, with its 95 % interval; the largest difference first."""
        places = sorted(self._verdicts, key=lambda name: -_answered(self._verdicts[name]))
        chosen = combinations(places, 2) if len(places) <= ALL_PAIRS else ((places[0], p) for p in places[1:])
        found = [self._difference(a, b) for a, b in chosen]
        return sorted((d for d in found if d is not None), key=lambda d: -abs(d["difference"]))

    def _difference(self, a: str, b: str) -> dict[str, Any] | None:
        counts = _table(self._verdicts[a], self._verdicts[b])
        interval = paired_difference(*counts)
        if interval is None:
            return None
        both, only_a, only_b, neither = counts
        difference, low, high = (round(value, 6) for value in interval)
        return {
            "a": a, "b": b, "n": both + only_a + only_b + neither, "a_right": both + only_a, "b_right": both + only_b,
            "difference": difference, "low": low, "high": high,
        }  # fmt: skip


def _answered(verdicts: bytearray) -> int:
    return len(verdicts) - verdicts.count(0)


def _table(a: bytearray, b: bytearray) -> tuple[int, int, int, int]:
    """(both right, only a, only b, neither): two bytes of one prompt make one number, and numbers can be counted."""
    size = min(len(a), len(b))
    first, second = int.from_bytes(a[:size], "little"), int.from_bytes(b[:size], "little")
    seen = (first * 4 + second).to_bytes(size + 1, "little")
    return (
        seen.count(_RIGHT * 4 + _RIGHT), seen.count(_RIGHT * 4 + _WRONG), seen.count(_WRONG * 4 + _RIGHT),
        seen.count(_WRONG * 4 + _WRONG),
    )  # fmt: skip
