"""Whose the file at the ledger's place is: told before anything of it is touched, for `--state` takes any name."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
from pathlib import Path

from llmfan.ledgers.aside import Damaged, Foreign
from llmfan.ledgers.database import connect, is_damage
from llmfan.ledgers.schema import APPLICATION, is_ours

_HEAD = b"SQLite format 3\0"
#: Where SQLite writes down whose the file is: four bytes.
_MARK_AT = 68
_ENDINGS = (".sqlite", ".sqlite3", ".db", ".db3")
_WORDS = ("ledger", "llmfan", "state")


def claim(place: Path) -> None:
    """Makes the file where there is none, and closes one of ours to others; raises where it is not ours.

    There before SQLite opens it, for that would make it readable by all; its log takes the file's own mode.
    """
    file = os.open(place, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK, 0o600)
    try:
        found = os.fstat(file)
        if not stat.S_ISREG(found.st_mode):
            raise Foreign("it is not a regular file")
        ours(place, os.read(file, _MARK_AT + 4))
        if found.st_mode & 0o077:
            with contextlib.suppress(OSError):  # another user's, who let us in
                os.fchmod(file, 0o600)
    finally:
        os.close(file)


def look(place: Path) -> None:
    """The same without touching it."""
    if not stat.S_ISREG(os.stat(place).st_mode):
        raise Foreign("it is not a regular file")
    with open(place, "rb") as file:
        head = file.read(_MARK_AT + 4)
    ours(place, head)


def ours(place: Path, head: bytes) -> None:
    """`head`: how it begins. An empty file may become ours; what is damaged is ours if it is called like a ledger.

    A file that is no database is told here: SQLite would see it too, and delete the log beside it.
    """
    mark = int.from_bytes(head[_MARK_AT:], "big")
    if not head or (head.startswith(_HEAD) and mark == APPLICATION):
        return
    if not head.startswith(_HEAD):
        raise Damaged("file is not a database") if _called_so(place) else Foreign("it is not a database")
    if mark:
        raise Foreign("it is another program's database")
    try:
        _look_into(place)
    except sqlite3.Error as error:
        if not is_damage(error):
            raise
        raise (Damaged(str(error)) if _called_so(place) else Foreign(str(error))) from None


def _look_into(place: Path) -> None:
    """Nobody's by its mark: what another program made, or one of ours that stands in its log still."""
    for options in ("mode=ro&immutable=1", *(["mode=ro"] if os.path.exists(f"{place}-wal") else [])):
        with contextlib.closing(connect(place, options)) as connection:
            if not is_ours(connection):
                raise Foreign("it is another program's database")


def _called_so(place: Path) -> bool:
    name = place.name.lower()
    return name.endswith(_ENDINGS) or any(word in name for word in _WORDS)
