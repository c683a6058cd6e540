"""A ledger's file that cannot be used is moved out of the way: never deleted, never twice."""

from __future__ import annotations

import contextlib
import datetime as dt
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

#: How long to wait for another llmfan that is opening the same file; then go on all the same.
_PATIENCE_S = 5.0
#: Before the file itself: a log without its database would be taken for that of the next one.
_PARTS = ("-wal", "-shm", "")


class Damaged(Exception):
    """The file is no ledger any more."""


class Newer(Exception):
    """A newer llmfan made it. `args[0]`: the version of its tables."""


class Foreign(Exception):
    """It is something else's, and is left alone."""


@contextlib.contextmanager
def alone_in(folder: Path, patience: float = _PATIENCE_S) -> Iterator[None]:
    """Only one llmfan at a time opens, migrates or sets aside: else two of them would, and lose each other's file."""
    lock = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        deadline = time.monotonic() + patience
        while not _locked(lock) and time.monotonic() < deadline:
            time.sleep(0.01)
        yield
    finally:
        os.close(lock)


def _locked(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks: nothing to wait for
        return True
    return True


def make_folder(folder: Path) -> None:
    """Its own folder is the user's own; one that is there stays as it is."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def clear_away(place: Path) -> None:
    """The log of a file that was moved away or deleted: a new one would share it with whoever still has the old one."""
    if not os.path.lexists(place):
        for part in _PARTS[:-1]:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{place}{part}")


def set_aside(place: Path, why: str, now: float) -> Path:
    """`why`: how it is marked; the moment is added where it is not a version. Gives its new path."""
    name = f"{place.name}.{why}"
    if why == "damaged":
        name += "-" + dt.datetime.fromtimestamp(now, dt.UTC).strftime("%Y%m%dT%H%M%SZ")
    aside, number = place.with_name(name), 1
    while any(os.path.lexists(f"{aside}{part}") for part in _PARTS):
        number += 1
        aside = place.with_name(f"{name}-{number}")
    for part in _PARTS:
        with contextlib.suppress(FileNotFoundError):
            os.rename(f"{place}{part}", f"{aside}{part}")
    return aside
