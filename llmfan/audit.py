"""The self-audit: what llmfan itself took, and whether it, not the providers, held the run back."""

from __future__ import annotations

import resource
import sys
import time
from typing import Any

from msgspec import Struct

from llmfan.measures.sketch import Sketch
from llmfan.scheduling.open_loop import Timetable

#: llmfan itself held the run back if its loop was late by more than this, one time in a hundred,
LAG_LIMIT_S = 0.1
#: or if it used more than this of the one core it can use,
CPU_LIMIT = 0.9
#: or if this share of the prompts that had arrived stood ready, and only --concurrency kept them.
CAPPED_LIMIT = 0.05
#: Shorter runs say nothing of the processor: all of it is start and end.
SHORTEST_S = 1.0


class Arrivals(Struct, frozen=True, kw_only=True):
    """Open loop: prompts that arrived as planned in `planned_s` seconds, those that left in `sent_s`, and how many of
    them --concurrency alone kept waiting.
    """

    places: int  # each with the same load
    planned: int
    planned_s: float
    sent: int
    sent_s: float
    capped: int


def arrivals(table: Timetable | None, places: int) -> Arrivals | None:
    if table is None:
        return None
    return Arrivals(
        places=places, planned=table.planned, planned_s=table.planned_s, sent=table.sent, sent_s=table.sent_s,
        capped=table.capped,
    )  # fmt: skip


class Audit:
    """Looks at this process while a run goes: `begin` before it, `document` after."""

    def __init__(self) -> None:
        self._cpu = self._wall = 0.0
        self.begin()

    def begin(self) -> None:
        self._cpu, self._wall = _cpu(), time.perf_counter()

    def document(self, lag: Sketch, arrivals: Arrivals | None = None) -> dict[str, Any]:
        """The summary's `client`: the figures of `metrics.CLIENT`, `limited`, and `why` ("" where it was not)."""
        wall = time.perf_counter() - self._wall
        share = (_cpu() - self._cpu) / wall if wall >= SHORTEST_S else None
        late = lag.quantile(0.99)
        why = _why(late, share, arrivals)
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return {
            "cpu_s": round(_cpu(), 3),
            "cpu_share": None if share is None else round(share, 3),
            "peak_rss_bytes": usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
            "loop_lag_p99_s": None if late is None else round(late, 4),
            "asked_per_s": None if arrivals is None else _rate(arrivals.planned, arrivals.planned_s, arrivals.places),
            "achieved_per_s": None if arrivals is None else _rate(arrivals.sent, arrivals.sent_s, arrivals.places),
            "limited": bool(why),
            "why": why,
        }


def _why(late: float | None, share: float | None, arrivals: Arrivals | None) -> str:
    found = []
    if late is not None and late > LAG_LIMIT_S:
        found.append(f"its event loop was late by {late:.2f} s (99th percentile): times are upper bounds")
    if share is not None and share > CPU_LIMIT:
        found.append(f"it used {share:.0%} of the one core it can use: times are upper bounds")
    if arrivals is not None and arrivals.capped > CAPPED_LIMIT * max(1, arrivals.planned):
        found.append(f"--concurrency alone kept {arrivals.capped:,} of {arrivals.planned:,} prompts waiting")
    return "; ".join(found)


def _rate(count: int, seconds: float, places: int) -> float | None:
    """Events a second at each place: n of them span n - 1 gaps."""
    gaps = count / places - 1
    return round(gaps / seconds, 4) if gaps > 0 and seconds > 0 else None


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
