"""The records that travel: prompt, job, target, call, reply, answer, failure, attempt, result.

Durations are float seconds; a field in a file carries its unit in its name. Moments are seconds on the run's
monotonic clock unless the name says otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct, field
from msgspec.structs import force_setattr

from llmfan.entries import KeyState
from llmfan.settings import Kind, Scope
from llmfan.units import spell

#: Letters of a text that the `repr` of a record shows.
SHOWN = 60
Message = dict[str, Any]


class Target(Struct, frozen=True, kw_only=True):
    """Where a request can go: one model of one provider by one key. `key` is a label (`NAME#2`), never the secret."""

    provider: str
    model: str
    key: str
    account: str = ""
    priority: int = 0
    paid: bool = False
    name: str = ""  # `provider/model`

    def __post_init__(self) -> None:
        force_setattr(self, "name", f"{self.provider}/{self.model}")


class Prompt(Struct, frozen=True, kw_only=True, gc=False):
    """One line of a prompt set, whatever its shape. `turns` are the user messages after the first answer."""

    id: str
    index: int
    messages: list[Message]
    turns: list[Message] = field(default_factory=list)
    max_tokens: int | None = None
    temperature: float | None = None
    params: dict[str, Any] = field(default_factory=dict)
    expect: Any = None
    metadata: Any = None


class Call(Struct, frozen=True, kw_only=True, gc=False):
    """One request as it is meant, before a dialect puts it on the wire. `max_tokens` 0: no cap."""

    model: str
    messages: list[Message]
    max_tokens: int
    temperature: float | None = None
    params: dict[str, Any] = field(default_factory=dict)
    stream: bool = True


class Usage(Struct, frozen=True, gc=False):
    """Token counts. `source`: `server` or `estimated`. `neurons`: what the server says this call cost, if it does."""

    input_tokens: int
    output_tokens: int
    source: str = "server"
    cached_tokens: int = 0
    neurons: float | None = None


class Answer(Struct, frozen=True, kw_only=True):
    """A whole answer. `first` and `first_output` are moments (any text; the answer itself), None without text.

    `gaps`: pairs of [seconds between chunks that carry text, how often], in the order they came.
    """

    text: str
    reasoning: str | None = None
    finish_reason: str | None = None
    usage: Usage | None = None
    tool_calls: Any = None
    first: float | None = None
    first_output: float | None = None
    gaps: list[tuple[float, int]] = field(default_factory=list)


class Report(Struct, frozen=True, kw_only=True):
    """What a server told of one limit, in a header or in the body of a refusal.

    `axis` is one of `settings.AXES`, or `requests` or `tokens` where the server does not name the window.
    """

    axis: str
    limit: float | None = None
    remaining: float | None = None
    resets_in: float | None = None


class Failure(Struct, frozen=True, kw_only=True):
    """Why a request has no answer: a value, not an exception.

    `scope` says what is ruled out; `wait` for how long (seconds; None: not said); `free`: refused before it was
    processed, so it costs no attempt; `ambiguous`: sent and perhaps processed and billed. `latest`: nobody asked for
    the wait, it is when the limit has passed at the latest. `axis` names the limit that refused it, where the server
    said which; `reports` is what it told of its limits.
    """

    kind: Kind
    scope: Scope
    message: str
    http_status: int | None = None
    permanent: bool = False
    wait: float | None = None
    latest: bool = False
    free: bool = False
    ambiguous: bool = False
    axis: str = ""
    reports: tuple[Report, ...] = ()


class KnownLimit(Struct, frozen=True, kw_only=True):
    """What is known of one limit of one owner. Figures are per window of `axis`; None: nobody said, nothing seen.

    `measured`: the limit that accepted and refused requests speak for; `kind`: how the server counts (`window`: all
    at once is fine; `paced`: evenly spaced only; "": not known); `guard_s`: by how much its window is widened;
    `confidence`: 0 to 1; `at`: when it was last learned (Unix time). `counts`: `fixed`, `sliding` or `continuous`,
    where a measurement could tell.
    """

    owner: str
    axis: str
    declared: float | None = None
    reported: float | None = None
    measured: float | None = None
    kind: str = ""
    guard_s: float | None = None
    confidence: float = 0.0
    counts: str = ""
    at: float = 0.0


class KnownTarget(Struct, frozen=True, kw_only=True):
    """What answers of one target (`provider/model`) were like: seconds, tokens. `n`: answers it rests on."""

    name: str
    n: int
    service_s: float
    service_sigma: float
    output_tokens: float
    tokens_per_char: float
    at: float = 0.0


class Known(Struct, frozen=True, kw_only=True):
    """All that is known. `shared`: pairs of a limit's owner and the owner it turned out to be counted with."""

    states: list[KeyState] = field(default_factory=list)
    limits: list[KnownLimit] = field(default_factory=list)
    targets: list[KnownTarget] = field(default_factory=list)
    shared: list[tuple[str, str]] = field(default_factory=list)


