"""Every figure, declared once: name, unit, titles, which way is better, and its formula.

The live table, `summary.json`, gates, reports, comparisons, `--definitions` and the README's reference are made of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from msgspec import Struct


class Metric(Struct, frozen=True, kw_only=True):
    """`name` is its field in files; `title` heads a column, `short` one on a narrow screen. `better`: "" says neither."""

    name: str
    unit: str
    title: str
    formula: str
    better: Literal["lower", "higher", ""] = "lower"
    short: str = ""


#: Distributions over results (`itl_s`: over chunks); each is a field of results.jsonl, or derived from it.
DISTRIBUTIONS = (
    Metric(name="latency_s", unit="s", title="latency", formula="request sent → its last byte, the attempt that succeeded; of a conversation the sum of its turns"),
    Metric(name="ttft_s", unit="s", title="TTFT", formula="request sent → first chunk that carries text of any kind; of a conversation its first turn's"),
    Metric(name="ttfo_s", unit="s", title="TTFO", formula="request sent → first chunk of the answer itself"),
    Metric(name="tpot_s", unit="s", title="TPOT", formula="(latency_s − ttft_s) / (output tokens − 1), from two tokens on"),
    Metric(name="itl_s", unit="s", title="ITL", formula="gaps between chunks that carry text"),
    Metric(name="wait_s", unit="s", title="wait", formula="run start, or the planned arrival under --rate → the start of the attempt that succeeded, less retry_s"),
    Metric(name="retry_s", unit="s", title="retries", formula="time spent in attempts that failed"),
    Metric(name="total_s", unit="s", title="total", formula="wait_s + retry_s + latency_s"),
)  # fmt: skip

TOTALS = (
    Metric(name="jobs", unit="", title="jobs", better="", formula="finished jobs"),
    Metric(name="ok", unit="", title="ok", better="higher", formula="jobs that were answered"),
    Metric(name="failed", unit="", title="failed", short="fail", formula="jobs that ended without an answer"),
    Metric(name="failed_rate", unit="share", title="failed", formula="failed / jobs"),
    Metric(name="attempts", unit="", title="tries", better="", formula="requests sent"),
    Metric(name="warmup", unit="", title="warm-up", better="", formula="requests that are in no figure (--warmup)"),
    Metric(name="rate_limited", unit="", title="429s", formula="attempts refused with rate_limited or quota_exhausted"),
    Metric(name="rate_limited_rate", unit="share", title="429s", formula="rate_limited / attempts"),
    Metric(name="success_rate", unit="share", title="success", short="good", better="higher", formula="attempts that were answered / attempts; a hedge's loser is none"),
    Metric(name="duration_s", unit="s", title="duration", formula="first send → last byte of a success, time between sessions left out"),
    Metric(name="requests_per_s", unit="1/s", title="req/s", better="higher", formula="ok / duration_s"),
    Metric(name="input_tokens", unit="", title="tokens in", better="", formula="of answered jobs"),
    Metric(name="output_tokens", unit="", title="tokens out", better="", formula="of answered jobs"),
    Metric(name="output_tokens_per_s", unit="1/s", title="tok/s", better="higher", formula="output_tokens / duration_s"),
    Metric(name="estimated_token_counts", unit="", title="estimated", formula="answers whose token counts are estimates"),
    Metric(name="cost_usd", unit="USD", title="cost", formula="price × tokens, per kind of token, of every answer whose price is known; null where none is"),
    Metric(name="cost_unknown", unit="", title="unpriced", formula="answers whose price is not known"),
    Metric(name="cost_per_right_usd", unit="USD", title="cost a right answer", formula="cost_usd / right; null while the price of any answer is unknown"),
    Metric(name="right", unit="", title="right", better="higher", formula="answers that the grader took (score ≥ 0.5)"),
    Metric(name="wrong", unit="", title="wrong", formula="answers that it did not take; failed jobs are never wrong"),
    Metric(name="ungraded", unit="", title="ungraded", formula="answers with something to compare with that no grader could judge"),
    Metric(name="accuracy", unit="share", title="accuracy", short="right", better="higher", formula="right / (right + wrong)"),
    Metric(name="accuracy_low", unit="share", title="accuracy from", better="higher", formula="lower end of its 95 % Wilson interval"),
    Metric(name="accuracy_high", unit="share", title="accuracy to", better="higher", formula="upper end of its 95 % Wilson interval"),
)  # fmt: skip

#: Of the run as a whole only, and known at its end.
RUN_TOTALS = (
    Metric(name="ideal_duration_s", unit="s", title="ideal", better="", formula="the least time in which the limits in force permit these jobs"),
    Metric(name="efficiency", unit="share", title="efficiency", better="higher", formula="ideal_duration_s / duration_s, at most 1"),
    Metric(name="unsent", unit="", title="not done", formula="jobs that a bound, a signal or a lack of keys kept from ending"),
)  # fmt: skip

#: What llmfan itself took: the run's `client`.
CLIENT = (
    Metric(name="cpu_s", unit="s", title="CPU", formula="processor time of this process"),
    Metric(name="cpu_share", unit="share", title="CPU share", formula="processor time / time, while the run went"),
    Metric(name="peak_rss_bytes", unit="B", title="memory", formula="the most memory this process held"),
    Metric(name="loop_lag_p99_s", unit="s", title="loop lag", formula="how late the event loop ran, 99th percentile of ten looks a second"),
    Metric(name="asked_per_s", unit="1/s", title="asked rate", better="", formula="arrivals planned / the time they were planned over (--rate); in comparison modes those of each place"),
    Metric(name="achieved_per_s", unit="1/s", title="achieved rate", better="higher", formula="first requests sent / the time they were sent over (--rate); likewise"),
)  # fmt: skip

QUANTILES = (("p50", 0.50), ("p90", 0.90), ("p95", 0.95), ("p99", 0.99))
STATISTICS = ("mean", *(name for name, _ in QUANTILES), "max")


def metric(name: str) -> Metric:
    return next(m for m in (*DISTRIBUTIONS, *TOTALS, *RUN_TOTALS, *CLIENT) if m.name == name)


def titles(name: str, statistic: str = "") -> tuple[str, str]:
    """A column's title, and a shorter one: ("latency p50", "p50"), ("failed", "fail")."""
    found = metric(name)
    return f"{found.title} {statistic}".strip(), statistic or found.short or found.title


