"""Far ends for scenarios: servers with limits of every kind and unit, and ones that change with the key or the time.

Their counters are those of `simulation/`, written apart from the client's own book-keeping.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from llmfan.simulation.fake import Behaviour, always, good
from llmfan.simulation.limiter import Bucket, Counter, Entry, FixedWindow, InFlight, SlidingLog, admit_all
from llmfan.simulation.script import Script

#: What `simulation/fake` says a prompt took.
PROMPT_TOKENS = 5
KINDS: dict[str, Callable[[float, float], Counter]] = {"sliding": SlidingLog, "fixed": FixedWindow, "bucket": Bucket}


@dataclass(frozen=True)
class Rule:
    """One limit of a server. `per` gives the owner of the count from (key, model)."""

    unit: str  # requests, tokens, in_flight
    limit: float
    window: float = 0.0
    kind: str = "sliding"
    per: Callable[[str, str], str] = lambda key, model: key

    def counter(self) -> Counter:
        return InFlight(self.limit) if self.unit == "in_flight" else KINDS[self.kind](self.limit, self.window)


def metered(
    *rules: Rule, latency: float = 0.1, output: int = 3, precharge: bool = False, hint: bool = True
) -> Behaviour:
    """Admits a request by all its rules or by none. `precharge`: max_tokens are charged at the door, the rest given
    back when the call ends; else what it really takes."""
    counters: dict[tuple[int, str], Counter] = {}
    due: list[tuple[float, int, list[tuple[Counter, Entry, float]]]] = []
    order = itertools.count()
    admitted = good(latency, output_tokens=output)

    def behave(now: float, key: str, body: bytes) -> Script:
        while due and due[0][0] <= now + 1e-9:
            moment, _, entries = heapq.heappop(due)
            for counter, entry, amount in entries:
                counter.give_back(moment, entry, amount)
        asked = msgspec.json.decode(body, type=dict[str, Any])
        real = PROMPT_TOKENS + output
        charged = PROMPT_TOKENS + int(asked["max_tokens"]) if precharge else real
        demands = []
        for n, rule in enumerate(rules):
            counter = counters.setdefault((n, rule.per(key, asked["model"])), rule.counter())
            demands.append((counter, float(charged) if rule.unit == "tokens" else 1.0))
        got = admit_all(now, demands)
        if isinstance(got, tuple):
            return refuse(got[1].retry_after if hint else None)(now, key, body)
        back = {"tokens": float(charged - real), "in_flight": 1.0, "requests": 0.0}
        held = [(c, e, back[r.unit]) for r, (c, _), e in zip(rules, demands, got, strict=True)]
        heapq.heappush(due, (now + latency, next(order), held))
        return admitted(now, key, body)

    return behave


def refuse(wait: float | None = None, status: int = 429) -> Behaviour:
    """A plain 429, with or without Retry-After."""
    error = {"error": {"message": "Rate limit reached.", "type": "requests", "code": "rate_limit_exceeded"}}
    return always(status, error, {} if wait is None else {"retry-after": f"{wait:.3f}"})


def refusal(status: int, message: str, code: str = "") -> Behaviour:
    return always(status, {"error": {"message": message, "code": code or None}})


def by_key(default: Behaviour, **others: Behaviour) -> Behaviour:
    """`k2=…`: what the provider's second key gets."""

    def behave(now: float, key: str, body: bytes) -> Script:
        return others.get(f"k{key.rpartition('-')[2]}", default)(now, key, body)

    return behave


def by_model(models: Mapping[str, Behaviour]) -> Behaviour:
    def behave(now: float, key: str, body: bytes) -> Script:
        return models[msgspec.json.decode(body, type=dict[str, Any])["model"]](now, key, body)

    return behave


def until(seconds: float, first: Behaviour, later: Behaviour) -> Behaviour:
    """`first` for so long after the first request, then `later`."""
    began: list[float] = []

    def behave(now: float, key: str, body: bytes) -> Script:
        began[:] = began or [now]
        return (first if now - began[0] < seconds else later)(now, key, body)

    return behave


def most_in_any(moments: list[float], window: float) -> int:
    """The most of these moments that lie in one half-open stretch of a window's length."""
    moments = sorted(moments)
    most = start = 0
    for end, moment in enumerate(moments):
        while moments[start] <= moment - window + 1e-6:
            start += 1
        most = max(most, end - start + 1)
    return most
