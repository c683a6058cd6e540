"""Which keys draw on one account, by what they report to be left. Pure.

Keys that share have remainders that fall together: each request of one takes from what the next one reports. That two
remainders lie close together only makes them suspects (two fresh accounts do as well); so the one that reported most
is asked again. Alone it has one less than before; where others drew on the same account since, it has as many less
again as they sent.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence

from msgspec import Struct

#: Of a limit that refills as one watches, so little is no refill at all.
_NO_REFILL = 0.05


class Trace(Struct, kw_only=True):
    """What one account said last: of `limit`, so much is left. `serial`: the number of the request that was told so,
    counted over all accounts of the provider; `named`: the provider itself gave the account's name.
    """

    name: str
    limit: float
    remaining: float
    serial: int
    moment: float
    named: bool = False


class Suspects:
    """Traces of one limit's figure. `log`: who sent each request of the provider, in order; it grows while asking."""

    def __init__(self, traces: Iterable[Trace], log: Sequence[str], window: float):
        self._traces = {trace.name: trace for trace in traces}
        self._log, self._window = log, window
        self._asked: set[str] = set()
        self._settled: set[str] = set()  # alone, or of a group
        self._group: dict[str, str] = {}

    def next(self) -> str | None:
        """Whom to ask once more: the one with most left, for the others must have gone below it."""
        left = [t for t in self._traces.values() if t.name not in self._asked | self._settled and self._is_suspect(t)]
        return max(left, key=lambda trace: trace.remaining).name if left else None

    def asked(self, name: str, remaining: float | None, serial: int, moment: float) -> None:
        """What it said this time; None: it gave no figure."""
        before = self._traces[name]
        self._asked.add(name)
        if remaining is None:
            self._settled.add(name)
            return
        now = Trace(
            name=name, limit=before.limit, remaining=remaining, serial=serial, moment=moment, named=before.named
        )
        self._traces[name] = now
        drop = before.remaining - remaining
        if drop < 2:
            self._settled.add(name)
            return
        between = [t for t in self._traces.values() if t.name != name and remaining < t.remaining < before.remaining]
        since = self._log[before.serial + 1 : serial]
        explained = sum(who == trace.name for trace in between for who in since)
        if between and 0 <= explained - (drop - 1) <= self._refill(before, now):
            self._join([name, *(trace.name for trace in between)])

    def groups(self) -> list[set[str]]:
        found: dict[str, set[str]] = {}
        for name in self._group:
            found.setdefault(self._root(name), set()).add(name)
        return list(found.values())

    def _is_suspect(self, mine: Trace) -> bool:
        others = (t for t in self._traces.values() if t.name != mine.name and t.name not in self._settled)
        return any(self._could_be_one(mine, other) for other in others)

    def _could_be_one(self, one: Trace, other: Trace) -> bool:
        """Equal remainders are those of two accounts: one request of the other had to show."""
        return not (one.named and other.named) and 0 < abs(one.remaining - other.remaining) <= len(self._log)

    def _refill(self, before: Trace, now: Trace) -> float:
        back = before.limit * (now.moment - before.moment) / self._window
        return 0.0 if back < _NO_REFILL else math.ceil(back)

    def _join(self, names: Collection[str]) -> None:
        self._settled.update(names)
        for name in names:
            self._group.setdefault(name, name)
        first, *others = [self._root(name) for name in names]
        for other in others:
            self._group[other] = first

    def _root(self, name: str) -> str:
        while self._group[name] != name:
            name = self._group[name]
        return name
