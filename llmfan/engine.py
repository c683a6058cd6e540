"""A fleet that is kept running: calls come and go under the dispatcher, limits, failover and ledger of a run."""

from __future__ import annotations

import asyncio
import datetime as dt
import math
import time
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from random import Random
from types import TracebackType
from typing import Self

from msgspec.structs import replace

from llmfan.conduct.attempt import Attempts
from llmfan.conduct.bookkeeper import Bookkeeper
from llmfan.conduct.bounds import Bounds
from llmfan.conduct.scribe import Scribe
from llmfan.conduct.service import Service
from llmfan.conduct.ticket import Ticket
from llmfan.conduct.unwritten import Unwritten
from llmfan.dialects.relay import Head
from llmfan.ledgers.memory import MemoryLedger
from llmfan.limits.window import Calendar
from llmfan.measures.accumulate import Accumulator
from llmfan.measures.recent import Recent
from llmfan.options import RunOptions
from llmfan.overview import Overview
from llmfan.ports import Clock, Ledger, Transport
from llmfan.records import Prompt
from llmfan.runfile import redactor
from llmfan.scheduling.jobs import Job
from llmfan.scheduling.lanes import Lane
from llmfan.scheduling.queue import Queue
from llmfan.settings import Fleet
from llmfan.simulation.answers import Answers
from llmfan.surroundings import spelled_moment
from llmfan.wiring import Crew, Moments, dispatcher_of, network

#: Calls that may wait, of each kind (those that somebody waits for, and batches).
QUEUE = 10_000
#: How often the wall clock is looked at, and from where on it is another one than was known.
FOLLOW_S, APART_S = 5.0, 2.0


