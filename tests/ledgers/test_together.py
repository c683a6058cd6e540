"""Several processes on one file: together they never pass a limit, and one that is killed stands in nobody's way."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmfan.entries import Elsewhere
from llmfan.ledgers.sqlite import SqliteLedger
from llmfan.records import Booking
from tests.ledgers.books import NOON, Time, opened, rows, spend, sums

LIMIT = 40


class Counter:
    """Takes of one limit what is left, as a run does: by what it booked itself and what it is told of others."""

    def __init__(self, ledger: SqliteLedger):
        self.ledger = ledger
        self.spent = sum(booking.amount for booking in ledger.booked(0))
        self.taken = 0

    def take(self, amount: int) -> None:
        self.ledger.book(lambda elsewhere: self._decide(elsewhere, amount))

    def look(self) -> None:
        told = self.ledger.elsewhere()
        self.spent += _news(told) if told else 0

    def _decide(self, elsewhere: Elsewhere, amount: int) -> Iterator[Booking]:
        self.spent += _news(elsewhere)
        if self.spent + amount <= LIMIT:
            self.spent += amount
            self.taken += amount
            yield Booking(owner="p#1", axis="rpm", amount=float(amount), at=NOON)


def _news(elsewhere: Elsewhere) -> float:
    return sum(amount for owner, _, amount in elsewhere.booked if owner == "p#1")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from(["take", "give back", "look", "begin anew"]),
                          st.integers(1, 9)), max_size=60))  # fmt: skip
def test_in_whatever_order_they_ask_a_limit_is_never_passed(
    tmp_path_factory: pytest.TempPathFactory, calls: list[tuple[int, str, int]]
) -> None:
    """The sum of what several runs send is what the provider counts."""
    path = tmp_path_factory.mktemp("l") / "l"
    counters = [Counter(opened(path)) for _ in range(3)]
    for who, what, amount in calls:
        counter = counters[who]
        if what == "take":
            counter.take(amount)
        elif what == "give back":
            counter.take(-min(amount, counter.taken))
        elif what == "look":
            counter.look()
        else:
            counter.ledger.close()
            counters[who] = Counter(opened(path))
        (total,) = rows(path, "SELECT coalesce(sum(amount), 0) FROM spent")[0]
        assert float(str(total)) <= LIMIT
    for counter in counters:
        counter.look()
        assert counter.spent == total if calls else True
        counter.ledger.close()


def test_at_the_same_time_from_threads_all_of_it_is_spent_and_no_more(tmp_path: Path) -> None:
    """Looked up first and written down afterwards, the last request of a limit is sent by two."""
    counters = [Counter(opened(tmp_path / "l")) for _ in range(4)]

    def work(counter: Counter) -> None:
        for _ in range(LIMIT):
            counter.take(1)

    threads = [threading.Thread(target=work, args=(counter,)) for counter in counters]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(counter.taken for counter in counters) == LIMIT
    assert sums(counters[0].ledger.booked(0)) == {("p#1", "rpm"): LIMIT}


WORKER = """
import sys
sys.path.insert(0, {root!r})
from pathlib import Path
from tests.ledgers.books import opened, spend
from tests.ledgers.test_together import Counter, LIMIT
counter = Counter(opened(Path({place!r})))
spend(counter.ledger, "p#2", "concurrency", 1)
print("ready", flush=True)
sys.stdin.readline()
for _ in range({count}):
    counter.take(1)
