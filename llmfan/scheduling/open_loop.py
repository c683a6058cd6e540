"""Open loop: a job is handed out from the moment it was planned for, and not before.

Every place that prompts go to (`--mode providers`, `models`, `keys`) has a feed of its own and the same timetable, so
that each meets the same load. What is done already (a resumed run) takes no arrival.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import islice

from llmfan.scheduling.jobs import Feed, Job


class Timetable:
    """When jobs arrive, the same for each feed, and how many have. It begins with the first `look`.

    `times` gives the moments from the start on, the same whenever it is called; `jobs`: no feed has more than so many;
    `most`: jobs a second at most.
    `next`: the next arrival's moment, inf once nothing is to come; `due`: jobs of all feeds that have arrived and wait.
    """

    def __init__(self, times: Callable[[], Iterator[float]], jobs: int, most: float = math.inf):
        self.times, self.most = times, most
        self.start, self.now, self.next = math.nan, -math.inf, -math.inf
        self.arrived = 0  # of each feed
        self.due = 0
        self.planned = self.sent = self.capped = 0  # jobs: arrived; left; left later, for want of a free slot alone
        self.latest = 0.0  # the last arrival that was a job's, from the start
        self._first_planned = self._last_planned = self._first_sent = self._last_sent = math.nan
        self._left = islice(times(), jobs)
        self._upcoming = math.inf
        self._feeds: list[Punctual] = []
        self._full_since: float | None = None

    def add(self, feed: Punctual) -> None:
        self._feeds.append(feed)

    # ---------------------------------------------------------- what happens

    def look(self, now: float) -> bool:
        """Counts what has arrived by now. True: something has."""
        self.now = now
        if now < self.next:
            return False
        if self.next == -math.inf:
            self.start = now
            for feed in self._feeds.copy():
                feed.peek()
            self._advance()
        before = self.arrived
        while now >= self.next:
            self.arrived += 1
            came = sum(feed.taken < self.arrived for feed in self._feeds)
            if came:
                self._count(came)
            self._advance()
        return self.arrived > before

    def took(self, job: Job) -> None:
        """A job leaves for the first time. The cap alone held what leaves the moment the cap lets something go."""
        assert job.planned is not None
        if job.planned > self.now:
            return  # ended before its time: its key is dead
        self.due -= 1
        self.sent += 1
        self._last_sent = self.now
        if self.sent == 1:
            self._first_sent = self.now
        if self._full_since is not None and self.now > max(job.planned, self._full_since):
            self.capped += 1

    def filled(self, full: bool) -> None:
        """Whether as many are in flight as may be, now that all that could leave has left."""
        if not full:
            self._full_since = None
        elif self._full_since is None:
            self._full_since = self.now

    def ended(self, feed: Punctual) -> None:
        """A feed has no more jobs: arrivals counted beyond them were nobody's."""
        self._feeds.remove(feed)
        nobodys = max(0, self.arrived - feed.taken)
        self.due -= nobodys
        self.planned -= nobodys
        if not self._feeds:
            self._last_planned, self.next = min(self._last_planned, self.latest), math.inf

    # ---------------------------------------------------------- what is known

    @property
    def planned_s(self) -> float:
        """Seconds from the first arrival to the last one so far."""
        return self._last_planned - self._first_planned if self.planned else 0.0

    @property
    def sent_s(self) -> float:
        """Seconds from the first job that left to the last one so far."""
        return self._last_sent - self._first_sent if self.sent else 0.0

    def _count(self, came: int) -> None:
        if not self.planned:
            self._first_planned = self._upcoming
        self.due += came
        self.planned += came
        self._last_planned = self._upcoming

    def _advance(self) -> None:
        self._upcoming = next(self._left, math.inf) if self._feeds else math.inf
        self.next = self.start + self._upcoming


class Punctual:
    """A feed whose k-th job is there from the k-th moment of the timetable on."""

    def __init__(self, feed: Feed, table: Timetable):
        self._feed, self._table = feed, table
        self._times = table.times()
        self._ended = False
        self.taken = 0
        table.add(self)

    def first(self, lane: int, now: float) -> Job | None:
        return self.peek() if self.taken < self._table.arrived else None

    def look_again(self, now: float) -> float:
        if self.peek() is None:
            return math.inf
        return now if self.taken < self._table.arrived else self._table.next

    def take(self, job: Job | None = None, lane: int = -1) -> Job:
        taken, at = self._feed.take(job, lane), next(self._times)
        taken.planned = self._table.start + at
        self.taken += 1
        if self.taken <= self._table.arrived:
            self._table.latest = max(self._table.latest, at)
        self.peek()
        return taken

    def peek(self) -> Job | None:
        """The next one, whether or not it has arrived."""
        head = self._feed.peek()
        if head is None and not self._ended:
            self._ended = True
            self._table.ended(self)
        return head

    @property
    def empty(self) -> bool:
        return self._feed.empty

    @property
    def fault(self) -> str | None:
        return self._feed.fault
