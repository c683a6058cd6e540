"""A probe from its first request to its last: the loop, the network, the signals, and who watches."""

from __future__ import annotations

import asyncio
import gc
import signal
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from llmfan.ports import Ledger, Transport
from llmfan.probing.clerk import Clerk
from llmfan.probing.findings import Finding
from llmfan.probing.key_probe import Shot
from llmfan.probing.prober import ProbeOptions, Prober
from llmfan.probing.remember import remember
from llmfan.probing.spending import Plan, spend
from llmfan.settings import Fleet

#: Connections at once over all providers.
SOCKETS = 256
TICK_S = 0.1
STOPPED = "not asked: the probe was stopped"


class Watching(Protocol):
    def tick(self) -> None: ...

    def close(self) -> None: ...


class Course:
    """`signal` is 0, or the number of the one that stopped it; what was found until then stands."""

    def __init__(
        self,
        fleet: Fleet,
        options: ProbeOptions,
        *,
        env: Mapping[str, str],
        redact: Callable[[str], str],
        say: Callable[[str], None],
        clerk: Clerk,
    ):
        self._fleet, self._options, self._env, self._redact, self._say = fleet, options, env, redact, say
        self._clerk = clerk
        self.signal = 0
        self.prober: Prober | None = None

    @property
    def findings(self) -> list[Finding]:
        return self.prober.findings if self.prober is not None else []

    @property
    def shots(self) -> list[Shot]:
        return self.prober.shots if self.prober is not None else []

    def go(self, watch: Callable[[list[Finding]], Watching], spending: Callable[[Prober], list[Plan]] | None) -> None:
        """`spending` is asked what may be spent after the keys have answered, while nothing is under way."""
        gc.freeze()  # what was loaded stays
        gc.enable()
        with asyncio.Runner() as runner:
            transport = runner.run(_network())
            try:
                prober = self.prober = Prober(
                    self._fleet, transport, self._options,
                    clock=time.perf_counter, wall=time.time, env=self._env, redact=self._redact, clerk=self._clerk,
                )  # fmt: skip
                runner.run(self._watched(prober.run(), watch(prober.findings)))
                found = spending(prober) if spending is not None and not self.signal else []
                if found:
                    runner.run(self._watched(spend(found, time.perf_counter, self._say), None))
            finally:
                runner.run(transport.close())

    def keep(self, ledger: Ledger) -> None:
        """What was found, for `status`, `plan` and `run`."""
        remember(ledger, self._fleet, self.findings, self.shots, time.time())
        self._clerk.hear(self.findings)
        self._clerk.warn(self.findings)

    async def _watched(self, work: Coroutine[Any, Any, None], watcher: Watching | None) -> None:
        """Until the work is done or a signal comes. The table is drawn here, not where answers are read."""
        task = asyncio.ensure_future(work)
        try:
            with self._signals(task):
                while not task.done():
                    if watcher is not None:
                        watcher.tick()
                    await asyncio.wait([task], timeout=TICK_S)
        finally:
            if watcher is not None:
                watcher.close()
        if not self.signal:
            await task

    @contextmanager
    def _signals(self, task: asyncio.Future[None]) -> Iterator[None]:
        """SIGHUP counts as SIGTERM."""

        def stop(number: int) -> None:
            self.signal = self.signal or number
            task.cancel()

        loop = asyncio.get_running_loop()
        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        for number in numbers:
            loop.add_signal_handler(number, stop, int(signal.SIGTERM if number == signal.SIGHUP else number))
        try:
            yield
        finally:
            for number in numbers:
                loop.remove_signal_handler(number)


def close_open(findings: Sequence[Finding]) -> None:
    """Those that were not reached: of them nothing is known, so they have no state."""
    for finding in findings:
        if not finding.state:
            finding.why, finding.doing = STOPPED, ""


async def _network() -> Transport:
    from llmfan.transports.http import HttpTransport, allow_sockets

    allow_sockets(SOCKETS)
    return HttpTransport(SOCKETS, time.perf_counter)
