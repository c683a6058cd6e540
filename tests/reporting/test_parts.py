"""The parts of a report that have laws of their own: samples, spans of time, steps, cuts."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmfan.records import ErrorInfo
from llmfan.reporting.key_use import Busy
from llmfan.reporting.lines import Attempt, Result
from llmfan.reporting.rows import Picker
from llmfan.reporting.texts import cost, cut, level
from llmfan.reporting.timeline import MOST, Course


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["ok", "wrong", "failed"]), st.floats(0, 9)), max_size=120), st.integers(10, 60)
)
def test_a_list_is_full_has_nothing_twice_and_holds_the_slowest(kinds: list[tuple[str, float]], room: int) -> None:
    """A place left empty, or filled twice, is a result that nobody sees."""
    picker = Picker(room, Random(1))
    for i, (kind, took) in enumerate(kinds):
        broke = ErrorInfo("timeout", "") if kind == "failed" else None
        status = "failed" if broke else "ok"
        score = None if broke else float(kind == "ok")
        picker.add(Result(id=str(i), status=status, latency_s=None if broke else took, error=broke, score=score))
    listed = picker.listed()
    ids = [each.line.id for each in listed]
    assert len(ids) == len(set(ids)) == min(room, len(kinds))
    best = sorted((took for kind, took in kinds if kind != "failed"), reverse=True)[: max(1, len(kinds) // 10, 1)]
    there = sorted((each.line.latency_s for each in listed if each.line.latency_s is not None), reverse=True)
    count = min(len(best), round(0.1 * room))
    assert there[:count] == best[:count]
    assert bool(picker.note(listed)) == (len(kinds) > room)


def test_a_sample_favours_nobody() -> None:
    """A sample of the first ones would show the fleet before it was under load."""
    counts = [0] * 200
    for seed in range(400):
        picker = Picker(40, Random(seed))
        for i in range(200):
            picker.add(Result(id=str(i), status="ok", index=i, latency_s=1.0))
        for each in picker.listed():
            if each.why == "sample":
                counts[each.line.index] += 1
    halves = sum(counts[4:102]), sum(counts[102:])  # the first four are the slowest of equals
    assert abs(halves[0] - halves[1]) < 0.06 * sum(halves)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 300), st.integers(0, 40)), max_size=60))
def test_time_busy_is_the_union_of_its_spans(spans: list[tuple[int, int]]) -> None:
    """Added up without the union, eight requests at once would keep a key busy for longer than the run."""
    busy = Busy()
    for start, took in spans:
        busy.add(start, start + took)
    assert busy.total() == pytest.approx(len({t for start, took in spans for t in range(start, start + took)}))


def test_time_busy_is_kept_in_bounded_memory() -> None:
    """A key that rests after every request has as many spans as requests."""
    busy = Busy()
    for i in range(20_000):
        busy.add(i * 2.0, i * 2.0 + 1.0)
    assert busy.total() == pytest.approx(20_000)
    assert len(busy._starts) <= Busy.KEPT


@settings(max_examples=80, deadline=None)
@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=60))
def test_steps_that_grow_lose_nothing(moments: list[float]) -> None:
    """A refusal that falls between two steps is one the chart denies."""
    course = Course()
    for moment in moments:
        course.attempt(Attempt(id="x", outcome="rate_limited", provider="a", sent_s=moment))
    timeline = course.timeline()
    assert timeline is not None
    counts = timeline.rate_limited["a"]
    assert len(counts) == timeline.steps <= MOST
    assert sum(counts) == len(moments)
    assert counts[-1] and timeline.steps * timeline.step_s >= max(moments) * 0.999999


@pytest.mark.parametrize("moment", [-1.0, 1e11, float("inf")])
def test_a_moment_that_is_none_is_left_out(moment: float) -> None:
    """One damaged number must not stretch the chart to the end of time."""
    course = Course()
    course.attempt(Attempt(id="x", outcome="timeout", provider="a", sent_s=moment))
    assert course.timeline() is None


@settings(max_examples=150, deadline=None)
@given(st.lists(st.text(st.sampled_from("ab<&\x00é\u2028😀"), max_size=40), max_size=20), st.integers(1, 400))
def test_cut_texts_fit_and_short_ones_stay(texts: list[str], budget: int) -> None:
    """Cut to nothing is as bad as not cut at all."""
    most = level(texts, budget)
    if most is None:
        assert sum(map(cost, texts)) <= budget
        return
    done = [cut(text, most) for text in texts]
    empty = cost("")
    assert all(cost(text) <= max(most, empty) for text in done)
    assert all(text.startswith(short) for text, short in zip(texts, done, strict=True))
    assert all(short == text for text, short in zip(texts, done, strict=True) if cost(text) <= most)
    assert sum(map(cost, done)) <= max(budget, empty * len(texts))
