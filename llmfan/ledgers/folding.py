"""Old detail is summed into longer stretches, a little at a time: nothing that was spent or sent gets lost by it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from llmfan.entries import Tally
from llmfan.ledgers import presence, tallying
from llmfan.ledgers.spending import next_span
from llmfan.ledgers.tallying import EVER, SPANS
from llmfan.settings import AXES
from llmfan.units import DAY, HOUR, MINUTE

#: Bookings: a stretch of so many seconds is kept for so long, and then summed into longer ones.
_SPENT = ((1, 5 * MINUTE, MINUTE), (60, 2 * HOUR, HOUR), (int(HOUR), 3 * DAY, DAY))
#: What counts by the month needs its hours for longer: months begin at midnight somewhere.
_MONTHLY, _MONTHLY_KEPT = tuple(axis for axis, (_, period) in AXES.items() if period > DAY), 35 * DAY
#: Tallies: a row of this level is kept for so long after its end.
_TALLIES = (HOUR, DAY, 35 * DAY, 400 * DAY)
_KEPT = 400 * DAY
_CHANGES = 200  # of one limit
#: At one opening, time passes by no more than this: a clock that is years ahead for a day must not clear the ledger.
_STRIDE = 45 * DAY

Step = Callable[[sqlite3.Connection, float, int], int]


def fold(connection: sqlite3.Connection, now: float, rows: int) -> bool:
    """One step of at most about `rows` rows, within the caller's transaction. True: there is more to do."""
    return any(step(connection, now, rows) for step in _STEPS)


def begin(connection: sqlite3.Connection, wall: float, clock: float) -> float:
    """What is small is done at once. Gives the latest moment by which to fold."""
    found = connection.execute("SELECT value FROM meta WHERE name = 'folded'").fetchone()
    now = min(wall, found[0] + _STRIDE) if found else wall
    connection.execute("INSERT OR REPLACE INTO meta VALUES ('folded', ?)", (now,))
    presence.remove(connection, presence.gone(connection, clock))
    connection.execute("DELETE FROM spent WHERE span = ? AND at < ?", (int(DAY), now - _KEPT))
    connection.execute("DELETE FROM changes WHERE at < ?", (now - _KEPT,))
    connection.execute(_TRIM, (_CHANGES,))
    return now + _STRIDE if found is None else float(found[0]) + _STRIDE


_TRIM = """
DELETE FROM changes WHERE id IN (
  SELECT id FROM (SELECT id, row_number() OVER (PARTITION BY owner, axis ORDER BY id DESC) AS n FROM changes)
  WHERE n > ?
)
"""


def _spent(span: int, keep: float, edge: float, which: str = "") -> Step:
    """`edge`: up to a whole minute, hour or day, so that a longer stretch is summed once."""

    def step(connection: sqlite3.Connection, now: float, rows: int) -> int:
        before = (now - keep) // edge * edge
        found = connection.execute(
            f"SELECT at, line, last, amount FROM spent WHERE span = ? AND at < ? {which} ORDER BY at, line LIMIT ?",
            (span, before, rows),
        ).fetchall()
        if not found:
            return 0
        axes = dict(connection.execute("SELECT id, axis FROM lines"))
        sums: dict[tuple[int, int, int], tuple[int, float]] = {}
        for at, line, last, amount in found:
            longer = next_span(axes.get(line, ""), span)
            place = (longer, at // longer * longer, line)
            latest, total = sums.get(place, (0, 0.0))
            sums[place] = (max(latest, (at - place[1]) * 1000 + last), total + amount)
        connection.executemany(_ADD, [(*place, *sum_) for place, sum_ in sums.items()])
        connection.execute(f"DELETE FROM spent WHERE span = ? AND (at, line) <= (?, ?) {which}", (span, *found[-1][:2]))
        return len(found)

    return step


_ADD = """
INSERT INTO spent (span, at, line, last, amount) VALUES (?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET amount = amount + excluded.amount, last = max(last, excluded.last)
"""


def _tallies(level: int, keep: float) -> Step:
    def step(connection: sqlite3.Connection, now: float, rows: int) -> int:
        """A row holds up to thirty stretches, so fewer of them are taken."""
        edge = HOUR if level == 0 else DAY
        before = (now - keep) // edge * edge - (SPANS[level] if level else 0)
        found = connection.execute(
            "SELECT at, pair, body FROM tallies WHERE level = ? AND at < ? ORDER BY at, pair LIMIT ?",
            (level, before, rows if level == 0 else max(1, rows // 20)),
        ).fetchall()
        rising: dict[tuple[int, int, int], list[Tally]] = {}
        for at, pair, body in found:
            longer = 0 if level + 1 == EVER else int(at // SPANS[level + 1] * SPANS[level + 1])
            rising.setdefault((level + 1, longer, pair), []).extend(tallying.decode(body))
        for place, stretches in rising.items():
            summed = tallying.into(place[0], tallying.load(connection, place), stretches)
            tallying.store(connection, place, summed)
        if found:
            connection.execute("DELETE FROM tallies WHERE level = ? AND (at, pair) <= (?, ?)", (level, *found[-1][:2]))
        return len(found)

    return step


_BY_MONTH = "(SELECT id FROM lines WHERE axis IN ({}))".format(", ".join(f"'{axis}'" for axis in _MONTHLY))
_STEPS = [
    _spent(*_SPENT[0]),
    _spent(*_SPENT[1]),
    _spent(*_SPENT[2], f"AND line NOT IN {_BY_MONTH}"),
    _spent(int(HOUR), _MONTHLY_KEPT, DAY, f"AND line IN {_BY_MONTH}"),
    *(_tallies(level, keep) for level, keep in enumerate(_TALLIES)),
]
