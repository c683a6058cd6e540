"""Two llmfan processes on one ledger and one fleet, on the virtual clock; the ledger is the real one."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from llmfan.ledgers.opening import open_ledger
from llmfan.ports import Ledger
from llmfan.settings import Fleet, Provider
from llmfan.simulation.fake import Behaviour, good, limited
from tests.scenarios.limiter_servers import Limit, LimiterServer
from tests.scenarios.world import MIDNIGHT, Happened, play_together, provider


def virtual() -> float:
    """The loop's time, also before there is one."""
    try:
        return asyncio.get_running_loop().time()
    except RuntimeError:
        return 0.0


def both(
    tmp_path: Path, fleet: list[Provider], server: Behaviour, jobs: int, killed: float | None = None
) -> list[Happened]:
    def ledger() -> Ledger:
        made = open_ledger(
            str(tmp_path / "ledger"), Fleet(file="virtual", providers=fleet), said.append,
            wall=lambda: MIDNIGHT.timestamp() + virtual(), clock=virtual,
        )  # fmt: skip
        opened.append(made)
        return made

    said: list[str] = []
    opened: list[Ledger] = []
    try:
        return play_together(tmp_path, fleet, {"a": server}, [ledger(), ledger()], jobs, killed=killed)
    finally:
        assert said == []
        for each in opened:
            each.close()


@pytest.mark.parametrize("kind", ["sliding", "fixed"])
@pytest.mark.parametrize("keys", [1, 4])
def test_the_sum_of_two_processes_never_passes_a_limit(tmp_path: Path, kind: str, keys: int) -> None:
    """Each alone keeps to it, and together they draw a 429 for every second request."""
    first, second = both(
        tmp_path, [provider("a", keys, axes={"rpm": 30})], limited(kind, 30, 60.0, retry_after=False), 45 * keys
    )
    assert [a["outcome"] for a in first.attempts + second.attempts] == ["ok"] * 90 * keys
    assert max(first.duration, second.duration) < 1.1 * 122  # the third window of both


def test_together_they_are_as_fast_as_one_would_be_alone(tmp_path: Path) -> None:
    """Sharing that wastes a part of the allowance is a reason not to run two jobs at once."""
    server = LimiterServer(Limit(60), seed="pair")
    first, second = both(tmp_path, [provider("a", axes={"rpm": 60})], server, 300)
    assert server.refusals <= 6  # of 600: late arrivals, as of one process alone
    assert max(first.duration, second.duration) <= 1.10 * 9 * 60


def test_what_a_killed_process_had_is_the_others_within_a_minute(tmp_path: Path) -> None:
    """The survivor of a crash would go on at half its speed all night."""
    fleet = [provider("a", axes={"rpm": 60, "concurrency": 4})]
    _, left = both(tmp_path, fleet, limited("sliding", 60, 60.0, then=good(2.0)), 300, killed=90.0)
    sent = sorted(a["sent_s"] for a in left.attempts)
    after = [s for s in sent if 150.0 <= s < 210.0]
    assert len(after) >= 54