print("done", flush=True)
sys.stdin.readline()
counter.ledger.close()
"""


class Worker:
    def __init__(self, place: Path, count: int):
        script = WORKER.format(root=str(Path(__file__).parents[2]), place=str(place), count=count)
        self.process = subprocess.Popen(
            [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def hears(self, word: str) -> None:
        assert self.process.stdout is not None
        assert self.process.stdout.readline().strip() == word

    def go(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def end(self, kill: bool = False) -> None:
        if self.process.returncode is not None:
            return
        if kill:
            self.process.kill()
        else:
            self.go()
        self.process.wait(timeout=30)
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        self.process.stdout.close()


@pytest.fixture
def start() -> Iterator[Callable[..., Worker]]:
    """Workers that do not outlive a test that fails."""
    made: list[Worker] = []

    def one(place: Path, count: int) -> Worker:
        made.append(Worker(place, count))
        return made[-1]

    yield one
    for worker in made:
        worker.end(kill=True)


def test_processes_share_a_limit_and_one_killed_frees_what_it_held_at_once(
    tmp_path: Path, start: Callable[[Path, int], Worker]
) -> None:
    """After kill -9 nobody gives back; and what was sent by then stays sent."""
    place = tmp_path / "l"
    time = Time()
    watcher = opened(place, time=time)
    workers = [start(place, LIMIT - 10) for _ in range(2)]
    for worker in workers:
        worker.hears("ready")
    assert spend(watcher, "p#2").in_flight == {"p#2": 2}
    for worker in workers:
        worker.go()
    for worker in workers:
        worker.hears("done")
    workers[0].end(kill=True)
    time.monotonic += 1.5  # the next look at who lives; far less than a silence lapses in
    told = watcher.elsewhere()
    assert told is not None and told.in_flight == {"p#2": 1} and told.sharers == {"p#1": 1, "p#2": 1}
    assert list(told.booked) == [("p#1", "rpm", LIMIT)]
    assert sums(watcher.booked(0)) == {("p#1", "rpm"): LIMIT, ("p#2", "rpm"): 1}
    workers[1].end()
    told = watcher.elsewhere()
    assert told is not None and told.in_flight == {}


class Busy:
    """A process that has a request in flight whenever a place is free, each for `lasts` turns."""

    def __init__(self, ledger: SqliteLedger, places: int, lasts: int):
        self.ledger, self.places, self.lasts = ledger, places, lasts
        self.ends: list[int] = []

    def turn(self, now: int) -> None:
        self.ledger.elsewhere()
        for end in [end for end in self.ends if end <= now]:
            self.ends.remove(end)
            self.ledger.book(lambda _: [self._held(-1.0)])
        self.ledger.book(lambda elsewhere: self._take(elsewhere, now))

    def _take(self, elsewhere: Elsewhere, now: int) -> Iterator[Booking]:
        if len(self.ends) + elsewhere.in_flight.get("p#1", 0) < self.places:
            self.ends.append(now + self.lasts)
            yield self._held(1.0)

    def _held(self, amount: float) -> Booking:
        return Booking(owner="p#1", axis="concurrency", amount=amount, at=NOON)


def test_two_busy_processes_hold_a_limit_of_what_is_in_flight_for_minutes(tmp_path: Path) -> None:
    """One that writes all the time has no time to say that it lives: taken for dead, its places were taken as well."""
    time = Time()
    both = [Busy(opened(tmp_path / "l", time=time), 3, lasts) for lasts in (7, 5)]
    most = 0
    for now in range(720):  # three minutes
        for each in both:
            each.turn(now)
            most = max(most, sum(len(busy.ends) for busy in both))
        time.passes(0.25)
    assert most == 3


def test_a_busy_and_an_idle_process_are_heard_of_as_long_as_they_run(tmp_path: Path) -> None:
    """What either holds would be free for others after a quarter of a minute."""
    time = Time()
    busy, idle, watcher = (opened(tmp_path / "l", time=time) for _ in range(3))
    spend(idle, "p#1", "concurrency")
    spend(busy, "p#2", "concurrency")
    for n in range(400):
        time.passes(0.25)
        spend(busy, "p#2", "concurrency", (-1) ** (n + 1))
        idle.elsewhere()
        spend(busy, "p#2", "concurrency", (-1) ** n)
        watcher.elsewhere()
        in_flight, _ = vars(watcher)["_company"]
        assert in_flight["p#1"] == 1 and in_flight.get("p#2", 0) == 1
