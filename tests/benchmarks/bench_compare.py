"""What `compare` calls changed, of pairs of runs that differ in nothing but chance, and of pairs that do differ.

    python tests/benchmarks/bench_compare.py [PAIRS] [CASE…]

Virtual time, three providers, every prompt to each (500), service times lognormal (0.3); "b" is the one that changes.
Each line: pairs, in how many of them the change was found, and in how many anything else was called changed.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

sys.path[:0] = [str(Path(__file__).parents[2])]

from llmfan.comparing.document import compare  # noqa: E402
from llmfan.comparing.side import load  # noqa: E402
from tests.comparing.pairs_of_runs import played  # noqa: E402


class Case(NamedTuple):
    new: dict[str, Any]
    wanted: str
    of_b: Callable[[str], bool]  # whether a figure may be called changed


CASES = {
    "nothing changed": Case({}, "", lambda name: False),
    "b 10 % slower": Case(
        {"slower": {"b": 1.1}}, "latency_p50[b]", lambda name: "[a]" not in name and "[c]" not in name
    ),
    "b: one in eight takes twice as long": Case(
        {"tail": 2.0}, "latency_p95[b]", lambda name: "[a]" not in name and "[c]" not in name
    ),
    "b: 3 % fail": Case({"failing": 0.03}, "failed_rate[b]", lambda name: "[a]" not in name and "[c]" not in name),
}


def main() -> int:
    pairs = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    chosen = sys.argv[2:] or list(CASES)
    for at, name in enumerate(chosen):
        found = stray = 0
        for n in range(pairs):
            changed = _changed(CASES[name], 10_000 * at + 2 * n)
            found += CASES[name].wanted in changed
            stray += any(not CASES[name].of_b(each) for each in changed)
        if CASES[name].wanted:
            wanted = CASES[name].wanted
            print(f"{name}: {pairs} pairs, {wanted} found in {found}, anything of a or c called changed in {stray}")
        else:
            print(f"{name}: {pairs} pairs, no change throughout in {pairs - stray}")
    return 0


def _changed(case: Case, seed: int) -> list[str]:
    with tempfile.TemporaryDirectory(prefix="llmfan-bench-") as folder:
        base = load(played(Path(folder) / "base", seed))
        new = load(played(Path(folder) / "new", seed + 1, **case.new))
    return [each["metric"] for each in compare(base, new)["metrics"] if each["verdict"] != "no change"]


if __name__ == "__main__":
    sys.exit(main())
