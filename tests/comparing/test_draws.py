"""Intervals that are drawn without resampling are those that resampling gives."""

from __future__ import annotations

import numpy as np
import pytest

from llmfan.comparing import draws


def made(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).lognormal(0, 0.3, n)


@pytest.mark.parametrize("q", [0.5, 0.95])
@pytest.mark.parametrize("paired", [False, True])
def test_quantiles_as_by_resampling(q: float, paired: bool) -> None:
    """The short cut must not be a wrong turn: 2,000 real resamples of 400 answers, in pairs and apart."""
    rng = np.random.default_rng(3)
    x = made(400, 1)
    y = x * made(400, 2) ** 0.2 * 1.1 if paired else 1.1 * made(400, 2)
    rows = rng.integers(0, 400, (2000, 400))
    others = rows if paired else rng.integers(0, 400, (2000, 400))
    order = {"method": "inverted_cdf", "axis": 1}
    changes = np.quantile(y[others], q, **order) / np.quantile(x[rows], q, **order) - 1
    low, high = draws.of_quantiles(x, y, q, paired, np.random.default_rng(4))
    truth = np.quantile(changes, [0.025, 0.975])
    assert [low, high] == pytest.approx(truth, abs=0.25 * (truth[1] - truth[0]))


def test_pairs_that_go_together_say_more_than_heaps() -> None:
    """Otherwise joining by prompt would be for nothing."""
    x = made(500, 1)
    y = x * made(500, 2) ** 0.1
    rng = np.random.default_rng(0)
    for of in (draws.of_means, lambda *a: draws.of_quantiles(a[0], a[1], 0.5, a[2], a[3])):
        together, apart = of(x, y, True, rng), of(x, y, False, rng)
        assert together[1] - together[0] < 0.6 * (apart[1] - apart[0])


def test_a_mean_of_many_is_as_by_resampling() -> None:
    """Beyond a size it is taken for normal: the seam must not show."""
    x, y = made(draws.RESAMPLED + 1, 1), 1.05 * made(draws.RESAMPLED + 1, 2)
    for paired in (False, True):
        many = draws.of_means(x, y, paired, np.random.default_rng(0))
        few = draws.of_means(x[:-1], y[:-1], paired, np.random.default_rng(0))
        assert many == pytest.approx(few, abs=0.006)


def test_a_share_of_nothing_has_no_relative_interval_and_one_that_may_be_nothing_no_upper_end() -> None:
    """Infinity is no JSON."""
    rng = np.random.default_rng(0)
    assert draws.of_shares(1, 300, 9, 300, rng)[1] is None
    assert draws.of_shares(0, 300, 0, 300, rng) == (0.0, 0.0)
    low, high = draws.of_paired_shares(400, 30, 5, 500, rng)
    assert low is not None and high is not None and low < 405 / 430 - 1 < high < 0


def test_a_million_cost_no_more_than_ten() -> None:
    """No draw goes over all answers: what is drawn are places in their order."""
    x = np.random.default_rng(1).lognormal(0, 0.3, 1_000_000)
    low, high = draws.of_quantiles(x, 1.02 * x, 0.5, False, np.random.default_rng(0))
    assert low is not None and high is not None and 0.017 < low < 0.02 < high < 0.023
