"""What stands in the ledger: how keys are, what they sent, and when a limit changed. Moments are Unix time.

Keys go by their labels here; the ledger itself knows them by a keyed hash (see `ledgers/names`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct, field

#: How a key is. `unproven`: nothing speaks against it, and nothing that is free could prove it.
State = Literal[
    "ok", "invalid", "forbidden", "no_credit", "exhausted", "rate_limited", "no_model", "unreachable", "missing",
    "retired", "unproven",
]  # fmt: skip
Source = Literal["probe", "run"]


class KeyState(Struct, frozen=True, kw_only=True):
    """How one key is at one model (`model` "": at all of them). `until`: when that is over, if somebody said so."""

    key: str
    state: State
    model: str = ""
    why: str = ""
    until: float | None = None
    source: Source = "run"
    at: float = 0.0


class Tally(Struct, kw_only=True):
    """Requests of one key to one model that ended within `span` seconds from `at`.

    `sent` = `ok` + `refused` (429s) + `failed` (all else). `latency_s` is the sum over those answered; `latencies`
    counts them by bucket of `measures.sketch` (one per cent wide).
    """

    key: str
    model: str
    at: float
    span: float = 60.0
    sent: int = 0
    ok: int = 0
    refused: int = 0
    failed: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    latency_s: float = 0.0
    latencies: dict[int, int] = field(default_factory=dict)


class Change(Struct, frozen=True, kw_only=True):
    """A limit's figure became another one. `source`: `declared`, `reported` or `measured`."""

    owner: str
    axis: str
    source: str
    before: float | None
    after: float | None
    at: float


class Elsewhere(Struct, frozen=True, kw_only=True):
    """What other llmfan processes have done since one last looked.

    `booked`: (owner, axis, amount) that they wrote down; `in_flight`: by owner, what those that are alive hold of its
    `concurrency`; `sharers`: by owner, how many other live processes have sent there within the last two minutes.
    """

    booked: Sequence[tuple[str, str, float]] = ()
    in_flight: dict[str, float] = field(default_factory=dict)
    sharers: dict[str, int] = field(default_factory=dict)
