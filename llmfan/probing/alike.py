"""Which keys draw on one account, by what they report to be left. Pure.

Each request of an account takes one from what its next answer reports, whichever of its keys asks. So every way to deal
the keys out to accounts that fits all answers so far is kept in mind; as long as there are several, somebody is asked
once more, and what has to be true in all of them is known. That two remainders lie close together alone proves
nothing: two fresh accounts look the same until one of them is asked again.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct

#: Of a limit that refills as one watches, so little is no refill at all.
_NO_REFILL = 0.05
#: Ways beyond that, or so many steps to find them, and nothing is said of any.
_MOST_WAYS, _MOST_STEPS = 3000, 60_000
#: So many requests are spent on the question, at most.
_QUESTIONS = 8


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


class Way(Struct, frozen=True):
    """One way to deal out that fits: the account (a number) of each asker, and what each account had left at last."""

    account: dict[str, int]
    levels: list[Level]

    def expected(self, name: str) -> float:
        return self.levels[self.account[name]].remaining - 1


class Suspects:
    """Askers whose limit has one figure. `named`: those whose account the provider calls by a name of its own."""

    def __init__(self, heard: Iterable[Heard], limit: float, window: float, named: Iterable[str] = ()):
        self._heard = list(heard)
        self._limit, self._window = limit, window
        self._named = frozenset(named)
        self._left = _QUESTIONS
        self._steps = 0
        self._ways = self._all_ways()

    def next(self) -> str | None:
        """Whom to ask once more: whose answer will rule out most. None: nobody's can, or all is known."""
        if len(self._ways) == 1 or self._left <= 0:
            return None
        last = {heard.name: heard.remaining for heard in self._heard}
        if not self._ways:  # too many to tell, or none
            return max(last, key=lambda name: last[name], default=None) if self._steps > _MOST_STEPS else None
        return min(last, key=lambda name: (self._left_open(name), -last[name]))

    def asked(self, name: str, heard: Heard | None) -> None:
        """None: it gave no figure this time, and will not the next time."""
        self._left -= 1
        if heard is None:
            self._left = 0
        else:
            self._heard.append(heard)
            self._ways = self._all_ways()

    def groups(self) -> list[set[str]]:
        """Those that are together in every way that fits."""
        found: list[set[str]] = []
        names = self._ways[0].account if self._ways else {}
        for name in names:
            if not any(name in group for group in found):
                found.append({other for other in names if self._together(name, other)})
        return [group for group in found if len(group) > 1]

    def _left_open(self, name: str) -> int:
        """How many ways the least telling answer of an asker leaves."""
        return max(Counter(way.expected(name) for way in self._ways).values())

    def _together(self, one: str, other: str) -> bool:
        return all(way.account[one] == way.account[other] for way in self._ways)

    # ---------------------------------------------------------- ways that fit

    def _all_ways(self) -> list[Way]:
        self._steps = 0
        order = _in_order(self._heard)
        firsts = {heard.name: at for at, heard in reversed(list(enumerate(order)))}
        self._again = [(at, heard) for at, heard in enumerate(order) if firsts[heard.name] != at]
        ways = list(itertools.islice(self._ways_from(0, order, {}, []), _MOST_WAYS + 1))
        if len(ways) > _MOST_WAYS:
            self._steps = _MOST_STEPS + 1
        return ways if self._steps <= _MOST_STEPS else []

    def _ways_from(self, at: int, heard: Sequence[Heard], way: dict[str, int], levels: list[Level]) -> Iterator[Way]:
        """Deals out those that are heard from `at` on. Whoever has an account must be one below what that had left."""
        self._steps += 1
        if self._steps > _MOST_STEPS or not self._can_end(at, way, levels):
            return
        if at == len(heard):
            yield Way(way, levels)
            return
        now = heard[at]
        level = Level(now.remaining, now.ended)
        if now.name in way:
            accounts = [way[now.name]] if self._follows(levels[way[now.name]], now) else []
        else:
            accounts = [
                n for n, before in enumerate(levels) if self._follows(before, now) and self._may(now.name, n, way)
            ]
            yield from self._ways_from(at + 1, heard, {**way, now.name: len(levels)}, [*levels, level])
        for n in accounts:
            moved = [*levels[:n], level, *levels[n + 1 :]]
            yield from self._ways_from(at + 1, heard, {**way, now.name: n}, moved)

    def _can_end(self, at: int, way: dict[str, int], levels: list[Level]) -> bool:
        """Whether enough requests are left for each account to come down to what is heard of it later."""
        return all(
            levels[way[later.name]].remaining - later.remaining <= there - at + 1
            for there, later in self._again
            if there >= at and later.name in way
        )

    def _follows(self, before: Level, now: Heard) -> bool:
        back = self._limit * max(0.0, now.ended - before.at) / self._window
        refill = 0 if back < _NO_REFILL else math.ceil(back)
        return 1 - refill <= before.remaining - now.remaining <= 1

    def _may(self, name: str, account: int, way: dict[str, int]) -> bool:
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
