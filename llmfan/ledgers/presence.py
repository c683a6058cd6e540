"""Which other processes are at work on this file, what they hold in flight, and where they send."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Mapping
from types import MappingProxyType

from llmfan.ledgers.names import Names

#: A process that has not been heard of for so long is gone, and what it held is free.
LAPSE_S = 15.0
BEAT_S = 2.0
#: Whoever sent to an owner within so many seconds counts as one who shares it.
SHARES_S = 120.0
#: How often it is written down that one still sends there.
_NOTE_S = 10.0
#: How often it is asked whether the others live, when nothing was written.
CHECK_S = 1.0

#: By owner: what others hold in flight, and how many of them send there.
Company = tuple[dict[str, float], dict[str, int]]


class Presence:
    """This process's own row, and those of the others as last seen. `clock`: monotonic, the same for all processes."""

    def __init__(self, names: Names, clock: Callable[[], float], held: Mapping[str, float] = MappingProxyType({})):
        self._names, self._clock = names, clock
        self._machine = machine()
        self.session: int | None = None
        self._stands = False
        self.held = dict(held)  # owner → what this process has in flight there
        self._active: dict[str, float] = {}  # owner → when it was last written down that this process sends there
        self._dirty: set[str] = set()
        self._beat = self._beaten = float("-inf")  # when it was last written that one lives: for good, and as of now
        self._others: dict[int, dict[str, tuple[float, float]]] = {}  # session → owner → (in flight, when)
        self._alive: list[int] = []
        self._looked = 0

    # ---------------------------------------------------------- one's own

    def due(self) -> bool:
        return self._clock() - self._beat >= BEAT_S

    def sends(self, owner: str, held: float) -> None:
        """A booking of this owner; `held`: by how much it changes what is in flight."""
        stored = self._names.stored(owner)
        if held:
            self.held[owner] = self.held.get(owner, 0.0) + held
            self._dirty.add(stored)
        elif self._clock() - self._active.get(stored, float("-inf")) >= _NOTE_S:
            self._dirty.add(stored)

    def write(self, connection: sqlite3.Connection) -> None:
        """What has changed, and now and then that one lives. Who was taken for dead and is not, stands up again."""
        if not self._dirty and not self.due():
            return
        now, due = self._clock(), self.due()
        if self.session is None or (due and not self._beats(connection, now)):
            made = connection.execute(
                "INSERT INTO sessions (pid, machine, beat) VALUES (?, ?, ?)", (os.getpid(), self._machine, now)
            )
            self.session, self._stands = made.lastrowid, False
            self._dirty.update(self._names.stored(owner) for owner, held in self.held.items() if held)
            due = True
        if due:
            self._beaten = now
        for stored in self._dirty:
            held = sum(self.held.get(owner, 0.0) for owner in self._names.spoken(stored))
            connection.execute(_PRESENT, (self.session, stored, max(0.0, held), now))

    def _beats(self, connection: sqlite3.Connection, now: float) -> bool:
        return connection.execute("UPDATE sessions SET beat = ? WHERE id = ?", (now, self.session)).rowcount > 0

    def written(self) -> None:
        """The transaction holds."""
        self._stands = True
        self._beat = self._beaten
        self._active.update(dict.fromkeys(self._dirty, self._clock()))
        self._dirty.clear()

    def lost(self) -> None:
        """It does not. The number it gave may be another process's next."""
        self._beat = self._beaten = float("-inf")
        if not self._stands:
            self.session = None

    def leave(self, connection: sqlite3.Connection) -> None:
        remove(connection, [] if self.session is None else [self.session])

    # ---------------------------------------------------------- the others

    def look(self, connection: sqlite3.Connection) -> None:
        now = self._clock()
        sessions = connection.execute("SELECT id, pid, machine, beat FROM sessions").fetchall()
        self._alive = [
            session
            for session, pid, place, beat in sessions
            if session != self.session and lives(pid, place, self._machine, beat, now)
        ]
        for session, owner, in_flight, at, seq in connection.execute(
            "SELECT session, owner, in_flight, at, seq FROM presence WHERE seq > ? ORDER BY seq", (self._looked,)
        ):
            self._looked = seq
            if session != self.session:
                self._others.setdefault(session, {})[owner] = (in_flight, at)
        there = {row[0] for row in sessions}
        if not self._others.keys() <= there:  # one that is only silent may be heard of again
            self._others = {session: owners for session, owners in self._others.items() if session in there}

    def company(self) -> Company:
        """Of this fleet's owners; one and the same key under another name counts as another's."""
        in_flight: dict[str, float] = {}
        sharers: dict[str, int] = {}
        since = self._clock() - SHARES_S
        for session in self._alive:
            for stored, (held, at) in self._others.get(session, {}).items():
                for owner in self._names.spoken(stored):
                    if held:
                        in_flight[owner] = in_flight.get(owner, 0.0) + held
                    if at >= since:
                        sharers[owner] = sharers.get(owner, 0) + 1
        for owner, held in self.held.items() if self._names.doubled else ():
            for other in self._names.siblings(owner) if held else ():  # the same key under another name
                in_flight[other] = in_flight.get(other, 0.0) + held
        return in_flight, sharers

    @property
    def alone(self) -> bool:
        return not self._others


_PRESENT = """
INSERT INTO presence (session, owner, in_flight, at, seq)
VALUES (?, ?, ?, ?, coalesce((SELECT max(seq) FROM presence), 0) + 1)
ON CONFLICT DO UPDATE SET in_flight = excluded.in_flight, at = excluded.at, seq = excluded.seq
"""


def gone(connection: sqlite3.Connection, now: float) -> list[int]:
    """Sessions that ended without a word: killed, or the machine went down."""
    here = machine()
    return [
        session
        for session, pid, place, beat in connection.execute("SELECT id, pid, machine, beat FROM sessions")
        if not lives(pid, place, here, beat, now)
    ]


def remove(connection: sqlite3.Connection, sessions: list[int]) -> None:
    """The last number stays in use (row 0), or the next change would be numbered below what others have seen."""
    for session in sessions:
        connection.execute(_PRESENT, (0, "", 0.0, 0.0))
        connection.execute("DELETE FROM presence WHERE session = ?", (session,))
        connection.execute("DELETE FROM sessions WHERE id = ?", (session,))


def lives(pid: int, place: str, here: str, beat: float, now: float) -> bool:
    """Heard of lately, and its process is there. In another container its number says nothing here."""
    if abs(now - beat) >= LAPSE_S:  # far ahead of now: of before the machine was started
        return False
    return place != here or _is_there(pid)


def machine() -> str:
    """Names the space in which process numbers hold: this boot of this machine, this container of it."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="utf-8") as file:
            return f"{file.read().strip()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return os.name


def _is_there(pid: int) -> bool:
    if os.name != "posix":  # where asking would end it
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # another user's
        return True
    return True
