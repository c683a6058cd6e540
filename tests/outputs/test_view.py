"""How far a run is, and how fast."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from llmfan.measures.accumulate import Accumulator
from llmfan.outputs.view import History, RunView, progress
from tests.outputs.fleets import START, answered, in_flight, lanes_of, view_of


def test_jobs_of_an_earlier_run_count_once_whether_read_again_or_not() -> None:
    """A resumed run would show more done than there are jobs."""
    lanes = lanes_of({"a": 1})
    fresh = view_of(lanes, done_before=40)
    answered(fresh, lanes[0], 5)
    replayed = RunView(fresh.dispatcher, fresh.accumulator, total=100, started=START, done_before=5)
    answered(replayed, lanes[0], 2)
    assert (view_of(lanes, done_before=40).done, replayed.done) == (40, 7)
    assert fresh.done == 47


def test_a_rate_is_undefined_until_there_is_something_to_divide() -> None:
    """The first tick would promise an end in no time."""
    lanes = lanes_of({"a": 1})
    view = view_of(lanes, total=100)
    history = History(view)
    answered(view, lanes[0], 1)
    assert progress(view, *history.note(START + 5)).rate is None
    assert progress(view, *history.note(START + 5)).eta is None
    answered(view, lanes[0], 9)
    at = progress(view, *history.note(START + 10))
    assert (at.rate, at.eta) == (1.0, 90.0)


def test_a_request_counts_when_it_leaves_and_not_again_when_it_ends() -> None:
    """With long answers the bar would stand empty while the limit is spent."""
    lanes = lanes_of({"a": 1})
    view = view_of(lanes)
    history = History(view)
    in_flight(view, lanes[0], 3)
    before, after = history.note(START + 1)
    assert after.sent[0] - before.sent[0] == 3
    in_flight(view, lanes[0], -3)
    answered(view, lanes[0], 3)
    before, after = history.note(START + 2)
    assert after.sent[0] - before.sent[0] == 3


@given(st.floats(0.01, 1.0), st.floats(1.0, 60.0))
def test_the_window_is_never_longer_than_a_minute(step: float, speed: float) -> None:
    """31 requests would seem to have left under a limit of 30."""
    view = view_of(lanes_of({"a": 1}, speed=speed), speed=speed)
    history = History(view)
    for tick in range(1, 200):
        before, after = history.note(START + tick * step * view.minute / 60)
        assert after.at - before.at <= view.minute + 1e-6


def test_cost_is_undefined_where_no_price_is_known() -> None:
    """0 would be read as free."""
    assert RunView(view_of(lanes_of({"a": 1})).dispatcher, Accumulator(), total=1, started=0.0).cost is None
