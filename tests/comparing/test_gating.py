"""Gates on changes: they fail on what is a change, and on nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from llmfan.comparing.document import compare, names
from llmfan.comparing.gating import parse_all
from llmfan.comparing.side import Side, load
from llmfan.errors import UserError
from tests.comparing.pairs_of_runs import answer, latencies, written


def runs(folder: Path, factor: float, n: int = 300, failing: int = 0) -> tuple[Side, Side]:
    before = [answer(at, took) for at, took in enumerate(latencies(n, 1))]
    after = [answer(at, None if at * failing // n > (at - 1) * failing // n else factor * took)
             for at, took in enumerate(latencies(n, 2))]  # fmt: skip
    return load(written(folder / "base", before)), load(written(folder / "new", after))


def gates(sides: tuple[Side, Side], *exprs: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = compare(*sides, gates=parse_all(exprs, names(sides)))["gates"]
    return found


def test_a_change_beyond_the_bound_fails_and_one_within_it_does_not(tmp_path: Path) -> None:
    """The gate is the reason to compare in CI at all."""
    found = gates(runs(tmp_path, 1.3), "latency_p50 > +10%", "latency_p50[a] > +10%", "latency_p50 > +90%")
    assert [gate["held"] for gate in found] == [False, False, True]
    assert found[0]["value"] == pytest.approx(0.3, abs=0.1)


def test_noise_beyond_the_bound_does_not_fail(tmp_path: Path) -> None:
    """Else a gate of 1 % fails every second time."""
    sides = runs(tmp_path, 1.0)
    found = gates(sides, "latency_p50 > +0%", "latency_p50 < +0%", "latency_p50 != +0%")
    assert all(gate["held"] for gate in found)
    assert any("noise" in gate["why"] for gate in found)


def test_a_change_from_nothing_is_beyond_any_bound(tmp_path: Path) -> None:
    """From 0 to 5 % failed there is no relative change, and no gate may let it through for that."""
    (found,) = gates(runs(tmp_path, 1.0, failing=15), "failed_rate > +500%")
    assert (found["held"], found["value"]) == (False, None)
    (same,) = gates(runs(tmp_path / "same", 1.0), "failed_rate > +10%")
    assert same["held"]


def test_what_cannot_be_looked_at_does_not_hold(tmp_path: Path) -> None:
    """A gate that saw nothing must not let a run through."""
    (found,) = gates(runs(tmp_path, 1.0), "accuracy < -2%")
    assert (found["held"], found["value"]) == (False, None)


def test_a_gate_brings_its_own_minimum(tmp_path: Path) -> None:
    """--min-effect is for what nobody asked about; a gate at 1 % asks about 2 %."""
    before = [answer(at, took) for at, took in enumerate(latencies(500, 1))]
    after = [answer(at, 1.02 * took) for at, took in enumerate(latencies(500, 1))]
    sides = load(written(tmp_path / "base", before)), load(written(tmp_path / "new", after))
    (found,) = gates(sides, "latency_p50 > +1%")
    assert not found["held"]


def test_throughput_of_one_provider_is_tested_where_a_gate_asks(tmp_path: Path) -> None:
    """It is what the others left it, so it is no finding of its own; but who asks gets an answer."""
    sides = runs(tmp_path, 1.3)
    asked = gates(sides, "requests_per_s[a] < -10%", "requests_per_s < -10%")
    assert [gate["held"] for gate in asked] == [False, False]


@pytest.mark.parametrize(
    ("expr", "said"),
    [
        ("wait_p95 > +10%", "no independent sample"),
        ("total_p50 > +10%", "no independent sample"),
        ("duration > +10%", "requests_per_s"),
        ("efficiency < -10%", "one number"),
        ("latency_max > +10%", "p95 or p99"),
        ("itl_p50 > +10%", "tpot"),
        ("failed > +10%", "failed_rate"),
        ("cpu_s > +10%", "no test"),
        ("latency_p50[zed] > +10%", "zed"),
        ("latency_p50 > 2s", "relative"),
    ],
)
def test_what_cannot_be_a_gate_is_refused_with_the_reason(tmp_path: Path, expr: str, said: str) -> None:
    """A gate that silently always holds is worse than none."""
    with pytest.raises(UserError, match=said) as refused:
        gates(runs(tmp_path, 1.0, n=20), expr)
    assert refused.value.exit_code == 2
