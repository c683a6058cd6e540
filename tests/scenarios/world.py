"""A whole run on the virtual clock: dispatcher, conduct, dialects and journal are real; time and network are made."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llmfan.conduct.attempt import Attempts
from llmfan.conduct.bookkeeper import Bookkeeper
from llmfan.conduct.bounds import Bounds
from llmfan.conduct.run import Run
from llmfan.conduct.scribe import Scribe
from llmfan.ledgers.memory import MemoryLedger
from llmfan.measures.accumulate import Accumulator
from llmfan.options import RunOptions
from llmfan.outputs.journal import RunJournal, lock_folder
from llmfan.ports import Ledger
from llmfan.records import Prompt
from llmfan.secret import Secret
from llmfan.settings import Fleet, KeySettings, LimitSet, ModelSettings, Preset, Price, Provider
from llmfan.simulation.fake import Behaviour, ScriptedFleet
from llmfan.simulation.loop import run_virtual
from llmfan.transports.virtual import VirtualTransport
from llmfan.wiring import Crew, Moments, build_dispatcher, expect

MIDNIGHT = dt.datetime(2026, 11, 21, 12, 0, tzinfo=dt.UTC)


class Silent:
    """An observer that keeps what was said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def tick(self, now: float) -> None: ...

    def say(self, text: str) -> None:
        self.said.append(text)

    def close(self) -> None: ...


@dataclass
class Happened:
    """What a scenario left: journal lines, the run, the far end's own record."""

    run: Run
    results: list[dict[str, Any]]
    attempts: list[dict[str, Any]]
    far: ScriptedFleet
    duration: float
    said: list[str]
    accumulator: Accumulator
    crew: Crew
    order: list[str] = field(default_factory=list)

    def by(self, provider: str) -> int:
        return sum(r["provider"] == provider and r["status"] == "ok" for r in self.results)


def provider(
    name: str,
    keys: int = 1,
    *,
    axes: Mapping[str, float] | None = None,
    accounts: list[str] | None = None,
    models: list[str] | None = None,
    shared: str = "key",
    per_model: bool = False,
    preset: Preset | None = None,
    price: Price | None = None,
    open_: bool = False,
    burst: int | None = None,
    reset: str = "utc",
    **more: Any,
) -> Provider:
    """A provider of the virtual world with `keys` keys, each under `axes`."""
    names = models or ["m"]
    made = [
        KeySettings(label=f"{name}#{i + 1}", account=(accounts or [f"{name}-{i}" for i in range(keys)])[i],
                    secret=Secret(f"{name}-key-number-{i + 1}"))
        for i in range(keys)
    ]  # fmt: skip
    limits = LimitSet(
        axes=dict(axes or {}), origin=dict.fromkeys(axes or {}, "provider"), shared=shared, per_model=per_model,
        open=open_, burst=burst, reset=reset,
    )  # fmt: skip
    return Provider(
        name=name, preset=preset or Preset(name=name, checked="2026-11-20"), preset_name=name, api="openai",
        base_url=VirtualTransport.base_url(name), keys=made, models=[ModelSettings(name=m, price=price) for m in names],
        limits={(k.label, m): limits for k in made for m in names}, **more,
    )  # fmt: skip


def prompts(n: int, **more: Any) -> list[Prompt]:
    return [
        Prompt(id=f"p{i}", index=i, messages=[{"role": "user", "content": f"Question {i}?"}], **more) for i in range(n)
    ]


def play(
    folder: Path,
    providers: list[Provider],
    behaviours: Mapping[str, Behaviour],
    jobs: list[Prompt] | int,
    options: RunOptions | None = None,
    wall: dt.datetime = MIDNIGHT,
    ledger: Ledger | None = None,
    deadline: float | None = None,
) -> Happened:
    """Runs to the end in no real time. `ledger`: what an earlier run left; `deadline`: in seconds from the start."""
    far = ScriptedFleet(behaviours)
    part = _Part(
        folder, providers, far, prompts(jobs) if isinstance(jobs, int) else jobs, options or RunOptions(), wall
    )
    duration = run_virtual(lambda: part.go(ledger or MemoryLedger(), deadline))
    return part.happened(duration)


