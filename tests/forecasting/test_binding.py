"""The limit that a forecast names first is the one that would help most, by the runs' own word."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from llmfan.settings import Provider
from tests.forecasting.rehearsal import Both, far_ends, questions, reachable, rehearse
from tests.scenarios.world import play, provider

FLEETS = {
    "a pace": ([provider("a", axes={"rpm": 60}), provider("b", axes={"rpm": 20, "rpd": 500})], 300),
    "a quota": ([provider("a", axes={"rpm": 60, "rpd": 80}), provider("b", axes={"rpm": 20})], 300),
    "tokens": ([provider("a", axes={"rpm": 100, "tpm": 9000}), provider("b", axes={"rpm": 15})], 300),
    "slots": ([provider("a", axes={"rpm": 400, "concurrency": 2}), provider("b", axes={"rpm": 30})], 300),
}


@pytest.mark.parametrize("name", FLEETS)
def test_no_other_limit_would_help_more(name: str, tmp_path: Path) -> None:
    """Somebody pays for what is named first."""
    providers, count = FLEETS[name]
    jobs = questions(count)
    (tmp_path / "first").mkdir()
    both: Both = rehearse(tmp_path / "first", providers, jobs)
    took = {}
    for each in providers:
        for axis in next(iter(each.limits.values())).axes:
            folder = tmp_path / f"{each.name}-{axis}"
            folder.mkdir()
            fleet = [reachable(_doubled(p, axis) if p is each else p) for p in providers]
            took[f"{each.name}#1", axis] = play(folder, fleet, far_ends(fleet, 1), jobs).duration
    named = both.plan.ran.binding[0]
    assert named.key is not None
    assert took[named.key, named.limit] < 0.97 * both.run.duration
    assert took[named.key, named.limit] <= 1.02 * min(took.values())


def _doubled(provider: Provider, axis: str) -> Provider:
    limits = {at: replace(each, axes={**each.axes, axis: 2 * each.axes[axis]}) for at, each in provider.limits.items()}
    return replace(provider, limits=limits)
