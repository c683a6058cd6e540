"""Old detail is summed into longer stretches, a little at a time: nothing that was spent or sent gets lost by it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from llmfan.entries import Tally
from llmfan.ledgers import presence, tallying
from llmfan.ledgers.spending import next_span
from llmfan.ledgers.tallying import EVER, SPANS
from llmfan.settings import AXES
from llmfan.units import DAY, HOUR, MINUTE, MONTH


def _lines(least: float, most: float) -> str:
    """Those whose axis counts by more than `least` and up to `most` seconds. One that nobody knows counts as short."""
    axes = ", ".join(f"'{axis}'" for axis, (_, period) in AXES.items() if (least < period <= most) == (least > 0))
    return f"line IN (SELECT id FROM lines WHERE axis {'IN' if least > 0 else 'NOT IN'} ({axes}))"


#: Bookings: stretches of so many seconds are kept for so long, up to a whole minute, hour or day, and then summed into
#: longer ones. Ten times its own window is enough for each; a month begins at midnight somewhere, so it needs hours.
_SPENT = (
    (1, 3 * MINUTE, MINUTE, "true"),
    (60, 30 * MINUTE, 10 * MINUTE, _lines(-1, MINUTE)),
    (60, 2 * HOUR, HOUR, _lines(MINUTE, HOUR)),
    (600, 2 * HOUR, HOUR, "true"),
    (int(HOUR), 10 * HOUR, HOUR, _lines(-1, HOUR)),
    (int(HOUR), 3 * DAY, DAY, _lines(HOUR, DAY)),
    (int(HOUR), 35 * DAY, DAY, _lines(DAY, MONTH)),
)
#: Tallies: a row of this level is kept for so long after its end.
_TALLIES = (HOUR, DAY, 35 * DAY)
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
    connection.execute("DELETE FROM tallies WHERE level = ? AND at < ?", (EVER - 1, now - _KEPT - SPANS[EVER - 1]))
    connection.execute("DELETE FROM changes WHERE at < ?", (now - _KEPT,))
    connection.execute(_TRIM, (_CHANGES,))
    return now + _STRIDE if found is None else float(found[0]) + _STRIDE


_TRIM = """
DELETE FROM changes WHERE id IN (
  SELECT id FROM (SELECT id, row_number() OVER (PARTITION BY owner, axis ORDER BY id DESC) AS n FROM changes)
  WHERE n > ?
)
"""


def _spent(span: int, keep: float, edge: float, which: str) -> Step:
    longer = next_span(span)

    def step(connection: sqlite3.Connection, now: float, rows: int) -> int:
        before = (now - keep) // edge * edge
        found = connection.execute(
            f"SELECT at, line, last, amount FROM spent WHERE span = ? AND at < ? AND {which} ORDER BY at, line LIMIT ?",
            (span, before, rows),
        ).fetchall()
        if not found:
            return 0
        sums: dict[tuple[int, int, int], tuple[int, float]] = {}
        for at, line, last, amount in found:
            place = (longer, at // longer * longer, line)
            latest, total = sums.get(place, (0, 0.0))
            sums[place] = (max(latest, (at - place[1]) * 1000 + last), total + amount)
        connection.executemany(_ADD, [(*place, *sum_) for place, sum_ in sums.items()])
        done = found[-1][:2]
        connection.execute(f"DELETE FROM spent WHERE span = ? AND (at, line) <= (?, ?) AND {which}", (span, *done))
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
            stretches = tallying.decode(body)
            longer = int(at // SPANS[level + 1] * SPANS[level + 1])
            rising.setdefault((level + 1, longer, pair), []).extend(stretches)
            if level + 1 == EVER - 1:  # from here on it is part of all time as well
                rising.setdefault((EVER, 0, pair), []).extend(stretches)
        for place, stretches in rising.items():
            summed = tallying.into(place[0], tallying.load(connection, place), stretches)
            tallying.store(connection, place, summed)
        if found:
            connection.execute("DELETE FROM tallies WHERE level = ? AND (at, pair) <= (?, ?)", (level, *found[-1][:2]))
        return len(found)

    return step


_STEPS = [
    *(_spent(*rule) for rule in _SPENT),
    *(_tallies(level, keep) for level, keep in enumerate(_TALLIES)),
]
