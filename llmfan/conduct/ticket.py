"""What a caller holds of a job in a fleet that is kept running: its answer as it comes, and its result."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Literal

from msgspec import Struct

from llmfan.dialects.reading import Reading
from llmfan.dialects.relay import Head, Relay
from llmfan.ports import StreamReader
from llmfan.records import Answer, ResultLine, Target, Usage
from llmfan.scheduling.jobs import Job
from llmfan.settings import Kind


class Refusal(Struct, frozen=True, kw_only=True):
    """Why a call was not sent. `retry_after`: seconds until it may be worth another try, None where nobody knows.

    `wait`: it would wait longer than its caller wants; `full`: too many wait already; `nothing_left`: no key can serve
    it, or not before a quota resets; `closing`: the fleet is being closed.
    """

    why: Literal["wait", "full", "nothing_left", "closing"]
    message: str
    retry_after: float | None = None
    kind: Kind = "rate_limited"


class Ticket:
    """One call. `result` always resolves, to the record of a failed call as well, or is cancelled with the call.

    `begun` resolves to True once something of a streamed answer can be passed on, after which it is not sent anywhere
    else; to False if the call ended before that. `answer` and `body` (an unstreamed answer as the server gave it, where
    it speaks the form of callers) are there once `result` is.
    """

    def __init__(
        self,
        job: Job,
        *,
        streams: bool,
        head: Head,
        usage: bool,
        submitted: float,
        redact: Callable[[bytes], bytes] = bytes,
    ):
        loop = asyncio.get_running_loop()
        self.job, self.streams, self.submitted = job, streams, submitted
        self.result: asyncio.Future[ResultLine] = loop.create_future()
        self.begun: asyncio.Future[bool] = loop.create_future()
        self.max_wait: float | None = None  # seconds for a permit
        self.refusal: Refusal | None = None
        self.target: Target | None = None  # who answers, or was asked last
        self.sent = submitted  # when it was sent there
        self.answer: Answer | None = None
        self.used: Usage | None = None
        self.body: bytes | None = None
        self.head = head
        self._usage, self._redact = usage, redact
        self._native = False
        self._reader: Reading | None = None
        self._relay: Relay | None = None
        self._held: list[bytes] = []
        self._came = asyncio.Event()
        self.result.add_done_callback(lambda _: self._came.set())  # cancelled from outside, it is over as well

    @property
    def attempts(self) -> int:
        """Requests sent so far."""
        return self.job.sent

    @property
    def wait(self) -> float:
        """Seconds it waited for a permit: until it was sent to who answers, less what failed attempts took."""
        return max(0.0, self.sent - self.submitted - self.job.retry)

    async def pieces(self) -> AsyncIterator[list[bytes]]:
        """The chunks of a streamed answer, each one JSON document, as they come; ends when the call has ended.

        Whether it ended well is for `result` to say.
        """
        while True:
            self._came.clear()
            if self._held:
                held, self._held = self._held, []
                yield held
            elif self.result.done():
                return
            else:
                await self._came.wait()

    # ---------------------------------------------------------------- told by the fleet (ports.Caller)

    @property
    def heard(self) -> int:
        """Characters that have come of the answer."""
        return 0 if self._reader is None else self._reader.size

    @property
    def committed(self) -> bool:
        """Whether its caller may have been given the beginning of an answer."""
        return self.begun.done() and not self.begun.cancelled() and self.begun.result()

    def attempt(self, target: Target, reader: StreamReader | None, native: bool, sent: float) -> None:
        """It leaves now. `native`: `target` speaks the form of callers."""
        self.target, self.sent, self._native = target, sent, native
        self._held.clear()
        self._reader = self._relay = None
        if self.streams:
            self._relay = Relay(self.head, target.model, native=native, usage=self._usage)
            if isinstance(reader, Reading):
                self._reader = reader
                reader.tap = self._tapped

    def answered(self, answer: Answer, usage: Usage, body: bytes) -> None:
        self.answer, self.used = answer, usage
        self.body = self._redact(body) if body and self._native else None
        if self._relay is not None:
            self._held += map(self._redact, self._relay.end(answer, usage))
            self._begin()

    def ended(self, result: ResultLine) -> None:
        if not self.result.done():
            self.result.set_result(result)
        if not self.begun.done():
            self.begun.set_result(False)
        if self._reader is not None:
            self._reader.tap = None  # it would hold the ticket, and the ticket it
        self._reader = self._relay = None
        self._came.set()

    def _tapped(self, events: list[bytes]) -> None:
        assert self._relay is not None and self._reader is not None
        self._held += map(self._redact, self._relay.take(events, self._reader))
        if self._reader.begun and self._held:
            self._begin()

    def _begin(self) -> None:
        if not self.begun.done():
            self.begun.set_result(True)
        self._came.set()
