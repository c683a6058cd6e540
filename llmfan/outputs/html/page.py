"""What the report's page shows, as plain data: `reporting` fills it, the page's script and templates draw it.

Texts in it come from models, providers and prompt sets: whoever draws them escapes them. Keys are labels, never
secrets. Times are seconds; moments are seconds since the run began.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct, field


class Histogram(Struct, frozen=True, kw_only=True):
    """`bins`: (from, to, how many), ascending, none empty at the ends; `provider` "" is all of them."""

    metric: str
    provider: str
    bins: list[tuple[float, float, int]]


class Timeline(Struct, frozen=True, kw_only=True):
    """Counts in steps of `step_s`: for each provider a list a kind, all as long as the run has steps.

    `ok`: answers by their last byte; `rate_limited` and `failed`: attempts by when they were sent; `tokens`: output
    tokens of the answers.
    """

    step_s: float
    steps: int
    ok: dict[str, list[int]]
    rate_limited: dict[str, list[int]]
    failed: dict[str, list[int]]
    tokens: dict[str, list[int]]


class Allowance(Struct, frozen=True, kw_only=True):
    """One limit of one key: `limit` a `period_s`, what was `used` in the run and what was `allowed` in it."""

    axis: str
    limit: float
    period_s: float | None
    used: float
    allowed: float | None


class KeyUse(Struct, frozen=True, kw_only=True):
    """Where a key's time went: `serving_s` of its answers, `failing_s` of its failed attempts; each is summed over
    requests, so more than the run lasted where several were in flight. `busy_s`: the time in which any was.
    """

    key: str
    provider: str
    serving_s: float
    failing_s: float
    busy_s: float
    attempts: int
    rate_limited: int
    allowances: list[Allowance]


class Example(Struct, frozen=True, kw_only=True):
    id: str
    provider: str
    model: str
    key: str
    message: str
    http_status: int | None
    at_s: float | None


class FailureKind(Struct, frozen=True, kw_only=True):
    """`jobs` that ended so; `attempts` that did (the job may have been answered later)."""

    kind: str
    jobs: int
    attempts: int
    examples: list[Example]


class Row(Struct, frozen=True, kw_only=True):
    """A result with its texts; `cut`: one of them was cut.

    `why` it is here: `failed`, `wrong`, `slow`, a blank between two that hold; else `sample`, or `other` where all
    results are listed.
    """

    id: str
    index: int
    repeat: int
    why: str
    status: str
    provider: str | None
    model: str | None
    key: str | None
    prompt: str | None
    text: str | None
    expect: str | None
    score: float | None
    error: str | None
    wait_s: float | None
    retry_s: float | None
    ttft_s: float | None
    latency_s: float | None
    total_s: float | None
    output_tokens: int | None
    cost_usd: float | None
    attempts: int
    cut: bool = False


class RunPage(Struct, frozen=True, kw_only=True):
    """One run. `verdict`: one line a person can read out; `notes`: what was sampled, missing or estimated, in words.

    `summary` and `header` are the documents of `summary.json` and `run.json` (the fleet left out). `warmed`: providers,
    `provider/model` and keys that got requests of the warm-up and no others.
    """

    name: str
    verdict: str
    summary: dict[str, Any]
    header: dict[str, Any]
    histograms: list[Histogram]
    timeline: Timeline | None
    keys: list[KeyUse]
    failures: list[FailureKind]
    rows: list[Row]
    results: int
    notes: list[str] = field(default_factory=list)
    warmed: list[str] = field(default_factory=list)


class Page(Struct, frozen=True, kw_only=True):
    """`definitions`: name, unit, title and formula of each figure."""

    title: str
    made_at: str
    version: str
    runs: list[RunPage]
    definitions: list[dict[str, str]]
