"""The ledger of a process alone: what it books is all there, in memory that hardly grows."""

from __future__ import annotations

import pytest

from llmfan.ledgers.memory import MemoryLedger
from llmfan.records import Booking
from llmfan.units import DAY, HOUR, MINUTE

BEGAN = 1_790_000_000.0 // DAY * DAY


def test_a_fleet_that_is_kept_running_books_by_the_hour_what_is_long_over() -> None:
    """Minutes of every key for weeks: a service without a ledger would grow until it is killed."""
    ledger, minutes = MemoryLedger(), int(10 * DAY // MINUTE)
    for n in range(minutes):
        at = BEGAN + n * MINUTE
        ledger.book(lambda _, at=at: [Booking(owner="a#1", axis="rpd", amount=1.0, at=at)])  # type: ignore[misc]
    assert len(ledger._booked) < 4 * DAY / MINUTE
    for since in (BEGAN, BEGAN + 3 * DAY, BEGAN + 5 * DAY + 7 * HOUR, BEGAN + 9 * DAY + 5 * MINUTE):
        whole = sum(each.amount for each in ledger.booked(since))
        assert whole == pytest.approx(minutes - (since - BEGAN) / MINUTE), "a day's or a month's sum has changed"
