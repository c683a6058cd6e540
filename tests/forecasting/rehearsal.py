"""The same batch twice: forecast, and run whole on the virtual clock against simulated providers."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from msgspec.structs import replace

from llmfan.forecasting.forecast import Forecast, Forecaster
from llmfan.forecasting.outlines import Outlines
from llmfan.ledgers.memory import MemoryLedger
from llmfan.options import RunOptions
from llmfan.records import Known, KnownTarget, Prompt
from llmfan.settings import Fleet, Provider
from llmfan.simulation.fake import Behaviour
from llmfan.simulation.faults import NO_FAULTS
from llmfan.simulation.loop import START
from llmfan.simulation.provider import SimulatedProvider
from llmfan.simulation.script import Script
from llmfan.transports.virtual import VirtualTransport
from tests.scenarios.world import MIDNIGHT, Happened, play


@dataclass
class Both:
    plan: Forecast
    run: Happened

    @property
    def real_shares(self) -> dict[str, float]:
        return self._shares([r["provider"] for r in self.run.results])

    @property
    def planned_shares(self) -> dict[str, float]:
        plan = self.plan
        return self._shares(
            [lane.target.provider for lane, n in zip(plan.lanes, plan.ran.answered, strict=True) for _ in range(n)]
        )

    @staticmethod
    def _shares(names: Sequence[str]) -> dict[str, float]:
        return {name: names.count(name) / len(names) for name in set(names)}


def rehearse(
    folder: Path, providers: list[Provider], jobs: list[Prompt], options: RunOptions | None = None, seed: int = 1
) -> Both:
    """Providers at paces and lengths of their own; the forecast knows those as an earlier run like this one would."""
    options = options or RunOptions()
    reached = [reachable(p) for p in providers]
    run = play(folder, reached, far_ends(reached, seed), jobs, options)
    fleet = Fleet(file="virtual", providers=reached)
    return Both(Forecaster(fleet, Outlines(jobs), options, ledger(*learned(run)), MIDNIGHT).forecast(), run)


def learned(run: Happened) -> list[KnownTarget]:
    """What a run showed of each target."""
    names = dict.fromkeys(f"{r['provider']}/{r['model']}" for r in run.results)
    return [_known(name, [r for r in run.results if f"{r['provider']}/{r['model']}" == name]) for name in names]


def _known(name: str, results: list[dict[str, Any]]) -> KnownTarget:
    logs = [math.log(r["latency_s"]) for r in results]
    return KnownTarget(
        name=name, n=len(results), service_s=math.exp(statistics.fmean(logs)), service_sigma=statistics.stdev(logs),
        output_tokens=statistics.fmean(r["usage"]["output_tokens"] for r in results), tokens_per_char=0.25,
    )  # fmt: skip


def reachable(provider: Provider) -> Provider:
    """By the virtual transport, in the one wire form that the simple far ends below speak."""
    return replace(provider, base_url=VirtualTransport.base_url(provider.name), api="openai", headers={})


def far_ends(providers: Sequence[Provider], seed: int) -> dict[str, Behaviour]:
    epoch = MIDNIGHT.timestamp() - START
    return {p.name: _behaviour(p, SimulatedProvider(p, seed, 1.0, NO_FAULTS, epoch)) for p in providers}


def _behaviour(provider: Provider, player: SimulatedProvider) -> Behaviour:
    def behave(now: float, key: str, body: bytes) -> Script:
        headers = {"authorization": f"Bearer {key}", provider.preset.auth_header.lower(): f"Bearer {key}"}
        return player.handle(now, "/v1/chat/completions", headers, body)

    return behave


def ledger(*known: KnownTarget) -> MemoryLedger:
    made = MemoryLedger()
    made.keep(Known(targets=list(known)))
    return made


def questions(n: int, seed: int = 0) -> list[Prompt]:
    """Of 40 to 400 characters."""
    rng = Random(seed)
    return [
        Prompt(id=f"p{i}", index=i, messages=[{"role": "user", "content": "why " * rng.randint(10, 100)}])
        for i in range(n)
    ]
