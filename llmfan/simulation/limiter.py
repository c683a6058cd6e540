"""The limiters of the far end: sliding log, fixed window, continuous refill, and a cap on requests in flight.

Written apart from `limits/` on purpose: the client's book-keeping is checked against these, so the two must not share
a mistake.
"""

from __future__ import annotations

import datetime as dt
import math
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Sequence
from zoneinfo import ZoneInfo

from msgspec import Struct

#: Slack for sums that are equal but for rounding.
EPSILON = 1e-9
#: The same for moments: Unix time as a float is no finer than a quarter of a microsecond.
TICK = 1e-6
#: What a take hands back, for a later `give_back`: [moment or window, cost].
Entry = list[float]


class Admission(Struct, frozen=True):
    """The verdict on one request. `retry_after` is infinite where no waiting helps; `reset`: seconds until full."""

    ok: bool
    retry_after: float
    remaining: float
    limit: float
    reset: float


class Counter(ABC):
    """One limit's counter. `look` judges without counting, `take` counts without judging."""

    def __init__(self, limit: float, window: float):
        self.limit, self.window = limit, window

    def admit(self, now: float, cost: float = 1.0) -> Admission:
        seen = self.look(now, cost)
        if not seen.ok:
            return seen
        self.take(now, cost)
        return self.look(now, 0.0)

    @property
    def most(self) -> float:
        """The largest request that can ever pass."""
        return self.limit

    @abstractmethod
    def look(self, now: float, cost: float) -> Admission: ...

    @abstractmethod
    def take(self, now: float, cost: float) -> Entry: ...

    @abstractmethod
    def give_back(self, now: float, entry: Entry, amount: float) -> None: ...

    def _verdict(self, used: float, cost: float, wait: float, reset: float) -> Admission:
        ok = used + cost <= self.limit + EPSILON
        if not ok and cost > self.limit + EPSILON:
            wait = math.inf
        left = max(0.0, self.limit - used)
        return Admission(ok, 0.0 if ok else wait, left, self.limit, reset)


class SlidingLog(Counter):
    """Any stretch of one window's length holds at most the limit: each cost stands until it is a window old."""

    def __init__(self, limit: float, window: float):
        super().__init__(limit, window)
        self._log: deque[Entry] = deque()
        self._used = 0.0

    def look(self, now: float, cost: float) -> Admission:
        self._forget(now)
        reset = self._log[-1][0] + self.window - now if self._log else 0.0
        over = self._used + cost - self.limit
        wait = self._until_free(now, over) if over > EPSILON else 0.0
        return self._verdict(self._used, cost, wait, reset)

    def take(self, now: float, cost: float) -> Entry:
        entry = [now, cost]
        self._log.append(entry)
        self._used += cost
        return entry

    def give_back(self, now: float, entry: Entry, amount: float) -> None:
        back = min(amount, entry[1])  # an entry that has left the window holds nothing any more
        entry[1] -= back
        self._used -= back

    def _forget(self, now: float) -> None:
        edge = now - self.window + TICK
        while self._log and self._log[0][0] <= edge:
            entry = self._log.popleft()
            self._used -= entry[1]
            entry[1] = 0.0
        if not self._log:
            self._used = 0.0

    def _until_free(self, now: float, over: float) -> float:
        for at, cost in self._log:
            over -= cost
            if over <= EPSILON:
                return at + self.window - now
        return self.window


class FixedWindow(Counter):
    """A count that starts afresh at each multiple of the window; `phase` shifts the boundaries to earlier moments."""

    def __init__(self, limit: float, window: float, phase: float = 0.0):
        super().__init__(limit, window)
        self._phase, self._index, self._used = phase, -math.inf, 0.0

    def look(self, now: float, cost: float) -> Admission:
        left = max(0.0, self._roll(now))
        return self._verdict(self._used, cost, left, left)

    def take(self, now: float, cost: float) -> Entry:
        self._roll(now)
        self._used += cost
        return [self._index, cost]

    def give_back(self, now: float, entry: Entry, amount: float) -> None:
        self._roll(now)
        if entry[0] == self._index:
            self._used = max(0.0, self._used - amount)

    def _roll(self, now: float) -> float:
        """Enters the window `now` is in; gives the seconds left of it."""
        index = math.floor((now + self._phase + TICK) / self.window)
        if index != self._index:
            self._index, self._used = index, 0.0
        return (index + 1) * self.window - self._phase - now


