"""What one process writes, the next one and the one beside it read: once, and no more than once."""

from __future__ import annotations

import os
import sqlite3
import stat
from pathlib import Path

import pytest

from llmfan.entries import Elsewhere, KeyState, Tally
from llmfan.ledgers.memory import NOT_WRITTEN
from llmfan.ledgers.presence import LAPSE_S, SHARES_S
from llmfan.records import Known, KnownLimit, KnownTarget
from tests.ledgers.books import NOON, Said, Time, opened, plain_fleet, rows, spend, sums


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "state" / "ledger.sqlite3"


def test_the_file_is_its_owners_alone_from_the_first_moment(place: Path) -> None:
    """A file that is readable for a second is readable for good to whoever opened it then."""
    before = os.umask(0)
    try:
        ledger = opened(place)
        spend(ledger)
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (place.parent, *place.parent.iterdir())}
    finally:
        os.umask(before)
    log = {f"{place.name}-wal": 0o600, f"{place.name}-shm": 0o600}
    assert modes == {place.parent.name: 0o700, place.name: 0o600, **log}


def test_a_file_that_is_open_to_others_is_closed_to_them(place: Path) -> None:
    """It was copied from a backup, or made by hand."""
    opened(place).close()
    place.chmod(0o644)
    opened(place).close()
    assert stat.S_IMODE(place.stat().st_mode) == 0o600


def test_no_secret_is_in_the_file(place: Path) -> None:
    """It lies in the home folder for years, and goes into every backup."""
    ledger = opened(place, plain_fleet(3))
    for n in (1, 2, 3):
        spend(ledger, f"p#{n}")
    ledger.tally([Tally(key="p#1", model="m", at=NOON, sent=1, ok=1)])
    ledger.keep(Known(states=[KeyState(key="p#1", state="ok", at=NOON)], shared=[("p#1", "p#2")]))
    found = b"".join(path.read_bytes() for path in place.parent.iterdir())
    assert b"secret-of-key" not in found and b"p#1" in found


def test_what_was_learned_and_spent_is_there_the_next_time(place: Path) -> None:
    """Else each run would learn its limits by being refused, and spend the day's quota again."""
    known = Known(
        states=[KeyState(key="p#1", model="m", state="exhausted", why="day", until=NOON + 60, source="probe", at=NOON)],
        limits=[KnownLimit(owner="p#1", axis="rpd", declared=50.0, reported=40.0, measured=39.0, kind="window",
                           guard_s=1.5, confidence=0.8, counts="fixed", at=NOON)],
        targets=[KnownTarget(name="p/m", n=9, service_s=1.0, service_sigma=0.1, output_tokens=9.5, tokens_per_char=0.3,
                             at=NOON)],
        shared=[("p#1", "p#2")],
    )  # fmt: skip
    first = opened(place)
    first.keep(known)
    spend(first, "p#1", "rpd", 3, NOON + 0.25)
    spend(first, "p#1", "rpd", -1, NOON + 1)
    first.tally([Tally(key="p#1", model="m", at=NOON, sent=3, ok=1, refused=1, failed=1, input_tokens=5,
                       output_tokens=6, latency_s=1.5, latencies={-3: 1})])  # fmt: skip
    first.close()
    second = opened(place)
    assert second.known() == known
    assert [(b.owner, b.axis, b.amount, b.at) for b in second.booked(NOON)] == [("p#1", "rpd", 2, NOON)]
    assert second.tallied(NOON) == [
        Tally(key="p#1", model="m", at=NOON, span=300, sent=3, ok=1, refused=1, failed=1, input_tokens=5,
              output_tokens=6, latency_s=1.5, latencies={-3: 1})
    ]  # fmt: skip


def test_a_sum_counts_at_the_latest_moment_of_its_stretch(place: Path) -> None:
    """Counted at the first one, the last request of a minute would leave a rolling window a minute too early."""
    ledger = opened(place, time=Time(NOON + 100))
    spend(ledger, "p#1", "rpd", 1, NOON + 1)
    spend(ledger, "p#1", "rpd", 1, NOON + 58.5)
    assert [(b.amount, b.at) for b in ledger.booked(NOON + 30)] == [(2, NOON + 58.5)]
    assert ledger.booked(NOON + 59) == []


