"""The pacers of a run: one acquirer for each limit group with a pace. They only grant; who leaves is not theirs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from llmfan.pacing.departures import Departures
from llmfan.scheduling.claim import Claim
from llmfan.scheduling.dispatcher import Dispatcher
from llmfan.scheduling.lanes import Group


class Pacers:
    """`start` begins those that are missing; `used` tells them who left. `begin` runs a coroutine beside the run."""

    def __init__(
        self, dispatcher: Dispatcher, pump: Callable[[], None], begin: Callable[[Coroutine[Any, Any, None]], None]
    ):
        self._dispatcher, self._pump, self._begin = dispatcher, pump, begin
        self._used: dict[Group, asyncio.Event] = {}

    def start(self) -> None:
        for group in self._dispatcher.groups:
            if group.paced and group not in self._used:
                self._used[group] = asyncio.Event()
                self._begin(self._pace(group, self._used[group]))

    def used(self, claims: Iterable[Claim]) -> None:
        for claim in claims:
            used = self._used.get(claim.lane.group)
            if used is not None:
                used.set()

    async def _pace(self, group: Group, used: asyncio.Event) -> None:
        """A permit at a time, held until somebody leaves with it."""
        departures: Departures | None = None
        while (spec := group.pace.spec()) is not None:
            if departures is None:
                departures = Departures(*spec)
            await departures.retune(*spec)
            await departures.leave()
            used.clear()
            self._dispatcher.grant(group)
            self._pump()
            if group.permit:
                await used.wait()
                await departures.left()
