"""Intervals for shares: how sure an accuracy is, and a difference between two on the same prompts."""

from __future__ import annotations

import math

#: Of the normal distribution, two-sided, 95 %.
Z = 1.959964


def wilson(right: int, n: int) -> tuple[float, float] | None:
    """The 95 % interval of a share by Wilson's score (1927): never outside 0 to 1, honest for few and for extremes."""
    if not n:
        return None
    share, z2 = right / n, Z * Z
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = Z / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)


def paired_difference(both: int, only_a: int, only_b: int, neither: int) -> tuple[float, float, float] | None:
    """(difference of two shares on the same prompts, b − a; low; high), 95 %.

    Agresti and Min (2005): Wald's interval with half a prompt added to each cell keeps its level for few prompts too.
    """
    n = both + only_a + only_b + neither
    if not n:
        return None
    b, c, m = only_b + 0.5, only_a + 0.5, n + 2.0
    middle = (b - c) / m
    half = Z * math.sqrt(max(0.0, b + c - (b - c) ** 2 / m)) / m
    return (only_b - only_a) / n, max(-1.0, middle - half), min(1.0, middle + half)