class SlidingCounter(Counter):
    """Two fixed windows weighed: the last one's count by what of it still overlaps, plus this one's."""

    def __init__(self, limit: float, window: float, phase: float = 0.0):
        super().__init__(limit, window)
        self._phase, self._index = phase, -math.inf
        self._now = self._last = 0.0

    def look(self, now: float, cost: float) -> Admission:
        through = self._roll(now)
        used = self._last * (1 - through) + self._now
        left = (1 - through) * self.window
        over = used + cost - self.limit
        # Where this window alone is full, its end is what real ones name, too early though it is.
        wait = min(left, over * self.window / self._last) if self._last > 0 else left
        return self._verdict(used, cost, wait, left)

    def take(self, now: float, cost: float) -> Entry:
        self._roll(now)
        self._now += cost
        return [self._index, cost]

    def give_back(self, now: float, entry: Entry, amount: float) -> None:
        self._roll(now)
        if entry[0] == self._index:
            self._now = max(0.0, self._now - amount)

    def _roll(self, now: float) -> float:
        """Enters the window `now` is in; gives how much of it has passed, 0 to 1."""
        whole = (now + self._phase + TICK) / self.window
        index = math.floor(whole)
        if index != self._index:
            self._last = self._now if index == self._index + 1 else 0.0
            self._now, self._index = 0.0, index
        return min(1.0, max(0.0, whole - index))


class CalendarWindow(FixedWindow):
    """A day or a month of a zone; `now` must be Unix time. Days of 23 and 25 hours are what they are."""

    def __init__(self, limit: float, window: float, zone: str, month: bool):
        super().__init__(limit, window)
        self._zone: dt.tzinfo = dt.UTC if zone == "utc" else ZoneInfo(zone)
        self._month, self._ends = month, -math.inf

    def _roll(self, now: float) -> float:
        if now + TICK >= self._ends:
            self._ends = self._boundary(now + TICK)
            self._index, self._used = self._ends, 0.0
        return self._ends - now

    def _boundary(self, now: float) -> float:
        day = dt.datetime.fromtimestamp(now, self._zone).date()
        day = (day.replace(day=1) + dt.timedelta(days=32)).replace(day=1) if self._month else day + dt.timedelta(days=1)
        return dt.datetime.combine(day, dt.time(), tzinfo=self._zone).timestamp()


class Bucket(Counter):
    """Continuous refill at limit per window, up to `capacity`; an overdraft (late charges) is paid off first."""

    def __init__(self, limit: float, window: float, capacity: float | None = None):
        super().__init__(limit, window)
        self._capacity = limit if capacity is None else capacity
        self._level, self._at = self._capacity, -math.inf

    @property
    def most(self) -> float:
        return self._capacity

    def look(self, now: float, cost: float) -> Admission:
        self._refill(now)
        ok = cost <= self._level + EPSILON
        wait = 0.0 if ok else math.inf if cost > self._capacity + EPSILON else self._seconds(cost - self._level)
        reset = self._seconds(self._capacity - self._level)
        return Admission(ok, wait, max(0.0, self._level), self.limit, reset)

    def take(self, now: float, cost: float) -> Entry:
        self._refill(now)
        self._level -= cost
        return [now, cost]

    def give_back(self, now: float, entry: Entry, amount: float) -> None:
        self._refill(now)
        self._level = min(self._capacity, self._level + amount)

    def _refill(self, now: float) -> None:
        if now > self._at:
            if self._at != -math.inf:
                self._level = min(self._capacity, self._level + (now - self._at) * self.limit / self.window)
            self._at = now

    def _seconds(self, amount: float) -> float:
        return amount * self.window / self.limit if self.limit > 0 else math.inf if amount > 0 else 0.0


class InFlight(Counter):
    """A cap on requests at once. It cannot know when one will end, so its wait is a short guess."""

    GUESS = 1.0

    def __init__(self, limit: float):
        super().__init__(limit, 0.0)
        self._used = 0.0

    def look(self, now: float, cost: float) -> Admission:
        return self._verdict(self._used, cost, self.GUESS, 0.0)

    def take(self, now: float, cost: float) -> Entry:
        self._used += cost
        return [now, cost]

    def give_back(self, now: float, entry: Entry, amount: float) -> None:
        self._used -= amount


def admit_all(now: float, demands: Sequence[tuple[Counter, float]]) -> tuple[int, Admission] | list[Entry]:
    """Takes every demand or none. Refused: which demand has to wait longest, and its verdict."""
    worst: tuple[int, Admission] | None = None
    for n, (counter, cost) in enumerate(demands):
        seen = counter.look(now, cost)
        if not seen.ok and (worst is None or seen.retry_after > worst[1].retry_after):
            worst = (n, seen)
    if worst is not None:
        return worst
    return [counter.take(now, cost) for counter, cost in demands]
