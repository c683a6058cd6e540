"""What came back counts as never spent, wherever it was spent: no more is held than went out for good."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmfan.ledgers.archive import SqliteArchive
from llmfan.ledgers.memory import MemoryLedger
from llmfan.ledgers.netting import BEFORE_S, netted
from llmfan.ledgers.opening import open_archive
from llmfan.ledgers.sqlite import SqliteLedger
from llmfan.records import Booking
from tests.ledgers.books import NOON, Said, Time, opened, plain_fleet, sums

Book = Callable[[float, float], None]


def booking(amount: float, at: float, owner: str = "p#1") -> Booking:
    return Booking(owner=owner, axis="tpm", amount=amount, at=NOON + at)


def left(*bookings: Booking, since: float = -9e9) -> list[tuple[float, float]]:
    return [(each.amount, each.at - NOON) for each in netted(bookings, NOON + since)]


@pytest.fixture(params=["sqlite", "memory"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> SqliteLedger | MemoryLedger:
    return opened(tmp_path / "l", time=Time(NOON + 600)) if request.param == "sqlite" else MemoryLedger()


def test_what_is_reserved_and_given_back_seconds_later_is_not_spent(ledger: SqliteLedger | MemoryLedger) -> None:
    """Six calls that reserve 1000 tokens and need 100: the next run would find the limit full ten times over."""
    for n in range(6):
        for amount, at in ((1000.0, 10.0 * n), (-900.0, 10.0 * n + 5)):
            made = booking(amount, at)
            ledger.book(lambda _, made=made: [made])
    assert sums(ledger.booked(NOON - 60)) == {("p#1", "tpm"): 600}


def test_an_archive_and_a_ledger_that_cannot_write_take_it_off_as_well(tmp_path: Path) -> None:
    """`status` and a run on a full disk would tell ten times what was spent."""
    ledger, said = opened(tmp_path / "l", said=Said()), Said()
    ledger.book(lambda _: [booking(1000, 0), booking(-300, 2)])
    archive = open_archive(str(tmp_path / "l"), plain_fleet(), said, Time(NOON + 60).wall)
    assert isinstance(archive, SqliteArchive) and sums(archive.booked(0)) == {("p#1", "tpm"): 700}
    connection = vars(ledger)["_database"].connection
    connection.execute("PRAGMA query_only = 1")
    ledger.book(lambda _: [booking(-600, 5)])
    assert sums(ledger.booked(0)) == {("p#1", "tpm"): 100} and sums(archive.booked(0)) == {("p#1", "tpm"): 700}


def test_it_is_taken_from_the_newest_that_came_before() -> None:
    """Taken from the oldest, a rolling window would hold the rest too long; from a later one, too short."""
    assert left(booking(5, 0), booking(4, 10), booking(-6, 20), booking(9, 30)) == [(3, 0), (9, 30)]
    assert left(booking(5, 0), booking(-1, 5, "p#2"), booking(2, 9, "p#2")) == [(5, 0), (1, 9)]


def test_what_was_spent_before_midnight_and_came_back_after_it_takes_nothing_off_the_day(
    ledger: SqliteLedger | MemoryLedger,
) -> None:
    """A day would begin with less on its count than the provider has on its own."""
    ledger.book(lambda _: [booking(1000, -70), booking(-900, 3), booking(500, 70)])
    assert sums(ledger.booked(NOON)) == {("p#1", "tpm"): 500}
    assert left(booking(1000, -2), booking(-900, 3), booking(500, 10), since=0) == [(500, 10)]
    assert BEFORE_S >= 600  # no request lasts longer, waiting and all


AMOUNTS = st.lists(st.tuples(st.integers(0, 4000), st.integers(-50, 50), st.sampled_from(["p#1", "p#2"])))


@given(AMOUNTS)
def test_a_sum_stays_what_it_is_and_nothing_is_below_nothing(amounts: list[tuple[int, int, str]]) -> None:
    """Every rounding the same way adds up to a day's quota."""
    found = netted([booking(float(amount), at, owner) for at, amount, owner in amounts], 0)
    assert all(each.amount > 0 for each in found)
    assert [each.at for each in found] == sorted(each.at for each in found)
    for owner in ("p#1", "p#2"):
        total = sum(amount for _, amount, whose in amounts if whose == owner)
        assert sum(each.amount for each in found if each.owner == owner) == max(0, total)
