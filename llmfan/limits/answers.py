"""A measurement's requests in the order they probably came in, and how uncertain that order and its moments are."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

#: A moment may be wrong by so many times the way of a refusal, and what that does to a candidate that needs it, for
#: each refusal.
SLACKS = ((0.15, 1.0), (0.5, 0.6), (1.0, 0.2), (3.0, 0.02))
#: None comes in later after its send than so many times that.
LATEST = 3.0
#: No more than this share of a window, however slow the way.
SLACK_SHARE = 0.05


class Seen(Struct, frozen=True):
    """One request: counted by the server somewhere between `sent` and `ended`. `taken`: None where nobody can tell;
    `wait`: what a refusal asked for.
    """

    sent: float
    ended: float
    taken: bool | None = True
    wait: float | None = None


class Log:
    """The requests in the order they probably came in, with what is uncertain of that order."""

    def __init__(self, seen: Sequence[Seen], period: float):
        trips = [one.ended - one.sent for one in seen if one.ended > one.sent]
        self.way = min(trips, default=0.0) / 2
        quick = sorted(one.ended - one.sent for one in seen if one.taken is False)
        trip = quick[len(quick) // 2] if quick else 0.0
        self.seen = sorted(seen, key=lambda one: one.sent)
        self.at = [min(one.sent + self.way, one.ended) for one in self.seen]
        self.period = period
        self.slacks = [(min(slack * trip + 1e-3, SLACK_SHARE * period), worth ** len(quick)) for slack, worth in SLACKS]
        counted = [one.taken is not False for one in self.seen]
        n = len(self.seen)
        #: Of those before it, how many may have come in after it; and of those after it that were counted, before it.
        self.early = [0] * n
        self.late = [0] * n
        for i, one in enumerate(self.seen):
            there = min(one.ended, one.sent + LATEST * trip) if quick else one.ended
            for j in range(i + 1, n):
                if self.seen[j].sent >= there:
                    break
                self.early[j] += counted[i]
                self.late[i] += counted[j]
        self.taken = [i for i, one in enumerate(self.seen) if one.taken is True]
        self.refused = [i for i, one in enumerate(self.seen) if one.taken is False]

    def sums(self, ghosts: bool) -> list[int]:
        """How many were counted before each, and in all; `ghosts`: refused ones too."""
        total, found = 0, [0]
        for one in self.seen:
            total += ghosts or one.taken is not False
            found.append(total)
        return found