def test_others_are_told_once_and_oneself_never(place: Path) -> None:
    """Told twice, a limit would stand still; not told, it would be passed."""
    one, other = opened(place), opened(place)
    assert spend(one, amount=2) == Elsewhere()
    assert list(spend(other, amount=5).booked) == [("p#1", "rpm", 2)]
    told = one.elsewhere()
    assert told is not None and list(told.booked) == [("p#1", "rpm", 5)]
    assert one.elsewhere() is None
    spend(one, amount=-2)
    spend(one, "p#2", amount=1)
    told = other.elsewhere()
    assert told is not None and sorted(told.booked) == [("p#1", "rpm", -2), ("p#2", "rpm", 1)]


def test_a_clock_that_steps_hides_nothing(place: Path) -> None:
    """Asked by the time of an entry, what a process with yesterday's clock books would never be news."""
    one, other = opened(place), opened(place)
    spend(one, at=NOON)
    other.elsewhere()
    spend(one, at=NOON - 7200)
    told = other.elsewhere()
    assert told is not None and list(told.booked) == [("p#1", "rpm", 1)]


def test_what_stood_there_before_is_told_by_booked_alone(place: Path) -> None:
    """The counters are filled from `booked`; filled again from `elsewhere`, a run would begin with half its limits."""
    one = opened(place)
    spend(one, amount=4)
    other = opened(place)
    spend(one, amount=3)
    assert sums(other.booked(0)) == {("p#1", "rpm"): 7}
    assert list(spend(other, "p#2").booked) == []


def test_what_comes_after_the_opening_is_told_to_one_who_never_asked(place: Path) -> None:
    """A probe does not read what was booked; it must see all the same what a run beside it does."""
    one, other = opened(place), opened(place)
    spend(one, amount=4)
    other.tally([])
    assert list(spend(other).booked) == [("p#1", "rpm", 4)]


def test_what_is_held_is_seen_by_others_until_it_is_given_back(place: Path) -> None:
    """Two processes would each keep two requests in flight where a key takes two."""
    one, other = opened(place), opened(place)
    spend(one, axis="concurrency", amount=1)
    spend(one, axis="concurrency", amount=1)
    assert spend(other).in_flight == {"p#1": 2}
    spend(one, axis="concurrency", amount=-1)
    told = other.elsewhere()
    assert told is not None and told.in_flight == {"p#1": 1}
    one.close()
    told = other.elsewhere()
    assert told is not None and told.in_flight == {} and told.sharers == {}
    assert other.booked(0) == other.booked(NOON) and {b.axis for b in other.booked(0)} == {"rpm"}


def test_one_that_ends_does_not_hide_what_the_next_one_does(place: Path) -> None:
    """Changes are numbered; a number that is used again looks as if it had been seen."""
    watcher = opened(place)
    for n in range(1, 4):
        worker = opened(place)
        for _ in range(n):
            spend(worker, axis="concurrency", amount=1)
        told = watcher.elsewhere()
        assert told is not None and told.in_flight == {"p#1": n}
        worker.close()
        told = watcher.elsewhere()
        assert told is not None and told.in_flight == {}


def test_what_a_silent_process_holds_lapses_and_comes_back_with_it(place: Path) -> None:
    """A machine that froze would keep its slots for ever; one that thaws would be forgotten."""
    time = Time()
    one, other = opened(place, time=time), opened(place, time=time)
    spend(one, axis="concurrency", amount=1)
    assert spend(other).in_flight == {"p#1": 1}
    time.passes(LAPSE_S + 1)
    told = other.elsewhere()
    assert told is not None and told.in_flight == {}
    one.elsewhere()
    told = other.elsewhere()
    assert told is not None and told.in_flight == {"p#1": 1}


def test_one_taken_for_dead_and_removed_stands_up_again(place: Path) -> None:
    """A third process sweeps out the silent ones; a laptop that wakes up goes on all the same."""
    time = Time()
    one, other = opened(place, time=time), opened(place, time=time)
    spend(one, axis="concurrency", amount=1)
    time.passes(LAPSE_S + 1)
    opened(place, time=time).close()
    assert len(rows(place, "SELECT * FROM sessions WHERE id > 0")) <= 1
    one.elsewhere()
    assert spend(other).in_flight == {"p#1": 1}


