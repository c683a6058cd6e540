"""What two joined runs differ in: a row a figure and entry, each with the tests that speak for it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from llmfan.comparing import draws, pace, significance
from llmfan.comparing.arrays import Answers, Mask, Values
from llmfan.comparing.joining import Entry, Joined
from llmfan.comparing.significance import Test

#: From so many observations a side on, a figure is tested.
LEAST = 10
#: A quantile is tested from so many observations on either side of it.
BESIDE = 5
QUANTILES = {"p50": 0.50, "p95": 0.95, "p90": 0.90, "p99": 0.99}
#: Two runs are compared prompt by prompt where at least this share of either's answers have their counterpart.
PAIRED_FROM = 0.8
#: A slower tail is looked for beyond this quantile of both runs together.
TAIL = 0.95
#: So large a difference of two shares is never put down to bursts.
LARGE = 0.10
_TIMES = ("latency_s", "ttft_s", "ttfo_s", "tpot_s")
#: Of each answer, on average: as totals they would only say how many were answered. Fewer are better: they are time
#: and money, and whether the answers are as good is for accuracy to say.
_AMOUNTS = ("output_tokens", "cost_usd")


@dataclass(frozen=True)
class Row:
    """`tests`: numbers of the tests of which the surest speaks for it; none: there was nothing to tell apart."""

    metric: str
    entry: str
    base: float
    new: float
    interval: draws.Interval
    tests: tuple[int, ...]
    n_base: int
    n_new: int
    paired: bool = False
    higher: bool = False  # is better
    one_sided: draws.Interval | None = None  # of a median: its direction is the test's

    @property
    def name(self) -> str:
        return f"{self.metric}[{self.entry}]" if self.entry else self.metric


@dataclass
class Findings:
    """`figures`: those that are no matter for a test, here for too few observations, or none on one side."""

    rows: list[Row] = field(default_factory=list)
    figures: list[dict[str, Any]] = field(default_factory=list)
    tests: list[Test] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def test(self, entry: Entry, question: str, p: float | None) -> tuple[int, ...]:
        if p is None:
            return ()
        self.tests.append(Test((entry.name, question), p))
        return (len(self.tests) - 1,)


def find(joined: Joined, entries: Collection[Entry], rng: draws.Chance, paces: Collection[str] = ()) -> Findings:
    """`paces`: entries beside the whole run whose throughput is asked for: in most runs it is what others left them."""
    found = Findings()
    for entry in entries:
        if entry.same_as_whole:
            continue
        for metric in _TIMES:
            _times(found, joined, entry, metric, rng)
        for metric in _AMOUNTS:
            _amounts(found, joined, entry, metric, rng)
        _accuracy(found, joined, entry, rng)
        _failed(found, joined, entry, rng)
        _rate_limited(found, joined, entry, rng)
        if joined.whole and (not entry.name or entry.name in paces):
            _pace(found, joined, entry, rng)
    for entry in entries:
        if entry.same_as_whole:
            found.rows += [replace(row, entry=entry.name) for row in found.rows if not row.entry]
    return found


# ---------------------------------------------------------------- figures of each answer


@dataclass(frozen=True)
class _Sample:
    x: Values
    y: Values
    paired: bool


def _times(found: Findings, joined: Joined, entry: Entry, metric: str, rng: draws.Chance) -> None:
    sample = _sample(joined, entry, _values(joined.base, metric), _values(joined.new, metric))
    x, y, name = sample.x, sample.y, metric.removesuffix("_s")
    few = min(len(x), len(y))
    if few < LEAST:
        _untested(found, f"{name}_p50", entry, *(draws.quantile(v, 0.5) if len(v) else None for v in (x, y)))
        return
    middle = found.test(entry, "speed", significance.location(x, y, sample.paired))
    tail = middle
    if metric == "latency_s":
        tail += found.test(entry, "speed", significance.beyond(x, y, sample.paired, TAIL))
    for statistic, q in QUANTILES.items():
        if few < needed(statistic):
            if statistic == "p95":
                _untested(found, f"{name}_p95", entry, draws.quantile(x, q), draws.quantile(y, q))
            continue
        interval = draws.of_quantiles(x, y, q, sample.paired, rng)
        values = draws.quantile(x, q), draws.quantile(y, q)
        tests = middle if statistic == "p50" else tail
        row = _row(f"{name}_{statistic}", entry, values, interval, tests, sample)
        if statistic == "p50":
            row = replace(row, one_sided=draws.of_quantiles(x, y, q, sample.paired, rng, draws.ONE_SIDED))
        found.rows.append(row)
    interval = draws.of_means(x, y, sample.paired, rng)
    found.rows.append(_row(f"{name}_mean", entry, (float(x.mean()), float(y.mean())), interval, middle, sample))


def needed(statistic: str) -> int:
    """Observations a side from which on it is tested."""
    return max(LEAST, round(BESIDE / (1 - QUANTILES[statistic]))) if statistic in QUANTILES else LEAST


def _amounts(found: Findings, joined: Joined, entry: Entry, metric: str, rng: draws.Chance) -> None:
    sample = _sample(joined, entry, joined.base.columns[metric], joined.new.columns[metric])
    x, y = sample.x, sample.y
    if min(len(x), len(y)) < LEAST:
        _untested(found, metric, entry, _mean(x), _mean(y))
        return
    means = float(x.mean()), float(y.mean())
    tests = found.test(entry, "size", significance.location(x, y, sample.paired))
    found.rows.append(_row(metric, entry, means, draws.of_means(x, y, sample.paired, rng), tests, sample))


def _values(answers: Answers, metric: str) -> Values:
    if metric != "tpot_s":
        return answers.columns[metric]
    tokens = answers.columns["output_tokens"]
    with np.errstate(divide="ignore", invalid="ignore"):
        each = (answers.columns["latency_s"] - answers.columns["ttft_s"]) / (tokens - 1)
    return np.where(tokens > 1, each, np.nan)


def _sample(joined: Joined, entry: Entry, base: Values, new: Values) -> _Sample:
    """Prompt by prompt where the same ones were answered in both by the same entry, else two heaps."""
    with_x, with_y = entry.base & np.isfinite(base), entry.new & np.isfinite(new)
    if joined.aligned:
        both = with_x & with_y
        most = max(int(with_x.sum()), int(with_y.sum()))
        if most and both.sum() >= PAIRED_FROM * most:
            return _Sample(base[both], new[both], True)
    return _Sample(base[with_x], new[with_y], False)


# ---------------------------------------------------------------- shares


def _accuracy(found: Findings, joined: Joined, entry: Entry, rng: draws.Chance) -> None:
    sample = _sample(joined, entry, joined.base.columns["score"], joined.new.columns["score"])
    right_x, right_y = sample.x >= 0.5, sample.y >= 0.5
    if min(len(right_x), len(right_y)) < LEAST:
        _untested(found, "accuracy", entry, _mean(right_x), _mean(right_y))
        return
    values = float(right_x.mean()), float(right_y.mean())
    if sample.paired:
        only_x, only_y = int(np.sum(right_x & ~right_y)), int(np.sum(~right_x & right_y))
        p = significance.discordant(only_x, only_y)
        interval = draws.of_paired_shares(int(np.sum(right_x & right_y)), only_x, only_y, len(right_x), rng)
    else:
        counts = int(right_x.sum()), len(right_x), int(right_y.sum()), len(right_y)
        p, interval = significance.shares(*counts), draws.of_shares(*counts, rng)
    tests = found.test(entry, "accuracy", p)
    found.rows.append(replace(_row("accuracy", entry, values, interval, tests, sample), higher=True))


def _failed(found: Findings, joined: Joined, entry: Entry, rng: draws.Chance) -> None:
    """Each job by itself: of an outage that took every third job nobody wants to hear that it was only one event."""
    _share(found, "failed_rate", entry, ~joined.base.ok[entry.base], ~joined.new.ok[entry.new], 1.0, rng)


def _rate_limited(found: Findings, joined: Joined, entry: Entry, rng: draws.Chance) -> None:
    """In the order of time: a limit that is met refuses all that is under way, and such a clump counts as few."""
    x, y = (
        requests.limited[mask][np.argsort(requests.sent[mask], kind="stable")]
        for requests, mask in ((joined.base_requests, entry.base_requests), (joined.new_requests, entry.new_requests))
    )
    large = len(x) and len(y) and abs(x.mean() - y.mean()) >= LARGE
    clumping = 1.0 if large else max(significance.clumping(x), significance.clumping(y))
    _share(found, "rate_limited_rate", entry, x, y, clumping, rng)


def _share(
    found: Findings, metric: str, entry: Entry, x: Mask, y: Mask, clumping: float, rng: draws.Chance
) -> None:  # fmt: skip
    if not len(x) or not len(y):
        return
    values = float(x.mean()), float(y.mean())
    if min(len(x), len(y)) < LEAST:
        _untested(found, metric, entry, *values)
        return
    counts = [max(1, round(len(x) / clumping)), max(1, round(len(y) / clumping))]
    hits = [min(counts[0], round(x.sum() / clumping)), min(counts[1], round(y.sum() / clumping))]
    p = significance.shares(hits[0], counts[0], hits[1], counts[1])
    interval = draws.of_shares(values[0] * counts[0], counts[0], values[1] * counts[1], counts[1], rng)
    row = Row(metric, entry.name, *values, interval, found.test(entry, metric, p), len(x), len(y))
    found.rows.append(row)
    if clumping > 1 and not _below(p) and _below(significance.shares(int(x.sum()), len(x), int(y.sum()), len(y))):
        said = f"{row.name} went from {values[0]:.1%} to {values[1]:.1%}"
        found.notes.append(f"{said}, but in bursts, each counted as few: no more than noise as a whole")


def _below(p: float | None) -> bool:
    return p is not None and p < significance.ALPHA


# ---------------------------------------------------------------- throughput


def _pace(found: Findings, joined: Joined, entry: Entry, rng: draws.Chance) -> None:
    base = pace.of(joined.base, joined.base_requests, entry.base_requests)
    new = pace.of(joined.new, joined.new_requests, entry.new_requests)
    if base is None or new is None:
        return
    slices = {"requests_per_s": (base.requests, new.requests), "output_tokens_per_s": (base.tokens, new.tokens)}
    for metric, (x, y) in slices.items():
        if not x.any() or not y.any():
            continue
        tests = found.test(entry, "speed", significance.course(x, y))
        interval = draws.of_means(x, y, True, rng)
        values = float(x.mean()), float(y.mean())
        found.rows.append(Row(metric, entry.name, *values, interval, tests, base.n, new.n, higher=True))


def _row(
    metric: str, entry: Entry, values: tuple[float, float], interval: draws.Interval, tests: tuple[int, ...],
    sample: _Sample,
) -> Row:  # fmt: skip
    return Row(metric, entry.name, *values, interval, tests, len(sample.x), len(sample.y), sample.paired)


def _mean(values: Values | Mask) -> float | None:
    return float(values.mean()) if len(values) else None


def _untested(found: Findings, metric: str, entry: Entry, base: float | None, new: float | None) -> None:
    """What neither side has is no figure."""
    if base is None and new is None:
        return
    found.figures.append(figure(f"{metric}[{entry.name}]" if entry.name else metric, base, new))


def figure(name: str, base: float | None, new: float | None) -> dict[str, Any]:
    """Side by side, without a word on whether it means anything."""
    change = None if base is None or new is None or base <= 0 else round(new / base - 1, 6)
    return {"metric": name, "base": base, "new": new, "change": change}
