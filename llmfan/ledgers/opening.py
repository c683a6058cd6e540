"""Opens the ledger's file: made for its owner's eyes only, migrated, or set aside where it cannot be used."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from llmfan.ledgers.archive import SqliteArchive, check, connect_to_read
from llmfan.ledgers.aside import Damaged, Foreign, Newer, alone_in, clear_away, make_folder, set_aside
from llmfan.ledgers.database import BUSY_IN_TROUBLE_S, BUSY_S, Database, connect, is_damage, passes
from llmfan.ledgers.memory import MemoryLedger
from llmfan.ledgers.names import Names
from llmfan.ledgers.naming import read_names, write_names
from llmfan.ledgers.presence import gone
from llmfan.ledgers.schema import STEPS, migrate, version_of
from llmfan.ledgers.sqlite import SqliteLedger
from llmfan.ledgers.whose import claim, look
from llmfan.secret import Redactor
from llmfan.settings import Fleet
from llmfan.units import DAY

#: Looked through in a few milliseconds.
_SMALL = 2000
_Say = Callable[[str], None]
_Clock = Callable[[], float]


def default_path(env: Mapping[str, str]) -> Path:
    """Where `LLMFAN_STATE` says, else in the user's state folder."""
    from platformdirs import user_state_path

    given = env.get("LLMFAN_STATE", "")
    return Path(given) if given else user_state_path("llmfan", appauthor=False) / "ledger.sqlite3"


def open_ledger(
    path: str | None, fleet: Fleet, say: _Say, wall: _Clock = time.time, clock: _Clock = time.monotonic
) -> SqliteLedger | MemoryLedger:
    """To read and write. A file that can only be read is read, and what is spent is counted in memory.

    `fleet`: of the whole file, or keys that share an account are not known to.
    """
    place = _place(path)
    opening = _Opening(place, fleet, say, wall, clock)
    try:
        if not place.is_absolute() and not path:
            raise OSError("no home folder is known")
        return opening.ledger(Database(place, opening.connection(BUSY_S), say, clock))
    except (OSError, sqlite3.Error, Foreign) as error:
        return opening.without(error)


def open_archive(path: str | None, fleet: Fleet, say: _Say, wall: _Clock = time.time) -> SqliteArchive | MemoryLedger:
    """To read only. Nothing is made, migrated or set aside; where nothing can be read, an empty one in memory."""
    place = _place(path)
    try:
        look(place)
        connection = connect_to_read(place)
        try:
            check(connection)
            version = version_of(connection)
        finally:
            connection.close()
    except (FileNotFoundError, NotADirectoryError):
        return MemoryLedger()
    except Damaged as error:
        say(f"{place}: the ledger is damaged ({error}); the next run or probe sets it aside and begins a new one")
    except Newer as error:
        say(f"{place}: the ledger is of a newer llmfan ({_versions(error)}): use that one, or another file (--state)")
    except Foreign as error:
        say(_no_ledger(place, error))
    except (OSError, sqlite3.Error) as error:
        say(f"{place}: the ledger cannot be read ({_why(error)})")
    else:
        if version == len(STEPS):
            return SqliteArchive(place, fleet, say, wall)
        if version:
            say(f"{place}: the ledger is of an older llmfan; the next run or probe brings it up to date")
    return MemoryLedger()


def _place(path: str | None) -> Path:
    return Path(path) if path else default_path(os.environ)


