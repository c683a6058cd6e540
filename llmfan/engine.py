"""A fleet that is kept running: calls come and go, under the same dispatcher, limits, failover and ledger as a run's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

from llmfan.conduct.ticket import Ticket
from llmfan.options import RunOptions
from llmfan.overview import Overview
from llmfan.ports import Ledger
from llmfan.records import Prompt
from llmfan.scheduling.lanes import Lane
from llmfan.settings import Fleet

#: Calls that may wait, of each kind (interactive, batch).
QUEUE = 10_000


class Engine:
    """`async with Engine(…) as engine`: open while the block runs; what is in flight at its end is cancelled.

    `env`: for proxies. `queue`: how many calls may wait, interactive and batch ones apart. `say` is told what a person
    should know (a key that is out, a provider that is left alone), without secrets.
    """

    overview: Overview
    lanes: list[Lane]

    def __init__(
        self,
        fleet: Fleet,
        options: RunOptions,
        *,
        env: Mapping[str, str],
        ledger: Ledger | None = None,
        queue: int = QUEUE,
        say: Callable[[str], None] = lambda text: None,
    ):
        self.fleet, self.options = fleet, options

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def submit(
        self,
        prompt: Prompt,
        *,
        only: str = "",
        banned: frozenset[str] = frozenset(),
        streams: bool = False,
        usage: bool = False,
        batch: bool = False,
        max_wait: float | None = None,
    ) -> Ticket:
        """Takes a call; never raises and never waits. A call that is refused at once has its result already.

        `only`: one of a lane's names ("" is anyone by priority); `banned`: names that cannot serve it. `batch`: behind
        all interactive ones. `max_wait`: seconds it may wait for a permit.
        """
        raise RuntimeError

    def cancel(self, ticket: Ticket) -> None:
        """Its caller is gone: it leaves the queue, or its request is cancelled and what it reserved is freed."""

    async def drain(self, grace: float) -> None:
        """Takes no more calls; returns when those it has have ended, after `grace` seconds at most."""
