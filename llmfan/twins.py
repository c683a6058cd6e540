"""The Python API for scripts, without `await`: each call opens a fleet, uses it, and closes it again.

It does so on an event loop in a thread of its own, so it works where a loop is running already (a notebook); that loop
stands still until the call returns. Opening takes its time: many calls go to a `Fan`, or to one `map`.
"""

from __future__ import annotations

import asyncio
import atexit
import threading
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Coroutine, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

from llmfan.errors import UserError, near
from llmfan.fan import Fan
from llmfan.fan.batch import source_fault
from llmfan.fan.fields import OF_THE_FAN, check_names, settings_of
from llmfan.records import Message, ResultLine
from llmfan.surroundings import loop_factory

T = TypeVar("T")
#: Prompts read in one go while results are ready: a source may be slow.
_AT_ONCE = 2
_END = object()


def ask(prompt: str, providers: str | Path | None = None, **settings: Any) -> ResultLine:
    """The answer to one prompt. `settings`: those of `Fan` and of `Fan.ask`. Raises `CallFailed`.

        print(llmfan.ask("What is the capital of France?").text)

    Each call opens a fleet and closes it again: for a loop of calls use `map`, or a `Fan`.
    """
    fan, call = _split(Fan.ask, settings)

    async def work() -> ResultLine:
        async with Fan(providers, **fan) as opened:
            return await opened.ask(prompt, **call)

    return _done(work)


def chat(messages: Sequence[Message], providers: str | Path | None = None, **settings: Any) -> ResultLine:
    """The same for a conversation; not streamed.

    llmfan.chat([{"role": "user", "content": "And in German?"}], model="auto")
    """
    if settings.pop("stream", False):
        raise UserError("stream: only with await: async with llmfan.Fan(…) as fan, fan.chat(…, stream=True)")
    fan, call = _split(Fan.chat, settings)

    async def work() -> ResultLine:
        async with Fan(providers, **fan) as opened:
            result: ResultLine = await opened.chat(messages, **call)
            return result

    return _done(work)


def map(
    prompts: Iterable[Any], providers: str | Path | None = None, **settings: Any
) -> Generator[ResultLine, None, None]:
    """Results as they come (`ordered=True`: in order). `settings`: those of `Fan` and of `Fan.map`.

        for result in llmfan.map(["What is 2 + 2?", "Why?"], ordered=True):
            print(result.text or result.error)

    The prompts are read in the caller's thread, `ahead` of what has been taken and no more. Closing the generator, or
    letting go of it, ends what is in flight.
    """
    if isinstance(prompts, AsyncIterable):
        raise UserError("prompts: an async iterable goes to the map of a Fan")
    if wrong := source_fault(prompts):
        raise UserError(wrong)
    fan, call = _split(Fan.map, settings)
    return _mapped(prompts, providers, fan, call)


def fleet_status(providers: str | Path | None = None, **settings: Any) -> dict[str, Any]:
    """The document of `llmfan status --json`. `settings`: those of `Fan`. Sends nothing."""
    own = settings_of(Fan.__init__)
    for name in settings.keys() - own:
        raise UserError(f"{name}: no setting of a Fan{near(name, own)}")

    async def work() -> dict[str, Any]:
        async with Fan(providers, **settings) as opened:
            return opened.status()

    return _done(work)


def _split(call: Callable[..., Any], settings: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The fleet's settings and the call's; a slip is found before any fleet is opened."""
    fan = {name: value for name, value in settings.items() if name in OF_THE_FAN}
    own = {name: value for name, value in settings.items() if name not in OF_THE_FAN}
    check_names(call, own)
    return fan, own


def _done(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    aside = _Aside(work)
    try:
        aside.start()
        return aside.result()
    finally:  # on Ctrl-C as well
        aside.stop()
        del aside  # an exception holds this frame, and the thread's end holds the exception


class _Aside(Generic[T]):
    """One piece of work on an event loop in a thread of its own. Whatever comes, `stop` leaves no thread behind."""

    def __init__(self, work: Callable[[], Coroutine[Any, Any, T]], ended: Callable[[], None] = lambda: None):
        self._work, self._ended = work, ended
        self._end: Future[T] = Future()
        self._stopped = False
        self.loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[Any] | None = None
        self._thread = threading.Thread(target=self._live, name="llmfan", daemon=True)

    def start(self) -> None:
        atexit.register(self.stop)
        self._thread.start()

    def result(self) -> T:
        """Waits for it; raises what it raised."""
        return self._end.result()

    def stop(self) -> None:
        """Cancels what is not done yet, and waits until all of it is closed."""
        self._stopped = True
        if self._task is not None:
            self.tell(self._task.cancel)
        try:
            if self._thread.is_alive() and threading.current_thread() is not self._thread:  # the last reference's end
                self._thread.join()
        except KeyboardInterrupt:  # the second: now, without the rest, and told once
            raise KeyboardInterrupt from None
        finally:
            atexit.unregister(self.stop)

    def tell(self, say: Callable[..., object], *args: object) -> None:
        """Calls something on its loop; nothing where that has ended."""
        try:
            assert self.loop is not None
            self.loop.call_soon_threadsafe(say, *args)
        except RuntimeError:
            pass

    def _live(self) -> None:
        try:
            with asyncio.Runner(loop_factory=loop_factory()) as runner:
                found = runner.run(self._main())
            self._end.set_result(found)
        except BaseException as error:  # the caller's thread raises it
            self._end.set_exception(error)
        finally:
            self._ended()

    async def _main(self) -> T:
        self.loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        if self._stopped:
            raise asyncio.CancelledError
        return await self._work()


def _mapped(
    prompts: Iterable[Any], providers: str | Path | None, fan: dict[str, Any], call: dict[str, Any]
) -> Generator[ResultLine, None, None]:
    source = iter(prompts)
    exchange = _Exchange(providers, fan, call)
    try:
        exchange.aside.start()
        yield from exchange.results(source)
    finally:
        exchange.aside.stop()
        if isinstance(source, Generator):
            source.close()


class _Exchange:
    """Prompts go over to the loop's thread, results come back."""

    def __init__(self, providers: str | Path | None, fan: dict[str, Any], call: dict[str, Any]):
        self._providers, self._fan, self._call = providers, fan, call
        self._out: SimpleQueue[Any] = SimpleQueue()
        self._in: asyncio.Queue[Any] = asyncio.Queue()
        self.aside = _Aside(self._work, lambda: self._out.put(_END))

    def results(self, source: Iterator[Any]) -> Iterator[ResultLine]:
        """A source that fails does so after the results of all that was read from it."""
        ahead, fault = self._out.get(), None
        given = taken = 0
        more = ahead is not _END
        while ahead is not _END:
            first = given
            while more and given - taken < ahead and (given - first < _AT_ONCE or self._out.empty()):
                try:
                    item = next(source, _END)
                except Exception as error:
                    item, fault = _END, error
                self.aside.tell(self._in.put_nowait, item)
                more, given = item is not _END, given + 1
            found = self._out.get()
            if found is _END:
                break
            taken += 1
            yield found
        self.aside.result()
        if fault is not None:
            raise fault

    async def _work(self) -> None:
        async with Fan(self._providers, **self._fan) as opened:
            results = opened.map(self._items(), **self._call)
            self._out.put(self._call.get("ahead") or opened.ahead)
            async for result in results:
                self._out.put(result)

    async def _items(self) -> AsyncGenerator[Any, None]:
        while (item := await self._in.get()) is not _END:
            yield item
