"""How long `llmfan --help` takes beside a two-line typer + rich program in the same environment.

    python tests/benchmarks/bench_help.py [--runs 21]

Wall time, interleaved, medians. Ends with 1 if the ratio is above its target.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from measuring import cores, interleaved, llmfan, median, run, verdict

RATIO = 1.5
TWO_LINES = "import rich, typer\ntyper.run(lambda name: rich.print(name))\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=21)
    options = parser.parse_args()
    core, _ = cores()
    with tempfile.TemporaryDirectory(prefix="llmfan-bench-") as folder:
        program = Path(folder) / "two_lines.py"
        program.write_text(TWO_LINES)
        found = interleaved(
            options.runs,
            {
                "two lines": lambda: run([sys.executable, str(program), "--help"], cpu=core),
                "llmfan --help": lambda: run(llmfan("--help"), cpu=core),
            },
            warm_up=2,
        )
    walls = {name: median(f.wall for f in figures) for name, figures in found.items()}
    for name, wall in walls.items():
        print(f"{name}: {wall * 1000:.0f} ms")
    ratio = walls["llmfan --help"] / walls["two lines"]
    return 0 if verdict("wall, llmfan --help over two lines", ratio, RATIO, " ×") else 1


if __name__ == "__main__":
    sys.exit(main())
