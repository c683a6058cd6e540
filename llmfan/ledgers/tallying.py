"""What was sent and answered, in rows that hold many stretches: a day of hours, thirty days, all that is long ago.

A year of fifty keys is a hundred thousand stretches; as rows of their own they would take a second to read. So hours
become parts of a day when the day is over for a day, and their latencies stand together with its last part; and what
is older than a month stands twice, by the day and as one sum, so that all time need not be added up again and again.
Latencies get coarser with age, too: buckets of one per cent for five minutes, of 4 % for hours and days.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from operator import attrgetter

import msgspec

from llmfan.entries import Tally
from llmfan.ledgers.names import Names
from llmfan.ledgers.stretches import COUNTS, gather, merge
from llmfan.units import DAY, HOUR, MINUTE

#: The finest stretch: an hour of fifty keys by the minute takes long to read.
FINE = 5 * MINUTE
#: A row of a level spans so much: the finest stretch, a day by the hour, a day in parts, thirty days by the day.
SPANS = (FINE, DAY, DAY, 30 * DAY)
#: Hours of UTC at which the parts of a day begin: where days do, in UTC and Los Angeles, by summer and by winter time.
_PARTS = (0.0, 7 * HOUR, 8 * HOUR, DAY)
#: From this level on a row's latencies stand together.
GATHERED = 2
#: The last level: one row with one stretch, the sum of those of the level before it, dropped ones too.
EVER = 4
#: So many 1 % buckets of latency are taken together when they are a minute's no more.
_WIDTH = 4
_NO_LATENCY = -(1 << 20)  # what a sketch counts as nothing


class Stretch(Tally, omit_defaults=True):
    """A tally as it is stored: its key and model stand in `pairs`."""


class Pairs:
    """Keys and models by number."""

    def __init__(self, names: Names):
        self._names = names
        self._numbers: dict[tuple[str, str], int] = {}

    def number(self, connection: sqlite3.Connection, key: str, model: str) -> int:
        number = self._numbers.get((key, model))
        if number is None:
            stored = (self._names.key_id(key), model)
            connection.execute("INSERT OR IGNORE INTO pairs (key, model) VALUES (?, ?)", stored)
            found = connection.execute("SELECT id FROM pairs WHERE key = ? AND model = ?", stored).fetchone()
            number = self._numbers[key, model] = int(found[0])
        return number

    def lost(self) -> None:
        """A transaction was undone, and with it perhaps the numbers it gave."""
        self._numbers.clear()


def add(connection: sqlite3.Connection, pairs: Pairs, tallies: Iterable[Tally]) -> None:
    for tally in tallies:
        place = (0, int(tally.at // FINE * FINE), pairs.number(connection, tally.key, tally.model))
        stretch = _stretch(tally, float(place[1]), FINE)
        for before in load(connection, place):
            merge(stretch, before)
        store(connection, place, [stretch])


def tallied(connection: sqlite3.Connection, names: Names, since: float) -> list[Tally]:
    """What ended at or after a moment, oldest first."""
    pairs = {
        number: (names.labels(key), model)
        for number, key, model in connection.execute("SELECT id, key, model FROM pairs")
    }  # fmt: skip
    found: list[Tally] = []
    oldest = connection.execute("SELECT min(at) FROM tallies WHERE level = ?", (EVER - 1,)).fetchone()[0]
    all_time = oldest is None or since <= oldest
    for level in (EVER if all_time else EVER - 1, 2, 1, 0):
        first = since - SPANS[level] if level < EVER else -1
        for number, body in connection.execute(
            "SELECT pair, body FROM tallies WHERE level = ? AND at > ?", (level, first)
        ):
            labels, model = pairs[number]
            for label in labels:
                stretches = decode(body)
                for stretch in stretches:
                    stretch.key, stretch.model = label, model
                found += stretches
    if since > 0:
        found = [stretch for stretch in found if stretch.at + stretch.span > since]
    found.sort(key=attrgetter("at"))
    return found


# -------------------------------------------------------------- for folding


def load(connection: sqlite3.Connection, place: tuple[int, int, int]) -> list[Tally]:
    row = connection.execute("SELECT body FROM tallies WHERE level = ? AND at = ? AND pair = ?", place).fetchone()
    return decode(row[0]) if row else []


def store(connection: sqlite3.Connection, place: tuple[int, int, int], stretches: Sequence[Tally]) -> None:
    connection.execute("INSERT OR REPLACE INTO tallies VALUES (?, ?, ?, ?)", (*place, _encode(stretches)))


def into(level: int, stretches: Sequence[Tally], finer: Sequence[Tally]) -> list[Tally]:
    """A row's stretches and those of a finer level, summed as its own level has them."""
    summed: dict[float, Tally] = {}
    for each in (*stretches, *finer):
        begin, span = _place(level, each.at)
        if begin in summed:
            merge(summed[begin], each)
        else:
            summed[begin] = _stretch(each, begin, span)
    made = [summed[begin] for begin in sorted(summed)]
    if level == EVER and made:
        made[0].at = min(each.at for each in (*stretches, *finer))
        made[0].span = max(each.at + each.span for each in (*stretches, *finer)) - made[0].at
    if level >= GATHERED:
        _gather(made)
    for each in made:
        each.latencies = _coarser(each.latencies)
    return made


def _place(level: int, at: float) -> tuple[float, float]:
    """Where the stretch of a level begins that a moment falls into, and how long it is."""
    if level == EVER:
        return 0.0, 0.0
    if level != 2:
        span = HOUR if level == 1 else DAY
        return at // span * span, span
    day = at // DAY * DAY
    part = next(n for n, end in enumerate(_PARTS[1:]) if at - day < end)
    return day + _PARTS[part], _PARTS[part + 1] - _PARTS[part]


def _gather(stretches: Sequence[Tally]) -> None:
    together: dict[int, int] = {}
    for each in stretches:
        gather(together, each.latencies)
        each.latencies = {}
    if stretches:
        stretches[-1].latencies = together


def decode(body: bytes) -> list[Tally]:
    """A row that the disk has spoiled counts as empty: better than none of the others can be read or written."""
    try:
        return _decode(body)
    except msgspec.DecodeError:
        return []


def _stretch(tally: Tally, at: float, span: float) -> Stretch:
    counts = {name: getattr(tally, name) for name in COUNTS}
    return Stretch(key="", model="", at=at, span=span, latencies=dict(tally.latencies), **counts)


def _coarser(latencies: dict[int, int]) -> dict[int, int]:
    """Counts of neighbouring buckets stand in one of their middle."""
    found: dict[int, int] = {}
    for bucket, count in latencies.items():
        middle = bucket if bucket == _NO_LATENCY else bucket // _WIDTH * _WIDTH + _WIDTH // 2
        found[middle] = found.get(middle, 0) + count
    return found


_decode = msgspec.msgpack.Decoder(list[Tally]).decode
_encode = msgspec.msgpack.Encoder().encode
