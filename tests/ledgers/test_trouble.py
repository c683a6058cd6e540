"""A full disk, or a file that somebody holds: it is said once, nothing raises, and nothing spent is forgotten."""

from __future__ import annotations

import resource
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from llmfan.entries import Elsewhere, KeyState, Tally
from llmfan.ledgers.database import RETRY_S, Database
from llmfan.ledgers.sqlite import SqliteLedger
from llmfan.records import Booking, Known
from tests.ledgers.books import NOON, Said, Time, opened, plain_fleet, spend, sums


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite3"


def connection_of(ledger: SqliteLedger) -> sqlite3.Connection:
    database = vars(ledger)["_database"]
    assert isinstance(database, Database)
    return database.connection


def fill_up(ledger: SqliteLedger) -> None:
    """To SQLite a file that may not grow is a full disk."""
    connection = connection_of(ledger)
    connection.execute(f"PRAGMA max_page_count = {connection.execute('PRAGMA page_count').fetchone()[0]}")


def make_room(ledger: SqliteLedger) -> None:
    connection_of(ledger).execute("PRAGMA max_page_count = 1000000")


def spend_much(ledger: SqliteLedger) -> int:
    """More than the pages hold that are there. Gives how often it was decided."""
    decided = 0

    def decide(_: Elsewhere) -> list[Booking]:
        nonlocal decided
        decided += 1
        return [Booking(owner="p#1", axis="rpm", amount=1.0, at=NOON - n) for n in range(4000)]

    ledger.book(decide)
    return decided


def test_a_full_disk_is_said_once_and_made_up_for_when_there_is_room(place: Path) -> None:
    """A run of hours ends because of a log file somewhere; or worse, goes on and forgets what it spent."""
    time, said = Time(), Said()
    ledger = opened(place, time=time, said=said)
    fill_up(ledger)
    assert spend_much(ledger) == 1
    spend(ledger, amount=2, at=NOON)
    ledger.tally([Tally(key="p#1", model="m", at=NOON, sent=1, ok=1)])
    ledger.keep(Known(states=[KeyState(key="p#1", state="ok", at=NOON)]))
    assert said == [
        f"{place}: the ledger cannot be written (database or disk is full): what this process spends is counted in "
        "memory and written when there is room"
    ]
    assert sums(ledger.booked(0)) == {("p#1", "rpm"): 4002}
    assert len(ledger.tallied(0)) == 1 and ledger.known().states[0].state == "ok"
    make_room(ledger)
    time.passes(RETRY_S + 1)
    ledger.elsewhere()
    assert sums(ledger.booked(0)) == {("p#1", "rpm"): 4002} and len(said) == 1
    ledger.close()
    again = opened(place)
    assert sums(again.booked(0)) == {("p#1", "rpm"): 4002}
    assert [t.sent for t in again.tallied(0)] == [1] and again.known().states[0].state == "ok"


def test_a_disk_that_stays_full_is_said_at_the_end(place: Path) -> None:
    """What the next run does not know of, the user has to."""
    said = Said()
    ledger = opened(place, said=said)
    fill_up(ledger)
    spend_much(ledger)
    ledger.close()
    assert len(said) == 2 and "could not be written" in said[1] and "the next one does not know of it" in said[1]


def test_others_are_still_heard_on_a_full_disk(place: Path) -> None:
    """One that cannot write can still keep out of the way of one that can."""
    said = Said()
    one, other = opened(place, said=said), opened(place)
    fill_up(one)
    spend_much(one)
    spend(other, amount=3)
    assert list(spend(one).booked) == [("p#1", "rpm", 3)]


def test_one_that_was_told_and_could_not_write_is_not_told_again(place: Path) -> None:
    """Others' requests counted twice: half the limit would be left unused."""
    time, said = Time(), Said()
    one, other = opened(place, time=time, said=said), opened(place, time=time)
    spend(other, amount=3)
    fill_up(one)
    told: list[Elsewhere] = []

    def decide(elsewhere: Elsewhere) -> list[Booking]:
        told.append(elsewhere)
        return [Booking(owner="p#1", axis="rpm", amount=1.0, at=NOON - n) for n in range(4000)]

    one.book(decide)
    make_room(one)
    time.passes(RETRY_S + 1)
    told.append(spend(one))
    assert [list(each.booked) for each in told] == [[("p#1", "rpm", 3)], []]
    seen = spend(other, amount=0.5)
    assert list(seen.booked) == [("p#1", "rpm", 4001)]


def test_a_file_that_somebody_holds_is_waited_for_and_then_left_alone(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A backup that locks it for a minute: waited for at each request, the run would stand still."""
    import llmfan.ledgers.database as database

    monkeypatch.setattr(database, "BUSY_S", 0.05)
    time, said = Time(), Said()
    ledger = opened(place, time=time, said=said)
    holder = sqlite3.connect(place, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    for _ in range(100):  # two at most would fit into the patience of one
        spend(ledger)
    assert len(said) == 1 and "database is locked" in said[0] and "written when it can be" in said[0]
    holder.execute("COMMIT")
    holder.close()
    time.passes(RETRY_S + 1)
    ledger.elsewhere()
    ledger.close()
    assert sums(opened(place).booked(0)) == {("p#1", "rpm"): 100}


def test_a_file_that_breaks_while_it_is_open_is_set_aside_by_the_next(place: Path) -> None:
    """What has no place any more is said to have none; and the next start does not trip over it again."""
    said, time = Said(), Time()
    ledger = opened(place, said=said, time=time)
    spend_much(ledger)
    connection_of(ledger).execute("PRAGMA wal_checkpoint(TRUNCATE)")
    size = place.stat().st_size
    with place.open("r+b") as file:
        file.seek(2 * 4096)
        file.write(b"\xa5" * (size - 2 * 4096))
    connection_of(ledger).execute("PRAGMA shrink_memory")
    spend(ledger)
    ledger.booked(0)
    ledger.known()
    ledger.close()
    assert any("the next start sets the file aside" in text for text in said)
    later = Said()
    fresh = opened(place, said=later)
    assert len(later) == 1 and "damaged" in later[0] and fresh.booked(0) == []


SMALL_DISK = """
import sys
sys.path.insert(0, {root!r})
from llmfan.records import Booking
from tests.ledgers.books import *
said = Said()
ledger = opened(Path({place!r}), said=said)
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
for n in range(2000):
    ledger.book(lambda _: [Booking(owner="p#1", axis="rpm", amount=1.0, at=NOON - 2000 + n)])
print(sum(b.amount for b in ledger.booked(0)))
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
ledger.close()
print(*said, sep="\\n")
"""


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE"), reason="needs a bound on the size of files")
def test_a_write_that_the_system_refuses_loses_nothing(place: Path) -> None:
    """As with a quota of the file system: the write itself fails, in the middle of a page."""
    script = SMALL_DISK.format(root=str(Path(__file__).parents[2]), place=str(place))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    counted, *said = done.stdout.splitlines()
    assert float(counted) == 2000
    assert len(said) == 1 and "cannot be written" in said[0]
    assert sums(opened(place, plain_fleet()).booked(0)) == {("p#1", "rpm"): 2000}
