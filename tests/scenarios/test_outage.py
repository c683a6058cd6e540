"""An outage of the only provider of a fleet that is kept running: it ends, and the service must not have given up."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from llmfan.engine import Engine
from llmfan.options import RunOptions
from llmfan.records import Prompt, ResultLine
from llmfan.settings import Fleet
from llmfan.simulation.fake import Behaviour, ScriptedFleet, always, good, hanging
from llmfan.simulation.loop import run_virtual
from llmfan.transports.virtual import VirtualTransport
from tests.scenarios.far_ends import until
from tests.scenarios.world import provider

DOWN: dict[str, Behaviour] = {
    "500": always(500),
    "503": always(503),
    "429": always(429),
    "silence": hanging(),
    "a page": always(200, b"<html>Back soon</html>"),
}
OUTAGE_S, EVERY_S, SOON_S = 600.0, 20.0, 300.0


@pytest.mark.parametrize("kind", DOWN)
def test_a_provider_that_comes_back_is_used_again(kind: str) -> None:
    """A service runs for weeks; were a provider given up for good, each of its bad minutes would need a restart."""
    far = ScriptedFleet({"a": until(OUTAGE_S, DOWN[kind], good())})

    async def main() -> list[tuple[float, ResultLine]]:
        clock = asyncio.get_running_loop().time
        fleet = Fleet(file="virtual", providers=[provider("a", 2, timeout=10.0)])
        options = RunOptions(concurrency=64)
        found: list[tuple[float, ResultLine]] = []
        began = clock()

        async def ask(engine: Engine) -> None:
            prompt: dict[str, Any] = {"role": "user", "content": "Are you there?"}
            ticket = engine.submit(Prompt(id="", index=0, messages=[prompt]), max_wait=60.0)
            sent = clock() - began
            found.append((sent, await ticket.result))

        transport = VirtualTransport(far.providers, clock)
        async with (
            Engine(fleet, options, env={}, clock=clock, transport=transport) as engine,
            asyncio.TaskGroup() as group,
        ):
            while clock() - began < OUTAGE_S + 2 * SOON_S:
                group.create_task(ask(engine))
                await asyncio.sleep(EVERY_S)
        return found

    found = run_virtual(main)
    later = [result for sent, result in found if sent > OUTAGE_S + SOON_S]
    assert len(later) > 10
    assert {result.status for result in later} == {"ok"}
    assert far.count("a") < 30 * len(found), "and nobody hammered at it meanwhile"
