"""What was sent and answered, in rows that hold many stretches: a day of hours, thirty days, all that came before.

A year of fifty keys is a hundred thousand stretches; as rows of their own they would take a second to read.
Latencies get coarser with age: buckets of one per cent for minutes, of 4 % for hours, of 8 % for days.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from operator import attrgetter

import msgspec

from llmfan.entries import Tally
from llmfan.ledgers.names import Names
from llmfan.units import DAY, HOUR, MINUTE

#: A row of a level spans so much, and holds stretches of so much, with so many 1 % buckets of latency taken together.
#: The last level is one row with one stretch, for all that is older than anyone asks for.
SPANS = (MINUTE, DAY, 30 * DAY)
STRETCHES = (MINUTE, HOUR, DAY)
BUCKETS = (1, 4, 8, 8)
EVER = 3
_COUNTS = ("sent", "ok", "refused", "failed", "input_tokens", "output_tokens", "latency_s")
_NO_LATENCY = -(1 << 20)  # what a sketch counts as nothing


class Stretch(Tally, array_like=True):
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
        place = (0, int(tally.at // MINUTE * MINUTE), pairs.number(connection, tally.key, tally.model))
        stretch = _stretch(tally, float(place[1]), MINUTE)
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
    for level in (EVER, 2, 1, 0):
        first = since - SPANS[level] if level < EVER else float("-inf")
        for number, body in connection.execute(
            "SELECT pair, body FROM tallies WHERE level = ? AND at > ?", (level, max(first, -(1 << 53)))
        ):
            labels, model = pairs[number]
            for label in labels:
                for stretch in decode(body):
                    stretch.key, stretch.model = label, model
                    if stretch.at + stretch.span > since:
                        found.append(stretch)
    found.sort(key=attrgetter("at"))
    return found


# -------------------------------------------------------------- for folding


def load(connection: sqlite3.Connection, place: tuple[int, int, int]) -> list[Stretch]:
    row = connection.execute("SELECT body FROM tallies WHERE level = ? AND at = ? AND pair = ?", place).fetchone()
    return decode(row[0]) if row else []


def store(connection: sqlite3.Connection, place: tuple[int, int, int], stretches: Sequence[Stretch]) -> None:
    connection.execute("INSERT OR REPLACE INTO tallies VALUES (?, ?, ?, ?)", (*place, _ENCODER.encode(stretches)))


def into(level: int, stretches: Sequence[Stretch], finer: Sequence[Stretch]) -> list[Stretch]:
    """A row's stretches and those of a finer level, summed as its own level has them."""
    summed: dict[float, Stretch] = {}
    for each in (*stretches, *finer):
        if level == EVER:
            begin, span = 0.0, 0.0
        else:
            span = STRETCHES[level]
            begin = each.at // span * span
        if begin in summed:
            merge(summed[begin], each)
        else:
            summed[begin] = _stretch(each, begin, span)
    made = [summed[begin] for begin in sorted(summed)]
    if level == EVER and made:
        made[0].at = min(each.at for each in (*stretches, *finer))
        made[0].span = max(each.at + each.span for each in (*stretches, *finer)) - made[0].at
    for each in made:
        each.latencies = _coarser(each.latencies, BUCKETS[level])
    return made


def merge(into: Tally, more: Tally) -> None:
    for name in _COUNTS:
        setattr(into, name, getattr(into, name) + getattr(more, name))
    for bucket, count in more.latencies.items():
        into.latencies[bucket] = into.latencies.get(bucket, 0) + count


def _stretch(tally: Tally, at: float, span: float) -> Stretch:
    counts = {name: getattr(tally, name) for name in _COUNTS}
    return Stretch(key="", model="", at=at, span=span, latencies=dict(tally.latencies), **counts)


def _coarser(latencies: dict[int, int], width: int) -> dict[int, int]:
    """Counts of neighbouring buckets stand in their middle one."""
    if width == 1:
        return latencies
    found: dict[int, int] = {}
    for bucket, count in latencies.items():
        middle = bucket if bucket == _NO_LATENCY else bucket // width * width + width // 2
        found[middle] = found.get(middle, 0) + count
    return found


decode = msgspec.msgpack.Decoder(list[Stretch]).decode
_ENCODER = msgspec.msgpack.Encoder()
