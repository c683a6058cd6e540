"""`async with Fan(…) as fan`: the fleet of a providers file, for a program's own calls."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, TypeVar, overload
from weakref import WeakSet

from llmfan.conduct.ticket import Ticket
from llmfan.engine import QUEUE, Engine
from llmfan.errors import UserError
from llmfan.fan.batch import Batch
from llmfan.fan.calls import Calls, Priority, Reader, batched, patience
from llmfan.fan.failed import CallFailed
from llmfan.fan.opening import Given, Say, check, names, teller
from llmfan.fan.stream import Stream
from llmfan.options import RunOptions
from llmfan.records import Message, ResultLine
from llmfan.scheduling.lanes import Group

CONCURRENCY = 1024
#: Prompts that a batch reads ahead at most, if nobody says otherwise.
AHEAD = 1000
_T = TypeVar("_T")


class Fan:
    """The fleet of a providers file, open while the block runs.

    `providers`: the file; by default what LLMFAN_PROVIDERS names, else ./providers.yaml. `env`: instead of the
    process's variables and `.env`. `state`: the ledger's file. `only`, `exclude`: names as of `llmfan run`.
    `concurrency`: requests in flight over all keys. `queue`: calls that may wait, interactive and batch ones apart.
    `max_wait`: seconds that `ask` and `chat` wait for a permit, without bound by default. `simulate`: the simulated
    fleet on loopback, which needs no key. `say` is told what a person should know, without secrets; by default the
    logger `llmfan` is. What is wrong with the file raises `UserError` on entry.
    """

    def __init__(
        self,
        providers: str | Path | None = None,
        *,
        env_file: str | Path | None = None,
        env: Mapping[str, str] | None = None,
        state: str | Path | None = None,
        only: str | Iterable[str] = (),
        exclude: str | Iterable[str] = (),
        concurrency: int = CONCURRENCY,
        queue: int = QUEUE,
        max_wait: float | None = None,
        timeout: float | None = None,
        max_attempts: int = 4,
        max_ambiguous: int = 1,
        max_cost: float | None = None,
        simulate: bool = False,
        simulate_speed: float = 1.0,
        seed: int = 0,
        say: Say | None = None,
    ):
        self._options = RunOptions(
            concurrency=concurrency, timeout=timeout, max_attempts=max_attempts, max_ambiguous=max_ambiguous,
            max_cost=max_cost, simulate=simulate, speed=simulate_speed, seed=seed,
        )  # fmt: skip
        check(self._options, queue, max_wait)
        self._given = Given(
            providers=providers, env_file=env_file, env=env, state=state, only=names(only), exclude=names(exclude)
        )
        self._queue, self._max_wait = queue, max_wait
        self._say, self._mention = teller(say)
        self._stack = AsyncExitStack()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._state: Literal["new", "open", "closed"] = "new"
        self._batches: WeakSet[Batch] = WeakSet()

    async def __aenter__(self) -> Self:
        if self._state != "new":
            raise RuntimeError("a Fan can be entered once; make another one")
        self._state, self._loop = "closed", asyncio.get_running_loop()
        async with AsyncExitStack() as stack:
            env = self._given.variables()
            fleet = self._given.fleet(env, self._options)
            for note in fleet.notes:
                self._mention(note)
            whole = self._given.whole(fleet, env, self._options.simulate)
            ledger = None if self._options.simulate else self._given.ledger(whole, self._say)
            engine = Engine(fleet, self._options, env=env, whole=whole, ledger=ledger, queue=self._queue, say=self._say)
            self._opened = await stack.enter_async_context(engine)
            self._calls = Calls(fleet, [lane.target for lane in engine.lanes])
            self._places = asyncio.Semaphore(self._queue)
            self._stack = stack.pop_all()
        self._state = "open"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._state = "closed"
        for batch in list(self._batches):
            batch.close()
        await self._stack.__aexit__(kind, error, trace)

    async def ask(
        self,
        prompt: str,
        *,
        model: str = "auto",
        system: str | None = None,
        max_tokens: int | None = None,
        temperature: float | None = None,
        max_wait: float | None = None,
        priority: Priority = "interactive",
        metadata: Any = None,
        id: str | None = None,
        **params: Any,
    ) -> ResultLine:
        """The answer to one prompt, as its record: `.text`, `.provider`, `.usage`, `.wait_s`. Raises `CallFailed`.

        `model`: "auto" is anyone by priority, else `PROVIDER/MODEL`, a model, a provider or a key's label. `params`:
        any other field of a chat completion; who does not take one is not asked. Cancelling frees what it holds.
        """
        if not isinstance(prompt, str):
            raise UserError(f"prompt: expected text, got {type(prompt).__name__}; a list of messages goes to chat")
        if params.get("stream"):
            raise UserError("stream: chat streams, ask gives the whole answer")
        document = {
            **params, "model": model, "messages": [{"role": "user", "content": prompt}], "max_tokens": max_tokens,
            "temperature": temperature,
        }  # fmt: skip
        return await self._answered(self._sent(document, system, id, metadata, priority, max_wait))

    @overload
    async def chat(
        self, messages: Sequence[Message], *, stream: Literal[False] = False, model: str = "auto",
        system: str | None = None, max_tokens: int | None = None, temperature: float | None = None,
        max_wait: float | None = None, priority: Priority = "interactive", metadata: Any = None,
        id: str | None = None, **params: Any,
    ) -> ResultLine: ...  # fmt: skip

    @overload
    async def chat(
        self, messages: Sequence[Message], *, stream: Literal[True], model: str = "auto",
        system: str | None = None, max_tokens: int | None = None, temperature: float | None = None,
        max_wait: float | None = None, priority: Priority = "interactive", metadata: Any = None,
        id: str | None = None, **params: Any,
    ) -> Stream: ...  # fmt: skip

    async def chat(
        self,
        messages: Sequence[Message],
        *,
        stream: bool = False,
        model: str = "auto",
        system: str | None = None,
        max_tokens: int | None = None,
        temperature: float | None = None,
        max_wait: float | None = None,
        priority: Priority = "interactive",
        metadata: Any = None,
        id: str | None = None,
        **params: Any,
    ) -> ResultLine | Stream:
        """The same for a conversation. With `stream` it returns when the first text has come, until when others are
        tried if one fails; what breaks later raises `CallFailed` from the stream.
        """
        document = {
            **params, "model": model, "messages": messages, "max_tokens": max_tokens, "temperature": temperature,
            "stream": stream,
        }  # fmt: skip
        ticket = self._sent(document, system, id, metadata, priority, max_wait)
        return await (self._begun(ticket) if stream else self._answered(ticket))

    def map(
        self,
        prompts: Iterable[Any] | AsyncIterable[Any],
        *,
        model: str = "auto",
        ordered: bool = False,
        ahead: int | None = None,
        system: str | None = None,
        max_wait: float | None = None,
        priority: Priority = "batch",
        metadata: Any = None,
        **settings: Any,
    ) -> AsyncGenerator[ResultLine, None]:
        """Results as they come, or in the order of the prompts; `index` is the position. Failed calls are results too.

        A prompt is text, a list of messages, or an object as on a line of a prompt set; what it says of itself goes
        before `settings` (`max_tokens`, `temperature`, any other field). `ahead`: how many are read before their
        results are taken; by default twice what the fleet can have in flight. `max_wait` is none by default, whatever
        the Fan's. Leaving the loop ends what is in flight.
        """
        self._engine()
        if ahead is not None and ahead < 1:
            raise UserError(f"ahead: expected a whole number from 1 up, got {ahead!r}")
        if isinstance(prompts, str | Mapping):
            raise UserError(f"prompts: expected several, got one {type(prompts).__name__}; put it in a list")
        batch, wait = batched(priority), patience(max_wait, None)
        read = Reader(self._calls, self._calls.settled(model, settings), system, metadata)

        def submit(item: Any, position: int) -> Ticket:
            prompt, where = read(item, position)
            return self._engine().submit(prompt, only=where.only, banned=where.banned, batch=batch, max_wait=wait)

        batches = Batch(prompts, submit, self._cancel, self._places, ahead=ahead or self.ahead, ordered=ordered)
        self._batches.add(batches)
        return batches.results()

    def status(self) -> dict[str, Any]:
        """The document of `llmfan status --json`, as things stand now."""
        return self._engine().overview.status()

    @property
    def ahead(self) -> int:
        """How many prompts `map` reads ahead by default."""
        groups = {id(lane.group): lane.group for lane in self._engine().lanes}.values()
        most = min(float(self._options.concurrency), sum(map(_in_flight, groups)))
        return max(2, min(AHEAD, math.ceil(2 * most)))

    def __repr__(self) -> str:
        return f"<Fan {self._state}>"

    def _engine(self) -> Engine:
        if self._state != "open":
            raise RuntimeError("a Fan works inside its block: async with llmfan.Fan(…) as fan")
        if asyncio.get_running_loop() is not self._loop:
            raise RuntimeError("a Fan belongs to the event loop that opened it")
        return self._opened

    def _sent(
        self, document: Mapping[str, Any], system: str | None, id_: str | None, metadata: Any, priority: str,
        max_wait: float | None,
    ) -> Ticket:  # fmt: skip
        engine, batch, wait = self._engine(), batched(priority), patience(max_wait, self._max_wait)
        asked, where = self._calls.one(document, system, id_, metadata)
        return engine.submit(
            asked.prompt, only=where.only, banned=where.banned, streams=asked.streams, usage=asked.wants_usage,
            batch=batch, max_wait=wait,
        )  # fmt: skip

    def _cancel(self, ticket: Ticket) -> None:
        self._opened.cancel(ticket)

    async def _answered(self, ticket: Ticket) -> ResultLine:
        result = await self._held(ticket, ticket.result)
        if result.status != "ok":
            raise _failed(ticket, result)
        return result

    async def _begun(self, ticket: Ticket) -> Stream:
        if await self._held(ticket, ticket.begun):
            return Stream(ticket, self._cancel)
        raise _failed(ticket, await ticket.result)

    async def _held(self, ticket: Ticket, future: asyncio.Future[_T]) -> _T:
        """Waits; if its caller is cancelled meanwhile, so is the call."""
        try:
            return await asyncio.shield(future)
        except BaseException:
            self._cancel(ticket)
            raise


def _failed(ticket: Ticket, result: ResultLine) -> CallFailed:
    return CallFailed(result, None if ticket.refusal is None else ticket.refusal.retry_after)


def _in_flight(group: Group) -> float:
    """What a limit lets be in flight at once: a window's worth, or a minute's where windows are shorter."""
    pace = group.pace
    return max(pace.limit, pace.limit * 60.0 / pace.period)
