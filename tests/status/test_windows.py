"""Where days and months begin: Los Angeles across its two long nights, UTC, rolling."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmfan.limits.axes import last_boundary, next_boundary
from llmfan.status.windows import Almanac
from tests.status.knowing import document, fleet, ledger, provider, the_key

LA = "America/Los_Angeles"


def utc(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("now", "reset", "start", "end"),
    [
        ("2026-11-21 12:00", "utc", "2026-11-21 00:00", "2026-11-22 00:00"),
        ("2026-11-21 00:00", "utc", "2026-11-21 00:00", "2026-11-22 00:00"),
        ("2026-03-08 07:59", LA, "2026-03-07 08:00", "2026-03-08 08:00"),
        ("2026-03-08 08:00", LA, "2026-03-08 08:00", "2026-03-09 07:00"),  # 23 hours
        ("2026-03-09 06:59", LA, "2026-03-08 08:00", "2026-03-09 07:00"),
        ("2026-03-09 07:00", LA, "2026-03-09 07:00", "2026-03-10 07:00"),
        ("2026-11-01 06:59", LA, "2026-10-31 07:00", "2026-11-01 07:00"),
        ("2026-11-01 09:30", LA, "2026-11-01 07:00", "2026-11-02 08:00"),  # 25 hours, half past one comes twice
        ("2026-11-02 07:59", LA, "2026-11-01 07:00", "2026-11-02 08:00"),
        ("2026-11-02 08:00", LA, "2026-11-02 08:00", "2026-11-03 08:00"),
    ],
)
def test_a_day_is_from_midnight_to_midnight_of_its_place(now: str, reset: str, start: str, end: str) -> None:
    """An hour off, and a day's allowance is thought spent, or spent twice."""
    day = Almanac(utc(now)).of("rpd", reset)
    assert day.start == utc(start).timestamp()
    assert day.end == utc(end).timestamp()


@pytest.mark.parametrize(
    ("now", "reset", "start", "end"),
    [
        ("2026-12-31 23:59", "utc", "2026-12-01 00:00", "2027-01-01 00:00"),
        ("2026-11-01 06:59", LA, "2026-10-01 07:00", "2026-11-01 07:00"),
        ("2026-11-15 00:00", LA, "2026-11-01 07:00", "2026-12-01 08:00"),  # an hour longer than 30 days
        ("2028-02-29 12:00", "utc", "2028-02-01 00:00", "2028-03-01 00:00"),
    ],
)
def test_a_month_is_a_calendars(now: str, reset: str, start: str, end: str) -> None:
    """Thirty days are no month: the allowance would come back too early or too late."""
    month = Almanac(utc(now)).of("requests_per_month", reset)
    assert (month.start, month.end) == (utc(start).timestamp(), utc(end).timestamp())


def test_rolling_days_and_minutes_end_now() -> None:
    """A provider that counts 24 hours back has no midnight."""
    almanac = Almanac(utc("2026-11-21 12:00"))
    assert almanac.of("rpd", "rolling") == (utc("2026-11-20 12:00").timestamp(), None)
    assert almanac.of("rpm", "utc") == (utc("2026-11-21 11:59").timestamp(), None)


@given(
    st.datetimes(dt.datetime(2024, 1, 1), dt.datetime(2030, 1, 1)),
    st.sampled_from(["utc", LA, "Europe/Berlin", "Asia/Kathmandu", "Australia/Lord_Howe"]),
    st.booleans(),
)
def test_every_moment_lies_in_the_window_that_ends_where_the_next_begins(
    moment: dt.datetime, zone: str, month: bool
) -> None:
    """A gap or an overlap between two windows loses or doubles what was spent in it."""
    now = moment.replace(tzinfo=dt.UTC)
    start, end = last_boundary(now, zone, month), next_boundary(now, zone, month)
    assert start <= now < end
    assert last_boundary(end, zone, month) == end
    assert next_boundary(start, zone, month) == end


@pytest.mark.parametrize(
    ("now", "used", "resets_in"),
    [
        ("2026-03-09 06:30", 7, 1800),  # the night before is in it, though it is less than a day ago
        ("2026-03-09 07:30", 0, 23.5 * 3600),
    ],
)
def test_what_is_used_of_a_day_is_what_was_spent_since_its_midnight(now: str, used: float, resets_in: float) -> None:
    """Counted from the wrong midnight, a full key looks empty on the day the clocks change."""
    of = fleet(provider(axes={"rpd": 100}, reset=LA))
    spent = [("a#1", "rpd", 3.0, utc("2026-03-08 07:50")), ("a#1", "rpd", 7.0, utc("2026-03-08 08:10"))]
    rpd = the_key(document(of, ledger(booked=spent), utc(now)))["limits"]["rpd"]
    assert (rpd["used"], rpd["left"]) == (used, 100 - used)
    assert rpd["resets_in_s"] == resets_in


def test_a_rolling_day_comes_back_as_what_was_spent_grows_old() -> None:
    """A countdown to a midnight that such a provider does not know sends people away for hours."""
    of = fleet(provider(axes={"rpd": 10}, reset="rolling"))
    spent = [("a#1", "rpd", 4.0, utc("2026-11-20 18:00")), ("a#1", "rpd", 6.0, utc("2026-11-21 02:00"))]
    found = the_key(document(of, ledger(booked=spent), utc("2026-11-21 12:00")))
    assert found["limits"]["rpd"]["left"] == 0
    assert found["state"] == "exhausted"
    assert found["available_in_s"] == 6 * 3600
    assert found["until"] == "2026-11-21T18:00:00.000Z"


def test_a_months_allowance_is_counted_from_the_first() -> None:
    """A day's window would forget what the month has cost already."""
    of = fleet(provider(axes={"requests_per_month": 1000}))
    spent = [
        ("a#1", "requests_per_month", n, utc(day)) for n, day in ((50.0, "2026-10-31 23:00"), (70.0, "2026-11-01"))
    ]
    found = the_key(document(of, ledger(booked=spent), utc("2026-11-21 12:00")))["limits"]["requests_per_month"]
    assert (found["used"], found["left"]) == (70, 930)
    assert found["resets_at"] == "2026-12-01T00:00:00.000Z"
