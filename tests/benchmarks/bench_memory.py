"""Whether memory grows with the prompt set: it should not, beyond a few bytes a prompt.

    python tests/benchmarks/bench_memory.py [--prompts 1000000]

Peak memory of `llmfan run` with its live table on: the first 20,000 and the first 2,000 prompts of one file of a
million, and a file of 2,000. Streamed answers from the local server. Ends with 1 if a target was missed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path

from local_server import serving
from measuring import cores, llmfan, run, verdict
from prompt_files import fleet_file, fleet_keys, write_prompts

MANY, FEW = 20_000, 2_000
SENT_MIB, FILE_MIB = 30.0, 60.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=1_000_000)
    options = parser.parse_args()
    core, server_core = cores()
    with tempfile.TemporaryDirectory(prefix="llmfan-bench-") as name:
        folder = Path(name)
        large = write_prompts(folder / "large.jsonl", options.prompts)
        small = write_prompts(folder / "small.jsonl", FEW)
        with serving(folder, server_core) as server:
            fleet = fleet_file(folder / "fleet.yaml", server.sse_url)
            long = _peak(folder, fleet, large, MANY, core)
            short = _peak(folder, fleet, large, FEW, core)
            least = _peak(folder, fleet, small, FEW, core)
    print("\n| prompt set | sent | peak MiB |\n|---|---|---|")
    for lines, sent, peak in ((options.prompts, MANY, long), (options.prompts, FEW, short), (FEW, FEW, least)):
        print(f"| {lines:,} lines | {sent:,} | {peak:.0f} |")
    held = [
        verdict(f"{MANY:,} sent rather than {FEW:,}", long - short, SENT_MIB, " MiB more"),
        verdict(f"a file of {options.prompts:,} rather than {FEW:,}", long - least, FILE_MIB, " MiB more"),
    ]
    return 0 if all(held) else 1


def _peak(folder: Path, fleet: Path, prompts: Path, limit: int, core: int | None) -> float:
    out = folder / "run"
    command = llmfan("run", str(prompts), "-p", str(fleet), "--limit", str(limit), "--max-tokens", "40", "-o", str(out))
    figures = run(command, env=fleet_keys(), cwd=folder, cpu=core, terminal=True)
    shutil.rmtree(out)
    print(f"  {prompts.name}, {limit:,} sent: {figures.wall:.1f} s", file=sys.stderr)
    return figures.peak_mib


if __name__ == "__main__":
    os.environ.pop("LLMFAN_PROVIDERS", None)
    sys.exit(main())
