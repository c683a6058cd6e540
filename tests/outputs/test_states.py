"""What each key is doing, and what holds the run back."""

from __future__ import annotations

from random import Random

import pytest

from llmfan.outputs.states import countdown, holds, short_reason, spell_holds, standstill, state_of, summed_up
from llmfan.scheduling.lanes import Standing
from tests.outputs.fleets import NASTY, RAW, START, in_flight, lanes_of, timed, view_of

NOW = START + 10


def test_a_rest_says_how_long_and_why() -> None:
    """A user would not know whether to wait or to mend something."""
    [lane] = lanes_of({"a": 1})
    lane.rest(NOW + 11.2, "cooldown", "429 rate_limited: Rate limit reached for m1 in organization o")
    assert state_of(lane, NOW).spell(NOW) == "cooldown 12 s: 429"
    assert (
        state_of(lane, NOW)
        .spell(NOW, long=True)
        .endswith("429 rate_limited: Rate limit reached for m1 in organization o")
    )
    lane.rest(NOW + 18_720, "exhausted", "429 quota_exhausted: requests per day")
    assert state_of(lane, NOW).spell(NOW) == "exhausted 5 h 12 m: 429"
    assert state_of(lane, NOW + 20_000).kind == "ready"


def test_a_provider_that_is_down_counts_down_to_its_trial() -> None:
    """A dead provider would look like a slow one."""
    [lane] = lanes_of({"a": 1})
    lane.provider.circuit.failed(NOW, NOW - 1, "timeout", Random(1), at_once=True)
    lane.provider.circuit.open_until = NOW + 7.5
    assert state_of(lane, NOW).spell(NOW) == "down 8 s: timeout"
    assert state_of(lane, NOW + 8).spell(NOW + 8) == "trial: timeout"


def test_a_key_that_is_out_says_so_whatever_else_holds_it() -> None:
    """A revoked key would seem to be waiting."""
    [lane] = lanes_of({"a": 1})
    lane.rest(NOW + 60, "cooldown", "429")
    lane.out = "401 auth: " + NASTY
    assert state_of(lane, NOW).spell(NOW) == "out: 401 auth"
    assert not set(RAW) & set(state_of(lane, NOW).spell(NOW, long=True))


def test_a_minute_limit_shows_its_countdown_and_a_pace_does_not() -> None:
    """A key that has spent its minute would look idle; one that is paced would flicker."""
    [lane] = lanes_of({"a": 1})
    timed(lane, NOW + 42, "tpm")
    assert state_of(lane, NOW).spell(NOW) == "waits 42 s: tpm"
    lane.standing, lane.waits_for = Standing.PARKED, "the pace of its limit"
    assert state_of(lane, NOW).spell(NOW) == "ready: rpm"


def test_of_several_keys_the_best_comes_first_and_the_soonest_of_a_kind() -> None:
    """A provider with one good key would be shown as bad, or with the longest countdown."""
    lanes = lanes_of({"a": 4})
    lanes[0].out = "401 auth"
    lanes[1].rest(NOW + 60, "cooldown", "429")
    lanes[2].rest(NOW + 20, "cooldown", "429")
    states, best = summed_up(lanes, NOW, 1.0)
    assert [s.kind for s in states] == ["ready", "cooldown", "out"]
    assert (best, states[1].until) == (1, NOW + 20)


@pytest.mark.parametrize(
    ("why", "short"),
    [
        ("429 rate_limited: slow down", "429"),
        ("rate_limited", "rate_limited"),
        ("401 auth: no", "401 auth"),
        ("timeout", "timeout"),
        ("a free slot", "free slot"),
        ("", ""),
    ],
)
def test_reasons_are_short(why: str, short: str) -> None:
    """A whole error message would push the figures off an 80-column screen."""
    assert short_reason(why) == short


@pytest.mark.parametrize(
    ("left", "text"), [(-3, "0 s"), (0.2, "1 s"), (7.5, "8 s"), (59.1, "1 m 00 s"), (18_700, "5 h 11 m")]
)
def test_countdowns_are_whole_seconds(left: float, text: str) -> None:
    """Tenths that change four times a second are unrest."""
    assert countdown(left) == text


def test_what_binds_is_told_with_whom_it_binds() -> None:
    """Nobody could tell which limit to raise."""
    lanes = lanes_of({"a": 2, "b": 1, "c": 1, "d": 1})
    view = view_of(lanes)
    for lane in lanes[:2]:
        timed(lane, NOW + 5, "tpm")
    for lane in lanes[2:]:
        lane.standing, lane.waits_for = Standing.PARKED, "the pace of its limit"
    assert spell_holds(holds(view)) == "rpm of 3 providers, a tpm"
    in_flight(view, lanes[0], 64)
    assert spell_holds(holds(view)).startswith("--concurrency 64, ")


def test_when_everything_waits_it_says_for_what_and_until_when() -> None:
    """A run that sleeps until midnight would look hung."""
    lanes = lanes_of({"a": 1, "b": 1})
    view = view_of(lanes)
    timed(lanes[0], NOW + 600, "rpd")
    timed(lanes[1], NOW + 90, "429 rate_limited: later")
    still = standstill(view, NOW)
    assert still is not None
    assert (still.what, still.until) == ("everything waits for a rpd, b 429", NOW + 90)


def test_nothing_is_said_to_wait_while_something_moves() -> None:
    """The banner would cry wolf."""
    lanes = lanes_of({"a": 1, "b": 1})
    view = view_of(lanes)
    timed(lanes[0], NOW + 600, "rpd")
    assert standstill(view, NOW) is None  # b is ready
    timed(lanes[1], NOW + 0.5, "rpm")
    assert standstill(view, NOW) is None  # in a moment
    timed(lanes[1], NOW + 50, "rpm")
    in_flight(view, lanes[0], 1)
    assert standstill(view, NOW) is None
    in_flight(view, lanes[0], -1)
    lanes[0].out = lanes[1].out = "401 auth"
    still = standstill(view, NOW)
    assert still is not None
    assert still.what == "no usable key is left"
