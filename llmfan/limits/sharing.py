"""Keys that turn out to draw on one account: found by what headers leave unexplained, or by when they are refused.

One `Sharing` watches the keys of one provider for one request limit (and one model, where models are counted apart).
It only keeps moments; it counts when there is a refusal or a header to explain.

- A header of a key whose limit less remaining is above its own count by what its siblings sent, twice: one account.
- A refusal of a key whose own count is well below its limit, while its count and those of all that were refused like it
  come to the limit: one account, once every one of them was refused so twice. Keys whose limits are each a part of
  what the file says look the same, and lose nothing by it: together they have what the file says of one.
- Joined keys that are refused far below the limit, or whose headers know nothing of each other, are parted; only
  headers join them again. What refusals alone joined is parted now and then to see if it comes together again.
"""

from __future__ import annotations

import itertools
import math
from bisect import bisect_right, insort
from collections import deque
from collections.abc import Collection, Iterable

from msgspec import Struct

#: A count explains a refusal within so much of the limit, and within one request.
NEAR = 0.1
#: A refusal at such a count of a key's own needs no other explanation.
OWN = 0.9
#: Joined keys refused at less than this of the limit are no account of that limit.
FAR = 0.85
#: What a header tells above a key's own count means something from so many requests on.
LEAST = 3.0
#: As many signs join, or part.
SIGNS = 2
#: Headers count if no more of them tell of less than was sent, for each one that adds up.
ODD = 0.1
#: Refusals are evidence for so many windows.
WINDOWS = 3.0
#: Refusals of an owner that are kept; with more owners refused than this, only all of them together are thought of.
KEPT, SUBSETS = 8, 8
#: Keys that refusals alone joined are tried apart after so many windows, then after four times as many, and so on.
DOUBT, LONGER = 20.0, 4.0

Group = frozenset[str]


class News(Struct, frozen=True):
    """Pairs of owners: to be joined, or to go their own ways again. Of a larger group each is paired with the first."""

    join: tuple[tuple[str, str], ...] = ()
    part: tuple[tuple[str, str], ...] = ()


NOTHING = News()


class Lesson(Struct, frozen=True, gc=False):
    """A refusal that the owner's own count does not explain."""

    at: float
    limit: float