class _Opening:
    """One ledger, which may have to be opened again while it is used."""

    def __init__(self, place: Path, fleet: Fleet, say: _Say, wall: _Clock, clock: _Clock):
        self._place, self._fleet, self._say, self._wall, self._clock = place, fleet, say, wall, clock

    def connection(self, patience: float) -> sqlite3.Connection:
        make_folder(self._place.parent)
        with alone_in(self._place.parent, patience):
            return _open(self._place, self._say, self._wall(), self._clock(), patience)

    def ledger(self, database: Database) -> SqliteLedger:
        names = read_names(database.connection, self._fleet, self._wall())

        def write(connection: sqlite3.Connection) -> None:
            nonlocal names
            names = read_names(connection, self._fleet, self._wall())  # again: in here nobody else founds an account
            write_names(connection, names, self._wall())

        named = database.write(write)
        clean = Redactor(secret.reveal() for secret in self._fleet.secrets())
        return SqliteLedger(database, names, named, clean, self._again, self._say, self._wall, self._clock)

    def without(self, error: Exception) -> SqliteLedger | MemoryLedger:
        """What stands in the file is known all the same, if it can be read; and what passes is waited for."""
        place, why = self._place, _why(error)
        if isinstance(error, Foreign):
            self._say(f"{_no_ledger(place, error)}; what this process spends is counted in memory")
            return MemoryLedger(kept=False)
        if passes(error):
            self._say(f"{place}: the ledger cannot be opened ({why}): what this process spends is counted in memory "
                      "and written when it can be")  # fmt: skip
            return self.ledger(Database(place, _nothing(), self._say, self._clock, trouble=why))
        archive = open_archive(str(place), self._fleet, lambda text: None, self._wall)
        if isinstance(archive, SqliteArchive):
            self._say(
                f"{place}: the ledger cannot be written ({why}): what this process spends is counted in memory only"
            )
            connection = connect_to_read(place)
            return self.ledger(Database(place, connection, self._say, self._clock, trouble=why, given_up=True))
        self._say(f"{place}: the ledger cannot be opened ({why}): what this process learns and spends is not kept")
        return MemoryLedger(kept=False)

    def _again(self) -> tuple[sqlite3.Connection, Names]:
        """Without patience: a run is waiting."""
        connection = self.connection(BUSY_IN_TROUBLE_S)
        return connection, read_names(connection, self._fleet, self._wall())


def _nothing() -> sqlite3.Connection:
    """A ledger in which nothing stands."""
    connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    migrate(connection)
    return connection


def _open(place: Path, say: _Say, now: float, beat: float, patience: float) -> sqlite3.Connection:
    """A file that cannot be used is moved away, and the second try makes a new one."""
    try:
        return _prepared(place, now, beat, patience)
    except Damaged as error:
        aside = set_aside(place, "damaged", now)
        say(f"{place}: the ledger is damaged ({error}); it is kept as {aside}, and a new one begins empty")
    except Newer as error:
        aside = set_aside(place, f"newer-{error.args[0]}", now)
        say(
            f"{place}: the ledger is of a newer llmfan ({_versions(error)}); it is kept as {aside}, and a new one "
            "begins empty: use that llmfan, or give each its own file (--state)"
        )
    return _prepared(place, now, beat, patience)


def _prepared(place: Path, now: float, beat: float, patience: float) -> sqlite3.Connection:
    clear_away(place)
    claim(place)
    connection = connect(place, patience=patience)
    try:
        check(connection)
        try:
            _bring_up(connection, now, beat)
        except sqlite3.Error as error:
            if not passes(error) or version_of(connection) != len(STEPS):
                raise  # else it is of today's already, and what could not be written may wait
        return connection
    except BaseException as error:
        connection.close()
        if isinstance(error, sqlite3.Error) and is_damage(error):
            raise Damaged(str(error)) from None
        raise


def _bring_up(connection: sqlite3.Connection, now: float, beat: float) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA journal_size_limit = 4194304")
    migrate(connection)
    _examine(connection, now, beat)


def _examine(connection: sqlite3.Connection, now: float, beat: float) -> None:
    """Page by page: a large file once a day, and whenever somebody ended without a word."""
    found = connection.execute("SELECT value FROM meta WHERE name = 'checked'").fetchone()
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    if pages > _SMALL and found and 0 <= now - found[0] < DAY and not gone(connection, beat):
        return
    word = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if word != "ok":
        raise Damaged(str(word).replace("\n", " "))
    connection.execute("INSERT OR REPLACE INTO meta VALUES ('checked', ?)", (now,))


def _no_ledger(place: Path, error: Foreign) -> str:
    return f"{place} is no ledger of llmfan ({error}): name another file with --state"


def _why(error: Exception) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)


def _versions(error: Newer) -> str:
    return f"its tables are of version {error.args[0]}, this llmfan knows {len(STEPS)}"
