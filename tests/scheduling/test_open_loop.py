"""Feeds that keep to a timetable, and a dispatcher that waits for it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import count

from llmfan.records import Usage
from llmfan.scheduling.claim import Claim
from llmfan.scheduling.dispatcher import Dispatcher
from llmfan.scheduling.jobs import Feed, Job, Waiting
from llmfan.scheduling.lanes import Lane, Standing
from llmfan.scheduling.open_loop import Punctual, Timetable
from tests.scheduling.test_dispatcher import NOW, dispatcher, jobs, keys, lane, proven

USAGE = Usage(5, 3)


def every(gap: float) -> Iterator[float]:
    return (gap * k for k in count())


def opened(n: int, gap: float = 1.0, lanes: list[Lane] | None = None, cap: int = 64) -> tuple[Dispatcher, Timetable]:
    table = Timetable(lambda: every(gap), n)
    made = dispatcher(lanes or [lane(0, proven("p"))], concurrency=cap)
    made.waiting.feeds[""] = Punctual(Feed(iter(jobs(n))), table)
    made.waiting.table = table
    return made, table


def test_a_job_is_handed_out_from_its_moment_on() -> None:
    """Sooner, and the load is not the one that was asked for."""
    d, _ = opened(3)
    assert len(d.match(NOW)) == 1
    assert d.next_wake() == NOW + 1
    assert d.match(NOW + 0.99) == []
    (claim,) = d.match(NOW + 1)
    assert claim.job.planned == NOW + 1


def test_what_was_missed_is_made_up_for_at_once() -> None:
    """The lateness shows in the wait of each; the load stays whole."""
    d, table = opened(10)
    d.match(NOW)
    claims = d.match(NOW + 4.5)
    assert [claim.job.planned for claim in claims] == [NOW + k for k in (1, 2, 3, 4)]
    assert (table.planned, table.sent, table.due) == (5, 5, 0)


def test_after_the_last_arrival_nothing_wakes_anybody() -> None:
    """A timer for a prompt that does not exist fires for ever."""
    d, table = opened(2)
    d.match(NOW)
    d.match(NOW + 1)
    assert (d.next_wake(), table.next) == (math.inf, math.inf)
    assert d.waiting.empty


def test_a_stopped_run_waits_for_no_arrival() -> None:
    """While it drains, the next arrival's moment goes by: a timer for it would fire at once, again and again."""
    d, _ = opened(5)
    d.match(NOW)
    d.stopped = True
    assert d.next_wake() == math.inf
    assert d.match(NOW + 2) == []
    assert d.next_wake() == math.inf


def test_a_full_house_wakes_nobody_for_arrivals() -> None:
    """They are counted when a slot comes free."""
    d, table = opened(5, cap=1)
    (claim,) = d.match(NOW)
    assert d.next_wake() == math.inf
    d.settle_answer(claim, USAGE, NOW + 3)
    assert len(d.match(NOW + 3)) == 1
    assert (table.planned, table.sent, table.capped) == (4, 2, 1)


def test_an_arrival_in_a_large_fleet_costs_one_look() -> None:
    """A hundred keys that all get up for one prompt are a hundred times the work."""
    d, _ = opened(50, lanes=[lane(n, proven(f"p{n}")) for n in range(100)])
    d.match(NOW)
    tried: list[Lane] = []
    real = d._try

    def counted(lane: Lane, now: float) -> Claim | None:
        tried.append(lane)
        return real(lane, now)

    d._try = counted  # type: ignore[method-assign]
    for k in range(1, 20):
        assert len(d.match(NOW + k)) == 1
    assert len(tried) == 19


