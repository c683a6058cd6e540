"""The one connection to the file: transactions that hold or leave no trace, trouble that is said and never raised."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

#: How long to wait for another process's transaction; they take well under a millisecond.
BUSY_S = 5.0
#: The same once something is wrong: a run must not stand still for five seconds at each request.
BUSY_IN_TROUBLE_S = 0.05
#: How long to leave a file alone that could not be written.
RETRY_S = 2.0
_PASSING = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_FULL)
_DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def connect(path: Path, options: str = "", patience: float | None = None) -> sqlite3.Connection:
    """`options`: of the address, such as `mode=ro`. Used by one thread at a time, not always the one that opened it."""
    uri, timeout = f"{path.absolute().as_uri()}?{options}", BUSY_S if patience is None else patience
    return sqlite3.connect(uri, uri=True, timeout=timeout, isolation_level=None, check_same_thread=False)


def passes(error: Exception) -> bool:
    """Somebody holds the file, or the disk is full: worth another try later."""
    return isinstance(error, sqlite3.Error) and getattr(error, "sqlite_errorcode", 0) & 0xFF in _PASSING


def is_damage(error: Exception) -> bool:
    """Not a database, or one that contradicts itself; as against one that is locked, full or out of reach."""
    return isinstance(error, sqlite3.Error) and getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGE


class Database:
    """`trouble`: what is wrong at the moment; "" while all is well. One given at the start was said.

    It ends only by `move`, to the file itself; where it was `given_up`, it never does. `damaged` does not heal while
    the file is open.
    """

    def __init__(
        self, path: Path, connection: sqlite3.Connection, say: Callable[[str], None], clock: Callable[[], float],
        trouble: str = "", given_up: bool = False,
    ):  # fmt: skip
        self.path, self.connection, self.trouble = path, connection, trouble
        self.damaged = self.closed = False
        self.given_up, self.waiting = given_up, bool(trouble) and not given_up
        self._say, self._clock = say, clock
        self._said: set[str] = set()
        self._retry = float("inf") if trouble else 0.0
        self._file = None if trouble else _identity(path)

    def write(self, work: Callable[[sqlite3.Connection], None]) -> bool:
        """`work` in one transaction that no other process comes between. False: nothing of it was written."""
        if self.trouble and self._clock() < self._retry:
            return False
        connection = self.connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            try:
                work(connection)
                connection.execute("COMMIT")
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
        except sqlite3.Error as error:
            self._fail(error)
            return False
        if self.trouble:
            self.trouble = ""
            self._patience(BUSY_S)
        return True

    def read(self, work: Callable[[sqlite3.Connection], T], otherwise: T) -> T:
        """`work` on one state of the file, whatever others write meanwhile."""
        connection = self.connection
        try:
            connection.execute("BEGIN")
            try:
                return work(connection)
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
        except sqlite3.Error as error:
            self._note_damage(error)
            self.once(
                f"{self.path}: the ledger cannot be read ({error}): what stands in it is not known here{self._advice()}"
            )
            return otherwise

    def version(self) -> int:
        """Another one whenever another process has written. Four microseconds."""
        try:
            return int(self.connection.execute("PRAGMA data_version").fetchone()[0])
        except sqlite3.Error:
            return -1

    def hasten(self) -> None:
        """The next write is tried at once, whatever came of the last one."""
        self._retry = self._retry if self.given_up or self.waiting else 0.0

    def astray(self) -> bool:
        """Whether the file at the path is not the one that is open: it was moved, deleted or replaced, or held."""
        if self.given_up:
            return False
        try:
            return _identity(self.path) != self._file or self.waiting
        except OSError:  # out of reach for a moment: what is open may still be written
            return False

    def stay(self, error: Exception) -> None:
        """What is at the path now cannot be used."""
        if not self.waiting:
            self.once(
                f"{self.path}: the ledger has been moved or deleted, and a new one cannot be begun ({error}): what "
                "this process spends goes where it was moved to"
            )

    def move(self, connection: sqlite3.Connection) -> None:
        """To what is at the path now."""
        self.close()
        self.connection, self._file = connection, _identity(self.path)
        self.trouble, self._retry = "", 0.0
        self.closed = self.damaged = self.waiting = False
        self._patience(BUSY_S)

    def close(self) -> None:
        """A file that was moved without its log is made whole: the log stays behind."""
        self.closed = True
        try:
            if self._file is not None and self.astray():
                self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self.connection.close()
        except sqlite3.Error:
            pass  # all that matters was committed, and the rest has been said

    def _fail(self, error: sqlite3.Error) -> None:
        self._note_damage(error)
        if not self.trouble:
            self._patience(BUSY_IN_TROUBLE_S)
        self.trouble = str(error)
        self._retry = float("inf") if self.damaged else self._clock() + RETRY_S
        when = "there is room" if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL else "it can be"
        later = "" if self.damaged else f" and written when {when}"
        self.once(
            f"{self.path}: the ledger cannot be written ({error}): what this process spends is counted in memory"
            f"{later}{self._advice()}"
        )

    def _note_damage(self, error: sqlite3.Error) -> None:
        self.damaged = self.damaged or is_damage(error)

    def _advice(self) -> str:
        return "; the next start sets the file aside and begins a new one" if self.damaged else ""

    def once(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            self._say(text)

    def _patience(self, seconds: float) -> None:
        try:
            self.connection.execute(f"PRAGMA busy_timeout = {int(seconds * 1000)}")
        except sqlite3.Error:
            pass


def _identity(path: Path) -> tuple[int, int] | None:
    """None: nothing is there."""
    try:
        found = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_dev, found.st_ino
