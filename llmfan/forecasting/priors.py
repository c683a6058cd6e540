"""What answers are like: as learned from earlier ones, or as supposed where none has been seen.

The suppositions stand here once, each with its reason, and every forecast says which targets rest on them.
"""

from __future__ import annotations

import math
from random import Random
from statistics import NormalDist

from msgspec import Struct

from llmfan.records import KnownTarget


class Prior(Struct, frozen=True, kw_only=True):
    """A supposed answer. Times are seconds; means are means, not medians; sigmas are of the logarithm.

    `doubt`: by how much a provider's own mean may be off, 0.4 for half as long again or two thirds.
    """

    first_s: float
    first_sigma: float
    gap_s: float
    output_tokens: float
    output_sigma: float
    doubt: float


#: The middle of the paces that simulated providers draw theirs from, so that a plan of a simulated run is right on
#: average; real hosted models of this size answer in the same range. First token: 0.15 to 0.9 s, lognormal around it
#: (mean e^0.08 above its median). Gap: 5 to 25 ms, mean e^0.125 above. Length: median 40 to 120 tokens, mean e^0.18
#: above. Doubt: the spread of mean service times over those ranges.
SUPPOSED = Prior(first_s=0.57, first_sigma=0.4, gap_s=0.017, output_tokens=95.8, output_sigma=0.6, doubt=0.38)
#: Tokens of a prompt: a quarter of its characters, as English has it, and one for the frame.
TOKENS_PER_CHAR, FRAME_TOKENS = 0.25, 1.0
#: Of a learned service time, the part that is over when the first token comes: it does not shrink with a lower cap.
FIRST_SHARE = 0.25
#: Draws in a table. They are the quantiles of their distribution in a shuffled order: every few hundred answers have
#: the right mean, so a forecast needs no luck.
DRAWS = 509


_Table = list[tuple[float, float, int]]


class Answers:
    """Drawn answers of one target: each has a time to the first token, a gap between tokens, and a length."""

    def __init__(self, name: str, known: KnownTarget | None, seed: str, doubt: bool = False):
        rng = Random(f"{seed} {name}")
        self.known = known
        self.tokens_per_char = known.tokens_per_char if known and known.tokens_per_char > 0 else TOKENS_PER_CHAR
        self.service_s, self.output_tokens = _means(known)
        self._table = _supposed(rng) if known is None else _learned(known, rng)
        if doubt:
            self._table = _doubted(self._table, known, rng)
        self._next = 0

    def draw(self, most: int) -> tuple[float, int]:
        """(service time in seconds, output tokens) of the next answer, cut off at `most` tokens."""
        self._next = place = (self._next + 1) % DRAWS
        first, gap, tokens = self._table[place]
        if tokens > most:
            tokens = most
        return first + gap * (tokens - 1), tokens

    def input_tokens(self, chars: int) -> int:
        return round(FRAME_TOKENS + chars * self.tokens_per_char)


def _means(known: KnownTarget | None) -> tuple[float, float]:
    if known is not None:
        return _mean_service(known), known.output_tokens
    return SUPPOSED.first_s + SUPPOSED.gap_s * (SUPPOSED.output_tokens - 1), SUPPOSED.output_tokens


def _supposed(rng: Random) -> _Table:
    firsts = _lognormal(SUPPOSED.first_s, SUPPOSED.first_sigma, rng)
    tokens = _lognormal(SUPPOSED.output_tokens, SUPPOSED.output_sigma, rng)
    return [(first, SUPPOSED.gap_s, max(2, round(n))) for first, n in zip(firsts, tokens, strict=True)]


def _learned(known: KnownTarget, rng: Random) -> _Table:
    """Each as long as they were on average (they were cut off at a cap then, and would be cut twice), at any pace."""
    mean = max(1.0, known.output_tokens)
    table, owed = [], 0.5
    for service in _lognormal(_mean_service(known), known.service_sigma, rng):
        tokens, owed = divmod(mean + owed, 1.0)
        first = service if tokens <= 1 else FIRST_SHARE * service
        table.append((first, (service - first) / max(1.0, tokens - 1), int(tokens)))
    return table


def _mean_service(known: KnownTarget) -> float:
    """Of a lognormal by its median, which is what is known."""
    return known.service_s * math.exp(known.service_sigma**2 / 2)


def _doubted(table: _Table, known: KnownTarget | None, rng: Random) -> _Table:
    """The same for one provider among those that it might be: faster or slower, shorter or longer."""
    sigma = SUPPOSED.doubt if known is None else known.service_sigma / math.sqrt(max(1, known.n))
    pace, length = rng.lognormvariate(0.0, sigma), rng.lognormvariate(0.0, sigma)
    scaled = pace / length  # the gap, so that the service time is off by `pace` as a whole
    return [(first * pace, gap * scaled, max(1, round(tokens * length))) for first, gap, tokens in table]


def _lognormal(mean: float, sigma: float, rng: Random) -> list[float]:
    if sigma <= 0:
        return [mean] * DRAWS
    normal = NormalDist()
    values = [math.exp(sigma * normal.inv_cdf((i + 0.5) / DRAWS)) for i in range(DRAWS)]
    rng.shuffle(values)
    scale = mean * DRAWS / sum(values)
    return [value * scale for value in values]
