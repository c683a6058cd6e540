"""--max-cost: never passed, and nothing leaks."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmfan.scheduling.purse import Purse


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(calls=st.lists(st.tuples(st.floats(0.01, 3), st.floats(0, 1), st.booleans()), max_size=50))
def test_what_is_spent_and_what_is_in_flight_never_pass_the_bound(calls: list[tuple[float, float, bool]]) -> None:
    """As long as no call costs more than it reserved, which is its worst case."""
    purse, held = Purse(5.0), []
    for cost, share, settles in calls:
        if purse.covers(cost):
            purse.reserve(cost)
            held.append((cost, cost * share))
        assert purse.spent + purse.reserved <= 5.0 + 1e-9
        if settles and held:
            purse.settle(*held.pop())
    for reserved, spent in held:
        purse.settle(reserved, spent)
    assert purse.reserved == pytest.approx(0.0, abs=1e-9)
    assert purse.spent <= 5.0 + 1e-9


def test_without_a_bound_everything_is_covered() -> None:
    """No --max-cost."""
    assert Purse().covers(1e9)


def test_what_costs_nothing_is_covered_when_all_is_spent() -> None:
    """A free key goes on."""
    purse = Purse(1.0)
    purse.reserve(1.0)
    assert not purse.covers(0.01)
    assert purse.covers(0.0)


def test_a_refusal_is_remembered_until_something_is_settled() -> None:
    """What is given back may make room."""
    purse = Purse(1.0)
    purse.reserve(0.9)
    assert not purse.covers(0.5)
    assert purse.refused
    purse.settle(0.9, 0.1)
    assert not purse.refused
    assert purse.covers(0.5)


def test_until_a_model_has_answered_one_of_its_requests_is_out_at_a_time() -> None:
    """What a hundred in flight really cost would be known when all of them are billed."""
    purse = Purse(100.0)
    assert purse.lets(0.1, "a/m")
    purse.reserve(0.1, "a/m")
    assert not purse.lets(0.1, "a/m")
    assert not purse.refused  # it is not the bound that held it
    assert purse.lets(0.1, "b/m")  # another model's first
    assert purse.lets(0.0, "a/m")  # what costs nothing
    purse.settle(0.1, 0.0, "a/m")  # it failed: the next one is the first again
    assert purse.lets(0.1, "a/m")
    purse.reserve(0.1, "a/m")
    purse.heard("a/m")
    assert purse.lets(0.1, "a/m")


def test_without_a_bound_nobody_waits_for_a_first_answer() -> None:
    """Else every run would begin slowly for nothing."""
    purse = Purse()
    purse.reserve(0.1, "a/m")
    assert purse.lets(0.1, "a/m")


def test_a_bound_that_was_passed_is_said_and_one_that_was_just_reached_is_not() -> None:
    """`done` would be a lie; and so would be a billion roundings taken for a cent."""
    purse = Purse(1.0)
    for _ in range(10):
        purse.reserve(0.1)
        purse.settle(0.1, 0.1)
    assert not purse.passed
    purse.settle(0.0, 0.01)
    assert purse.passed
    assert not Purse().passed
