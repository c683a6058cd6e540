"""How long an answer a request allows, read from its body: what goes out counts, whoever put it there."""

from __future__ import annotations

from typing import Any

import msgspec

#: Fields that cap an answer, at the top of a request or in one of `NESTS`.
CAPPING = (
    "max_tokens", "max_completion_tokens", "max_output_tokens", "max_new_tokens", "maxOutputTokens", "maxTokens",
    "num_predict",
)  # fmt: skip
#: Fields that ask for several answers.
TIMES = ("n", "best_of", "candidateCount")
#: Fields that hold settings of their own.
NESTS = ("generationConfig", "options", "inferenceConfig", "extra_body")
#: All names by which params may change how long an answer may be.
CAPS = frozenset((*CAPPING, *TIMES, *NESTS))


def most_of(body: bytes, asked: int) -> int:
    """Tokens that it may be answered with, all answers together; `asked` stands where no cap goes out.

    Where several fields speak of one cap nobody knows which is obeyed: the largest counts.
    """
    document = msgspec.json.decode(body)
    places = [document, *(document[name] for name in NESTS if isinstance(document.get(name), dict))]
    caps = [cap for place in places for name in CAPPING if (cap := _number(place.get(name))) >= 1]
    times = [n for place in places for name in TIMES if (n := _number(place.get(name))) >= 1]
    return max(caps, default=asked) * max(times, default=1)


def _number(value: Any) -> int:
    """0 for what is none: a server that is asked for `-1` or `null` takes that for no cap."""
    if isinstance(value, str) and value.isdecimal():
        return int(value)
    return int(value) if isinstance(value, int | float) and value >= 1 else 0
