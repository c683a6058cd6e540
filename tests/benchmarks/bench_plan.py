"""How long a forecast takes, as a whole command: 100,000 prompts over 32 keys, a million over 1,000.

    python tests/benchmarks/bench_plan.py [--runs 3]

Prompts of about 280 bytes; eight providers of unlike limits, no key set. Ends with 1 if a target was missed.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from measuring import llmfan, median, run, verdict
from prompt_files import write_prompts

#: (prompts, keys, seconds at most)
SIZES = ((100_000, 32, 5.0), (1_000_000, 1_000, 60.0))
PROVIDERS = 8


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    held = []
    with tempfile.TemporaryDirectory(prefix="llmfan-bench-") as name:
        for count, keys, most in SIZES:
            prompts = write_prompts(Path(name) / f"{count}.jsonl", count)
            fleet = _fleet(Path(name) / f"{keys}.yaml", keys)
            command = llmfan("plan", str(prompts), "-p", str(fleet), "--concurrency", "100000", "--json")
            figures = [run(command, cwd=Path(name)) for _ in range(options.runs)]
            wall, cpu = median(f.wall for f in figures), median(f.cpu for f in figures)
            print(
                f"{count:,} prompts, {keys:,} keys: {wall:.2f} s, {cpu / count * 1e6:.1f} us of CPU a prompt, ", end=""
            )
            print(f"peak {max(f.peak_mib for f in figures):.0f} MiB")
            held.append(verdict(f"{count:,} prompts over {keys:,} keys", wall, most, " s"))
    return 0 if all(held) else 1


def _fleet(path: Path, keys: int) -> Path:
    """Of rates from 30 to 100 a minute, by the provider; every other one counts tokens and has a day's quota too."""
    lines = ["version: 1", "providers:"]
    for n in range(PROVIDERS):
        limits = f"rpm: {30 + 10 * n}" + (", tpm: 60000, rpd: 20000" if n % 2 else "")
        lines += [f"  p{n}:", f"    base_url: https://p{n}.example/v1", "    model: m", f"    limits: {{{limits}}}"]
        lines += ["    keys:", *(f"      - $BENCH_{n}_{k}" for k in range(keys // PROVIDERS))]
    path.write_text("\n".join(lines) + "\n")
    return path


if __name__ == "__main__":
    os.environ.pop("LLMFAN_PROVIDERS", None)
    sys.exit(main())