def test_keys_take_their_turn_in_an_open_loop() -> None:
    """One key that is always the first to wake would carry all of it."""
    d, _ = opened(8, lanes=[lane(n, proven(f"p{n}")) for n in range(4)])
    seen = []
    for k in range(8):
        (claim,) = d.match(NOW + k)
        seen += keys([claim])
        d.settle_answer(claim, USAGE, NOW + k + 0.5)
        assert d.match(NOW + k + 0.5) == []
    assert sorted(seen[:4]) == sorted(seen[4:]) == [f"p{n}#{n}" for n in range(4)]


def test_where_all_is_quiet_lanes_wait_for_the_next_arrival() -> None:
    """A wait with a known end: neither a stall nor a fleet that has nothing to do any more."""
    d, _ = opened(3, lanes=[lane(n, proven(f"p{n}")) for n in range(3)])
    (claim,) = d.match(NOW)
    d.settle_answer(claim, USAGE, NOW + 0.1)
    d.match(NOW + 0.1)
    assert {(each.standing, each.wakes, each.spent) for each in d.lanes} == {(Standing.TIMED, NOW + 1, False)}


def test_what_is_done_already_takes_no_arrival() -> None:
    """A resumed run that waits for the moments of what it has would stand still for as long as it ran."""
    table = Timetable(lambda: every(1.0), 100)
    waiting = Waiting({"": Punctual(Feed(iter(jobs(3))), table)}, 3, table)
    table.look(NOW)
    planned = []
    for k in range(6):
        table.look(NOW + k)
        while (found := waiting.first(lambda job: True, ("",))) is not None:
            waiting.remove(*found)
            planned.append(found[0].planned)
    assert planned == [NOW, NOW + 1, NOW + 2]
    assert (table.planned, table.planned_s, table.due, table.next) == (3, 2.0, 0, math.inf)


def test_arrivals_of_nobody_are_taken_back_when_a_feed_turns_out_to_be_shorter() -> None:
    """A rate asked that counts prompts that do not exist is one that nobody reaches."""
    table = Timetable(lambda: every(1.0), 100)
    waiting = Waiting({"": Punctual(Feed(iter(jobs(2))), table)}, 2, table)
    table.look(NOW)
    table.look(NOW + 9)
    for _ in range(2):
        found = waiting.first(lambda job: True, ("",))
        assert found is not None
        waiting.remove(*found)
    assert (table.planned, table.planned_s, table.sent, table.due) == (2, 1.0, 2, 0)


def test_feeds_of_one_timetable_have_the_same_moments_however_far_they_lag() -> None:
    """The slow one's queue is its own."""
    table = Timetable(lambda: every(1.0), 4)
    feeds = {name: Punctual(Feed(iter([Job(j.prompt, 0, name) for j in jobs(4)])), table) for name in "ab"}
    waiting = Waiting(feeds, 8, table)
    planned: dict[str, list[float | None]] = {"a": [], "b": []}
    for now in (0.0, 1.0, 2.0, 3.0, 9.0):
        table.look(NOW + now)
        for name in "ab" if now == 9 else "a":
            while (found := waiting.first(lambda job: True, (name,))) is not None:
                waiting.remove(*found)
                planned[name].append(found[0].planned)
    assert planned["a"] == planned["b"] == [NOW + k for k in range(4)]
    assert (table.planned, table.due) == (8, 0)


def test_no_jobs_at_all_are_no_arrivals() -> None:
    """An empty prompt set, or a resumed run that is complete."""
    d, table = opened(0)
    assert d.match(NOW) == []
    assert (table.planned, d.next_wake()) == (0, math.inf)
    assert d.waiting.empty


def test_a_pause_keeps_arrivals_waiting_and_loses_none() -> None:
    """This machine is out of sockets for a moment: prompts go on arriving, and their wait shows it."""
    d, _ = opened(4)
    d.match(NOW)
    d._paused_until = NOW + 2.5
    assert d.match(NOW + 1) == []
    assert d.next_wake() == NOW + 2.5
    assert [claim.job.planned for claim in d.match(NOW + 2.5)] == [NOW + 1, NOW + 2]
    assert d.next_wake() == NOW + 3
