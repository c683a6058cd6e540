"""A ledger in one SQLite file, which several processes use at once and which outlives a crash."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable

from llmfan.entries import Change, Elsewhere, Tally
from llmfan.ledgers import folding, learned, spending, tallying
from llmfan.ledgers.aside import Foreign
from llmfan.ledgers.database import Database
from llmfan.ledgers.memory import NOT_WRITTEN
from llmfan.ledgers.names import Names
from llmfan.ledgers.naming import write_names
from llmfan.ledgers.netting import netted
from llmfan.ledgers.pending import Own, Pending
from llmfan.ledgers.presence import BEAT_S, CHECK_S, Company, Presence
from llmfan.records import Booking, Known

#: How often old detail is folded, and how many rows at a time: about two milliseconds.
_FOLD_S, _FOLD_ROWS = 60.0, 400
_FOLDS_AT_OPENING = 20
_TIDY_S = 600.0


class SqliteLedger:
    """`wall`: Unix time; `clock`: monotonic, and the same for all processes of the machine.

    `named`: whether the names stand in the file; `again`: opens what is at the file's place now.
    """

    def __init__(
        self, database: Database, names: Names, named: bool, clean: learned.Clean,
        again: Callable[[], tuple[sqlite3.Connection, Names]], say: Callable[[str], None],
        wall: Callable[[], float], clock: Callable[[], float],
    ):  # fmt: skip
        self._database, self._clean, self._again, self._say = database, clean, again, say
        self._wall, self._clock = wall, clock
        self._pending, self._own = Pending(), Own()
        self._ahead = spending.Ahead(say)
        self._fresh = True  # nothing was looked at yet: what stands there is for `booked` to tell
        self._follow = clock() + BEAT_S
        self._told = self._begin(names, named, {})
        for _ in range(_FOLDS_AT_OPENING):
            if clock() >= self._fold:
                self._write()
        self._news.clear()

    def _begin(self, names: Names, named: bool, held: dict[str, float]) -> Company:
        """All that holds of one file only."""
        self._names, self._named = names, named
        self._spending, self._pairs = spending.Spending(names), tallying.Pairs(names)
        self._presence = Presence(names, self._clock, held)
        self._version = -1
        self._check = self._fold = self._tidy = float("-inf")
        self._horizon = 0.0
        self._news: dict[tuple[str, str], float] = {}  # seen, and not told yet
        self._amounts: dict[int, float] = {}
        self._company = self._presence.company()
        return self._company

    # ---------------------------------------------------------- what is known

    def known(self) -> Known:
        found = self._database.read(lambda connection: learned.known(connection, self._names), Known())
        unwritten = self._pending.learned()
        return found if unwritten is None else learned.laid_over(found, unwritten)

    def keep(self, known: Known) -> None:
        self._pending.keep(known)
        self._write()

    def changes(self, since: float) -> list[Change]:
        return self._database.read(lambda connection: learned.changes(connection, self._names, since), [])

    def forget(self, owners: Iterable[str], keys: Iterable[str]) -> int:
        """`NOT_WRITTEN`: the file is as it was."""
        dropped = 0
        owners, keys = list(owners), list(keys)

        def work(connection: sqlite3.Connection) -> None:
            nonlocal dropped
            self._look(connection)
            self._flush(connection)
            dropped = learned.forget(connection, self._names, owners, keys, self._wall())

        self._database.hasten()
        return dropped if self._written_by(work) else NOT_WRITTEN

    # ---------------------------------------------------------- what is spent

    def booked(self, since: float) -> list[Booking]:
        """What it gives before the first `book` or `elsewhere` is not told by those once more."""
        nothing: list[Booking] = []
        found = self._database.read(lambda connection: self._recount(connection, since), nothing)
        found += self._pending.bookings.values()
        return self._ahead.counted(netted(found, since), self._wall())

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
        if self._clock() >= self._follow:
            self._go_after_the_file()
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

    def version(self) -> int:
        """Another one whenever another process has written. Four microseconds."""
        return self._database.version()

    def close(self) -> None:
        """What could not be written by now is said: it is gone with this process."""
        if self._database.closed:
            return
        if self._own.all():
            self._go_after_the_file()
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
            self._named = True
        return written

    def _flush(self, connection: sqlite3.Connection) -> None:
        pending = self._pending
        if not self._named:
            write_names(connection, self._names, self._wall())
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

    def _go_after_the_file(self) -> None:
        """Where another one is at its place, or none: what this process spent has to stand where the others look.

        A copy of the old one that was put back knows it already.
        """
        self._follow = self._clock() + BEAT_S
        database = self._database
        if not database.astray():
            return
        try:
            connection, names = self._again()
        except (OSError, sqlite3.Error, Foreign) as error:
            database.stay(error)
            return
        if names.salt != self._names.salt and not database.waiting:
            database.once(
                f"{database.path}: the ledger has been moved or deleted: a new one is begun, what this process spent "
                "goes there"
            )
            self._pending.bookings.clear()
            self._pending.book(self._own.all())
        database.move(connection)
        self._begin(names, False, self._presence.held)
        database.read(self._see, None)
        self._news.clear()
        self._write()

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
        news, told = dict(self._news), self._told
        try:
            made = list(decide(self._tell()))
        except BaseException:
            self._news, self._told = news, told
            raise
        self._pending.book(made)
        self._own.book(made)
        for each in made:
            held = each.axis == spending.HELD
            self._presence.sends(each.owner, each.amount if held else 0.0)
            for other in self._names.siblings(each.owner):  # the same key under another name: news to that one
                if not held:
                    self._news[other, each.axis] = self._news.get((other, each.axis), 0.0) + each.amount
        if self._names.doubled:
            self._company = self._presence.company()

    def _recount(self, connection: sqlite3.Connection, since: float) -> list[Booking]:
        if self._fresh:
            self._see(connection)
            self._news.clear()
        return spending.booked(connection, self._names, since)
