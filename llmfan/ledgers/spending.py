"""What was booked: running totals by which others see what is new, and sums by the stretch for windows and quotas."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Mapping

from msgspec.structs import replace

from llmfan.ledgers.names import Names
from llmfan.ledgers.netting import BEFORE_S
from llmfan.records import Booking
from llmfan.settings import AXES
from llmfan.units import DAY, HOUR, MINUTE, spell

#: Not a sum that is spent, but one that is held: it stands in `presence`.
HELD = "concurrency"
#: How far ahead of the clock an entry may lie without a word.
_AHEAD_S = 2.0


def first_span(axis: str) -> int:
    """How finely it is written down: in seconds for a minute's window, by the minute for an hour's, else by ten."""
    period = AXES.get(axis, ("", MINUTE))[1]
    return 1 if period <= MINUTE else 60 if period <= HOUR else 600


def next_span(span: int) -> int:
    """What a stretch is summed into when it is old."""
    return 60 if span == 1 else int(HOUR) if span < HOUR else int(DAY)


class Spending:
    """The running totals as this process last saw them; what differs from them now is new."""

    def __init__(self, names: Names):
        self._names = names
        self._lines: dict[tuple[str, str], int] = {}  # (owner, axis) of this fleet → line
        self._seen: dict[int, float] = {}
        self._looked = 0

    def look(self, connection: sqlite3.Connection) -> dict[tuple[str, str], float]:
        """What others booked since the last look, by (owner, axis) of this fleet; strangers are left out."""
        new: dict[tuple[str, str], float] = {}
        for line, owner, axis, total, seq in connection.execute(
            "SELECT id, owner, axis, total, seq FROM lines WHERE seq > ? ORDER BY seq", (self._looked,)
        ):
            amount = total - self._seen.get(line, 0.0)
            self._seen[line], self._looked = total, seq
            for spoken in self._names.spoken(owner) if abs(amount) > 1e-9 else ():
                new[spoken, axis] = new.get((spoken, axis), 0.0) + amount
        return new

    def add(self, connection: sqlite3.Connection, bookings: Iterable[Booking]) -> dict[int, float]:
        """Writes them down. Gives what to hand to `added` once the transaction holds; `look` must have come before."""
        amounts: dict[int, float] = {}
        for each in bookings:
            line = self._line(connection, each.owner, each.axis)
            amounts[line] = amounts.get(line, 0.0) + each.amount
            span = first_span(each.axis)
            at = int(each.at // span) * span
            connection.execute(_ADD, (span, at, line, int((each.at - at) * 1000), each.amount))
        for line, amount in amounts.items():
            connection.execute(_TOTAL, (amount, line))
        return amounts

    def added(self, amounts: Mapping[int, float]) -> None:
        """They stand in the file now, so they are not news."""
        for line, amount in amounts.items():
            self._seen[line] = self._seen.get(line, 0.0) + amount

    def lost(self) -> None:
        """A transaction was undone, and with it perhaps the lines it made."""
        self._lines.clear()

    def _line(self, connection: sqlite3.Connection, owner: str, axis: str) -> int:
        line = self._lines.get((owner, axis))
        if line is None:
            stored = self._names.stored(owner)
            connection.execute(
                "INSERT OR IGNORE INTO lines (owner, axis, total, seq) VALUES (?, ?, 0, 0)", (stored, axis)
            )
            found = connection.execute("SELECT id FROM lines WHERE owner = ? AND axis = ?", (stored, axis)).fetchone()
            line = self._lines[owner, axis] = int(found[0])
        return line


_ADD = """
INSERT INTO spent (span, at, line, last, amount) VALUES (?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET amount = amount + excluded.amount, last = max(last, excluded.last)
"""
_TOTAL = "UPDATE lines SET total = total + ?, seq = (SELECT max(seq) FROM lines) + 1 WHERE id = ?"


def booked(connection: sqlite3.Connection, names: Names, since: float) -> list[Booking]:
    """In no order, with what was given back; a little of what came before as well (see `netting`).

    A sum counts at the latest moment of its stretch: too early a one would leave its window too early.
    """
    since -= BEFORE_S
    owners = {
        line: (names.spoken(owner), axis)
        for line, owner, axis in connection.execute("SELECT id, owner, axis FROM lines")
    }  # fmt: skip
    found: list[Booking] = []
    add = found.append
    for span in (int(DAY), int(HOUR), 600, 60, 1):
        for at, line, last, amount in connection.execute(
            "SELECT at, line, last, amount FROM spent WHERE span = ? AND at >= ?", (span, since - span)
        ):
            moment = at + last / 1000
            if moment >= since:
                spoken, axis = owners.get(line, ([], ""))
                for owner in spoken:
                    add(Booking(owner=owner, axis=axis, amount=amount, at=moment))
    return found


class Ahead:
    """Where the clock was set back, what lies ahead of it counts as spent now: it stands in the windows still."""

    def __init__(self, say: Callable[[str], None]):
        self._say = say
        self._said = False

    def counted(self, found: list[Booking], now: float) -> list[Booking]:
        """`found`, oldest first."""
        if not found or found[-1].at <= now:
            return found
        ahead = found[-1].at - now
        if ahead > _AHEAD_S and not self._said:
            self._said = True
            self._say(
                f"the clock is {spell(ahead)} behind the ledger's last entry; what lies ahead of it counts as spent "
                "just now"
            )
        return [each if each.at <= now else replace(each, at=now) for each in found]
