"""The whole simulated fleet on loopback, for as long as a run lasts."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from llmfan.settings import Fleet
from llmfan.simulation.answers import Answers
from llmfan.simulation.faults import Faults
from llmfan.simulation.loopback import LoopbackFleet
from llmfan.simulation.provider import SimulatedProvider


@asynccontextmanager
async def loopback(fleet: Fleet, seed: int, speed: float, answers: Answers) -> AsyncIterator[dict[str, str]]:
    """Serves every provider of the fleet; gives each one's base address. `answers`: what it may know."""
    clock = time.perf_counter
    epoch = time.time() - clock()
    players = {p.name: SimulatedProvider(p, seed, speed, Faults(), epoch, answers) for p in fleet.providers}
    async with LoopbackFleet(players, clock) as server:
        yield {name: server.base_url(name) for name in players}
