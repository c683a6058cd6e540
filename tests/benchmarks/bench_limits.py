"""How near the least time a batch comes, and how many 429s it draws, on every kind of server: whole runs, virtual time.

    python tests/benchmarks/bench_limits.py [SEEDS] [ROW…]

One key, 60 requests a minute declared; arrival jitter, service times and sizes as in the scenarios. Each cell: time
over the least time the true limit permits, then 429s per answer; for the smallest batch seconds above the least.
"""

from __future__ import annotations

import datetime as dt
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[2])]

from msgspec.structs import replace  # noqa: E402

from llmfan.ledgers.memory import MemoryLedger  # noqa: E402
from tests.scenarios.limiter_servers import KINDS, PRESET, Kind, Limit, LimiterServer, true_ideal  # noqa: E402
from tests.scenarios.world import MIDNIGHT, play, provider  # noqa: E402

DECLARED = 60
Row = dict[str, Any]
ROWS: dict[str, Row] = {
    "right, 10 L": {},
    "right, 2 L": {"jobs": 120},
    "right, L/2 (s above)": {"jobs": 30},
    "x0.6": {"limit": 36},
    "x0.6, Retry-After": {"limit": 36, "hints": ("retry-after",)},
    "x0.6, headers": {"limit": 36, "hints": ("headers",), "preset": PRESET},
    "x2, learn: up": {"limit": 120, "learn": "up"},
    "x2, headers": {"limit": 120, "learn": "up", "hints": ("headers",), "preset": PRESET},
    "undeclared": {"declared": None},
    "refused count": {"count_refused": True},
    "refused count, x0.6": {"limit": 36, "count_refused": True},
    "again after x0.6": {"limit": 36, "again": True, "jobs": 360},
    "again after x2": {"limit": 120, "learn": "up", "again": True, "jobs": 1200},
    "again after undeclared": {"declared": None, "again": True},
}


def cell(
    kind: Kind, seeds: int, *, limit: int = DECLARED, jobs: int = 600, declared: int | None = DECLARED,
    learn: str = "down", again: bool = False, preset: Any = None, **habits: Any,
) -> tuple[float, float, float]:  # fmt: skip
    """(time over ideal, 429s per answer, seconds above ideal), means over the seeds."""
    found = []
    for seed in range(seeds):
        axes = {"rpm": declared} if declared else {}
        fleet = replace(provider("p", axes=axes, open_=not declared, preset=preset), learn=learn)
        ledger = MemoryLedger()
        for turn in range(1 + again):
            server = LimiterServer(Limit(limit, 60.0, kind), seed=f"{kind} {seed} {turn}", **habits)
            with tempfile.TemporaryDirectory() as folder:
                happened = play(Path(folder), [fleet], {"p": server}, jobs, wall=_later(turn), ledger=ledger)
        ideal = true_ideal(jobs, server)
        found.append((happened.duration / ideal, server.refusals / jobs, happened.duration - ideal))
    ratio, refusals, above = (statistics.fmean(column) for column in zip(*found, strict=True))
    return ratio, refusals, above


def _later(turn: int) -> dt.datetime:
    """The second run begins hours after the first, on fresh windows."""
    return MIDNIGHT + dt.timedelta(hours=5 * turn)


if __name__ == "__main__":
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 12
    rows = {name: row for name, row in ROWS.items() if not sys.argv[2:] or any(word in name for word in sys.argv[2:])}
    print(f"{'':24}" + "".join(f"{kind:>16}" for kind in KINDS))
    for name, row in rows.items():
        cells = [cell(kind, seeds, **row) for kind in KINDS]
        shown = [f"{above if 'above' in name else ratio:.3f} {refusals:6.2%}" for ratio, refusals, above in cells]
        print(f"{name:24}" + "".join(f"{text:>16}" for text in shown), flush=True)