def play_together(
    folder: Path,
    providers: list[Provider],
    behaviours: Mapping[str, Behaviour],
    ledgers: list[Ledger],
    jobs: int,
    options: RunOptions | None = None,
    wall: dt.datetime = MIDNIGHT,
    killed: float | None = None,
) -> list[Happened]:
    """Several llmfan processes at once, each with a ledger of its own on the same book. `killed`: the first one is cut
    off after so many seconds, as by kill -9: it writes nothing more."""
    far = ScriptedFleet(behaviours)
    parts = []
    for n in range(len(ledgers)):
        own = folder / f"process-{n}"
        own.mkdir()
        parts.append(_Part(own, providers, far, prompts(jobs), options or RunOptions(), wall))

    async def main() -> list[float]:
        first, *others = [asyncio.create_task(p.go(led, None)) for p, led in zip(parts, ledgers, strict=True)]
        if killed is None:
            return [await first, *[await o for o in others]]
        await asyncio.sleep(killed)
        parts[0].cut_off()
        first.cancel()
        await asyncio.wait([first])
        return [killed, *[await o for o in others]]

    return [part.happened(d) for part, d in zip(parts, run_virtual(main), strict=True)]


class _Part:
    """One run of a scenario."""

    def __init__(
        self,
        folder: Path,
        providers: list[Provider],
        far: ScriptedFleet,
        given: list[Prompt],
        options: RunOptions,
        wall: dt.datetime,
    ):
        self.folder, self.providers, self.far, self.given, self.options = folder, providers, far, given, options
        self.wall, self.silent, self.accumulator = wall, Silent(), Accumulator()
        self.run: Run | None = None

    async def go(self, ledger: Ledger, deadline: float | None) -> float:
        clock, options, given, silent = asyncio.get_running_loop().time, self.options, self.given, self.silent
        fleet = Fleet(file="virtual", providers=self.providers)
        moments = Moments(clock, self.wall)
        self.crew = crew = Crew(fleet, options, moments, {}, {})
        count = len(given) * options.repeat
        dispatcher = build_dispatcher(fleet, crew, options, lambda: iter(given), count, silent.say,
                                      deadline=None if deadline is None else clock() + deadline)  # fmt: skip
        clerk = self.clerk = Bookkeeper(ledger, dispatcher, moments.unix)
        clerk.recall(clock())
        expect(dispatcher, count, options.mode)
        journal = RunJournal(self.folder, options.concurrency, lock_folder(self.folder))
        journal.open_slots()
        scribe = Scribe(journal, self.accumulator, start=moments.start, started_at=self.wall)
        scribe.tallies = clerk.tallies
        attempts = Attempts(
            dispatcher, crew.speakers, VirtualTransport(self.far.providers, clock), scribe, clock, options.warmup
        )
        bounds = Bounds(max_duration=options.max_duration, max_stall=options.max_stall, wait=options.wait)
        self.run = Run(
            dispatcher, attempts, scribe, silent, clock, bounds, clerk, audit=False,
            describe_wait=lambda moment: f"at {moments.wall(moment):%Y-%m-%d %H:%M:%S UTC}",
        )  # fmt: skip
        try:
            await self.run.go()
        finally:
            journal.close()
        return clock() - moments.start

    def cut_off(self) -> None:
        """From here on it is gone: what is still in memory never reaches the ledger."""
        assert self.run is not None
        self.clerk._ledger, self.run.dispatcher.stopped = MemoryLedger(), True

    def happened(self, duration: float) -> Happened:
        assert self.run is not None
        results, attempts = _lines(self.folder / "results.jsonl"), _lines(self.folder / "attempts.jsonl")
        return Happened(self.run, results, attempts, self.far, duration, self.silent.said, self.accumulator, self.crew)


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]