class Engine:
    """`async with Engine(…) as engine` is open while the block runs; what is in flight at its end is cancelled.

    `env`: for proxies. `whole`: the fleet with all that cannot be used, to be shown. `queue`: how many calls may wait,
    interactive and batch ones apart. `say` is told what a person should know (a key that is out, a provider that is
    left alone), without secrets. Ledger and `transport` (the network where none is given) are closed at the end.
    """

    overview: Overview
    lanes: list[Lane]

    def __init__(
        self,
        fleet: Fleet,
        options: RunOptions,
        *,
        env: Mapping[str, str],
        whole: Fleet | None = None,
        ledger: Ledger | None = None,
        queue: int = QUEUE,
        say: Callable[[str], None] = lambda text: None,
        clock: Clock = time.perf_counter,
        transport: Transport | None = None,
    ):
        self.fleet, self.options = fleet, replace(options, callers=True, hedge=False, rate=None, sticky=None)
        self.redact = redactor(fleet)
        self._env, self._bound, self._whole = env, queue, whole or fleet
        self._ledger: Ledger = ledger or MemoryLedger()
        self._say = say
        self._clock, self._transport = clock, transport
        self._stack = AsyncExitStack()
        self._serial, self._followed = 0, -math.inf
        self.ended = asyncio.Event()
        self._stem = f"{Random().getrandbits(40):010x}"

    async def __aenter__(self) -> Self:
        try:
            await self._open()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def _open(self) -> None:
        options, stack, clock = self.options, self._stack, self._clock
        stack.callback(self._ledger.close)
        moments = self._moments = Moments(clock, dt.datetime.now(dt.UTC))
        answers = Answers(options.seed)
        base_urls: Mapping[str, str] = {}
        if options.simulate:
            from llmfan.simulation.fleet import loopback

            base_urls = await stack.enter_async_context(loopback(self.fleet, options.seed, options.speed, answers))
        crew = Crew(self.fleet, options, moments, base_urls, {} if options.simulate else self._env)
        queue = Queue()
        dispatcher = dispatcher_of(self.fleet, crew, options, queue, lambda text: self._say(self.redact(text)))
        clerk = Bookkeeper(self._ledger, dispatcher, moments.unix, options.speed)
        clerk.recall(clock())
        transport = self._transport or network(options, clock)
        stack.push_async_callback(transport.close)
        accumulator, recent = Accumulator(), Recent()
        scribe = Scribe(
            Unwritten(), accumulator, start=moments.start, started_at=moments.started_at, simulated=options.simulate
        )
        scribe.tallies, scribe.recent = clerk.tallies, recent
        attempts = Attempts(dispatcher, crew.speakers, transport, scribe, clock, redact=self.redact)
        attempts.tell = answers.tell if options.simulate else None
        self.service = Service(
            dispatcher, attempts, scribe, _Nobody(self._say), clock, Bounds(), clerk, audit=False,
            describe_wait=spelled_moment(moments),
        )  # fmt: skip
        self.service.begin(queue, self._bound, self._fault, self._follow_clock)
        self.lanes = crew.lanes
        self.overview = Overview(
            self._whole, dispatcher, clerk, self._ledger, accumulator, recent, moments, self.redact,
            simulated=options.simulate, speed=options.speed,
        )  # fmt: skip
        self._work = asyncio.get_running_loop().create_task(self.service.go())
        self._work.add_done_callback(self._stopped)
        stack.push_async_callback(self._end)
        await asyncio.sleep(0)  # the pacers begin

    async def _end(self) -> None:
        self.service.close()
        await asyncio.wait([self._work])

    @property
    def alive(self) -> bool:
        """Whether calls are carried out; False after the end, or where a fault of llmfan itself has ended it."""
        return not self._work.done()

    def _stopped(self, work: asyncio.Task[object]) -> None:
        """A fault of ours outside any call: nothing goes on, so every caller is told."""
        if not work.cancelled() and (error := work.exception()) is not None:
            self._fault(error)
            self.service.close()
        self.ended.set()

    def _follow_clock(self, now: float) -> None:
        """A machine that slept, or whose clock was set: days end by the wall clock, not by this process's."""
        if self._clock is not time.perf_counter or now < self._followed + FOLLOW_S:
            return
        self._followed = now
        self.follow(now, dt.datetime.now(dt.UTC))

    def follow(self, now: float, wall: dt.datetime) -> None:
        """`wall`: what the wall clock shows at `now`."""
        if abs((wall - self._moments.wall(now)).total_seconds()) < APART_S:
            return
        off = self._moments.correct(wall, now)
        self.service.scribe.shift(off)
        for day in {meter for lane in self.lanes for meter in lane.meters if isinstance(meter, Calendar)}:
            day.shift(off)
        self.service.dispatcher.look_again()

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
        """Takes a call and never waits. A call that is refused at once has its result already.

        `only`: one of a lane's names ("" is anyone by priority); `banned`: names that cannot serve it. `batch`: behind
        all interactive ones. `max_wait`: seconds it may wait for a permit. A prompt without an id is given one.
        """
        self._serial += 1
        now = self._moments.clock()
        ident = f"chatcmpl-{self._stem}{self._serial:08x}"
        job = Job(prompt if prompt.id else replace(prompt, id=ident), 0, only)
        job.banned, job.batch, job.planned = banned, batch, now
        head = Head(id=ident, created=int(self._moments.unix(now)))
        ticket = Ticket(job, streams=streams, head=head, usage=usage, submitted=now, redact=self.redact.raw)
        ticket.max_wait = max_wait
        job.caller = ticket
        self.service.submit(ticket)
        return ticket

    def cancel(self, ticket: Ticket) -> None:
        """Its caller is gone: it leaves the queue, or its request is cancelled and what it reserved is freed."""
        self.service.withdraw(ticket)

    async def drain(self, grace: float) -> None:
        """Takes no more calls; returns when those it has have ended, after `grace` seconds at most."""
        self.service.closing = True
        try:
            async with asyncio.timeout(grace):
                await self.service.quiet.wait()
        except TimeoutError:
            self.service.close()

    def _fault(self, error: BaseException) -> None:
        """Of ours: said by its kind and place, for what it holds may be a caller's text."""
        trace = error.__traceback__
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
            trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        where = "" if trace is None else f" at {trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
        self._say(f"a fault of llmfan itself: {type(error).__name__}{where}")


class _Nobody:
    """Watches nothing; passes on what a person should know."""

    def __init__(self, say: Callable[[str], None]):
        self.say = say

    def tick(self, now: float) -> None: ...

    def close(self) -> None: ...
