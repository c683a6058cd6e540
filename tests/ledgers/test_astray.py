"""A ledger that is moved, deleted or put back while it is open: what is spent stands where the next one looks."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from llmfan.ledgers.presence import BEAT_S
from tests.ledgers.books import NOON, Said, Time, opened, spend, sums


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "state" / "ledger.sqlite3"


def delete(place: Path) -> None:
    for path in list(place.parent.iterdir()):
        path.unlink()


def delete_the_folder(place: Path) -> None:
    shutil.rmtree(place.parent)


def move(place: Path) -> None:
    os.rename(place, place.with_name("old"))


@pytest.mark.parametrize("lose", [delete, delete_the_folder, move])
def test_what_was_spent_goes_into_a_new_one(place: Path, lose: object) -> None:
    """Written for hours into a file that nobody can open: the next run spends the whole day again."""
    opened(place).close()
    time, said = Time(NOON + 60), Said()
    ledger = opened(place, time=time, said=said)
    spend(ledger, amount=3, at=NOON)
    spend(ledger, amount=-1, at=NOON + 5)
    spend(ledger, "p#2", "concurrency")
    lose(place)  # type: ignore[operator]
    spend(ledger, amount=4, at=NOON + 30)
    time.passes(BEAT_S)
    assert ledger.elsewhere() is None
    spend(ledger, amount=5, at=NOON + 62)
    assert said == [
        f"{place}: the ledger has been moved or deleted: a new one is begun, what this process spent goes there"
    ]
    other = opened(place, time=time)
    assert sums(other.booked(0)) == sums(ledger.booked(0)) == {("p#1", "rpm"): 11}
    assert spend(other, amount=7).in_flight == {"p#2": 1}
    told = ledger.elsewhere()
    assert told is not None and list(told.booked) == [("p#1", "rpm", 7)]
    time.passes(BEAT_S)
    ledger.elsewhere()
    ledger.close()
    other.close()
    assert len(said) == 1 and sums(opened(place, time=time).booked(0)) == {("p#1", "rpm"): 18}


def test_two_that_lose_it_meet_again_in_one_new_file(place: Path) -> None:
    """Each in a file of its own, they would spend the limit twice."""
    time, said = Time(), Said()
    one, two = (opened(place, time=time, said=said) for _ in range(2))
    spend(one, amount=3)
    spend(two, amount=4)
    move(place)
    time.passes(BEAT_S)
    one.elsewhere()
    two.elsewhere()
    one.elsewhere()
    spend(one, amount=5)
    told = two.elsewhere()
    assert told is not None and list(told.booked) == [("p#1", "rpm", 5)]
    assert sums(opened(place, time=time).booked(0)) == {("p#1", "rpm"): 12} and len(said) == 2


def test_the_file_that_was_moved_has_all_that_was_spent_till_then(place: Path) -> None:
    """Moved without its log, as `mv` does it: the log must be in it by the end, and in none other."""
    time, said = Time(), Said()
    one, two = (opened(place, time=time, said=said) for _ in range(2))
    spend(one, amount=3)
    move(place)
    spend(two, amount=4)
    newcomer = opened(place, time=time)
    spend(newcomer, amount=50)
    spend(one, amount=1)
    for ledger in (two, one, newcomer):
        time.passes(BEAT_S)
        ledger.elsewhere()
    for ledger in (two, one, newcomer):
        ledger.close()
    assert sums(opened(place.with_name("old"), time=time).booked(0)) == {("p#1", "rpm"): 8}
    assert sums(opened(place, time=time).booked(0)) == {("p#1", "rpm"): 58}


def test_what_was_spent_in_the_last_second_is_found_by_the_next(place: Path) -> None:
    """A short run ends before it looks again."""
    said = Said()
    ledger = opened(place, said=said)
    spend(ledger, amount=3)
    move(place)
    ledger.close()
    assert sums(opened(place).booked(0)) == {("p#1", "rpm"): 3} and len(said) == 1


def test_one_that_spent_nothing_makes_no_new_file_as_it_ends(place: Path) -> None:
    """`status --reset` beside `rm` would bring the file back."""
    ledger = opened(place)
    delete_the_folder(place)
    ledger.close()
    assert not place.parent.exists()


def test_a_copy_that_is_put_back_is_used_and_not_filled_twice(place: Path) -> None:
    """A ledger restored from a copy knows what was spent before; booked again, half the day would be gone."""
    time = Time()
    ledger = opened(place, time=time)
    spend(ledger, amount=3)
    for part in ("", "-wal"):
        shutil.copy(f"{place}{part}", f"{place}{part}.copy")
    for part in ("", "-wal", "-shm"):
        os.rename(f"{place}{part}", f"{place}{part}.old")
    for part in ("", "-wal"):
        os.rename(f"{place}{part}.copy", f"{place}{part}")
    time.passes(BEAT_S)
    ledger.elsewhere()
    spend(ledger, amount=2)
    ledger.close()
    assert sums(opened(place).booked(0)) == {("p#1", "rpm"): 5}


def test_where_no_new_one_can_be_begun_the_old_one_is_used(place: Path) -> None:
    """Something else has taken its place, and is none of ours."""
    time, said = Time(), Said()
    ledger = opened(place, time=time, said=said)
    move(place)
    place.mkdir()  # and nothing of the old one's log is touched
    for _ in range(3):
        time.passes(BEAT_S)
        ledger.elsewhere()
        spend(ledger)
    assert len(said) == 1 and "goes where it was moved to" in said[0]
    ledger.close()
    assert place.is_dir()
    assert sums(opened(place.with_name("old")).booked(0)) == {("p#1", "rpm"): 3}
