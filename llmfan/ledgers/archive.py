"""The ledger as `status` reads it: the file is opened for each look, and never created, changed or locked for long."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from llmfan.entries import Change, Tally
from llmfan.ledgers import learned, spending, tallying
from llmfan.ledgers.aside import Damaged, Foreign, Newer
from llmfan.ledgers.database import connect, is_damage
from llmfan.ledgers.memory import NOT_WRITTEN
from llmfan.ledgers.names import Names
from llmfan.ledgers.naming import read_names
from llmfan.ledgers.netting import netted
from llmfan.ledgers.schema import STEPS, is_ours, version_of
from llmfan.records import Booking, Known
from llmfan.settings import Fleet

T = TypeVar("T")


class SqliteArchive:
    """An `Archive`. What cannot be read is said once and counts as empty."""

    def __init__(self, place: Path, fleet: Fleet, say: Callable[[str], None], wall: Callable[[], float]):
        self._place, self._fleet, self._say, self._wall = place, fleet, say, wall
        self._said: set[str] = set()
        self._ahead = spending.Ahead(say)

    def known(self) -> Known:
        return self._read(learned.known, Known())

    def booked(self, since: float) -> list[Booking]:
        found: list[Booking] = self._read(lambda connection, names: spending.booked(connection, names, since), [])
        return self._ahead.counted(netted(found, since), self._wall())

    def tallied(self, since: float) -> list[Tally]:
        return self._read(lambda connection, names: tallying.tallied(connection, names, since), [])

    def changes(self, since: float) -> list[Change]:
        return self._read(lambda connection, names: learned.changes(connection, names, since), [])

    def forget(self, owners: Iterable[str], keys: Iterable[str]) -> int:
        self._once(f"{self._place}: opened for reading: nothing is forgotten")
        return NOT_WRITTEN

    def _read(self, work: Callable[[sqlite3.Connection, Names], T], otherwise: T) -> T:
        connection = None
        try:
            connection = connect_to_read(self._place)
            connection.execute("BEGIN")
            return work(connection, read_names(connection, self._fleet, self._wall()))
        except sqlite3.Error as error:
            self._once(f"{self._place}: the ledger cannot be read ({error}): what stands in it is not shown")
            return otherwise
        finally:
            if connection is not None:
                connection.close()

    def _once(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            self._say(text)


def connect_to_read(place: Path) -> sqlite3.Connection:
    """Without a log beside it nobody is writing, and the file is read as it lies: else SQLite would make a log itself.

    The same where there is one in a folder that cannot be written, so that its index cannot be made.
    """
    if not os.path.exists(f"{place}-wal"):
        return connect(place, "mode=ro&immutable=1")
    connection = connect(place, "mode=ro")
    try:
        version_of(connection)
        return connection
    except sqlite3.OperationalError:
        connection.close()
        return connect(place, "mode=ro&immutable=1")


def check(connection: sqlite3.Connection) -> None:
    """That it is a ledger, of no newer llmfan, and has its tables if it is of today's."""
    try:
        if not is_ours(connection):
            raise Foreign("it is another program's database")
        version = version_of(connection)
        if version > len(STEPS):
            raise Newer(version)
        if version == len(STEPS):
            connection.execute("SELECT value FROM meta WHERE name = 'salt'").fetchone()[0]
            for table in ("founders", "lines", "limits", "states", "sessions"):
                connection.execute(f"SELECT * FROM {table}").fetchall()
    except sqlite3.Error as error:
        if is_damage(error) or "no such" in str(error):
            raise Damaged(str(error)) from None
        raise
    except TypeError:
        raise Damaged("its first row is missing") from None
