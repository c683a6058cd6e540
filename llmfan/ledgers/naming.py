"""Who is whom, as it stands in the file: read by all, written down by whoever may write."""

from __future__ import annotations

import sqlite3

from llmfan.ledgers.names import Founder, Names
from llmfan.settings import Fleet


def read_names(connection: sqlite3.Connection, fleet: Fleet, now: float) -> Names:
    salt = connection.execute("SELECT value FROM meta WHERE name = 'salt'").fetchone()[0]
    founders = [Founder(*row) for row in connection.execute("SELECT place, account, key, founder, at FROM founders")]
    return Names(fleet, salt, founders, now)


def write_names(connection: sqlite3.Connection, names: Names, now: float) -> None:
    """Accounts that turned out to be one are one from now on, for a file that names only some of their keys as well."""
    rows = [(each.place, each.account, each.key, each.founder, each.at) for each in names.new_founders]
    connection.executemany("INSERT OR IGNORE INTO founders VALUES (?, ?, ?, ?, ?)", rows)
    connection.executemany("UPDATE founders SET founder = ? WHERE founder = ?", names.merged)
    keys = [(*key, now) for key in names.keys]
    connection.executemany("INSERT OR REPLACE INTO keys VALUES (?, ?, ?, ?)", keys)
