"""95 % bootstrap intervals of relative changes, drawn from what resampling would give rather than by resampling.

The q-quantile of a resample of n values is their order statistic number I, where I / n is Beta(k, n − k + 1)
distributed, k = ⌈q n⌉: 2,000 draws cost the same for a million answers as for ten. Of pairs, both sides' draws go
together as the pairs do; few pairs that are close are resampled after all.
"""

from __future__ import annotations

import numpy as np
from scipy.special import betaincinv, ndtr  # type: ignore[import-untyped, unused-ignore]

from llmfan.comparing.arrays import Values

DRAWS = 2000
#: Up to so many values a mean is resampled; beyond, it is as good as normal.
RESAMPLED = 1000
#: So are quantiles of few pairs that go together more than this: it matters which prompts lie next to each other.
CLOSE = 0.5
#: Shares of the draws that an interval leaves out at either end.
LEVEL, ONE_SIDED = 0.025, 0.05
Interval = tuple[float | None, float | None]
Chance = np.random.Generator


def quantile(values: Values, q: float) -> float:
    """An observed value, not one between two: the smallest that q of all do not exceed."""
    return float(np.quantile(values, q, method="inverted_cdf"))


def of_quantiles(x: Values, y: Values, q: float, paired: bool, rng: Chance, beyond: float = LEVEL) -> Interval:
    together = _going_together(x, y, q) if paired else 0.0
    if together > CLOSE and len(x) <= RESAMPLED:
        rows, k = rng.integers(0, len(x), (DRAWS, len(x))), max(1, int(np.ceil(q * len(x)))) - 1
        return ends(np.partition(y[rows], k)[:, k], np.partition(x[rows], k)[:, k], beyond)
    first, second = rng.standard_normal((2, DRAWS))
    second = together * first + np.sqrt(1 - together**2) * second
    return ends(_order_statistics(y, q, ndtr(second)), _order_statistics(x, q, ndtr(first)), beyond)


def _order_statistics(values: Values, q: float, u: Values) -> Values:
    n = len(values)
    k = max(1, int(np.ceil(q * n)))
    index = np.minimum((betaincinv(k, n - k + 1, u) * n).astype(np.int64), n - 1)
    return np.asarray(np.sort(values)[index])


def _going_together(x: Values, y: Values, q: float) -> float:
    """How far the prompts that are slow on one side are the slow ones on the other: correlates the two counts."""
    below = np.vstack([x <= quantile(x, q), y <= quantile(y, q)]).astype(float)
    if below.min(axis=1).any():  # one side has all its values at its quantile
        return 0.0
    return float(np.clip(np.corrcoef(below)[0, 1], -0.99, 0.99))


def of_means(x: Values, y: Values, paired: bool, rng: Chance) -> Interval:
    if max(len(x), len(y)) <= RESAMPLED:
        rows = rng.integers(0, len(x), (DRAWS, len(x)))
        others = rows if paired else rng.integers(0, len(y), (DRAWS, len(y)))
        return ends(y[others].mean(axis=1), x[rows].mean(axis=1))
    errors = np.array([x.std(ddof=1) / np.sqrt(len(x)), y.std(ddof=1) / np.sqrt(len(y))])
    together = float(np.corrcoef(x, y)[0, 1]) if paired and errors.all() else 0.0
    first, second = rng.standard_normal((2, DRAWS))
    second = together * first + np.sqrt(max(0.0, 1 - together**2)) * second
    return ends(y.mean() + errors[1] * second, x.mean() + errors[0] * first)


def of_shares(k_x: float, n_x: int, k_y: float, n_y: int, rng: Chance) -> Interval:
    return ends(rng.binomial(n_y, k_y / n_y, DRAWS) / n_y, rng.binomial(n_x, k_x / n_x, DRAWS) / n_x)


def of_paired_shares(both: int, only_x: int, only_y: int, n: int, rng: Chance) -> Interval:
    cells = np.array([both, only_x, only_y, n - both - only_x - only_y])
    drawn = rng.multinomial(n, cells / n, DRAWS)
    return ends((drawn[:, 0] + drawn[:, 2]).astype(float), (drawn[:, 0] + drawn[:, 1]).astype(float))


def ends(new: Values, base: Values, beyond: float = LEVEL) -> Interval:
    """Where the change of most of the draws lies; an end that is a division by 0 is none."""
    with np.errstate(divide="ignore", invalid="ignore"):
        changes = np.where(base > 0, new / base - 1, np.where(new > 0, np.inf, 0.0))
    low, high = np.quantile(changes, [beyond, 1 - beyond], method="inverted_cdf")
    return (float(low) if np.isfinite(low) else None), (float(high) if np.isfinite(high) else None)
