"""`--sticky`: jobs with a common beginning stay on a key, and never wait for it longer than they are told to."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmfan.records import Prompt
from llmfan.scheduling.jobs import Feed, Job
from llmfan.scheduling.stickiness import AHEAD, HOMES, MARKS, PATIENCE_S, Shelf, mark_of


def job(text: str = "q", system: str = "", **more: Any) -> Job:
    said = [{"role": "system", "content": system}] if system else []
    return Job(Prompt(id=text, index=0, messages=[*said, {"role": "user", "content": text}], **more))


def shelf(jobs: list[Job], rule: str = "prefix", takes: float = 100.0) -> Shelf:
    return Shelf(Feed(iter(jobs)), rule, lambda lane, now: takes)


def take(from_: Shelf, lane: int, now: float = 0.0) -> Job | None:
    found = from_.first(lane, now)
    if found is not None:
        from_.take(found, lane)
    return found


def test_prefix_is_the_system_message() -> None:
    """The part that all questions share; with the question in it no two would be alike."""
    assert mark_of(job("a", "be brief"), "prefix") == mark_of(job("b", "be brief"), "prefix")
    assert mark_of(job("a", "be brief"), "prefix") != mark_of(job("a", "be long"), "prefix")


def test_a_number_is_so_many_characters() -> None:
    """A document and then a question."""
    document = "d" * 1000
    assert mark_of(job(document + "one"), "1000") == mark_of(job(document + "two"), "1000")
    assert mark_of(job(document + "one"), "1001") != mark_of(job(document + "two"), "1001")
    assert mark_of(job("x", "s" * 50), "40") == mark_of(job("y", "s" * 50), "40")


def test_a_user_is_found_in_parameters_and_metadata() -> None:
    """Providers route by it too."""
    assert mark_of(job(params={"user": "u1"}), "user") == mark_of(job("b", metadata={"user": "u1"}), "user")
    assert mark_of(job(params={"user": "u1"}), "user") != mark_of(job(params={"user": "u2"}), "user")
    assert mark_of(job(), "user") is None


def test_messages_of_parts_have_a_beginning_as_well() -> None:
    """Text and images in one message."""
    parts = [{"type": "text", "text": "long document"}, {"type": "image_url", "image_url": {"url": "data:"}}]
    prompt = Prompt(id="p", index=0, messages=[{"role": "user", "content": parts}])
    assert mark_of(Job(prompt), "13") == mark_of(job("long document"), "13")


def test_what_begins_alike_stays_on_its_key() -> None:
    """Two keys in turn: each of two beginnings is paid for once, not twice."""
    jobs = [job(str(n), "red" if n % 2 else "blue") for n in range(20)]
    waiting = shelf(jobs)
    homes: dict[str, set[int]] = {}
    for turn in range(20):
        taken = take(waiting, turn // 2 % 2)
        assert taken is not None
        homes.setdefault(taken.prompt.messages[0]["content"], set()).add(turn // 2 % 2)
    assert sorted(len(h) for h in homes.values()) in ([1, 1], [1, 2])
    assert waiting.empty


def test_a_key_that_can_take_it_soon_is_waited_for_and_no_longer() -> None:
    """A lane with nothing else to do leaves it alone for two seconds, then takes it."""
    waiting = shelf([job(str(n), "red") for n in range(3)])
    assert take(waiting, 0) is not None
    assert waiting.first(1, 10.0) is None
    assert waiting.look_again(10.0) == pytest.approx(10.0 + PATIENCE_S)
    assert waiting.first(1, 10.0 + PATIENCE_S) is not None


def test_more_than_its_key_can_take_goes_to_others_at_once() -> None:
    """One beginning for the whole batch must not leave 31 of 32 keys idle."""
    waiting = shelf([job(str(n), "red") for n in range(10)], takes=2.0)
    first = take(waiting, 0)
    assert first is not None
    assert [take(waiting, 1, 0.0) is not None for _ in range(3)] == [True, True, True]


def test_a_key_that_is_out_is_not_waited_for() -> None:
    """It can take nothing."""
    waiting = shelf([job(str(n), "red") for n in range(3)], takes=0.0)
    assert take(waiting, 0) is not None
    assert waiting.first(1, 0.0) is not None


def test_who_took_over_is_at_home_too() -> None:
    """It has paid for the beginning: the next may go to either."""
    waiting = shelf([job(str(n), "red") for n in range(4)], takes=0.0)
    assert take(waiting, 0) is not None
    assert take(waiting, 1) is not None
    assert waiting.first(0, 0.0) is not None
    assert waiting.first(1, 0.0) is not None


def test_what_is_at_home_in_many_places_is_at_home_everywhere() -> None:
    """Its list of homes does not grow with the fleet."""
    waiting = shelf([job(str(n), "red") for n in range(HOMES + 2)], takes=0.0)
    for lane in range(HOMES):
        assert take(waiting, lane) is not None
    assert waiting.first(99, 0.0) is not None


def test_jobs_without_a_mark_go_anywhere() -> None:
    """`--sticky user` and a job without one."""
    waiting = shelf([job(str(n)) for n in range(4)], "user")
    assert [take(waiting, lane) is not None for lane in range(4)] == [True] * 4


def test_a_lane_passes_over_what_is_not_for_it() -> None:
    """The head of the queue waits for its own key; the next is nobody's."""
    waiting = shelf([job("1", "red"), job("2", "red"), job("3", "blue")])
    assert take(waiting, 0) is not None
    taken = take(waiting, 1)
    assert taken is not None
    assert taken.prompt.id == "3"


def test_memory_is_bounded() -> None:
    """A million users leave ten thousand marks, and a shelf of a few jobs."""
    pulled = Counter[str]()

    def source() -> Any:
        for n in range(MARKS + 500):
            pulled["jobs"] += 1
            yield job(str(n), f"system {n}")

    waiting = Shelf(Feed(source()), "prefix", lambda lane, now: 1.0)
    assert waiting.peek() is not None
    assert pulled["jobs"] <= AHEAD + 1
    while take(waiting, 0) is not None:
        pass
    assert len(waiting._homes) == MARKS
    assert waiting.empty


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(
    marks=st.lists(st.integers(0, 4), max_size=120),
    lanes=st.lists(st.integers(0, 5), min_size=1, max_size=50),
    takes=st.floats(0, 5),
)
def test_every_job_is_handed_out_once_whatever_the_lanes_do(marks: list[int], lanes: list[int], takes: float) -> None:
    """None is lost on the shelf, and none waits for ever for a key that never comes."""
    waiting = shelf([job(str(n), f"s{mark}") for n, mark in enumerate(marks)], takes=takes)
    now, taken = 0.0, []
    for turn in range(10 * len(marks)):
        found = take(waiting, lanes[turn % len(lanes)], now)
        if found is not None:
            taken.append(found.prompt.id)
        else:
            now = waiting.look_again(now)
    assert sorted(taken) == sorted(str(n) for n in range(len(marks)))
    assert waiting.peek() is None
    assert waiting.empty
