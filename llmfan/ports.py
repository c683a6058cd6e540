"""The promises between rooms. Each is kept by a real one and by a fake that ships and is used by a real command.

Transport   `transports/http` (the network), `transports/virtual` (in memory, on the virtual clock)
Dialect     one for each wire form, in `dialects/`
Ledger      `ledgers/sqlite` (a file that several processes may use), `ledgers/memory` (gone with the process)
Observer    the live table, the plain progress lines, and nobody (`--quiet`)
Caller      a ticket of `serve` or of the Python API; a run's jobs have none
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from llmfan.entries import Change, Elsewhere, Tally
from llmfan.records import Answer, Booking, Call, Failure, Known, Reply, ResultLine, Target, Usage
from llmfan.secret import SealedHeaders, Secret


class Clock(Protocol):
    """Monotonic seconds. `perf_counter` in a real run, the loop's own time in a virtual one."""

    def __call__(self) -> float: ...


class Endpoint:
    """A target's address and headers, ready to be sent to. Its headers hold the secret, so it prints without them."""

    __slots__ = ("headers", "idle_timeout", "method", "proxy", "stream_url", "timeout", "url")

    def __init__(
        self,
        url: str,
        stream_url: str,
        headers: SealedHeaders,
        timeout: float = 60.0,
        idle_timeout: float = 30.0,
        proxy: str | None = None,
        method: str = "POST",
    ):
        self.method = method
        self.url, self.stream_url, self.headers = url, stream_url, headers
        self.timeout, self.idle_timeout, self.proxy = timeout, idle_timeout, proxy

    def __repr__(self) -> str:
        return f"<endpoint {self.url}>"


class StreamReader(Protocol):
    """Takes a streamed body as it comes. `feed` must be cheap: it runs for each piece the network hands over."""

    def feed(self, data: bytes, now: float) -> None: ...

    def finish(self) -> Answer | Failure: ...


class Dialect(Protocol):
    """One wire form: how a call is put, how an answer is read. Pure; knows no provider, only its rows.

    `native`: answers have the form that callers of a fleet speak, so they can pass as they are.
    """

    native: bool

    def address(self, base_url: str, model: str) -> tuple[str, str]:
        """(address of a plain call, address of a streamed one)."""

    def headers(self, secret: Secret | None) -> SealedHeaders: ...

    def body(self, call: Call) -> bytes: ...

    def stream(self) -> StreamReader: ...

    def whole(self, body: bytes, headers: Mapping[str, str]) -> Answer | Failure: ...


class Transport(Protocol):
    """Sends one request. Failures of the network come back in the reply, never as exceptions."""

    async def send(self, endpoint: Endpoint, body: bytes, reader: StreamReader | None) -> Reply: ...

    async def close(self) -> None: ...


class Ledger(Protocol):
    """What outlives a run: what was learned, what was spent, and which keys turned out to share an account.

    None of these raises where the disk fails: a ledger says so once, goes on in memory and tries again.
    """

    def known(self) -> Known: ...

    def keep(self, known: Known) -> None:
        """Replaces what is known of the limits, targets, accounts and states in it; others stay."""

    def booked(self, since: float) -> list[Booking]:
        """What was booked at or after a moment (Unix time), oldest first; bookings of one stretch may be summed."""

    def book(self, decide: Callable[[Elsewhere], Iterable[Booking]]) -> None:
        """Writes down, before the send, what is about to be spent: `decide` is told what others have done since the
        last look and gives the bookings, in one step that no other process can come between. A booking of the axis
        `concurrency` changes what this process holds in flight.
        """

    def elsewhere(self) -> Elsewhere | None:
        """What others have done since the last look; None if nothing. Cheap: asked several times a second."""

    def tally(self, tallies: Iterable[Tally]) -> None:
        """Adds to what was sent, answered and refused."""

    def close(self) -> None:
        """Gives back what this process holds."""


class Archive(Protocol):
    """A ledger as `status` reads it."""

    def known(self) -> Known: ...

    def booked(self, since: float) -> list[Booking]: ...

    def tallied(self, since: float) -> list[Tally]:
        """What ended at or after a moment, oldest first; stretches grow with age (minutes, an hour, a day)."""

    def changes(self, since: float) -> list[Change]:
        """When figures of limits changed, oldest first."""

    def forget(self, owners: Iterable[str], keys: Iterable[str]) -> int:
        """Drops the states of `keys` and what was learned of `owners`; what was spent stays. Gives how many entries;
        -1: it could not be written, and all is as it was.
        """


class Caller(Protocol):
    """Who waits for one job's answer, where the fleet is kept running for callers (`conduct/ticket`)."""

    streams: bool

    @property
    def heard(self) -> int:
        """Characters that have come of the answer, as far as it is streamed."""

    @property
    def committed(self) -> bool:
        """Whether it may have been given the beginning of an answer: then nobody else can give another."""

    def attempt(self, target: Target, reader: StreamReader | None, native: bool, sent: float) -> None: ...

    def answered(self, answer: Answer, usage: Usage, body: bytes) -> None: ...

    def ended(self, result: ResultLine) -> None: ...


class Observer(Protocol):
    """Watches a run. Called often, so it only notes; drawing happens on its own tick."""

    def tick(self, now: float) -> None: ...

    def say(self, text: str) -> None: ...

    def close(self) -> None: ...