class Sharing:
    """`period`, `margin`: the limit's window, and how much later than it left a request may arrive.

    `since_first`: nothing is known of what was used before (a day's quota), so headers count from a key's first one.
    """

    def __init__(self, owners: Iterable[str], period: float, margin: float, *, since_first: bool = False):
        self.period, self.margin, self.since_first = period, margin, since_first
        self._sent: dict[str, list[float]] = {owner: [] for owner in owners}
        self._groups: dict[str, Group] = {owner: frozenset((owner,)) for owner in self._sent}
        self._deaf: dict[str, float] = {}  # refusals of what left before are echoes
        self._lessons: dict[str, deque[Lesson]] = {}
        self._first: dict[str, tuple[float, float]] = {}  # (moment, used) of a key's first header
        self._more: dict[str, float] = {}  # when a key's header last told of more than its own
        self._joining: dict[Group, tuple[int, int]] = {}  # signs in headers, and the count at the last
        self._parting: dict[Group, tuple[int, int]] = {}
        self._even = self._odd = 0  # headers that added up, and that told of less than was sent
        self._strikes: dict[Group, int] = {}  # refusals that speak against a group
        self._apart: set[Group] = set()  # pairs that only headers may join
        self._doubts: dict[Group, tuple[float, float]] = {}  # joined by refusals: (since, windows until tried apart)

    def group(self, owner: str) -> Group:
        """Those it shares its account with, itself among them."""
        return self._groups[owner]

    def moments(self, owner: str, after: float) -> list[float]:
        """When what it sent left, refused ones apart: for the log of its own that it needs when it is parted."""
        log = self._sent[owner]
        return log[bisect_right(log, after) :]

    def adopt(self, pairs: Iterable[tuple[str, str]], now: float) -> News:
        """What an earlier run found; it may be doubted like what this one finds."""
        join: list[tuple[str, str]] = []
        for pair in pairs:
            if all(owner in self._groups for owner in pair) and self._groups[pair[0]] != self._groups[pair[1]]:
                join += self._join({self._groups[owner] for owner in pair}, now, sure=False).join
        return News(tuple(join))

    # --- what is seen ---

    def sent(self, owner: str, at: float) -> None:
        log = self._sent[owner]
        if log and at < log[-1]:
            insort(log, at)
            return
        log.append(at)
        if len(log) >= 64 and log[len(log) // 2] < at - (WINDOWS + 1) * self.period:
            del log[: len(log) // 2]

    def refused(self, owner: str, sent: float, now: float, limit: float) -> News:
        """A 429 of a request that left at `sent`. `limit`: declared or reported, as believed before any refusal."""
        log = self._sent[owner]
        place = bisect_right(log, sent) - 1
        if place >= 0 and log[place] == sent:
            del log[place]
        group = self._groups[owner]
        if sent <= self._deaf.get(owner, -math.inf):
            return NOTHING
        self._deaf.update(dict.fromkeys(group, now))
        if self._count(group, sent) >= OWN * limit:
            self._strikes.pop(group, None)
            return NOTHING
        self._lessons.setdefault(owner, deque(maxlen=KEPT)).append(Lesson(sent, limit))
        if found := self._explanation(group, sent):
            return self._join(found, now, sure=False)
        return self._strike(group) if self._is_far(group, sent, limit) else NOTHING

    def told(self, owner: str, sent: float, now: float, limit: float, remaining: float) -> News:
        """A header of the answer to a request that left at `sent`."""
        since, used = -math.inf, limit - remaining
        if self.since_first:
            at, used0 = self._first.get(owner, (sent, math.inf))
            if used < used0:  # the first, or a new day
                self._first[owner] = (sent, used)
                return NOTHING
            since, used = at, used - used0
        low, high = self._range((owner,), sent, since)
        if used < low - 1:
            self._odd += 1
        if used - high < LEAST:
            return self._its_own(owner, sent, since) if low - 1 <= used and high - low <= LEAST else NOTHING
        self._more[owner] = sent
        units = {self._groups[o] for o, at in self._more.items() if at > sent - self.period} | {self._groups[owner]}
        whole = frozenset(itertools.chain.from_iterable(units))
        low, high = self._range(whole, sent, since)
        slack = 1.0 + 0.5 * NEAR * high
        if not low - slack <= used <= high + slack or high - low > LEAST + 2 * slack:
            return NOTHING
        self._even += 1
        self._parting.pop(self._groups[owner], None)
        if len(units) == 1:
            self._doubts.pop(whole, None)  # what refusals joined is proven
            return NOTHING
        return self._join(units, now, sure=True) if self._again(self._joining, whole, low) else NOTHING

    def review(self, now: float) -> News:
        """To be asked now and then: parts what refusals alone joined so long ago that it is worth a wave to be sure."""
        for group, (since, windows) in list(self._doubts.items()):
            if now - since >= windows * self.period:
                self._doubts[group] = (math.inf, windows * LONGER)
                return self._part(group, False)
        return NOTHING

    # --- counting ---

    def _count(self, owners: Collection[str], at: float, since: float = -math.inf) -> int:
        """What left in the window that ends at a moment, refused ones apart."""
        after = max(since, at - self.period)
        return sum(bisect_right(log, at) - bisect_right(log, after) for log in map(self._sent.__getitem__, owners))

    def _range(self, owners: Collection[str], at: float, since: float = -math.inf) -> tuple[int, int]:
        """The same, with what may have arrived a little sooner or later."""
        counts = [self._count(owners, at + late, since) for late in (-self.margin, 0.0, self.margin)]
        return min(counts), max(counts)

    # --- refusals ---

    def _explanation(self, own: Group, now: float) -> set[Group] | None:
        """The units whose refusals are all explained by what they sent together: all that were refused, or the largest
        part of them if there is but one such.
        """
        learned: dict[Group, list[Lesson]] = {}
        for owner, lessons in self._lessons.items():
            fresh = [lesson for lesson in lessons if lesson.at > now - WINDOWS * self.period]
            if fresh:
                learned.setdefault(self._groups[owner], []).extend(fresh)
        units = [unit for unit, lessons in learned.items() if len(lessons) >= SIGNS]
        if own not in units:
            return None
        others = [unit for unit in units if unit != own]
        sizes = range(len(others), 0, -1) if len(units) <= SUBSETS else range(len(others), len(others) - 1, -1)
        for size in sizes:
            fits = [some for some in itertools.combinations(others, size) if self._fits({own, *some}, learned)]
            if fits:
                return {own, *fits[0]} if len(fits) == 1 else None
        return None

    def _fits(self, units: Collection[Group], learned: dict[Group, list[Lesson]]) -> bool:
        whole = frozenset(itertools.chain.from_iterable(units))
        if any(pair <= whole for pair in self._apart):
            return False
        return all(self._full(whole, lesson) for unit in units for lesson in learned[unit])

    def _full(self, owners: Group, lesson: Lesson) -> bool:
        low, high = self._range(owners, lesson.at)
        slack = max(1.0, NEAR * lesson.limit)
        return low <= lesson.limit + slack and high >= lesson.limit - slack

    def _is_far(self, group: Group, at: float, limit: float) -> bool:
        """Whether a group no header has proven was refused at far too low a count, and nobody else that was refused
        lately explains it.
        """
        if group not in self._doubts or self._count(group, at) >= FAR * limit:
            return False
        late = {o for o, lessons in self._lessons.items() if lessons and lessons[-1].at > at - self.period}
        return late <= group or not self._full(group | late, Lesson(at, limit))

    # --- headers ---

    def _its_own(self, owner: str, sent: float, since: float) -> News:
        """The server's count is this key's own: nobody else draws on it, however much the others sent."""
        self._even += 1
        self._more.pop(owner, None)
        self._joining = {group: signs for group, signs in self._joining.items() if owner not in group}
        group = self._groups[owner]
        if len(group) == 1 or self._range(group - {owner}, sent, since)[0] < LEAST:
            return NOTHING
        return self._part(group, True) if self._again(self._parting, group, self._count((owner,), sent)) else NOTHING

    def _again(self, signs: dict[Group, tuple[int, int]], group: Group, count: int) -> bool:
        """Notes a sign; True once there are enough, at counts unlike each other: a window that begins at a moment of
        its own passes every count once. Headers that often tell of less than was sent count otherwise: no proof.
        """
        seen, last = signs.get(group, (0, -1000))
        if abs(count - last) >= LEAST:
            signs[group] = (seen + 1, count)
        return signs.get(group, (0, 0))[0] >= SIGNS and self._odd <= ODD * self._even

    # --- joining and parting ---

    def _join(self, units: Collection[Group], now: float, *, sure: bool) -> News:
        whole = frozenset(itertools.chain.from_iterable(units))
        ranked = [owner for owner in self._groups if owner in whole]
        first = self._groups[ranked[0]]
        join = tuple((ranked[0], owner) for owner in ranked if owner not in first)
        for owner in whole:
            self._groups[owner] = whole
            self._lessons.pop(owner, None)
            self._deaf[owner] = now
        for unit in units:
            self._doubts.pop(unit, None)
        self._joining = {group: signs for group, signs in self._joining.items() if not group & whole}
        if sure:
            self._doubts.pop(whole, None)
            self._apart = {pair for pair in self._apart if not pair <= whole}
        else:
            self._doubts[whole] = (now, self._doubts.get(whole, (now, DOUBT))[1])
        return News(join=join)

    def _strike(self, group: Group) -> News:
        self._strikes[group] = self._strikes.get(group, 0) + 1
        return self._part(group, True) if self._strikes[group] >= SIGNS else NOTHING

    def _part(self, group: Group, for_good: bool) -> News:
        ranked = [owner for owner in self._groups if owner in group]
        for owner in ranked:
            self._groups[owner] = frozenset((owner,))
            self._lessons.pop(owner, None)
            self._more.pop(owner, None)
        self._strikes.pop(group, None)
        self._parting.pop(group, None)
        if for_good:
            self._apart |= {frozenset(pair) for pair in itertools.combinations(group, 2)}
            self._doubts.pop(group, None)
        return News(part=tuple((ranked[0], owner) for owner in ranked[1:]))
