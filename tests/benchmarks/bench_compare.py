"""What `compare` calls changed, of pairs of runs that differ in nothing but chance, and of pairs that do differ.

    python tests/benchmarks/bench_compare.py [PAIRS] [CASE…]

Virtual time, three providers or six, every prompt to each (500), service times lognormal (0.3); "b" is the one that
changes. Each line: pairs, in how many of them the change was found, and in how many anything of another provider was
called changed.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

sys.path[:0] = [str(Path(__file__).parents[2])]

from llmfan.comparing.document import compare  # noqa: E402
from llmfan.comparing.side import load  # noqa: E402
from tests.comparing.pairs_of_runs import MEDIANS, played  # noqa: E402


class Case(NamedTuple):
    new: dict[str, Any]
    wanted: str = ""  # a figure of "b", the one that changes
    both: Mapping[str, Any] = MappingProxyType({})


SIX = {"medians": MEDIANS | {"d": 0.5, "e": 3.0, "f": 1.2}}
CASES = {
    "nothing changed": Case({}),
    "b 10 % slower": Case({"slower": {"b": 1.1}}, "latency_p50[b]"),
    "b: one in eight takes twice as long": Case({"tail": 2.0}, "latency_p95[b]"),
    "b: 3 % fail": Case({"failing": 0.03}, "failed_rate[b]"),
    "six providers, nothing changed": Case({}, both=SIX),
    "six providers, b 10 % slower": Case({"slower": {"b": 1.1}}, "latency_p50[b]", SIX),
}


def main() -> int:
    pairs = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    chosen = sys.argv[2:] or list(CASES)
    for name in chosen:
        case, first = CASES[name], 10_000 * list(CASES).index(name)
        found = stray = 0
        for n in range(pairs):
            changed = _changed(case, first + 2 * n)
            found += case.wanted in changed
            stray += any(_stray(case, each) for each in changed)
        if case.wanted:
            print(f"{name}: {pairs} pairs, {case.wanted} found in {found}, another's called changed in {stray}")
        else:
            print(f"{name}: {pairs} pairs, no change throughout in {pairs - stray}")
    return 0


def _stray(case: Case, figure: str) -> bool:
    """Where b changes, so does the whole run; but nothing of another provider."""
    return not case.wanted or ("[" in figure and not figure.endswith("[b]"))


def _changed(case: Case, seed: int) -> list[str]:
    with tempfile.TemporaryDirectory(prefix="llmfan-bench-") as folder:
        base = load(played(Path(folder) / "base", seed, **case.both))
        new = load(played(Path(folder) / "new", seed + 1, **case.both, **case.new))
    return [each["metric"] for each in compare(base, new)["metrics"] if each["verdict"] != "no change"]


if __name__ == "__main__":
    sys.exit(main())
