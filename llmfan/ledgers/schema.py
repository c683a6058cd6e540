"""The tables, and the steps by which an older file becomes one of today. A step, once released, is never changed."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Sequence

#: Marks the file as llmfan's ("llmf"), so that another program's database is left alone.
APPLICATION = 0x6C6C6D66
Step = Callable[[sqlite3.Connection], None]

# spent: what was booked of a line (owner and axis) within `span` seconds from `at`; `last`: milliseconds from `at` to
# the latest of it, for a sum must not leave a rolling window before its last part does.
# lines.total: all that was ever booked; `seq` grows with each change, so others see what is new whatever its `at`.
# tallies.body: see `tallying`. presence.at, sessions.beat: monotonic, for a wall clock may be set.
_TABLES = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value ANY) WITHOUT ROWID;
CREATE TABLE keys (id TEXT PRIMARY KEY, place TEXT, label TEXT, seen REAL) WITHOUT ROWID;
CREATE TABLE founders (
  place TEXT, account TEXT, key TEXT, founder TEXT, at REAL, PRIMARY KEY (place, account, key)
) WITHOUT ROWID;
CREATE TABLE lines (id INTEGER PRIMARY KEY, owner TEXT, axis TEXT, total REAL, seq INTEGER, UNIQUE (owner, axis));
CREATE INDEX lines_by_seq ON lines (seq);
CREATE TABLE spent (
  span INTEGER, at INTEGER, line INTEGER, last INTEGER, amount REAL, PRIMARY KEY (span, at, line)
) WITHOUT ROWID;
CREATE TABLE pairs (id INTEGER PRIMARY KEY, key TEXT, model TEXT, UNIQUE (key, model));
CREATE TABLE tallies (level INTEGER, at INTEGER, pair INTEGER, body BLOB, PRIMARY KEY (level, at, pair)) WITHOUT ROWID;
CREATE TABLE limits (
  owner TEXT, axis TEXT, declared REAL, reported REAL, measured REAL, kind TEXT, guard_s REAL, confidence REAL,
  counts TEXT, measured_at REAL, at REAL, PRIMARY KEY (owner, axis)
) WITHOUT ROWID;
CREATE TABLE changes (
  id INTEGER PRIMARY KEY, at REAL, owner TEXT, axis TEXT, source TEXT, before REAL, after REAL
);
CREATE INDEX changes_by_line ON changes (owner, axis, source);
CREATE TABLE states (
  key TEXT, model TEXT, state TEXT, why TEXT, until REAL, source TEXT, at REAL, PRIMARY KEY (key, model)
) WITHOUT ROWID;
CREATE TABLE targets (
  place TEXT, name TEXT, n INTEGER, service_s REAL, service_sigma REAL, output_tokens REAL, tokens_per_char REAL,
  at REAL, PRIMARY KEY (place, name)
) WITHOUT ROWID;
CREATE TABLE shared (owner TEXT PRIMARY KEY, other TEXT) WITHOUT ROWID;
CREATE TABLE sessions (id INTEGER PRIMARY KEY AUTOINCREMENT, pid INTEGER, machine TEXT, beat REAL);
CREATE TABLE presence (
  session INTEGER, owner TEXT, in_flight REAL, at REAL, seq INTEGER, PRIMARY KEY (session, owner)
) WITHOUT ROWID;
CREATE INDEX presence_by_seq ON presence (seq);
"""


def _first(connection: sqlite3.Connection) -> None:
    for statement in _TABLES.split(";"):
        if statement.strip():
            connection.execute(statement)
    connection.execute("INSERT INTO meta VALUES ('salt', ?)", (os.urandom(32),))
    connection.execute(f"PRAGMA application_id = {APPLICATION}")


STEPS: tuple[Step, ...] = (_first,)


def version_of(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def is_ours(connection: sqlite3.Connection) -> bool:
    """An empty file may become ours; a database that something else made may not."""
    mark = connection.execute("PRAGMA application_id").fetchone()[0]
    return mark == APPLICATION or not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]


def migrate(connection: sqlite3.Connection, steps: Sequence[Step] = STEPS) -> None:
    """All steps that are missing, in one transaction: a file is of one version or of the other, never in between."""
    if version_of(connection) >= len(steps):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        for step in steps[version_of(connection) :]:  # asked again: another process may have been first
            step(connection)
        connection.execute(f"PRAGMA user_version = {len(steps)}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # a full disk has ended it already
            connection.execute("ROLLBACK")
        raise
