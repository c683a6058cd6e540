"""A forecast against the run that it foretells, over fleets that are bound by unlike things."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from llmfan.inputs.config import load_fleet
from llmfan.options import RunOptions
from llmfan.settings import Price, Provider
from tests.forecasting.rehearsal import questions, rehearse
from tests.scenarios.world import provider

SAMPLES = Path(__file__).parents[2] / "samples"


class Case(NamedTuple):
    """`bound`: the (provider, limit) that has to be named first."""

    providers: Callable[[], list[Provider]]
    jobs: int
    bound: tuple[str, str]
    options: RunOptions = RunOptions()


def _sample() -> list[Provider]:
    return load_fleet(str(SAMPLES / "fleet-32-keys.yaml"), {}, simulate=True).providers


CASES = {
    "one key": Case(lambda: [provider("a", axes={"rpm": 60})], 400, ("a", "rpm")),
    "unlike keys": Case(
        lambda: [provider("a", 3, axes={"rpm": 30}), provider("b", axes={"rpm": 10}), provider("c", axes={"rpm": 90})],
        600, ("c", "rpm"),
    ),
    "a quota that runs out": Case(
        lambda: [provider("a", axes={"rpm": 60, "rpd": 100}), provider("b", axes={"rpm": 40})], 500, ("b", "rpm")
    ),
    "quotas of most": Case(
        lambda: [provider("a", 4, axes={"rpm": 60, "rpd": 50}), provider("b", axes={"rpm": 30})], 700, ("b", "rpm")
    ),
    "tokens": Case(
        lambda: [provider("a", 2, axes={"rpm": 60, "tpm": 3000})], 400, ("a", "tpm"), RunOptions(max_tokens=32)
    ),
    "requests in flight": Case(
        lambda: [provider("a", 2, axes={"rpm": 300, "concurrency": 2})], 500, ("a", "concurrency")
    ),
    "a cap on a provider": Case(
        lambda: [provider("a", 3, axes={"rpm": 60}, concurrency=2), provider("b", axes={"rpm": 20})],
        400, ("a", "concurrency"),
    ),
    "a cap on the run": Case(
        lambda: [provider("a", 3, axes={"rpm": 200}), provider("b", 3, axes={"rpm": 200})],
        500, ("", "--concurrency"), RunOptions(concurrency=4),
    ),
    "one account": Case(
        lambda: [
            provider("a", 3, axes={"rpm": 30}, accounts=["x", "x", "x"], shared="account"),
            provider("b", axes={"rpm": 40}),
        ],
        500, ("b", "rpm"),
    ),
    "by the second": Case(lambda: [provider("a", axes={"rps": 3}), provider("b", axes={"rps": 1})], 600, ("a", "rps")),
    "models of their own": Case(
        lambda: [provider("a", 2, axes={"rpm": 20}, models=["m", "n"], per_model=True)], 500, ("a", "rpm")
    ),
    "free ones first": Case(
        lambda: [
            provider("a", 2, axes={"rpm": 30, "rpd": 60}, priority=5),
            provider("p", axes={"rpm": 60}, paid=True, price=Price(input=1.0, output=2.0)),
        ],
        400, ("p", "rpm"),
    ),
    "every model compared": Case(
        lambda: [provider("a", axes={"rpm": 60}), provider("b", 2, axes={"rpm": 15})],
        200, ("b", "rpm"), RunOptions(mode="providers"),
    ),
    "32 keys of 8 providers": Case(_sample, 2500, ("cloudflare", "neurons_per_day")),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_plan_tells_the_run(name: str, tmp_path: Path) -> None:
    """A forecast that is off is worse than none: somebody starts a batch in the evening on its word."""
    case = CASES[name]
    both = rehearse(tmp_path, case.providers(), questions(case.jobs), case.options)
    real, planned = both.run.duration, both.plan.duration
    assert planned == pytest.approx(real, rel=0.03)
    for each in both.real_shares.keys() | both.planned_shares.keys():
        assert both.planned_shares.get(each, 0.0) == pytest.approx(both.real_shares.get(each, 0.0), abs=0.05)
    first = both.plan.ran.binding[0]
    assert ((first.key or "").partition("#")[0], first.limit) == case.bound
