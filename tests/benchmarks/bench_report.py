"""How long `llmfan report` takes for a run of so many results, how much memory, and how large its page is.

    python tests/benchmarks/bench_report.py [--results 100000] [--runs 3]

A hundredth of the jobs failed, a tenth of the answers are wrong, and three requests in a hundred met a 429; answers of
about 600 characters. Then every result in each of the other forms. Ends with 1 if a target was missed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from random import Random

sys.path[:0] = [str(Path(__file__).parents[2])]

from measuring import MIB, llmfan, median, run, verdict  # noqa: E402
from prompt_files import write_prompts  # noqa: E402

from llmfan.records import AttemptLine, ResultLine  # noqa: E402
from tests.reporting.folders import attempt, failed, result, run_folder  # noqa: E402

PAGE_S, FORMS_S, PAGE_MIB, PEAK_MIB = 10.0, 15.0, 6.0, 400.0
PROVIDERS = 8


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="llmfan-bench-") as name:
        prompts = write_prompts(Path(name) / "prompts.jsonl", options.results)
        folder = run_folder(Path(name) / "run", results(options.results), attempts(options.results), prompts=prompts)
        page, forms = folder / "report.html", [f"{Path(name)}/x.{end}" for end in ("csv", "parquet", "jsonl")]
        taken = [run(llmfan("report", str(folder))) for _ in range(options.runs)]
        held = [verdict(f"page of {options.results:,} results", median(f.wall for f in taken), PAGE_S, " s")]
        held.append(verdict("its peak memory", median(f.peak_mib for f in taken), PEAK_MIB, " MiB"))
        held.append(verdict("its size", page.stat().st_size / MIB, PAGE_MIB, " MiB"))
        others = ["--csv", forms[0], "--parquet", forms[1], "--openai-batch", forms[2]]
        held.append(verdict("the other forms", run(llmfan("report", str(folder), *others)).wall, FORMS_S, " s"))
    return 0 if all(held) else 1


def results(count: int) -> Iterator[ResultLine]:
    rng = Random(1)
    for i in range(count):
        where = _place(i)
        if i % 100 == 0:
            yield failed(i, id=f"p{i}", message=f"upstream {rng.randrange(9)} reset", **where)
            continue
        took = rng.lognormvariate(0.0, 0.5)
        words = " ".join(f"{rng.getrandbits(40):x}" for _ in range(rng.randrange(20, 80)))
        yield result(
            i, id=f"p{i}", text=words, latency_s=took, ttft_s=took / 4, wait_s=i / 20, total_s=i / 20 + took,
            expect="yes", score=float(i % 10 > 0), **where,
        )  # fmt: skip


def attempts(count: int) -> Iterator[AttemptLine]:
    rng = Random(2)
    for i in range(count):
        where, gaps = _place(i), [(float(k), 1) for k in range(20)]
        if i % 33 == 0:
            yield attempt(i, "rate_limited", i / 20, id=f"p{i}", latency_s=0.05, http_status=429, **where)
        outcome = "ok" if i % 100 else "server_error"
        yield attempt(i, outcome, i / 20, id=f"p{i}", latency_s=rng.random(), itl_ms=gaps, **where)


def _place(i: int) -> dict[str, str]:
    provider = f"p{i % PROVIDERS}"
    return {"provider": provider, "model": "m", "key": f"{provider}#{i % 3 + 1}"}


if __name__ == "__main__":
    sys.exit(main())
