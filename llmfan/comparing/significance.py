"""How likely so large a difference is where nothing changed: a p-value each, corrected for how many there are.

Tests belong to questions ("is this provider slower?"): within one they are much alike (TTFT and latency of the same
answers), so a question's p-value is Simes's; over the questions it is Holm's. That keeps the chance that anything at
all is called changed where nothing did below `ALPHA`, and costs little power for each question that is asked twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats  # type: ignore[import-untyped, unused-ignore]

from llmfan.comparing.arrays import Mask, Values

#: The chance that a comparison of runs that do not differ says that anything changed is below this. Measured
#: (tests/benchmarks/bench_compare.py): with 0.05 a tenth slower is found in 2 more of 100, and noise in 3 more.
ALPHA = 0.025
#: Below this a rank test settles the matter of a median, whatever the interval of the median alone.
SURE = 0.005
#: Pieces of a run between which shares are looked at for clumps.
PIECES = 20
#: The 95th percentile of chi² / 19: only what clumps more than chance does is taken for clumped.
_CLUMPED = 1.587
_TINY = 1e-12


@dataclass(frozen=True)
class Test:
    """`question`: (entry, what is asked of it)."""

    __test__ = False  # not one of pytest's

    question: tuple[str, str]
    p: float


def location(x: Values, y: Values, paired: bool) -> float | None:
    """Wilcoxon's signed ranks of the log ratios, else Mann and Whitney's. None where there is nothing to tell apart."""
    if paired:
        ratios = np.log(np.maximum(y, _TINY)) - np.log(np.maximum(x, _TINY))
        if not np.any(ratios):
            return None
        method = "exact" if len(ratios) <= 25 and np.all(ratios) else "approx"
        return float(stats.wilcoxon(ratios, zero_method="pratt", method=method).pvalue)
    if x.min() == x.max() == y.min() == y.max():
        return None
    return float(stats.mannwhitneyu(x, y, method="asymptotic").pvalue)


def course(x: Values, y: Values) -> float | None:
    """Slices of two runs' time, each with its counterpart: both begin, fill up and drain alike."""
    differences = y - x
    if not np.any(differences):
        return None
    method = "exact" if np.all(differences) else "approx"
    return float(stats.wilcoxon(differences, zero_method="pratt", method=method).pvalue)


def beyond(x: Values, y: Values, paired: bool, q: float) -> float | None:
    """Whether more of one side's lie beyond the `q` quantile of both sides together: what a slower tail changes."""
    bound = np.quantile(np.concatenate([x, y]), q)
    over_x, over_y = x > bound, y > bound
    if paired:
        return discordant(int(np.sum(over_x & ~over_y)), int(np.sum(~over_x & over_y)))
    return shares(int(over_x.sum()), len(x), int(over_y.sum()), len(y))


def discordant(only_x: int, only_y: int) -> float | None:
    """McNemar's exact test. None where no outcome at all could have been significant."""
    n = only_x + only_y
    if not n or 2 * 0.5**n >= ALPHA:
        return None
    return float(stats.binomtest(only_x, n).pvalue)


def shares(k_x: int, n_x: int, k_y: int, n_y: int) -> float | None:
    """Fisher's exact test. None where no table with these sums could have been significant."""
    k = k_x + k_y
    if not n_x or not n_y or k in (0, n_x + n_y):
        return None
    extremes = ((min(k, n_x), max(0, k - n_x)), (max(0, k - n_y), min(k, n_y)))
    if min(_fisher(a, n_x, b, n_y) for a, b in extremes) >= ALPHA:
        return None
    return _fisher(k_x, n_x, k_y, n_y)


def _fisher(k_x: int, n_x: int, k_y: int, n_y: int) -> float:
    return float(stats.fisher_exact([[k_x, n_x - k_x], [k_y, n_y - k_y]]).pvalue)


def clumping(flags: Mask) -> float:
    """By how much counts of a run's pieces vary beyond chance: refusals come in bursts, and a burst is one event."""
    rate = flags.mean() if len(flags) else 0.0
    if not 0 < rate < 1 or len(flags) < 2 * PIECES:
        return 1.0
    pieces = np.array_split(flags, PIECES)
    n, k = np.array([len(p) for p in pieces]), np.array([p.sum() for p in pieces])
    excess = float(np.sum((k - n * rate) ** 2 / (n * rate * (1 - rate))) / (PIECES - 1))
    return excess if excess > _CLUMPED else 1.0


def adjusted(tests: Sequence[Test]) -> list[float]:
    """Of each test: no less than its question's by Holm over the questions, nor than its own by Holm within it."""
    groups: dict[tuple[str, str], list[int]] = {}
    for number, test in enumerate(tests):
        groups.setdefault(test.question, []).append(number)
    outer = holm([simes([tests[n].p for n in numbers]) for numbers in groups.values()])
    found = [1.0] * len(tests)
    for numbers, question in zip(groups.values(), outer, strict=True):
        for number, own in zip(numbers, holm([tests[n].p for n in numbers]), strict=True):
            found[number] = max(question, own)
    return found


def simes(p: Sequence[float]) -> float:
    """One p-value of several that go together (Simes 1986)."""
    return min(1.0, *(len(p) / rank * value for rank, value in enumerate(sorted(p), 1)))


def holm(p: Sequence[float]) -> list[float]:
    """Holm's step-down adjustment (1979)."""
    found, least = [1.0] * len(p), 0.0
    for rank, number in enumerate(sorted(range(len(p)), key=p.__getitem__)):
        least = max(least, (len(p) - rank) * p[number])
        found[number] = min(1.0, least)
    return found
