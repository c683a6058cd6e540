"""Old detail is summed, never lost: what was spent and what was sent stay the same to the last request."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmfan.entries import Tally
from llmfan.ledgers import folding
from llmfan.ledgers.sqlite import SqliteLedger
from llmfan.records import Booking, Known, KnownLimit
from llmfan.units import DAY, HOUR, MINUTE
from tests.ledgers.books import NOON, Time, opened, plain_fleet, rows, spend, sums

AXES = ("rpm", "rph", "rpd", "tokens_per_month", "a kind of the future")
AGES = st.floats(0, 410 * DAY) | st.floats(0, 3 * HOUR)
MORE = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def settle(ledger: SqliteLedger, time: Time) -> None:
    """As much use as it takes to fold all that is due."""
    time.monotonic += 600
    for _ in range(400):
        ledger.elsewhere()


def folded(connection: sqlite3.Connection, now: float) -> None:
    while folding.fold(connection, now, 5):
        pass


@MORE
@given(st.lists(st.tuples(AGES, st.sampled_from(["p#1", "p#2"]), st.sampled_from(AXES), st.integers(-5, 50))))
def test_folding_changes_no_sum(
    tmp_path_factory: pytest.TempPathFactory, spent: list[tuple[float, str, str, int]]
) -> None:
    """Requests that vanish from a sum are sent again today and refused."""
    path = tmp_path_factory.mktemp("l") / "l"
    ledger = opened(path)
    ledger.book(lambda _: [Booking(owner=o, axis=a, amount=float(n), at=NOON - age) for age, o, a, n in spent])
    ledger.close()
    connection = sqlite3.connect(path, isolation_level=None)
    query = "SELECT line, sum(amount), max(at * 1000 + last) FROM spent GROUP BY line"
    before = connection.execute(query).fetchall()
    folded(connection, NOON)
    assert connection.execute(query).fetchall() == before
    odd = connection.execute("SELECT * FROM spent WHERE last < 0 OR last >= span * 1000 OR at % span != 0").fetchall()
    connection.close()
    assert odd == []


@MORE
@given(st.lists(st.tuples(AGES, st.sampled_from(["p#1", "p#2"]), st.integers(0, 9), st.lists(st.integers(-900, 900)))))
def test_folding_loses_no_request(
    tmp_path_factory: pytest.TempPathFactory, sent: list[tuple[float, str, int, list[int]]]
) -> None:
    """All-time figures would shrink as a key gets older."""
    path = tmp_path_factory.mktemp("l") / "l"
    ledger = opened(path)
    for age, key, count, buckets in sent:
        tally = Tally(key=key, model="m", at=NOON - age, sent=count, ok=count, output_tokens=count * 7,
                      latency_s=count / 4, latencies=dict.fromkeys(buckets, 1))  # fmt: skip
        ledger.tally([tally])
    before = totals(ledger.tallied(0))
    ledger.close()
    connection = sqlite3.connect(path, isolation_level=None)
    folded(connection, NOON)
    connection.close()
    again = opened(path)
    found = again.tallied(0)
    again.close()
    assert totals(found) == before
    assert [t.at for t in found] == sorted(t.at for t in found)
    assert all(t.at // DAY == (t.at + t.span - 1) // DAY or t.at < NOON - 35 * DAY for t in found)


def test_a_day_in_los_angeles_can_be_added_up_for_a_month(tmp_path: Path) -> None:
    """Its hours are gone by then; the parts that are left must end where its days do, by summer and winter time."""
    time = Time()
    ledger = opened(tmp_path / "l", time=time)
    midnight = (NOON - 20 * DAY) // DAY * DAY
    for hour in range(24):
        ledger.tally([Tally(key="p#1", model="m", at=midnight + hour * HOUR, sent=1 + hour, latencies={hour: 1})])
    settle(ledger, time)
    found = ledger.tallied(0)
    assert [(t.at - midnight, t.span, t.sent) for t in found] == [
        (0, 7 * HOUR, 28), (7 * HOUR, HOUR, 8), (8 * HOUR, 16 * HOUR, 264),
    ]  # fmt: skip
    assert [sum(t.latencies.values()) for t in found] == [0, 0, 24]


def test_what_is_asked_for_since_a_day_of_last_year_is_told_by_the_day(tmp_path: Path) -> None:
    """All time is one sum; whoever asks for less must not get more."""
    time = Time(NOON - 200 * DAY)
    ledger = opened(tmp_path / "l", time=time)
    for _ in range(200):
        ledger.tally([Tally(key="p#1", model="m", at=time.now, sent=1, ok=1, latencies={9: 1})])
        time.now += DAY
    for _ in range(6):
        ledger.close()
        ledger = opened(tmp_path / "l", time=time)
        settle(ledger, time)
    for since, days in ((0.0, 200), (NOON - 90 * DAY, 91), (NOON - 35 * DAY, 36), (NOON - DAY, 2)):
        found = ledger.tallied(since)
        assert days - 1 <= sum(t.sent for t in found) <= days, days
        assert min(t.at for t in found) >= since - DAY
    assert len(ledger.tallied(0)) < 50 and sum(sum(t.latencies.values()) for t in ledger.tallied(0)) == 200


def totals(tallies: list[Tally]) -> dict[str, tuple[float, ...]]:
    found: dict[str, tuple[float, ...]] = {}
    for each in tallies:
        counts = (each.sent, each.ok, each.output_tokens, each.latency_s, sum(each.latencies.values()))
        found[each.key] = tuple(a + b for a, b in zip(found.get(each.key, (0.0,) * 5), counts, strict=True))
    return found


@pytest.mark.parametrize(
    ("axis", "age", "span"),
    [
        ("rpm", 2 * MINUTE, 1), ("rpm", 10 * MINUTE, 60), ("rpm", 4 * HOUR, HOUR), ("rpm", 12 * HOUR, DAY),
        ("rph", HOUR, 60), ("rph", 4 * HOUR, HOUR), ("rph", 12 * HOUR, DAY),
        ("rpd", HOUR, 600), ("rpd", 4 * HOUR, HOUR), ("rpd", 2.9 * DAY, HOUR), ("rpd", 5 * DAY, DAY),
        ("tokens_per_month", 34 * DAY, HOUR), ("tokens_per_month", 37 * DAY, DAY),
    ],
)  # fmt: skip
def test_detail_is_kept_for_as_long_as_a_window_needs_it(tmp_path: Path, axis: str, age: float, span: float) -> None:
    """A month that begins at midnight in Los Angeles begins in the middle of a UTC day: hours are needed till then."""
    time = Time()
    ledger = opened(tmp_path / "l", time=time)
    spend(ledger, axis=axis, at=NOON - age)
    spend(
        ledger, "p#2", axis="tokens_per_month", at=NOON - 36 * DAY
    )  # the month's rows are passed over, not waited for
    settle(ledger, time)
    query = "SELECT span FROM spent JOIN lines ON id = line WHERE axis = '{}' ORDER BY at DESC LIMIT 1"
    assert rows(tmp_path / "l", query.format(axis)) == [(int(span),)]


def test_what_is_too_old_is_dropped_and_counted_for_ever(tmp_path: Path) -> None:
    """The file may not grow for ever, and a key's first request stays its first."""
    time = Time(NOON - 500 * DAY)
    ledger = opened(tmp_path / "l", time=time)
    for _ in range(3):
        spend(ledger, at=time.now)
        ledger.tally([Tally(key="p#1", model="m", at=time.now, sent=5, ok=5, latencies={100: 5})])
        time.passes(20 * DAY)
    ledger.close()
    for _ in range(20):  # time passes by a stride at each opening
        time.now = min(NOON, time.now + 40 * DAY)
        ledger = opened(tmp_path / "l", time=time)
        settle(ledger, time)
        ledger.close()
    ledger = opened(tmp_path / "l", time=time)
    assert ledger.booked(0) == []
    (ever,) = ledger.tallied(0)
    assert (ever.sent, ever.ok, sum(ever.latencies.values())) == (15, 15, 15)
    assert ever.at // DAY == (NOON - 500 * DAY) // DAY and ever.at + ever.span > NOON - 460 * DAY
    assert ledger.tallied(NOON - DAY) == []


