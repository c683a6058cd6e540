"""A million results summed up: memory, time, and how far percentiles are from exact ones.

    python tests/benchmarks/bench_summary.py [RESULTS]

Lines are made up (lognormal times, 40 gaps each, 10 providers of 5 keys), and counted as a run counts them.
"""

from __future__ import annotations

import math
import random
import resource
import sys
import time
from array import array

from llmfan.measures.accumulate import Accumulator
from llmfan.measures.metrics import QUANTILES
from llmfan.records import AttemptLine, ResultLine, ResultUsage

KEYS = [(f"provider-{p}", "model", f"provider-{p}#{k}") for p in range(10) for k in range(1, 6)]


def main(count: int) -> None:
    accumulator, rng = Accumulator(), random.Random(0)
    exact = {name: array("d") for name in ("latency_s", "ttft_s")}  # kept here only, to be compared with
    peaks, began, counting = [], time.perf_counter(), 0.0
    for n in range(count):
        attempt, result = lines(rng, n)
        exact["latency_s"].append(result.latency_s or 0.0)
        exact["ttft_s"].append(result.ttft_s or 0.0)
        start = time.perf_counter()
        accumulator.attempt(attempt)
        accumulator.result(result)
        counting += time.perf_counter() - start
        if n + 1 in (count // 100, count // 10, count):
            own = sum(
                len(sketch.counts) for tally in accumulator.tallies.values() for sketch in tally.sketches.values()
            )
            arrays = sum(len(values) * 8 for values in exact.values()) / 2**20
            peaks.append((n + 1, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - arrays, own))
    print(f"{count:,} results in {time.perf_counter() - began:.1f} s, of which counted in {counting:.1f} s "
          f"({counting / count * 1e6:.1f} us each, clock included)")  # fmt: skip
    for seen, peak, buckets in peaks:
        print(f"after {seen:>9,}: {peak:6.1f} MiB without the exact values, {buckets:,} buckets in all")
    whole = accumulator.merged().distributions()
    for name, values in exact.items():
        ordered = sorted(values)
        for quantile, q in QUANTILES:
            truth = ordered[max(1, math.ceil(q * count)) - 1]
            print(f"{name} {quantile}: {whole[name][quantile]:.5f}, exact {truth:.5f}, off by "
                  f"{abs(whole[name][quantile] / truth - 1):.3%}")  # fmt: skip


def lines(rng: random.Random, n: int) -> tuple[AttemptLine, ResultLine]:
    provider, model, key = KEYS[n % len(KEYS)]
    ttft, gap = rng.lognormvariate(-1.2, 0.5), round(rng.lognormvariate(2.3, 0.4), 1)
    latency = ttft + 40 * gap / 1000
    attempt = AttemptLine(
        id=f"p{n}", attempt=1, provider=provider, model=model, key=key, started_at="", ttft_s=ttft, latency_s=latency,
        http_status=200, outcome="ok", billed="yes", retry_after_s=None, input_tokens=50, output_tokens=41,
        usage_source="server", ttfo_s=ttft, sent_s=n / 100, repeat=0, turn=0, itl_ms=[(gap, 30), (gap * 1.1, 10)],
    )  # fmt: skip
    result = ResultLine(
        id=f"p{n}", index=n, repeat=0, status="ok", provider=provider, model=model, key=key, text="x", reasoning=None,
        finish_reason="stop", usage=ResultUsage(50, 41, "server"), cost_usd=1e-5, wait_s=rng.random(), retry_s=0.0,
        ttft_s=ttft, ttfo_s=ttft, latency_s=latency, total_s=latency, attempts=1, error=None, expect=1,
        score=float(rng.random() < 0.8), metadata=None, simulated=False,
    )  # fmt: skip
    return attempt, result


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
