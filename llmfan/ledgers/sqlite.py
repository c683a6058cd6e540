"""A ledger in one SQLite file, which several processes use at once and which outlives a crash."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable

from llmfan.entries import Change, Elsewhere, Tally
from llmfan.ledgers import folding, learned, spending, tallying
from llmfan.ledgers.database import Database
from llmfan.ledgers.names import Names
from llmfan.ledgers.pending import Pending
from llmfan.ledgers.presence import CHECK_S, Presence
from llmfan.records import Booking, Known

#: How often old detail is folded, and how many rows at a time: about two milliseconds.
_FOLD_S, _FOLD_ROWS = 60.0, 400
_FOLDS_AT_OPENING = 20
_TIDY_S = 600.0


class SqliteLedger:
    """`wall`: Unix time; `clock`: monotonic, and the same for all processes of the machine."""

    def __init__(
        self, database: Database, names: Names, clean: learned.Clean, say: Callable[[str], None],
        wall: Callable[[], float], clock: Callable[[], float],
    ):  # fmt: skip
        self._database, self._names, self._clean, self._say = database, names, clean, say
        self._wall, self._clock = wall, clock
        self._pending = Pending()
        self._spending, self._pairs = spending.Spending(names), tallying.Pairs(names)
        self._presence = Presence(names, clock)
        self._version = -1
        self._check = self._fold = self._tidy = float("-inf")
        self._horizon = 0.0
        self._fresh = True  # nothing was looked at yet: what stands there is for `booked` to tell
        self._news: dict[tuple[str, str], float] = {}  # seen, and not told yet
        self._company = self._told = self._presence.company()
        self._amounts: dict[int, float] = {}
        self._ahead = spending.Ahead(say)
        for _ in range(_FOLDS_AT_OPENING):
            if clock() >= self._fold:
                self._write()
        self._news.clear()

    # ---------------------------------------------------------- what is known

    def known(self) -> Known:
        found = self._database.read(lambda connection: learned.known(connection, self._names), Known())
        unwritten = self._pending.learned()
        return found if unwritten is None else _with(found, unwritten)

    def keep(self, known: Known) -> None:
        self._pending.keep(known)
        self._write()

    def changes(self, since: float) -> list[Change]:
        return self._database.read(lambda connection: learned.changes(connection, self._names, since), [])

    def forget(self, owners: Iterable[str], keys: Iterable[str]) -> int:
        dropped = 0
        owners, keys = list(owners), list(keys)

        def work(connection: sqlite3.Connection) -> None:
            nonlocal dropped
            dropped = learned.forget(connection, self._names, owners, keys, self._wall())

        return dropped if self._database.write(work) else 0

    # ---------------------------------------------------------- what is spent

    def booked(self, since: float) -> list[Booking]:
        """What it gives before the first `book` or `elsewhere` is not told by those once more."""
        nothing: list[Booking] = []
        found = self._database.read(lambda connection: self._recount(connection, since), nothing)
        found += [each for each in self._pending.bookings.values() if each.at >= since and each.amount > 0]
        found.sort(key=lambda each: each.at)
        return self._ahead.counted(found, self._wall())

    def book(self, decide: Callable[[Elsewhere], Iterable[Booking]]) -> None:
        """Where nothing can be written it is decided all the same, by what was last seen of the others."""
        decided = self._fresh = False

        def work(connection: sqlite3.Connection) -> None:
            nonlocal decided
            self._look(connection)
            decided = True
            self._decide(decide)
            self._flush(connection)

        if not self._written_by(work) and not decided:
            self._database.read(self._look, None)
            self._decide(decide)

    def elsewhere(self) -> Elsewhere | None:
        """Does what is due as well: says that this process lives, and folds a little of what is old."""
        self._fresh = False
        if self._presence.due() or self._clock() >= self._fold:
            self._write()
        if self._changed():
            self._database.read(self._see, None)
        if not self._news and self._told == self._company:
            return None
        return self._tell()

    # ---------------------------------------------------------- what was sent

    def tally(self, tallies: Iterable[Tally]) -> None:
        self._pending.tally(tallies)
        self._write()

    def tallied(self, since: float) -> list[Tally]:
        nothing: list[Tally] = []
        found = self._database.read(lambda connection: tallying.tallied(connection, self._names, since), nothing)
        return found + [each for each in self._pending.tallies.values() if each.at + each.span > since]

    def close(self) -> None:
        """What could not be written by now is said: it is gone with this process."""
        if self._database.closed:
            return
        self._database.hasten()
        self._write()
        if self._pending and not self._database.given_up:
            self._say(
                f"{self._database.path}: what this process spent and learned in the end could not be written "
                f"({self._database.trouble}): the next one does not know of it"
            )
        if not self._database.damaged:  # else the next start must see that something went wrong
            self._database.write(self._presence.leave)
        self._database.close()

    # ---------------------------------------------------------- writing

    def _write(self) -> None:
        """All that waits to be written, and a little folding where it is due."""

        def work(connection: sqlite3.Connection) -> None:
            self._look(connection)
            self._flush(connection)
            self._fold_some(connection)

        self._written_by(work)

    def _written_by(self, work: Callable[[sqlite3.Connection], None]) -> bool:
        written = False
        try:
            written = self._database.write(work)
        finally:
            for each in (self._spending, self._pairs, self._presence) if not written else ():
                each.lost()
        if written:
            self._spending.added(self._amounts)
            self._pending.clear()
            self._presence.written()
        return written

    def _flush(self, connection: sqlite3.Connection) -> None:
        pending = self._pending
        self._amounts = self._spending.add(connection, pending.bookings.values())
        if pending.tallies:
            tallying.add(connection, self._pairs, pending.tallies.values())
        unwritten = pending.learned()
        if unwritten is not None:
            learned.keep(connection, self._names, unwritten, self._clean)
        self._presence.write(connection)

    def _fold_some(self, connection: sqlite3.Connection) -> None:
        now = self._clock()
        if now < self._fold:
            return
        if now >= self._tidy:
            self._tidy = now + _TIDY_S
            self._horizon = folding.begin(connection, self._wall(), now)
        if not folding.fold(connection, min(self._wall(), self._horizon), _FOLD_ROWS):
            self._fold = now + _FOLD_S

    # ---------------------------------------------------------- looking

    def _changed(self) -> bool:
        """Whether anything can be new: in the file, or in whether the others live."""
        version = self._database.version()
        if version == self._version and (self._presence.alone or self._clock() < self._check):
            return False
        self._version, self._check = version, self._clock() + CHECK_S
        return True

    def _look(self, connection: sqlite3.Connection) -> None:
        if self._changed():
            self._see(connection)

    def _see(self, connection: sqlite3.Connection) -> None:
        for line, amount in self._spending.look(connection).items():
            self._news[line] = self._news.get(line, 0.0) + amount
        self._presence.look(connection)
        self._company = self._presence.company()

    def _tell(self) -> Elsewhere:
        booked = tuple((owner, axis, amount) for (owner, axis), amount in self._news.items())
        self._news.clear()
        self._told = self._company
        return Elsewhere(booked=booked, in_flight=self._told[0], sharers=self._told[1])

    def _decide(self, decide: Callable[[Elsewhere], Iterable[Booking]]) -> None:
        made = list(decide(self._tell()))
        self._pending.book(made)
        for each in made:
            held = each.axis == spending.HELD
            self._presence.sends(each.owner, each.amount if held else 0.0)
            for other in self._names.siblings(each.owner):  # the same key under another name: news to that one
                if not held:
                    self._news[other, each.axis] = self._news.get((other, each.axis), 0.0) + each.amount

    def _recount(self, connection: sqlite3.Connection, since: float) -> list[Booking]:
        if self._fresh:
            self._see(connection)
            self._news.clear()
        return spending.booked(connection, self._names, since)


def _with(known: Known, more: Known) -> Known:
    """What stands in the file, and over it what could not be written yet."""
    return Known(
        states=[*{(s.key, s.model): s for s in (*known.states, *more.states)}.values()],
        limits=[*{(each.owner, each.axis): each for each in (*known.limits, *more.limits)}.values()],
        targets=[*{target.name: target for target in (*known.targets, *more.targets)}.values()],
        shared=[*{**dict(known.shared), **dict(more.shared)}.items()],
    )
