"""Where each key's time went: answers, failures, and how long anything of it was in flight at all."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping
from typing import Any

from llmfan.outputs.html.page import Allowance, KeyUse
from llmfan.reporting.lines import Attempt

_LIMITED = ("rate_limited", "quota_exhausted")


class Keys:
    """Takes attempts; gives the use of each key."""

    def __init__(self) -> None:
        self._keys: dict[str, _Key] = {}

    def add(self, line: Attempt) -> None:
        key = self._keys.get(line.key)
        if key is None:
            key = self._keys[line.key] = _Key(line.provider)
        key.add(line)

    def uses(self, summary: Mapping[str, Any]) -> list[KeyUse]:
        """`summary` tells of the limits, and of keys that were never asked."""
        entries = {str(e.get("name")): e for e in summary.get("keys") or [] if isinstance(e, Mapping)}
        names = [*entries, *(name for name in self._keys if name not in entries)]
        return [
            self._keys.get(name, _Key(name.rpartition("#")[0])).use(name, entries.get(name, {}))
            for name in names
            if name
        ]


class _Key:
    def __init__(self, provider: str):
        self._provider = provider
        self._serving = self._failing = 0.0
        self._attempts = self._limited = 0
        self._busy = Busy()

    def add(self, line: Attempt) -> None:
        self._attempts += 1
        self._limited += line.outcome in _LIMITED
        took = line.latency_s or 0.0
        if line.outcome == "ok":
            self._serving += took
        elif not line.hedge:
            self._failing += took
        self._busy.add(line.sent_s, line.sent_s + took)

    def use(self, name: str, entry: Mapping[str, Any]) -> KeyUse:
        return KeyUse(
            key=name, provider=self._provider, serving_s=round(self._serving, 3), failing_s=round(self._failing, 3),
            busy_s=round(self._busy.total(), 3), attempts=self._attempts, rate_limited=self._limited,
            allowances=[*_allowances(entry.get("allowances") or [])],
        )  # fmt: skip


class Busy:
    """How long at least one of many spans went on, in bounded memory.

    The spans come about in the order of their ends, so what lies far back is closed: it is added up and forgotten.
    """

    KEPT = 512

    def __init__(self) -> None:
        self._starts: list[float] = []
        self._ends: list[float] = []
        self._closed = 0.0
        self._frontier = float("-inf")

    def add(self, start: float, end: float) -> None:
        start = max(start, self._frontier)
        if not start < end < float("inf"):
            return
        i, j = bisect_left(self._ends, start), bisect_right(self._starts, end)
        if i < j:
            start, end = min(start, self._starts[i]), max(end, self._ends[j - 1])
        self._starts[i:j], self._ends[i:j] = [start], [end]
        if len(self._starts) > self.KEPT:
            self._close(self.KEPT // 2)

    def total(self) -> float:
        return self._closed + sum(e - s for s, e in zip(self._starts, self._ends, strict=True))

    def _close(self, count: int) -> None:
        self._closed += sum(e - s for s, e in zip(self._starts[:count], self._ends[:count], strict=True))
        self._frontier = self._ends[count - 1]
        del self._starts[:count], self._ends[:count]


def _allowances(found: Iterable[Mapping[str, Any]]) -> Iterable[Allowance]:
    for each in found:
        yield Allowance(
            axis=str(each.get("axis", "")), limit=float(each.get("limit") or 0.0), period_s=each.get("period_s"),
            used=float(each.get("used") or 0.0), allowed=each.get("allowed"),
        )  # fmt: skip
