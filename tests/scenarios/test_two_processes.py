"""Two llmfan processes on one ledger and one fleet, on the virtual clock; the ledger is the real one."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from llmfan.entries import Elsewhere
from llmfan.ledgers.opening import open_ledger
from llmfan.limits.slots import Slots
from llmfan.ports import Ledger
from llmfan.scheduling.neighbours import Neighbours
from llmfan.settings import Fleet, HeaderRow, Preset, Provider
from llmfan.simulation.fake import Behaviour, always, good, limited
from llmfan.simulation.script import Script
from tests.scenarios.limiter_servers import Limit, LimiterServer
from tests.scenarios.world import MIDNIGHT, Happened, play_together, provider

ANSWER = {"choices": [{"message": {"content": "x"}, "finish_reason": "stop"}]}


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
    took, ideal = [], 9 * 60.0  # the first of ten windows' worth may leave at once
    for seed in range(4):
        (tmp_path / str(seed)).mkdir()
        server = LimiterServer(Limit(60), seed=f"pair{seed}")
        pair = both(tmp_path / str(seed), [provider("a", axes={"rpm": 60})], server, 300)
        assert server.refusals <= 6  # of 600: late arrivals, as of one process alone
        took.append(max(each.duration for each in pair) / ideal)
    assert sum(took) / len(took) <= 1.10
    assert max(took) <= 1.15


def test_what_a_killed_process_had_is_the_others_within_a_minute(tmp_path: Path) -> None:
    """The survivor of a crash would go on at half its speed all night."""
    fleet = [provider("a", axes={"rpm": 60, "concurrency": 4})]
    _, left = both(tmp_path, fleet, limited("sliding", 60, 60.0, then=good(2.0)), 300, killed=90.0)
    sent = sorted(a["sent_s"] for a in left.attempts)
    after = [s for s in sent if 150.0 <= s < 210.0]
    assert len(after) >= 54


def test_what_others_were_heard_to_have_spent_is_booked_once_by_both(tmp_path: Path) -> None:
    """A colleague's 50 would count once for each process that hears of them, and the day be over at noon."""
    sent = []

    def behave(now: float, key: str, body: bytes) -> Script:
        sent.append(now)
        told = {"x-ratelimit-limit-requests": "100", "x-ratelimit-remaining-requests": str(max(0, 50 - len(sent)))}
        return always(200, ANSWER, told)(now, key, body)

    rows = [HeaderRow(name=f"x-ratelimit-{role}-requests", axis="rpd", role=role) for role in ("limit", "remaining")]
    preset = Preset(name="a", checked="2026-11-20", limit_headers=rows)
    first, second = both(tmp_path, [provider("a", axes={"rpd": 100, "rpm": 30}, preset=preset)], behave, 25)
    assert first.by("a") + second.by("a") == 50
    book = open_ledger(
        str(tmp_path / "ledger"), Fleet(file="virtual", providers=[provider("a", axes={"rpd": 100})]), print
    )
    assert sum(b.amount for b in book.booked(0.0) if b.axis == "rpd") == pytest.approx(100, abs=3)
    book.close()


def test_keys_joined_on_one_account_share_what_is_in_flight_elsewhere() -> None:
    """Two names of one limit: the last one looked at would hide what is held under the first."""
    slots = Slots("a#1", 4)
    lane = SimpleNamespace(meters=[slots, slots])
    accounts = SimpleNamespace(counters=lambda _: [(Slots("a#1", 4), slots), (Slots("a#2", 4), slots)])
    dispatcher: Any = SimpleNamespace(lanes=[lane], accounts=accounts, look_again=lambda: None)
    Neighbours(dispatcher).heed(Elsewhere(in_flight={"a#1": 3.0}), 0.0)
    assert slots.elsewhere == 3