def test_those_who_send_to_an_owner_are_counted_for_two_minutes(place: Path) -> None:
    """A share of the rate is left to each; to one that has long gone elsewhere, it would be wasted."""
    time = Time()
    one, two, three = (opened(place, time=time) for _ in range(3))
    spend(one)
    spend(two)
    spend(two, "p#2")
    assert spend(three).sharers == {"p#1": 2, "p#2": 1}
    for _ in range(int(SHARES_S) // 10 + 1):
        time.passes(10)
        spend(one, at=time.now)
        two.elsewhere()
        told = three.elsewhere()
    assert told is not None and told.sharers == {"p#1": 1}


def test_in_flight_of_a_machine_that_went_down_is_free_at_once(place: Path) -> None:
    """After a power cut nobody gives anything back, and the clock of the machine begins anew."""
    before, after = Time(), Time()
    spend(opened(place, time=before), axis="concurrency", amount=1)
    after.monotonic = 20.0
    assert spend(opened(place, time=after)).in_flight == {}


def test_what_lies_ahead_of_a_clock_set_back_counts_as_spent_now(place: Path) -> None:
    """Left out as not yet spent, an hour's requests would be sent again into the same windows."""
    early, said = Time(NOON - 3600), Said()
    first = opened(place)
    spend(first, amount=4, at=NOON - 30)
    spend(first, amount=2, at=NOON - 3700)
    first.close()
    second = opened(place, time=early, said=said)
    assert [(b.amount, b.at) for b in second.booked(NOON - 4000)] == [(2, NOON - 3700), (4, NOON - 3600)]
    second.booked(0)
    assert said == [
        "the clock is 59 m 30 s behind the ledger's last entry; what lies ahead of it counts as spent just now"
    ]


def test_what_was_given_back_is_not_spent(place: Path) -> None:
    """Counted at its own moment or not at all, what came back would take a part of the next run's limit."""
    ledger = opened(place)
    spend(ledger, amount=5, at=NOON - 2)
    spend(ledger, amount=-3, at=NOON - 2)
    spend(ledger, amount=-1, at=NOON - 1)
    assert [(b.amount, b.at) for b in ledger.booked(0)] == [(1, NOON - 2)]


def test_tallies_of_five_minutes_are_one(place: Path) -> None:
    """A run tallies every second; the file would grow by a row each."""
    one, other = opened(place), opened(place)
    for ledger, at in ((one, NOON + 1), (other, NOON + 299), (one, NOON + 300)):
        ledger.tally([Tally(key="p#1", model="m", at=at, sent=2, ok=1, failed=1, latency_s=0.5, latencies={7: 1})])
    found = one.tallied(0)
    assert [(t.at, t.span, t.sent, t.latency_s, t.latencies) for t in found] == [
        (NOON, 300, 4, 1.0, {7: 2}), (NOON + 300, 300, 2, 0.5, {7: 1}),
    ]  # fmt: skip
    assert [t.at for t in other.tallied(NOON + 300)] == [NOON + 300]


def test_closing_twice_is_closing_once(place: Path) -> None:
    """A signal in the middle of an ending closes again."""
    ledger = opened(place)
    ledger.close()
    ledger.close()
    assert rows(place, "SELECT * FROM sessions WHERE id > 0") == []


def test_a_decision_that_fails_leaves_no_trace(place: Path) -> None:
    """A fault in the caller must not leave the file locked for everyone else."""
    one, other = opened(place), opened(place)

    def fails(elsewhere: Elsewhere) -> list[object]:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        one.book(fails)  # type: ignore[arg-type]
    assert spend(other) == Elsewhere()
    spend(one)
    assert sums(one.booked(0)) == {("p#1", "rpm"): 2}


def test_news_outlive_a_decision_that_fails(place: Path) -> None:
    """Told to nobody, what the other sent would be sent a second time."""
    one, other = opened(place), opened(place)
    spend(other, amount=3)
    spend(other, axis="concurrency")

    def fails(elsewhere: Elsewhere) -> list[object]:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        one.book(fails)  # type: ignore[arg-type]
    told = spend(one)
    assert list(told.booked) == [("p#1", "rpm", 3)] and told.in_flight == {"p#1": 1}


def test_what_is_forgotten_is_gone_or_said_to_be_there(place: Path) -> None:
    """`--reset` would report a cooldown lifted that stands in the file still."""
    said, time = Said(), Time()
    ledger = opened(place, said=said, time=time)
    ledger.keep(Known(states=[KeyState(key="p#1", state="invalid", at=NOON)]))
    holder = sqlite3.connect(place, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    database = vars(ledger)["_database"]
    database.connection.execute("PRAGMA busy_timeout = 10")
    assert ledger.forget(["p#1"], ["p#1"]) == NOT_WRITTEN and len(said) == 1
    holder.execute("COMMIT")
    holder.close()
    assert ledger.forget(["p#1"], ["p#1"]) == 1 and ledger.known() == Known()
