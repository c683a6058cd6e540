"""Opens the ledger's file: made for its owner's eyes only, migrated, or set aside where it cannot be used."""

from __future__ import annotations

import os
import sqlite3
import stat
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from llmfan.ledgers.archive import SqliteArchive, check, connect_to_read, read_names
from llmfan.ledgers.aside import Damaged, Foreign, Newer, alone_in, make_folder, make_private, set_aside
from llmfan.ledgers.database import Database, connect, is_damage
from llmfan.ledgers.memory import MemoryLedger
from llmfan.ledgers.presence import gone
from llmfan.ledgers.schema import STEPS, migrate, version_of
from llmfan.ledgers.sqlite import SqliteLedger
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
    """To read and write. A file that can only be read is read, and what is spent is counted in memory."""
    place = _place(path)
    try:
        if not place.is_absolute() and not path:
            raise Foreign("no home folder is known")
        make_folder(place.parent)
        with alone_in(place.parent):
            connection = _open(place, say, wall(), clock())
        return _ledger(Database(place, connection, say, clock), fleet, say, wall, clock)
    except (OSError, sqlite3.Error, Foreign) as error:
        return _unwritable(place, fleet, say, wall, clock, error)


def open_archive(path: str | None, fleet: Fleet, say: _Say, wall: _Clock = time.time) -> SqliteArchive | MemoryLedger:
    """To read only. Nothing is made, migrated or set aside; where nothing can be read, an empty one in memory."""
    place = _place(path)
    try:
        if not stat.S_ISREG(os.stat(place).st_mode):
            raise Foreign("it is not a regular file")
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
    except (OSError, sqlite3.Error, Foreign) as error:
        say(f"{place}: the ledger cannot be read ({_why(error)})")
    else:
        if version == len(STEPS):
            return SqliteArchive(place, fleet, say, wall)
        if version:
            say(f"{place}: the ledger is of an older llmfan; the next run or probe brings it up to date")
    return MemoryLedger()


def _place(path: str | None) -> Path:
    return Path(path) if path else default_path(os.environ)


def _open(place: Path, say: _Say, now: float, beat: float) -> sqlite3.Connection:
    """A file that cannot be used is moved away, and the second try makes a new one."""
    try:
        return _prepared(place, now, beat)
    except Damaged as error:
        aside = set_aside(place, "damaged", now)
        say(f"{place}: the ledger is damaged ({error}); it is kept as {aside}, and a new one begins empty")
    except Newer as error:
        aside = set_aside(place, f"newer-{error.args[0]}", now)
        say(
            f"{place}: the ledger is of a newer llmfan ({_versions(error)}); it is kept as {aside}, and a new one "
            "begins empty: use that llmfan, or give each its own file (--state)"
        )
    return _prepared(place, now, beat)


def _prepared(place: Path, now: float, beat: float) -> sqlite3.Connection:
    make_private(place)
    connection = connect(place)
    try:
        check(connection)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA journal_size_limit = 4194304")
        migrate(connection)
        _examine(connection, now, beat)
        return connection
    except BaseException as error:
        connection.close()
        if isinstance(error, sqlite3.Error) and is_damage(error):
            raise Damaged(str(error)) from None
        raise


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


def _ledger(database: Database, fleet: Fleet, say: _Say, wall: _Clock, clock: _Clock) -> SqliteLedger:
    names = read_names(database.connection, fleet, wall())

    def write_names(connection: sqlite3.Connection) -> None:
        nonlocal names
        names = read_names(connection, fleet, wall())  # again: in here nobody else founds an account
        rows = [(each.place, each.account, each.key, each.founder, each.at) for each in names.new_founders]
        connection.executemany("INSERT INTO founders VALUES (?, ?, ?, ?, ?)", rows)
        keys = [(*key, wall()) for key in names.keys]
        connection.executemany("INSERT OR REPLACE INTO keys VALUES (?, ?, ?, ?)", keys)

    database.write(write_names)
    clean = Redactor(secret.reveal() for secret in fleet.secrets())
    return SqliteLedger(database, names, clean, say, wall, clock)


def _unwritable(
    place: Path, fleet: Fleet, say: _Say, wall: _Clock, clock: _Clock, error: Exception
) -> SqliteLedger | MemoryLedger:
    """What stands in it is known all the same, if it can be read."""
    why = _why(error)
    archive = open_archive(str(place), fleet, lambda text: None, wall)
    if isinstance(archive, SqliteArchive):
        say(f"{place}: the ledger cannot be written ({why}): what this process spends is counted in memory only")
        return _ledger(Database(place, connect_to_read(place), say, clock, trouble=why), fleet, say, wall, clock)
    say(f"{place}: the ledger cannot be opened ({why}): what this process learns and spends is not kept")
    return MemoryLedger()


def _why(error: Exception) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)


def _versions(error: Newer) -> str:
    return f"its tables are of version {error.args[0]}, this llmfan knows {len(STEPS)}"
