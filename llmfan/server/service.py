"""A fleet served: from the first connection to the last answer."""

from __future__ import annotations

import asyncio
import gc
import resource
import signal
import socket
import time
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from aiohttp import web
from msgspec.structs import replace

from llmfan.engine import Engine
from llmfan.options import RunOptions
from llmfan.ports import Ledger
from llmfan.server.app import House
from llmfan.server.connections import Connections
from llmfan.server.guard import Guard, in_address
from llmfan.server.log import Log, to_stderr
from llmfan.server.sockets import BACKLOG, listeners
from llmfan.server.terms import Terms
from llmfan.settings import Fleet
from llmfan.surroundings import loop_factory

#: Seconds in which connections have to be closed.
CLOSED_S = 0.5
#: Files kept back from connections: the ledger, the log, what the loop needs, and those that are being closed.
SPARE = 160


def serve(
    fleet: Fleet,
    options: RunOptions,
    terms: Terms,
    *,
    env: Mapping[str, str],
    whole: Fleet,
    ledger: Ledger | None,
    queue: int,
    quiet: bool,
    ready: Callable[[str, Engine], None],
) -> int:
    """Serves until a signal, whose exit code it gives; 1 where a fault of llmfan itself has ended the fleet.

    `ready` is told the address once calls are taken.
    """
    from llmfan.transports.http import allow_sockets

    sockets = listeners(terms.host, terms.port)  # first: a port in use is known before anything is opened
    allow_sockets(options.concurrency + terms.connections // 2 + BACKLOG)

    async def run() -> int:
        log = Log(to_stderr, quiet=quiet)
        try:
            async with Engine(fleet, options, env=env, whole=whole, ledger=ledger, queue=queue, say=log.say) as engine:
                service = Service(engine, replace(terms, connections=_room(terms, options)), sockets, log)
                service.catch_signals()
                await service.open()
                ready(service.url, engine)
                gc.freeze()  # a collection need not walk through what was loaded, again and again
                gc.enable()
                return await service.last()
        finally:
            log.close()

    try:
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            return runner.run(run())
    finally:
        for each in sockets:
            each.close()


def _room(terms: Terms, options: RunOptions) -> int:
    """Connections that there are files for: each may need one to a provider, a simulated one both ends of it."""
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most == resource.RLIM_INFINITY:
        return terms.connections
    ends = 2 if options.simulate else 1
    left = most - SPARE
    return max(1, min(terms.connections, max(left - ends * options.concurrency, left // (1 + ends))))


class Service:
    """Listens from `open` on; `last` returns the exit code, when all is closed."""

    def __init__(self, engine: Engine, terms: Terms, sockets: list[socket.socket], log: Log):
        self._engine, self._terms, self._sockets, self._log = engine, terms, sockets, log
        port = sockets[0].getsockname()[1]
        self.url = f"http://{in_address(terms.host)}:{port}"
        self.house = House(engine, terms, Guard(terms.host, port, terms.token), log, time.perf_counter)
        self.connections = Connections(terms.connections, terms.patience, log.say)
        self._runner = web.AppRunner(
            self.house.application, handle_signals=False, handler_cancellation=True, shutdown_timeout=CLOSED_S
        )
        self._servers: list[asyncio.Server] = []
        self._signal = 0
        self._first, self._second = asyncio.Event(), asyncio.Event()

    def catch_signals(self) -> None:
        """The first drains, the second leaves at once. SIGHUP counts as SIGTERM."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            meant = signal.SIGTERM if number == signal.SIGHUP else number
            loop.add_signal_handler(number, self.interrupted, int(meant))

    def interrupted(self, number: int) -> None:
        if self._signal:
            self._second.set()
        self._signal = self._signal or number
        self._first.set()

    async def open(self) -> None:
        await self._runner.setup()
        assert self._runner.server is not None
        factory = self.connections.factory(self._runner.server)
        self.connections.start()
        loop = asyncio.get_running_loop()
        for each in self._sockets:
            self._servers.append(await loop.create_server(factory, sock=each, backlog=BACKLOG))

    async def last(self) -> int:
        await self._either(self._first.wait(), self._engine.ended.wait())
        broken = not self._signal
        if broken:
            self._log.say("ending: the fleet has ended by a fault of llmfan itself, so no call can be carried out")
        await self.close(0.0 if broken else self._terms.drain)
        return 1 if broken else 128 + self._signal

    async def close(self, grace: float) -> None:
        """Takes no more calls; lets those end that end within `grace`, breaks off the others, and listens until then.

        Who asks meanwhile is told so, rather than met by nobody.
        """
        chat = self.house.chat
        self.house.drain()
        if chat.open:
            calls = f"{chat.open} call{'' if chat.open == 1 else 's'}"
            self._log.say(f"stopping: waiting for {calls}, {grace:g} s at most (another signal leaves at once)")
        await self._unless_again(self._engine.drain(grace), grace + CLOSED_S)
        await self._unless_again(chat.quiet.wait(), self._terms.taken)
        if chat.open:
            self._log.say(f"broken off: {chat.open}")
            chat.leave()
            await asyncio.wait([asyncio.ensure_future(chat.quiet.wait())], timeout=CLOSED_S)
        for server in self._servers:
            server.close()
        self.connections.stop()
        await self._runner.cleanup()

    async def _unless_again(self, what: Coroutine[Any, Any, object], most: float) -> None:
        """Waits for it, for `most` seconds at most, and no longer than until the second signal."""
        await self._either(what, self._second.wait(), most)

    async def _either(
        self, one: Coroutine[Any, Any, object], other: Coroutine[Any, Any, object], most: float | None = None
    ) -> None:
        tasks = [asyncio.ensure_future(one), asyncio.ensure_future(other)]
        await asyncio.wait(tasks, timeout=most, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
