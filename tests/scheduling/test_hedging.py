"""`--hedge`: which stragglers are doubled, where, how many, and what it cost."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmfan.records import KnownTarget, Target
from llmfan.scheduling.hedging import Hedges, Late, Offer
from llmfan.scheduling.pulse import Pulse


def pulse(median: float, sigma: float = 0.6) -> Pulse:
    return Pulse.of(
        KnownTarget(name="t", n=12, service_s=median, service_sigma=sigma, output_tokens=1.0, tokens_per_char=0.25)
    )


SLOW = pulse(60.0)


def late(name: str, age: float, lane: int = 9, of: Pulse = SLOW) -> Late[str]:
    """In flight for `age` seconds at moment 0."""
    return Late(name, lane, -age, of)


def offer(lane: int = 1, service: float = 2.0, paid: bool = False) -> Offer:
    return Offer(lane, Target(provider=f"p{lane}", model="m", key=f"k{lane}", paid=paid), service)


def anywhere(flight: str, lane: int) -> bool:
    return True


def choose(hedges: Hedges[str], flights: list[Late[str]], offers: list[Offer], may: Any = anywhere) -> Any:
    return hedges.choose(flights, offers, 0.0, may)


def test_a_straggler_is_doubled_on_the_fastest_lane() -> None:
    """It has been out for longer than most, and another answers in two seconds."""
    assert choose(Hedges(100), [late("x", 80.0)], [offer(1, 5.0), offer(2, 2.0)]) == [("x", 2)]


def test_the_worst_straggler_comes_first() -> None:
    """There is room for one only; the batch ends with the latest."""
    assert choose(Hedges(100), [late("x", 80.0), late("y", 300.0)], [offer()]) == [("y", 1)]


def test_each_lane_gets_one_at_a_time() -> None:
    """What it has room for after that is asked anew."""
    flights = [late("x", 80.0), late("y", 300.0), late("z", 200.0)]
    assert choose(Hedges(100), flights, [offer(1), offer(2)]) == [("y", 1), ("z", 2)]


def test_what_is_not_late_is_left_alone() -> None:
    """Half of all answers take longer than that."""
    assert choose(Hedges(100), [late("x", 30.0)], [offer()]) == []


def test_a_copy_has_to_be_sooner_than_the_original() -> None:
    """A slow lane would only add to the bill: it is expected back before a copy would be."""
    assert choose(Hedges(100), [late("x", 100.0)], [offer(service=80.0)]) == []
    assert choose(Hedges(100), [late("x", 3.0, of=pulse(2.0))], [offer(service=2.0)]) == []


def test_a_lane_is_not_offered_its_own_straggler() -> None:
    """It would share the fate of the first."""
    assert choose(Hedges(100), [late("x", 80.0, lane=1)], [offer(1)]) == []


def test_a_job_goes_only_where_it_may() -> None:
    """A lane that refused it, or another model of a conversation."""
    assert choose(Hedges(100), [late("x", 80.0)], [offer(1), offer(2, 3.0)], lambda flight, lane: lane == 2) == [
        ("x", 2)
    ]


def test_paid_lanes_do_not_help_unless_they_may() -> None:
    """A hedge is paid twice where the first costs as well."""
    assert choose(Hedges(100), [late("x", 80.0)], [offer(paid=True)]) == []
    assert choose(Hedges(100, paid=True), [late("x", 80.0)], [offer(paid=True)]) == [("x", 1)]


def test_at_most_one_copy() -> None:
    """Neither a third one, nor a copy of a copy."""
    hedges: Hedges[str] = Hedges(100)
    hedges.sent("x", "x2")
    assert choose(hedges, [late("x", 300.0), late("x2", 300.0)], [offer()]) == []


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(jobs=st.integers(1, 500), stragglers=st.integers(0, 60), lanes=st.integers(0, 10))
def test_copies_never_pass_their_share(jobs: int, stragglers: int, lanes: int) -> None:
    """A twentieth of all jobs, and one at least: more would be a second batch."""
    hedges: Hedges[str] = Hedges(jobs)
    flights = [late(f"x{n}", 500.0 + n) for n in range(stragglers)]
    while chosen := choose(hedges, flights, [offer(n) for n in range(lanes)]):
        for flight, _ in chosen:
            hedges.sent(flight, f"{flight} again")
    assert hedges.cost.attempts == min(max(1, jobs // 20), stragglers if lanes else 0)


def test_where_copies_are_scarce_they_wait_for_the_worst() -> None:
    """Five copies for eight that are equally late: three would be left over, and one of those may be the worst."""
    eight = [late(f"x{n}", 80.0) for n in range(8)]
    assert choose(Hedges(100), eight, [offer(n) for n in range(8)]) == []
    assert len(choose(Hedges(100), eight[:5], [offer(n) for n in range(8)])) == 5
    very_late = [late(f"x{n}", 400.0) for n in range(8)]
    assert len(choose(Hedges(100), very_late, [offer(n) for n in range(8)])) == 5


def test_failures_stop_hedging_and_answers_bring_it_back() -> None:
    """Copies sent into an outage make it worse."""
    hedges: Hedges[str] = Hedges(100)
    for _ in range(5):
        hedges.failed()
    assert not hedges.open
    assert choose(hedges, [late("x", 80.0)], [offer()]) == []
    assert hedges.next_look([late("x", 80.0)], [2.0], 0.0) == math.inf
    for _ in range(20):
        hedges.answered()
    assert choose(hedges, [late("x", 80.0)], [offer()]) == [("x", 1)]


def test_a_lane_nobody_has_heard_from_can_be_hedged() -> None:
    """Its only request has been silent for a minute; there is no median to wait for."""
    assert choose(Hedges(100), [late("x", 60.0, of=Pulse())], [offer()]) == [("x", 1)]
    assert choose(Hedges(100), [late("x", 2.0, of=Pulse())], [offer()]) == []


def test_the_next_look_is_when_one_may_have_become_late() -> None:
    """Too late a look wastes the time that hedging is to save; one at every tick wastes the machine's."""
    hedges: Hedges[str] = Hedges(100)
    assert hedges.next_look([late("x", 30.0), late("y", 10.0)], [2.0], 0.0) == pytest.approx(30.0)
    assert hedges.next_look([late("x", 80.0)], [2.0], 0.0) == pytest.approx(2.0)
    assert hedges.next_look([], [2.0], 0.0) == math.inf
    assert hedges.next_look([late("x", 80.0)], [], 0.0) == math.inf


def test_what_was_lost_is_counted() -> None:
    """The summary tells what hedging cost; a price nobody knows is not zero."""
    hedges: Hedges[str] = Hedges(100)
    hedges.sent("x", "x2")
    hedges.lost(10, 20, None, copy_won=True)
    assert hedges.cost.usd is None
    hedges.sent("y", "y2")
    hedges.lost(1, 2, 0.5, copy_won=False)
    cost = hedges.cost
    assert (cost.attempts, cost.won, cost.input_tokens, cost.output_tokens, cost.usd) == (2, 1, 11, 22, 0.5)
