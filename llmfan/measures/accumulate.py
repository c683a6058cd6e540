"""The one accumulator: takes the journal's lines, live or read again, and gives the figures of `summary.json`.

Counting is done once for each target; providers, models, keys and the total are merged from that when asked for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from llmfan.measures.intervals import wilson
from llmfan.measures.metrics import DISTRIBUTIONS, QUANTILES
from llmfan.measures.pairs import Pairs
from llmfan.measures.sketch import Sketch
from llmfan.records import AttemptLine, ResultLine

_LIMITED = ("rate_limited", "quota_exhausted")
_COUNTS = (
    "ok", "failed", "attempts", "rate_limited", "input_tokens", "output_tokens", "estimated", "right", "wrong",
    "ungraded", "unpriced", "copies", "warmup",
)  # fmt: skip
#: A score from here on is a right answer.
RIGHT = 0.5


class Tally:
    """Counts and distributions of one target."""

    __slots__ = (
        "attempts", "copies", "cost", "errors", "estimated", "failed", "first_sent", "input_tokens", "last_byte", "ok",
        "output_tokens", "problems", "rate_limited", "right", "sketches", "ungraded", "unpriced", "warmup", "wrong",
    )  # fmt: skip

    def __init__(self) -> None:
        self.ok = self.failed = self.attempts = self.rate_limited = 0
        self.input_tokens = self.output_tokens = self.estimated = 0
        self.right = self.wrong = self.ungraded = 0
        self.copies = 0  # of hedges: cancelled, as the other had answered
        self.warmup = 0  # requests that are in no figure
        self.unpriced = 0  # answers whose price nobody knows
        self.cost: float | None = None
        self.errors: Counter[str] = Counter()  # failed jobs by kind
        self.problems: Counter[str] = Counter()  # attempts without an answer, by kind
        self.first_sent: float | None = None
        self.last_byte: float | None = None
        self.sketches = {metric.name: Sketch() for metric in DISTRIBUTIONS}

    def merge(self, other: Tally) -> None:
        for name in _COUNTS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        if other.cost is not None:
            self.cost = (self.cost or 0.0) + other.cost
        self.errors.update(other.errors)
        self.problems.update(other.problems)
        self.first_sent = _least(self.first_sent, other.first_sent, min)
        self.last_byte = _least(self.last_byte, other.last_byte, max)
        for name, sketch in other.sketches.items():
            self.sketches[name].merge(sketch)

    @property
    def jobs(self) -> int:
        return self.ok + self.failed

    @property
    def duration(self) -> float | None:
        return None if self.first_sent is None or self.last_byte is None else self.last_byte - self.first_sent

    def totals(self) -> dict[str, Any]:
        """The figures of `metrics.TOTALS`. Undefined ones are None."""
        duration = self.duration
        per_second = (lambda n: round(n / duration, 4)) if duration else (lambda n: None)
        graded, own = self.right + self.wrong, self.attempts - self.copies
        low, high = wilson(self.right, graded) or (None, None)
        return {
            "jobs": self.jobs,
            "ok": self.ok,
            "failed": self.failed,
            "failed_rate": _share(self.failed, self.jobs),
            "attempts": self.attempts,
            "warmup": self.warmup,
            "rate_limited": self.rate_limited,
            "rate_limited_rate": _share(self.rate_limited, self.attempts),
            "success_rate": _share(own - sum(self.problems.values()), own),
            "duration_s": _round(duration),
            "requests_per_s": per_second(self.ok),
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "output_tokens_per_s": per_second(self.output_tokens),
            "estimated_token_counts": self.estimated,
            "cost_usd": _round(self.cost, 8),
            "cost_unknown": self.unpriced,
            "cost_per_right_usd": self._cost_per_right(),
            "right": self.right,
            "wrong": self.wrong,
            "ungraded": self.ungraded,
            "accuracy": _share(self.right, graded),
            "accuracy_low": _round(low),
            "accuracy_high": _round(high),
        }

    def _cost_per_right(self) -> float | None:
        if self.cost is None or self.unpriced or not self.right:
            return None
        return _round(self.cost / self.right, 8)

    def distributions(self) -> dict[str, Any]:
        return {name: describe(sketch) for name, sketch in self.sketches.items()}


class Accumulator:
    """All tallies of a run, by (provider, model, key). `graded`: answers were graded, so one without a score counts as
    ungraded (with `judges_all` also where nothing was expected); `paired`: the same prompts went to several, by `mode`.
    """

    def __init__(
        self, *, graded: bool = True, judges_all: bool = False, mode: str = "spread", prompts: int = 0
    ) -> None:
        self.tallies: dict[tuple[str, str, str], Tally] = {}
        self.examples: dict[str, str] = {}  # one message for each kind of error
        self.done = self.failed = self.attempts = 0  # all of them, warm-up included
        self.warmup: dict[tuple[str, str, str], list[int]] = {}  # requests, tokens in, tokens out: they were spent too
        self.graded, self.judges_all = graded, judges_all
        self.pairs = Pairs(mode, prompts)

    def tally(self, provider: str | None, model: str | None, key: str | None) -> Tally:
        ident = (provider or "", model or "", key or "")
        tally = self.tallies.get(ident)
        if tally is None:
            tally = self.tallies[ident] = Tally()
        return tally

    def attempt(self, line: AttemptLine) -> None:
        self.attempts += 1
        if line.warmup:
            self.tally(line.provider, line.model, line.key).warmup += 1
            spent = self.warmup.setdefault((line.provider, line.model, line.key), [0, 0, 0])
            for at, amount in enumerate((1, line.input_tokens or 0, line.output_tokens or 0)):
                spent[at] += amount
            return
        tally = self.tally(line.provider, line.model, line.key)
        tally.attempts += 1
        if tally.first_sent is None or line.sent_s < tally.first_sent:
            tally.first_sent = line.sent_s
        if line.outcome == "ok":
            end = line.sent_s + (line.latency_s or 0.0)
            if tally.last_byte is None or end > tally.last_byte:
                tally.last_byte = end
            if line.itl_ms:
                itl = tally.sketches["itl_s"]
                for gap, count in line.itl_ms:
                    itl.add(gap / 1000.0, count)
        elif line.hedge:  # a hedge's loser is no failed attempt
            tally.copies += 1
        else:
            tally.problems[line.outcome] += 1
            if line.outcome in _LIMITED:
                tally.rate_limited += 1

    def result(self, line: ResultLine) -> None:
        self.done += 1
        self.failed += line.status != "ok"
        if line.warmup:
            return
        tally = self.tally(line.provider, line.model, line.key)
        if line.cost_usd is not None:
            tally.cost = (tally.cost or 0.0) + line.cost_usd
        elif line.status == "ok":
            tally.unpriced += 1
        if line.status != "ok":
            tally.failed += 1
            if line.error is not None:
                tally.errors[line.error.kind] += 1
                self.examples.setdefault(line.error.kind, line.error.message)
            return
        tally.ok += 1
        sketches = tally.sketches
        for name, value in (
            ("latency_s", line.latency_s),
            ("ttft_s", line.ttft_s),
            ("ttfo_s", line.ttfo_s),
            ("wait_s", line.wait_s),
            ("retry_s", line.retry_s),
            ("total_s", line.total_s),
        ):
            if value is not None:
                sketches[name].add(value)
        if line.score is not None:
            self._grade(tally, line, line.score)
        elif self.judges_all or (line.expect is not None and self.graded):
            tally.ungraded += 1
        if line.usage is not None:
            tally.input_tokens += line.usage.input_tokens
            tally.output_tokens += line.usage.output_tokens
            tally.estimated += line.usage.source == "estimated"
            if line.usage.output_tokens > 1 and line.latency_s is not None and line.ttft_s is not None:
                sketches["tpot_s"].add((line.latency_s - line.ttft_s) / (line.usage.output_tokens - 1))

    def _grade(self, tally: Tally, line: ResultLine, score: float) -> None:
        if score >= RIGHT:
            tally.right += 1
        else:
            tally.wrong += 1
        self.pairs.add(line, score >= RIGHT)

    def merged(self, chosen: Callable[[tuple[str, str, str]], bool] = lambda ident: True) -> Tally:
        whole = Tally()
        for ident, tally in self.tallies.items():
            if chosen(ident):
                whole.merge(tally)
        return whole

    def listing(
        self, name_of: Callable[[tuple[str, str, str]], str], names: Iterable[str] = ()
    ) -> list[dict[str, Any]]:
        """An entry for each name: its totals, distributions and errors. `names` come first, even without figures."""
        groups: dict[str, Tally] = {name: Tally() for name in names}
        for ident, tally in self.tallies.items():
            if name := name_of(ident):
                groups.setdefault(name, Tally()).merge(tally)
        return [
            {
                "name": name,
                "totals": t.totals(),
                **t.distributions(),
                "errors": dict(t.errors),
                "problems": dict(t.problems),
            }
            for name, t in groups.items()
        ]


def describe(sketch: Sketch) -> dict[str, Any]:
    figures: dict[str, Any] = {"n": sketch.n, "mean": _round(sketch.total / sketch.n, 9) if sketch.n else None}
    values = sketch.quantiles([q for _, q in QUANTILES])
    figures.update({name: _round(value, 9) for (name, _), value in zip(QUANTILES, values, strict=True)})
    figures["max"] = _round(sketch.high, 9) if sketch.n else None
    return figures


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 12) if whole else None  # one failure in a million must not round away


def _round(value: float | None, digits: int = 6) -> float | None:
    return None if value is None else round(value, digits)


def _least(a: float | None, b: float | None, pick: Callable[[float, float], float]) -> float | None:
    if a is None or b is None:
        return b if a is None else a
    return pick(a, b)
