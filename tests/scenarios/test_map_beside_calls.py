"""A batch by `fan.map` and calls that somebody waits for, over the same keys, on the virtual clock."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from random import Random
from typing import Any

import pytest

from llmfan.engine import Engine
from llmfan.fan import Fan
from llmfan.simulation.fake import ScriptedFleet, good, limited
from llmfan.simulation.loop import run_virtual
from llmfan.transports.virtual import VirtualTransport

MINUTES = 4
#: A timer of the run's own loop is so much late at most, by design.
LATE = 0.01


@pytest.mark.parametrize(
    ("keys", "rpm", "every", "arrival"), [(4, 60, 2.5, "even"), (4, 60, 5.0, "at random"), (1, 30, 20.0, "even")]
)
def test_callers_wait_less_than_a_permit_and_the_batch_keeps_its_rate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keys: int, rpm: int, every: float, arrival: str
) -> None:
    """Else whoever runs a batch at night finds the chat dead, or whoever chats finds the batch not done."""
    alone, _, refused = _play(tmp_path / "alone", monkeypatch, keys, rpm, None, arrival)
    beside, waits, also_refused = _play(tmp_path / "beside", monkeypatch, keys, rpm, every, arrival)
    assert refused == also_refused == 0
    assert alone >= 0.95 * keys * rpm
    assert beside >= 0.8 * alone
    assert len(waits) > 0.6 * MINUTES * 60 / every
    permit = 60 / rpm
    assert max(waits) < permit + LATE
    if keys > 1:
        assert sorted(waits)[int(0.95 * len(waits))] < permit / keys, "the fleet's permit, not one key's"


def _play(
    folder: Path, monkeypatch: pytest.MonkeyPatch, keys: int, rpm: int, every: float | None, arrival: str
) -> tuple[float, list[float], int]:
    """(answers of the batch in a minute, what each call waited, 429s)."""
    folder.mkdir()
    far = ScriptedFleet({"a": limited("sliding", rpm, 60.0, good(2.0))})
    names = [f"key-number-{n}" for n in range(keys)]
    entry = {"base_url": "http://127.0.0.1/a", "keys": names, "model": "m", "limits": {"rpm": rpm}}
    file = folder / "providers.yaml"
    file.write_text(json.dumps({"version": 1, "providers": {"a": entry}}))

    def engine(*args: Any, **more: Any) -> Engine:
        clock = asyncio.get_running_loop().time
        return Engine(*args, **more, clock=clock, transport=VirtualTransport(far.providers, clock))

    monkeypatch.setattr("llmfan.fan.fleet.Engine", engine)
    chance = None if arrival == "even" else Random(7)
    rate, waits = run_virtual(lambda: _together(file, folder / "ledger.db", every, chance))
    return rate, waits, sum(seen.status == 429 for seen in far.seen)


async def _together(file: Path, ledger: Path, every: float | None, chance: Random | None) -> tuple[float, list[float]]:
    now, waits = asyncio.get_running_loop().time, list[float]()
    async with Fan(file, env={}, state=ledger, say=lambda text: None) as fan:
        end = now() + 60 * MINUTES

        async def call() -> None:
            waits.append((await fan.ask("How long is it?")).wait_s or 0.0)

        async def callers() -> None:
            assert every is not None
            async with asyncio.TaskGroup() as group:
                while now() < end:
                    await asyncio.sleep(every if chance is None else chance.expovariate(1 / every))
                    group.create_task(call())

        calling = None if every is None else asyncio.create_task(callers())
        answered = 0
        async for result in fan.map(f"Question {n}?" for n in range(10**9)):
            answered += result.status == "ok"
            if now() >= end:
                break
        if calling is not None:
            await calling
    return answered / MINUTES, waits
