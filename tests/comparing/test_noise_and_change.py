"""Two runs that differ by chance alone are called alike, and a tenth slower is seen: the tool's whole worth.

A few pairs here; tests/benchmarks/bench_compare.py plays a hundred of each.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llmfan.comparing.document import compare
from llmfan.comparing.side import load
from tests.comparing.pairs_of_runs import answer, latencies, played, written

PAIRS = 2


def changes(document: dict[str, Any]) -> dict[str, str]:
    return {each["metric"]: each["verdict"] for each in document["metrics"] if each["verdict"] != "no change"}


def test_a_tenth_slower_is_seen_and_chance_is_not(tmp_path: Path) -> None:
    """A gate that fails at random is switched off; one that sees nothing was never on."""
    base = load(played(tmp_path / "base", 0))
    for n in range(1, 1 + PAIRS):
        same = compare(base, load(played(tmp_path / f"same-{n}", 2 * n)))
        slow = compare(base, load(played(tmp_path / f"slow-{n}", 2 * n + 1, slower={"b": 1.1})))
        assert changes(same) == {}
        assert changes(slow)["latency_p50[b]"] == "worse"
        assert not [name for name in changes(slow) if "[a]" in name or "[c]" in name]


def side(folder: Path, lines: list[dict[str, Any]], **more: Any) -> Any:
    return load(written(folder, lines, **more))


def timed(seed: int, n: int = 500, of: Callable[[int, float], float] = lambda at, took: took) -> list[dict[str, Any]]:
    return [answer(at, of(at, took)) for at, took in enumerate(latencies(n, seed))]


def test_a_tail_alone_is_seen_in_the_tail_alone(tmp_path: Path) -> None:
    """Slow answers that became twice as slow leave the median where it was, and are what users complain of."""
    base = side(tmp_path / "base", timed(1))
    found = changes(compare(base, side(tmp_path / "new", timed(2, of=lambda at, t: 2 * t if t > 1.45 else t))))
    assert found["latency_p95"] == "worse"
    assert "latency_p50" not in found


def test_the_same_prompts_are_compared_with_themselves(tmp_path: Path) -> None:
    """Prompts differ from each other far more than runs do: as two heaps 5 % would drown in that."""
    rng = random.Random(5)
    wide = latencies(60, 1, sigma=1.5)
    base = side(tmp_path / "base", [answer(n, t * rng.lognormvariate(0, 0.02)) for n, t in enumerate(wide)])
    new = side(tmp_path / "new", [answer(n, t * 1.05 * rng.lognormvariate(0, 0.02)) for n, t in enumerate(wide)])
    found = compare(base, new)
    assert changes(found)["latency_p50"] == "worse"
    (row,) = (each for each in found["metrics"] if each["metric"] == "latency_p50")
    assert row["paired"]
    assert row["high"] - row["low"] < 0.5


def graded(right: set[int], n: int = 500) -> list[dict[str, Any]]:
    return [answer(at, 1.0, score=float(at in right)) for at in range(n)]


def test_accuracy_that_falls_by_five_points_is_seen_and_that_wobbles_is_not(tmp_path: Path) -> None:
    """A model swapped behind the same name shows here first."""
    base = side(tmp_path / "base", graded(set(range(450))))
    worse = compare(base, side(tmp_path / "worse", graded(set(range(425)))))
    assert changes(worse) == {"accuracy": "worse", "accuracy[a]": "worse"}
    wobble = (set(range(450)) - set(range(12))) | set(range(450, 460))
    assert changes(compare(base, side(tmp_path / "wobble", graded(wobble)))) == {}
    assert changes(compare(side(tmp_path / "few", graded(set(range(425)))), base))["accuracy"] == "better"


def failing(which: set[int], n: int = 500) -> list[dict[str, Any]]:
    return [answer(at, None if at in which else 1.0) for at in range(n)]


def test_failures_from_nothing_to_three_in_a_hundred_are_seen(tmp_path: Path) -> None:
    """From 0 there is no relative change: it must neither be a division by zero nor go unseen."""
    base = side(tmp_path / "base", failing(set()))
    found = compare(base, side(tmp_path / "new", failing({33 * n + 5 for n in range(15)})))
    assert changes(found)["failed_rate"] == "worse"
    (row,) = (each for each in found["metrics"] if each["metric"] == "failed_rate")
    assert (row["base"], row["change"]) == (0.0, None)


def test_one_burst_of_refusals_is_one_event(tmp_path: Path) -> None:
    """429s come in bursts: counted one by one, every second pair of runs would "differ"."""
    lines = failing(set())
    calm = [{**attempt, "outcome": "ok"} for attempt in _attempts(lines)]
    burst = [{**attempt, "outcome": "rate_limited" if 200 <= n < 212 else "ok"} for n, attempt in enumerate(calm)]
    spread = [{**attempt, "outcome": "rate_limited" if n % 20 == 7 else "ok"} for n, attempt in enumerate(calm)]
    base = side(tmp_path / "base", lines, attempts=calm)
    assert "rate_limited_rate" not in changes(compare(base, side(tmp_path / "burst", lines, attempts=burst)))
    assert changes(compare(base, side(tmp_path / "spread", lines, attempts=spread)))["rate_limited_rate"] == "worse"


@pytest.mark.parametrize("since", [440, 350])
def test_an_outage_is_no_noise_however_it_comes(tmp_path: Path, since: int) -> None:
    """One block of failures, or of refusals, is what a comparison is for: "it was only one event" helps nobody."""
    lines, broken = failing(set()), failing(set(range(since, 500)))
    calm = [{**attempt, "outcome": "ok"} for attempt in _attempts(lines)]
    refused = [{**attempt, "outcome": "rate_limited" if n >= since else "ok"} for n, attempt in enumerate(calm)]
    base = side(tmp_path / "base", lines, attempts=calm)
    assert changes(compare(base, side(tmp_path / "failed", broken)))["failed_rate"] == "worse"
    assert changes(compare(base, side(tmp_path / "limited", lines, attempts=refused)))["rate_limited_rate"] == "worse"


def test_a_burst_that_is_taken_for_one_event_is_told(tmp_path: Path) -> None:
    """Who would count its refusals one by one must not find that the comparison passed over them."""
    lines = failing(set())
    calm = [{**attempt, "outcome": "ok"} for attempt in _attempts(lines)]
    burst = [{**attempt, "outcome": "rate_limited" if 200 <= n < 212 else "ok"} for n, attempt in enumerate(calm)]
    base, new = side(tmp_path / "base", lines, attempts=calm), side(tmp_path / "new", lines, attempts=burst)
    assert any("rate_limited_rate went from 0.0% to 2.4%" in note for note in compare(base, new)["notes"])


def _attempts(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    from tests.comparing.pairs_of_runs import attempts_of

    return attempts_of(lines)


@pytest.mark.parametrize("n", [1, 5, 9])
def test_a_handful_of_answers_is_shown_and_not_judged(tmp_path: Path, n: int) -> None:
    """Nine answers prove nothing, whatever they look like."""
    base = side(tmp_path / "base", timed(1, n))
    found = compare(base, side(tmp_path / "new", timed(2, n, of=lambda at, took: 10 * took)))
    assert found["metrics"] == []
    assert {"latency_p50", "failed_rate"} <= {each["metric"] for each in found["figures"]}


def test_below_the_minimum_effect_nothing_is_a_change(tmp_path: Path) -> None:
    """Of ten thousand answers 1 % is significant, and nobody's business."""
    lines = timed(1, 2000)
    base = side(tmp_path / "base", lines)
    new = side(tmp_path / "new", timed(1, 2000, of=lambda at, took: 1.01 * took))
    assert changes(compare(base, new)) == {}
    assert changes(compare(base, new, min_effect=0.005))["latency_p50"] == "worse"


def test_the_same_seed_gives_the_same_document(tmp_path: Path) -> None:
    """A comparison that cannot be repeated cannot be argued about."""
    base, new = side(tmp_path / "base", timed(1)), side(tmp_path / "new", timed(2))
    assert compare(base, new, seed=3) == compare(base, new, seed=3)
    assert compare(base, new, seed=3) != compare(base, new, seed=4)


def test_an_empty_run_compares_to_nothing_and_does_not_crash(tmp_path: Path) -> None:
    """A run that was stopped before its first answer is a side too."""
    found = compare(side(tmp_path / "base", []), side(tmp_path / "new", []))
    assert (found["metrics"], found["gates"]) == ([], [])
