"""What a probe found of each key, filled in as it goes: the live table, the document and the ledger are made of it."""

from __future__ import annotations

from msgspec import Struct, field

from llmfan.entries import State


class Reading(Struct, kw_only=True):
    """One limit as a provider reports it. `resets_at` and `at`, when it said so, are Unix time; None: not said."""

    limit: float | None = None
    remaining: float | None = None
    resets_at: float | None = None
    at: float | None = None


class Measured(Struct, frozen=True, kw_only=True):
    """One limit found by spending requests, per window of its axis. `counts`: `fixed`, `sliding`, `continuous` or ""
    (could not be told); the truth lies within `low` and `high` with `confidence`.
    """

    axis: str
    figure: float | None
    low: float = 0.0
    high: float = float("inf")
    counts: str = ""
    confidence: float = 0.0
    sent: int = 0
    refused: int = 0
    why: str = ""


class Finding(Struct, kw_only=True):
    """One key at one model. `state` is "" until it is known; `doing` says what is asked now, for the eye.

    `latencies`: seconds of each request that was sent; `account`: the account's name where the provider tells it;
    `shares_with`: labels of keys that draw on the same account, by evidence or by the file's own word.
    """

    key: str
    provider: str
    model: str
    mask: str = ""
    state: State | str = ""
    why: str = ""
    doing: str = ""
    until: float | None = None
    latencies: list[float] = field(default_factory=list)
    limits: dict[str, Reading] = field(default_factory=dict)
    measured: list[Measured] = field(default_factory=list)
    account: str = ""
    shares_with: list[str] = field(default_factory=list)
    nearest: list[str] = field(default_factory=list)
    line: int = 0  # of the provider in the file

    @property
    def latency_s(self) -> float | None:
        """The median of what was sent."""
        ordered = sorted(self.latencies)
        if not ordered:
            return None
        middle = len(ordered) // 2
        return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
