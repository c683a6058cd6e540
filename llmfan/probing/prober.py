"""All keys of a fleet at once: every provider by itself, its accounts a few at a time, the keys of one in turn."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from msgspec import Struct

from llmfan.ports import Clock, Transport
from llmfan.probing.clerk import Clerk
from llmfan.probing.findings import Finding
from llmfan.probing.key_probe import KeyProbe, Shot
from llmfan.probing.listings import Listings
from llmfan.probing.sheet import Sheet
from llmfan.probing.siblings import Siblings
from llmfan.probing.verdict import told
from llmfan.probing.wire import Wire
from llmfan.settings import Fleet, KeySettings, ModelSettings, Provider

#: Accounts of one provider that are asked at the same time.
AT_ONCE = 4
TIMEOUT_S = 15.0


class ProbeOptions(Struct, frozen=True, kw_only=True):
    """`free`: nothing is sent that costs anything. `all_models`: every model of a key, not the first alone.

    `timeout` is of one request; None: 15 s, or less where the file says so.
    """

    free: bool = False
    all_models: bool = False
    timeout: float | None = None


class Prober:
    """`findings` are in the file's order and are filled in while `run` goes on. `wall` gives Unix time."""

    def __init__(
        self,
        fleet: Fleet,
        transport: Transport,
        options: ProbeOptions,
        *,
        clock: Clock,
        wall: Callable[[], float],
        env: Mapping[str, str],
        redact: Callable[[str], str],
        clerk: Clerk,
    ):
        self.findings: list[Finding] = []
        self.houses: dict[str, House] = {}
        for provider in fleet.providers:
            timeout = options.timeout or min(TIMEOUT_S, provider.timeout)
            wire = Wire(provider, transport, timeout, clock=clock, wall=wall, env=env)
            house = House(provider, wire, options, wall=wall, redact=redact, clerk=clerk)
            self.houses[provider.name] = house
            self.findings += house.findings

    @property
    def shots(self) -> list[Shot]:
        """What was sent that may have been billed."""
        return [shot for house in self.houses.values() for shot in house.shots]

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for house in self.houses.values():
                group.create_task(house.run(), name=house.provider.name)


class House:
    """One provider and its keys. `shots`: the completions that were sent, in order."""

    def __init__(
        self,
        provider: Provider,
        wire: Wire,
        options: ProbeOptions,
        *,
        wall: Callable[[], float],
        redact: Callable[[str], str],
        clerk: Clerk,
    ):
        self.provider, self.wire = provider, wire
        self.shots: list[Shot] = []
        self.findings: list[Finding] = []
        self.probes: list[KeyProbe] = []
        self._free, self._redact = options.free, redact
        listings = Listings(wire)
        for key in provider.keys:
            asked = self._blank(key, options.all_models)
            self.findings += [finding for _, finding in asked]
            if self._can_be_asked(key) and asked:
                sheet = Sheet(key, asked, redact)
                self.probes.append(
                    KeyProbe(sheet, wire, listings, self.shots, free=options.free, wall=wall, clerk=clerk)
                )

    async def run(self) -> None:
        room = asyncio.Semaphore(AT_ONCE)
        by_account: dict[str, list[KeyProbe]] = {}
        for probe in self.probes:
            by_account.setdefault(probe.key.account, []).append(probe)
        async with asyncio.TaskGroup() as group:
            for probes in by_account.values():
                group.create_task(_one_after_another(probes, room))
        good = [probe for probe in self.probes if probe.asked[0][1].state == "ok"]
        if len(good) > 1:
            await Siblings(self.provider, good, self.shots).find(self._free)

    def _blank(self, key: KeySettings, all_models: bool) -> list[tuple[ModelSettings, Finding]]:
        """Findings to be filled in; those of a key that cannot be asked are filled in already."""
        models = self.provider.models or [ModelSettings(name="")]
        asked = []
        for model in models if all_models else models[:1]:
            finding = Finding(key=key.label, provider=self.provider.name, model=model.name, line=self.provider.line)
            finding.mask = key.secret.mask if key.secret is not None else ""
            if not self._can_be_asked(key):
                finding.state, finding.why = self._why_not(key)
            asked.append((model, finding))
        return asked

    def _can_be_asked(self, key: KeySettings) -> bool:
        return not key.missing and not self.provider.preset.retired and bool(self.provider.models)

    def _why_not(self, key: KeySettings) -> tuple[str, str]:
        preset = self.provider.preset
        if preset.retired:
            return "retired", told(preset.retired, self._redact)
        where = f"; get one at {preset.signup}" if preset.signup and key.secret is None else ""
        return "missing", f"${key.missing} is not set{where}"


async def _one_after_another(probes: list[KeyProbe], room: asyncio.Semaphore) -> None:
    for probe in probes:
        async with room:
            await probe.run()
