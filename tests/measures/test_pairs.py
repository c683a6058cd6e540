"""Differences on the same prompts: each prompt is set against itself, whatever order the answers came in."""

from __future__ import annotations

import random

from llmfan.measures.accumulate import Accumulator
from tests.measures.test_accumulate import result


def test_only_prompts_that_both_answered_count() -> None:
    """A provider that failed the hard prompts would look the better one."""
    accumulator = Accumulator(mode="providers", prompts=4)
    for index, (a, b) in enumerate([(1.0, 1.0), (1.0, 0.0), (0.0, None), (None, 1.0)]):
        for who, score in ((("a", "m", "a#1"), a), (("b", "m", "b#1"), b)):
            if score is not None:
                accumulator.result(result(who, index=index, expect=1, score=score))
    (pair,) = accumulator.pairs.differences()
    assert (pair["n"], pair["a_right"], pair["b_right"], pair["difference"]) == (2, 2, 1, -0.5)


def test_repeats_are_prompts_of_their_own_and_order_does_not_matter() -> None:
    """Answers come in any order, and twice where --repeat asks for it."""
    rng = random.Random(4)
    truth = {(who, n): rng.random() < 0.7 for who in "abc" for n in range(60)}
    found = []
    for seed in range(2):
        accumulator = Accumulator(mode="providers", prompts=30)
        places = list(truth)
        random.Random(seed).shuffle(places)
        for who, n in places:
            line = result((who, "m", f"{who}#1"), index=n % 30, repeat=n // 30, expect=1, score=float(truth[who, n]))
            accumulator.result(line)
        found.append(sorted(accumulator.pairs.differences(), key=lambda d: (d["a"], d["b"])))
    assert len(found[0]) == 3
    for pair in found[0]:
        first = sum(truth[pair["a"], n] for n in range(60))
        second = sum(truth[pair["b"], n] for n in range(60))
        assert (pair["n"], pair["a_right"], pair["b_right"]) == (60, first, second)
        assert pair["low"] <= pair["difference"] <= pair["high"]


def test_a_spread_run_has_no_pairs() -> None:
    """Each prompt went to one provider only: there is nothing to set against it."""
    accumulator = Accumulator()
    accumulator.result(result(expect=1, score=1.0))
    assert accumulator.pairs.differences() == []
