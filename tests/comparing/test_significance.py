"""p-values and their correction, against what is known of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmfan.comparing import significance
from llmfan.comparing.significance import Test, adjusted, clumping, discordant, holm, shares, simes

P = st.floats(1e-12, 1.0)


def test_holm_as_in_the_textbook() -> None:
    """Too small an adjustment, and noise is news."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_simes_asks_twice_for_the_price_of_once() -> None:
    """TTFT and latency of the same answers are one question: asked alike they cost nothing, apart they cost two."""
    assert simes([0.01, 0.01, 0.01]) == pytest.approx(0.01)
    assert simes([0.01, 0.9]) == pytest.approx(0.02)


@given(st.lists(st.tuples(st.integers(0, 3), P), min_size=1, max_size=20))
def test_a_correction_never_makes_anything_surer(found: list[tuple[int, float]]) -> None:
    """An adjusted p below the raw one would be an error in the other direction."""
    tests = [Test(("", str(question)), p) for question, p in found]
    for test, p in zip(tests, adjusted(tests), strict=True):
        assert test.p - 1e-15 <= p <= 1.0


@given(st.lists(P, min_size=1, max_size=12))
def test_order_does_not_matter_to_holm(p: list[float]) -> None:
    """What is tested first must not have an easier time."""
    assert sorted(holm(p)) == pytest.approx(sorted(holm(p[::-1])))


def test_what_could_never_be_significant_is_no_test() -> None:
    """Tests that cannot say anything would make all the others harder to pass."""
    assert discordant(2, 3) is None
    assert discordant(0, 0) is None
    assert shares(0, 500, 0, 500) is None
    assert shares(1, 500, 1, 500) is None
    assert discordant(0, 25) == pytest.approx(2 * 0.5**25)
    assert shares(0, 500, 15, 500) == pytest.approx(5.1e-5, rel=0.1)


def test_clumps_are_counted_and_chance_is_not_taken_for_them() -> None:
    """Even refusals keep their full weight; a burst loses its."""
    even = np.arange(1000) % 20 == 3
    assert clumping(even) == 1.0
    assert clumping(np.random.default_rng(1).random(1000) < 0.05) == 1.0
    assert clumping(np.arange(1000) < 50) > 10
    assert clumping(np.zeros(1000, dtype=bool)) == 1.0


def test_equal_sides_are_no_test() -> None:
    """A run compared with a copy of itself differs in nothing, without a warning from anybody."""
    x = np.arange(1.0, 51.0)
    assert significance.location(x, x, True) is None
    assert significance.course(x, x) is None
    assert significance.location(np.ones(20), np.ones(30), False) is None
    assert significance.location(x, x + 0.5, False) is not None