def test_a_clock_that_is_years_ahead_for_a_day_clears_nothing(tmp_path: Path) -> None:
    """A laptop that wakes up in 2040 would throw away this month's spending before its clock is set right."""
    time = Time()
    ledger = opened(tmp_path / "l", time=time)
    spend(ledger, axis="rpd", amount=3, at=NOON)
    spend(ledger, axis="tokens_per_month", amount=9, at=NOON - 20 * DAY)
    ledger.close()
    time.now = NOON + 5000 * DAY
    ledger = opened(tmp_path / "l", time=time)
    settle(ledger, time)
    ledger.close()
    time.now = NOON + 60
    ledger = opened(tmp_path / "l", time=time)
    assert sums(ledger.booked(NOON - 30 * DAY)) == {("p#1", "rpd"): 3, ("p#1", "tokens_per_month"): 9}


def test_changes_are_trimmed_to_the_latest(tmp_path: Path) -> None:
    """A header that flickers between two figures would fill the file by itself."""
    time = Time()
    ledger = opened(tmp_path / "l", time=time)
    for n in range(300):
        ledger.keep(Known(limits=[KnownLimit(owner="p#1", axis="rpm", reported=50.0 + n % 2, at=NOON + n)]))
    ledger.keep(Known(limits=[KnownLimit(owner="p#2", axis="rpm", reported=1.0, at=NOON)]))
    settle(ledger, time)
    changes = ledger.changes(0)
    assert len(changes) == 201 and changes[0].owner == "p#2" and changes[-1].at == NOON + 299


def test_a_years_heavy_use_of_ten_keys_stays_small(tmp_path: Path) -> None:
    """50 MiB for fifty keys is 10 MiB for ten; it is copied with every backup."""
    time, path = Time(NOON - 365 * DAY), tmp_path / "l"
    ledger = opened(path, plain_fleet(10), time)
    latencies = {bucket: 3 for bucket in range(-60, 140)}  # noqa: C420 (each its own)
    while time.now < NOON:
        at = time.now
        for axis in ("rpm", "tpm", "rpd", "tpd"):
            ledger.book(lambda _, at=at, axis=axis: [  # type: ignore[misc]
                Booking(owner=f"p#{n}", axis=axis, amount=600.0 + n, at=at) for n in range(1, 11)])  # fmt: skip
        ledger.tally(
            [Tally(key=f"p#{n}", model="m", at=at, sent=600, ok=600, latencies=latencies) for n in range(1, 11)]
        )
        time.passes(6 * HOUR)
        for _ in range(12):
            ledger.elsewhere()
    settle(ledger, time)
    assert sum(t.sent for t in ledger.tallied(0)) == 600 * 10 * 4 * 365
    ledger.close()
    quarter = path.stat().st_size  # one hour in six was used
    assert quarter * 6 < 10 * 2**20
    assert cast(int, rows(path, "SELECT count(*) FROM spent")[0][0]) < 40 * 500
