"""Which keys draw on one account, by what they report to be left. Pure.

Each request of an account takes one from what its next answer reports, whichever of its keys asks. So every way to deal
the keys out to accounts that fits all answers so far is kept in mind; as long as there are several, somebody is asked
once more, and what has to be true in all of them is known. That two remainders lie close together alone proves
nothing: two fresh accounts look the same until one of them is asked again.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct

#: Of a limit that refills as one watches, so little is no refill at all.
_NO_REFILL = 0.05
#: More ways than that to deal keys out, and nothing is said of any.
_MOST_WAYS = 1000
#: So often is one asked again, at most.
_TURNS = 2

#: The account (a number) of each asker, in one of the ways that fit.
Way = dict[str, int]


class Heard(Struct, frozen=True, kw_only=True):
    """One answer: after it, so much of the limit was left, to the account of `name`."""

    name: str
    remaining: float
    sent: float
    ended: float


class Level(Struct, frozen=True):
    """What an account had left, and when it said so."""

    remaining: float
    at: float


class Suspects:
    """Askers whose limit has one figure. `named`: those whose account the provider calls by a name of its own."""

    def __init__(self, heard: Iterable[Heard], limit: float, window: float, named: Iterable[str] = ()):
        self._heard = list(heard)
        self._limit, self._window = limit, window
        self._named = frozenset(named)
        self._asked: dict[str, int] = {}
        self._ways = self._all_ways()

    def next(self) -> str | None:
        """Whom to ask once more: of those in doubt the one with most left, for its account's others went below it."""
        last = {heard.name: heard.remaining for heard in self._heard}
        doubtful = [name for name in last if self._asked.get(name, 0) < _TURNS and self._in_doubt(name)]
        return max(doubtful, key=lambda name: (-self._asked.get(name, 0), last[name]), default=None)

    def asked(self, name: str, heard: Heard | None) -> None:
        """None: it gave no figure this time."""
        self._asked[name] = self._asked.get(name, 0) + 1
        if heard is None:
            self._asked[name] = _TURNS
        else:
            self._heard.append(heard)
            self._ways = self._all_ways()

    def groups(self) -> list[set[str]]:
        """Those that are together in every way that fits."""
        found: list[set[str]] = []
        for name in self._ways[0] if self._ways else ():
            if not any(name in group for group in found):
                found.append({other for other in self._ways[0] if self._together(name, other) is True})
        return [group for group in found if len(group) > 1]

    def _in_doubt(self, name: str) -> bool:
        return any(self._together(name, other) is None for other in {heard.name for heard in self._heard})

    def _together(self, one: str, other: str) -> bool | None:
        """None: in some ways they are, in others not."""
        found = {way[one] == way[other] for way in self._ways}
        return found.pop() if len(found) == 1 else None

    # ---------------------------------------------------------- ways that fit

    def _all_ways(self) -> list[Way]:
        ways = list(itertools.islice(self._ways_from(0, _in_order(self._heard), {}, []), _MOST_WAYS + 1))
        return ways if len(ways) <= _MOST_WAYS else []

    def _ways_from(self, at: int, heard: Sequence[Heard], way: Way, levels: list[Level]) -> Iterator[Way]:
        """Deals out those that are heard from `at` on. Whoever has an account must be one below what that had left."""
        if at == len(heard):
            yield dict(way)
            return
        now = heard[at]
        level = Level(now.remaining, now.ended)
        if now.name in way:
            accounts = [way[now.name]] if self._follows(levels[way[now.name]], now) else []
        else:
            accounts = [n for n, before in enumerate(levels) if self._follows(before, now) and self._may(now.name, n, way)]
            yield from self._ways_from(at + 1, heard, {**way, now.name: len(levels)}, [*levels, level])
        for n in accounts:
            moved = [*levels[:n], level, *levels[n + 1 :]]
            yield from self._ways_from(at + 1, heard, {**way, now.name: n}, moved)

    def _follows(self, before: Level, now: Heard) -> bool:
        back = self._limit * max(0.0, now.ended - before.at) / self._window
        refill = 0 if back < _NO_REFILL else math.ceil(back)
        return 1 - refill <= before.remaining - now.remaining <= 1

    def _may(self, name: str, account: int, way: Way) -> bool:
        return name not in self._named or not any(n == account and other in self._named for other, n in way.items())


def _in_order(heard: Iterable[Heard]) -> list[Heard]:
    """As the server saw them; of requests that were under way together, the one with more left came first."""
    found: list[Heard] = []
    together: list[Heard] = []
    until = -math.inf
    for each in sorted(heard, key=lambda h: h.sent):
        if each.sent >= until:
            found += sorted(together, key=lambda h: -h.remaining)
            together = []
        together.append(each)
        until = max(until, each.ended)
    return found + sorted(together, key=lambda h: -h.remaining)
