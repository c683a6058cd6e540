"""What one limit's requests say of it: when each left, and whether the server took it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from llmfan.limits.window import Entry

PENDING, TAKEN, REFUSED, LOST = 0, 1, 2, 3


class Sent(Entry):
    """One request that left, and what became of it."""

    __slots__ = ("fate",)

    def __init__(self, at: float, amount: float, fate: int = PENDING):
        super().__init__(at, amount)
        self.fate = fate


class SendLog:
    """Sends in the order they left: `live` ones may still count at the server, `past` ones are kept for the evidence.

    A refused one leaves the log.
    """

    def __init__(self) -> None:
        self.live: deque[Sent] = deque()
        self.past: deque[Sent] = deque()
        self.ghosts = 0  # refused ones among the live

    def add(self, sent: Sent) -> None:
        self.live.append(sent)

    def insert(self, sent: Sent) -> None:
        """Puts one among the live ones where its moment belongs."""
        later = []
        while self.live and self.live[-1].at > sent.at:
            later.append(self.live.pop())
        self.live.append(sent)
        self.live.extend(reversed(later))

    def refuse(self, sent: Sent, drop: bool) -> None:
        """A refused one holds no place, unless the server counts it too."""
        sent.fate = REFUSED
        for kept in (self.live, self.past):
            if sent in kept:
                if drop:
                    kept.remove(sent)
                elif kept is self.live:
                    self.ghosts += 1
                return

    def drop(self, sent: Sent) -> None:
        """One that never left."""
        if sent in self.live:
            self.live.remove(sent)

    def lay(self) -> None:
        """Refused ones turned out to hold no place."""
        self.live = deque(sent for sent in self.live if sent.fate != REFUSED)
        self.ghosts = 0

    def expire(self, edge: float, past: float) -> None:
        """What left by `edge` is past; what left by `past` is forgotten."""
        live = self.live
        while live and live[0].at <= edge:
            gone = live.popleft()
            self.past.append(gone)
            if gone.fate == REFUSED:
                self.ghosts -= 1
        while self.past and self.past[0].at <= past:
            self.past.popleft()

    def revive(self, edge: float) -> None:
        """The window grew: what left after `edge` counts again."""
        while self.past and self.past[-1].at > edge:
            back = self.past.pop()
            self.live.appendleft(back)
            if back.fate == REFUSED:
                self.ghosts += 1

    def newest_first(self) -> Iterator[Sent]:
        yield from reversed(self.live)
        yield from reversed(self.past)

    def taken(self, after: float, until: float) -> int:
        """Sends in (after, until] that were not refused."""
        n = 0
        for sent in self.newest_first():
            if sent.at <= after:
                break
            if sent.at <= until and sent.fate != REFUSED:
                n += 1
        return n

    def oldest(self, after: float) -> float | None:
        """When the first not refused one after a moment left."""
        found = None
        for sent in self.newest_first():
            if sent.at <= after:
                break
            if sent.fate != REFUSED:
                found = sent.at
        return found
