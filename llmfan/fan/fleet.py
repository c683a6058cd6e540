"""`async with Fan(…) as fan`: the fleet of a providers file, for a program's own calls."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, Unpack, overload
from weakref import WeakSet

from llmfan.conduct.ticket import Ticket
from llmfan.engine import QUEUE, Engine
from llmfan.errors import UserError
from llmfan.fan.batch import Batch, reading_ahead, source_fault
from llmfan.fan.calls import Calls, Priority, Reader, batched, patience
from llmfan.fan.fields import Fields, fields_of
from llmfan.fan.opening import Given, Say, check, names, span, teller
from llmfan.fan.stream import Stream
from llmfan.fan.waiting import answered, begun
from llmfan.options import RunOptions
from llmfan.records import Message, ResultLine

CONCURRENCY = 1024


class Fan:
    """The fleet of a providers file, open while the block runs:

        async with llmfan.Fan("providers.yaml") as fan:
            print((await fan.ask("What is the capital of France?")).text)

    `providers`: the file; by default what LLMFAN_PROVIDERS names, else ./providers.yaml. `env`: instead of the
    process's variables and `.env`. `state`: the ledger's file. `only`, `exclude`: names as of `llmfan run`.
    `concurrency`: requests in flight over all keys. `queue`: calls that may wait, interactive and batch ones apart.
    `timeout`: for each request. `max_wait`: of `ask` and `chat`, as there. (Both in seconds, or "90s", "2m".)
    `simulate`: the simulated fleet on loopback, which needs no key. `say` is told what a person should know, without
    secrets; by default the logger `llmfan` is. What is wrong with the file raises `UserError` on entry.
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
        max_wait: float | str | None = None,
        timeout: float | str | None = None,
        max_attempts: int = 4,
        max_ambiguous: int = 1,
        max_cost: float | None = None,
        simulate: bool = False,
        simulate_speed: float = 1.0,
        seed: int = 0,
        say: Say | None = None,
    ):
        self._options = RunOptions(
            concurrency=concurrency, timeout=None if timeout is None else span("timeout", timeout),
            max_attempts=max_attempts, max_ambiguous=max_ambiguous, max_cost=max_cost, simulate=simulate,
            speed=simulate_speed, seed=seed,
        )  # fmt: skip
        check(self._options, queue)
        self._given = Given(
            providers=providers, env_file=env_file, env=env, state=state, only=names(only), exclude=names(exclude)
        )
        self._queue, self._max_wait = queue, None if max_wait is None else span("max_wait", max_wait)
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
        max_wait: float | str | None = None,
        priority: Priority = "interactive",
        metadata: Any = None,
        id: str | None = None,
        params: Mapping[str, Any] | None = None,
        **fields: Unpack[Fields],
    ) -> ResultLine:
        """The answer to one prompt, as its record: `.text`, `.provider`, `.usage`, `.wait_s`. Raises `CallFailed`.

            answer = await fan.ask("Name a river.", model="auto", max_tokens=50, seed=7)

        `model`: "auto" is anyone by priority, else `PROVIDER/MODEL`, a model, a provider or a key's label. `fields`: of
        a chat completion, by name; `params`: any other that a provider takes. Who does not take one is not asked.
        `max_wait`: how long it may wait for a permit, in seconds or as "90s"; longer, it fails at once. By default as
        long as it takes, but no longer than a minute for a spent quota to come back (math.inf: for that as well).
        `metadata` is llmfan's, and comes back in the record. Cancelling frees what the call holds.
        """
        if not isinstance(prompt, str):
            raise UserError(f"prompt: expected text, got {type(prompt).__name__}; a list of messages goes to chat")
        asked = fields_of(self.ask, fields, params, max_tokens=max_tokens, temperature=temperature)
        document = {**asked, "model": model, "messages": [{"role": "user", "content": prompt}]}
        return await answered(self._sent(document, system, id, metadata, priority, max_wait))

    @overload
    async def chat(
        self, messages: Sequence[Message], *, stream: Literal[False] = False, model: str = "auto",
        system: str | None = None, max_tokens: int | None = None, temperature: float | None = None,
        max_wait: float | str | None = None, priority: Priority = "interactive", metadata: Any = None,
        id: str | None = None, params: Mapping[str, Any] | None = None, **fields: Unpack[Fields],
    ) -> ResultLine: ...  # fmt: skip

    @overload
    async def chat(
        self, messages: Sequence[Message], *, stream: Literal[True], model: str = "auto",
        system: str | None = None, max_tokens: int | None = None, temperature: float | None = None,
        max_wait: float | str | None = None, priority: Priority = "interactive", metadata: Any = None,
        id: str | None = None, params: Mapping[str, Any] | None = None, **fields: Unpack[Fields],
    ) -> Stream: ...  # fmt: skip

    async def chat(
        self, messages: Sequence[Message], *, stream: bool = False, model: str = "auto",
        system: str | None = None, max_tokens: int | None = None, temperature: float | None = None,
        max_wait: float | str | None = None, priority: Priority = "interactive", metadata: Any = None,
        id: str | None = None, params: Mapping[str, Any] | None = None, **fields: Unpack[Fields],
    ) -> ResultLine | Stream:  # fmt: skip
        """The same for a conversation. `system` takes the place of the conversation's own.

            async for chunk in await fan.chat([{"role": "user", "content": "Tell a story."}], stream=True):
                print(chunk.text, end="")

        With `stream` it returns when the first text has come, until when others are tried if one fails; what breaks
        later raises `CallFailed` from the stream.
        """
        asked = fields_of(self.chat, fields, params, max_tokens=max_tokens, temperature=temperature)
        document = {**asked, "model": model, "messages": messages, "stream": stream}
        ticket = self._sent(document, system, id, metadata, priority, max_wait)
        return await (begun(ticket) if stream else answered(ticket))

    def map(
        self,
        prompts: Iterable[Any] | AsyncIterable[Any],
        *,
        model: str = "auto",
        ordered: bool = False,
        ahead: int | None = None,
        system: str | None = None,
        max_tokens: int | None = None,
        temperature: float | None = None,
        max_wait: float | str | None = None,
        priority: Priority = "batch",
        metadata: Any = None,
        params: Mapping[str, Any] | None = None,
        **fields: Unpack[Fields],
    ) -> AsyncGenerator[ResultLine, None]:
        """Results as they come, or in the order of the prompts; `index` is the position. Failed calls are results too.

            async for result in fan.map(["What is 2 + 2?", {"id": "b", "prompt": "Why?", "max_tokens": 9}]):
                print(result.index, result.text or result.error)

        A prompt is text, a list of messages, or an object as on a line of a prompt set; what it says of itself goes
        before what is said here, other columns are passed over, and ids may come twice. One that cannot be sent ends
        the map with a `UserError`, after the results of those before it. `ahead`: how many are read before their
        results are taken; by default twice what the fleet can have in flight. `max_wait`: of each, as of `ask`, but
        never the Fan's. Leaving the loop ends what is in flight.
        """
        engine = self._engine()
        if wrong := source_fault(prompts):
            raise UserError(wrong)
        ahead = reading_ahead(ahead, engine.lanes, self._options.concurrency)
        batch, wait = batched(priority), patience(max_wait, None)
        common = fields_of(self.map, fields, params, max_tokens=max_tokens, temperature=temperature)
        read = Reader(self._calls, self._calls.settled(model, common), system, metadata)

        def submit(item: Any, position: int) -> Ticket:
            prompt, where = read(item, position)
            return self._engine().submit(prompt, only=where.only, banned=where.banned, batch=batch, max_wait=wait)

        batches = Batch(prompts, submit, self._places, ahead=ahead, ordered=ordered)
        self._batches.add(batches)
        return batches.results()

    def status(self) -> dict[str, Any]:
        """The document of `llmfan status --json`, as things stand now.

        It is made at once and without `await`: for a fleet of dozens of keys that holds the loop up for some tens of
        milliseconds, so ask every few seconds, not between calls.
        """
        return self._engine().overview.status()

    @property
    def ahead(self) -> int:
        """How many prompts `map` reads ahead by default."""
        return reading_ahead(None, self._engine().lanes, self._options.concurrency)

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
        max_wait: float | str | None,
    ) -> Ticket:  # fmt: skip
        engine, batch, wait = self._engine(), batched(priority), patience(max_wait, self._max_wait)
        asked, where = self._calls.one(document, system, id_, metadata)
        return engine.submit(
            asked.prompt, only=where.only, banned=where.banned, streams=asked.streams, usage=asked.wants_usage,
            batch=batch, max_wait=wait,
        )  # fmt: skip