class Figure(Struct, frozen=True, kw_only=True):
    """One number as gates and comparisons name it: `latency_p95`, `failed_rate`. `statistic` is "" for a total."""

    name: str
    metric: Metric
    statistic: str = ""
    whole_run: bool = False  # of no single provider, model or key, and known at the end only

    def read(self, entry: Mapping[str, Any]) -> float | None:
        """Its value in the document of `summary.json`, or in an entry of its `providers`, `models` or `keys`."""
        place = entry.get(self.metric.name if self.statistic else "totals") or {}
        if self.metric in CLIENT:
            place = entry.get("client") or {}
        value = place.get(self.statistic or self.metric.name)
        return None if value is None else float(value)


def figures() -> dict[str, Figure]:
    """All of them by name. `duration` is as good as `duration_s`; `latency_s_p95` as good as `latency_p95`."""
    found = {figure.name: figure for figure in _figures()}
    found["duration"] = found["duration_s"]
    found |= {f"{f.metric.name}_{f.statistic}": f for f in list(found.values()) if f.statistic}
    return found


def _figures() -> Iterator[Figure]:
    for metric in DISTRIBUTIONS:
        for statistic in STATISTICS:
            yield Figure(name=f"{metric.name.removesuffix('_s')}_{statistic}", metric=metric, statistic=statistic)
    for metric in TOTALS:
        yield Figure(name=metric.name, metric=metric)
    for metric in (*RUN_TOTALS, *CLIENT):
        yield Figure(name=metric.name, metric=metric, whole_run=True)
