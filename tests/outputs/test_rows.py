"""The figures of the live table's rows."""

from __future__ import annotations

import math

from llmfan.limits.window import WindowLog
from llmfan.outputs.rows import Figures, Quantiles, rows_of
from llmfan.outputs.view import History, RunView
from tests.outputs.fleets import START, answered, attempt_lost, failed, in_flight, lanes_of, view_of


def figures(view: RunView, history: History, at: float = START + 10) -> dict[str, Figures]:
    before, after = history.note(at)
    return {
        row.name: row.figures(view, before, after)
        for parent in rows_of(view)
        for row in (parent, *parent.children)
    }  # fmt: skip


def test_a_provider_is_the_sum_of_its_keys() -> None:
    """Two counts of one thing that disagree make both useless."""
    lanes = lanes_of({"a": 2})
    view = view_of(lanes)
    history = History(view)
    answered(view, lanes[0], 3)
    answered(view, lanes[1], 2)
    failed(view, lanes[1], "timeout", "no first byte")
    attempt_lost(view, lanes[1], "rate_limited", 4)
    in_flight(view, lanes[0], 2)
    shown = figures(view, history)
    assert list(shown) == ["a", "a#1", "a#2"]
    whole, first, second = shown.values()
    assert (whole.done, whole.failed, whole.limited, whole.lost) == (6, 1, 4, 1)
    for name in ("done", "failed", "limited", "lost", "sent", "in_flight"):
        assert getattr(whole, name) == getattr(first, name) + getattr(second, name)
    assert (first.limit, whole.limit) == (30.0, 60.0)


def test_nothing_answered_means_undefined() -> None:
    """0 s would be taken for the fastest provider of all."""
    lanes = lanes_of({"a": 1})
    view = view_of(lanes)
    history = History(view)
    attempt_lost(view, lanes[0], "timeout", 3)
    shown = figures(view, history)["a"]
    assert shown.quantiles == Quantiles(None, None, None, None)
    assert shown.tokens_per_s is None
    assert (shown.done, shown.sent) == (0, 3)


def test_the_limit_in_force_leaves_out_keys_that_are_out() -> None:
    """The bar could never be full again."""
    lanes = lanes_of({"a": 2}, speed=10)
    view = view_of(lanes, speed=10.0)
    lanes[1].out = "401 auth"
    shown = figures(view, History(view))
    assert (shown["a"].limit, shown["a#2"].limit) == (30.0, None)
    lanes[0].group.pace.limit = math.inf
    assert figures(view, History(view))["a"].limit is None


def test_quantiles_follow_what_is_answered() -> None:
    """Figures that stand still would hide a provider that has become slow."""
    lanes = lanes_of({"a": 1})
    view = view_of(lanes)
    [row] = rows_of(view)
    history = History(view)
    answered(view, lanes[0], 10, latency=1.0)
    first = row.figures(view, *history.note(START + 1)).quantiles
    answered(view, lanes[0], 100, latency=9.0)
    second = row.figures(view, *history.note(START + 2)).quantiles
    assert first.latency_p50 is not None and second.latency_p50 is not None
    assert abs(first.latency_p50 - 1.0) < 0.02
    assert abs(second.latency_p50 - 9.0) < 0.1


def test_models_stand_beneath_a_provider_with_one_key() -> None:
    """With one key and several models nobody could see which of them fails."""
    lanes = lanes_of({"a": 1}, models=2)
    view = view_of(lanes)
    history = History(view)
    answered(view, lanes[1], 2)
    shown = figures(view, history)
    assert {name: f.done for name, f in shown.items()} == {"a": 2, "m1": 0, "m2": 2}


def test_the_limit_nearest_its_end_is_named() -> None:
    """A day's quota that runs out would come as a surprise."""
    day, minute = WindowLog("rpd", 0, "a#1", 100, 86400, 0), WindowLog("rpm", 0, "a#1", 30, 60, 0)
    lanes = lanes_of({"a": 1}, meters=[day, minute])
    for n in range(90):
        day.take(START + n / 100, 1)
    view = view_of(lanes)
    assert figures(view, History(view))["a"].fullest == ("rpd", 0.9)