class Booking(Struct, frozen=True, kw_only=True):
    """`amount` of an owner's allowance, written down before it is sent; a negative one gives back. `at`: Unix time."""

    owner: str
    axis: str
    amount: float
    at: float


class Reply(Struct, frozen=True, kw_only=True):
    """What the transport brings back. `fault` names how the connection failed, `phase` where; `body` is capped.

    `streamed`: the body went to the stream reader as it came.
    """

    sent: float
    ended: float
    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    streamed: bool = False
    fault: str = ""
    phase: str = ""
    detail: str = ""


class AttemptLine(Struct, kw_only=True, gc=False):
    """A line of attempts.jsonl: one request that was sent, failed ones too."""

    id: str
    attempt: int
    provider: str
    model: str
    key: str
    started_at: str
    ttft_s: float | None
    latency_s: float | None
    http_status: int | None
    outcome: str
    billed: str
    retry_after_s: float | None
    input_tokens: int | None
    output_tokens: int | None
    usage_source: str | None
    ttfo_s: float | None
    sent_s: float
    repeat: int
    turn: int
    itl_ms: list[tuple[float, int]]
    ambiguous: bool = False
    warmup: bool = False
    simulated: bool = False
    hedge: bool = False  # the other one of its pair answered first


class ErrorInfo(Struct, frozen=True, gc=False):
    kind: str
    message: str
    http_status: int | None = None


class ResultUsage(Struct, frozen=True, gc=False):
    input_tokens: int
    output_tokens: int
    source: str


class ResultLine(Struct, kw_only=True):
    """A line of results.jsonl: one finished job. `repr` shows what people look for, `to_dict` has all of it."""

    id: str
    index: int
    repeat: int
    status: str
    provider: str | None
    model: str | None
    key: str | None
    text: str | None
    reasoning: str | None
    finish_reason: str | None
    usage: ResultUsage | None
    cost_usd: float | None
    wait_s: float | None
    retry_s: float
    ttft_s: float | None
    ttfo_s: float | None
    latency_s: float | None
    total_s: float | None
    attempts: int
    error: ErrorInfo | None
    expect: Any
    score: float | None
    metadata: Any
    simulated: bool
    turns: list[str] | None = None
    tool_calls: Any = None
    warmup: bool = False
    planned_s: float | None = None  # seconds into the run at which it was meant to arrive (--rate)

    def to_dict(self) -> dict[str, Any]:
        """As on its line of results.jsonl, in plain values that any JSON library writes."""
        document: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(self))
        return document

    @property
    def answer(self) -> str:
        """The text, which is there: a failed one raises `ValueError`, with its error."""
        if self.text is None:
            raise ValueError(f"{self!r} has no answer")
        return self.text

    def __repr__(self) -> str:
        who = f"{self.provider or 'nobody'}/{self.model or ''}".rstrip("/")
        said = f"{self.error.kind}: {self.error.message}" if self.error else self.text or ""
        start = said if len(said) <= SHOWN else said[:SHOWN] + "…"
        times = f", waited {spell(self.wait_s)}" if self.wait_s is not None else ""
        times += f", answered in {spell(self.latency_s)}" if self.latency_s is not None else ""
        return f"<ResultLine {self.id[:SHOWN]!r} {self.status} {who!r} {start!r}{times}>"
