"""Every figure, declared once: name, unit, title, which way is better, and its formula."""

from __future__ import annotations

from msgspec import Struct


class Metric(Struct, frozen=True, kw_only=True):
    name: str
    unit: str
    title: str
    formula: str
    better: str = "lower"


#: Distributions over results; each is a field of results.jsonl, or derived from it.
DISTRIBUTIONS = (
    Metric(name="latency_s", unit="s", title="latency", formula="request sent → its last byte, the attempt that succeeded"),
    Metric(name="ttft_s", unit="s", title="TTFT", formula="request sent → first chunk that carries text of any kind"),
    Metric(name="ttfo_s", unit="s", title="TTFO", formula="request sent → first chunk of the answer itself"),
    Metric(name="tpot_s", unit="s", title="TPOT", formula="(latency_s − ttft_s) / (output tokens − 1), from two tokens on"),
    Metric(name="itl_s", unit="s", title="ITL", formula="gaps between chunks that carry text"),
    Metric(name="wait_s", unit="s", title="wait", formula="the job could have been sent → the successful attempt's start, less retry_s"),
    Metric(name="total_s", unit="s", title="total", formula="wait_s + retry_s + latency_s"),
)  # fmt: skip

TOTALS = (
    Metric(name="jobs", unit="", title="jobs", formula="finished jobs", better="higher"),
    Metric(name="ok", unit="", title="ok", formula="jobs answered", better="higher"),
    Metric(name="failed", unit="", title="failed", formula="jobs that ended without an answer"),
    Metric(name="attempts", unit="", title="attempts", formula="requests sent"),
    Metric(name="rate_limited", unit="", title="429s", formula="attempts refused with rate_limited or quota_exhausted"),
    Metric(name="duration_s", unit="s", title="duration", formula="first send → last byte"),
    Metric(name="requests_per_s", unit="1/s", title="req/s", formula="ok / duration_s", better="higher"),
    Metric(name="input_tokens", unit="", title="tokens in", formula="of answered jobs", better="higher"),
    Metric(name="output_tokens", unit="", title="tokens out", formula="of answered jobs", better="higher"),
    Metric(
        name="output_tokens_per_s", unit="1/s", title="tokens/s", formula="output_tokens / duration_s", better="higher"
    ),
    Metric(name="cost_usd", unit="USD", title="cost", formula="price × tokens of every answer; null where no price is known"),
    Metric(name="accuracy", unit="", title="accuracy", formula="right / (right + wrong)", better="higher"),
    Metric(name="ideal_duration_s", unit="s", title="ideal", formula="the least time in which the limits in force permit these jobs"),
    Metric(name="efficiency", unit="", title="efficiency", formula="ideal_duration_s / duration_s", better="higher"),
)  # fmt: skip

QUANTILES = (("p50", 0.50), ("p90", 0.90), ("p95", 0.95), ("p99", 0.99))
