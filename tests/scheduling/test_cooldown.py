"""Rests and circuits: never shortened, one lesson a wave, half-open, five minutes at most."""

from __future__ import annotations

from itertools import pairwise
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from llmfan.scheduling.cooldown import BACKOFF_CAP_S, CIRCUIT_CAP_S, PATIENCE, Circuit, Cooldown

drawn = settings(max_examples=200, deadline=None, derandomize=True, database=None)


@drawn
@given(hints=st.lists(st.tuples(st.floats(0, 5), st.one_of(st.none(), st.floats(0, 500))), max_size=30))
def test_a_rest_is_never_shortened_and_never_below_what_was_asked(hints: list[tuple[float, float | None]]) -> None:
    """`Retry-After: 60`, then `1`: the 60 hold."""
    rest, now, rng = Cooldown(), 100.0, Random(1)
    for gap, wait in hints:
        now += gap
        before = rest.until
        rest.refused(now, now - 0.1, wait, rng)
        assert rest.until >= before
        assert wait is None or rest.until >= now + wait


def test_one_wave_is_one_step_however_many_refusals_it_holds() -> None:
    """Judged by when the requests were sent, not by when their refusals came."""
    rest, rng = Cooldown(), Random(1)
    fresh = [rest.refused(10.0 + n / 100, 9.9, None, rng) for n in range(30)]
    assert fresh == [True] + [False] * 29
    assert rest.steps == 1
    assert rest.until <= 10.0 + 1.0


def test_backoff_doubles_with_full_jitter_up_to_a_minute() -> None:
    """Without a hint: seconds first, a minute at most, spread so that keys do not come back in step."""
    spans = []
    for seed in range(200):
        rest, rng, now = Cooldown(), Random(seed), 0.0
        row = []
        for _ in range(10):
            now = max(now, rest.until if rest.until > 0 else 0.0) + 1.0
            rest.refused(now, now - 0.1, None, rng)
            row.append(rest.until - now)
        spans.append(row)
    for step in range(10):
        ceiling = min(BACKOFF_CAP_S, 2.0**step)
        seen = [row[step] for row in spans]
        assert 0.1 * ceiling - 1e-9 <= min(seen)
        assert max(seen) <= ceiling + 1e-9
        assert max(seen) - min(seen) > 0.7 * ceiling


def test_an_answer_ends_the_escalation_unless_it_was_sent_before_the_refusal() -> None:
    """An answer to an old request says nothing about now."""
    rest, rng = Cooldown(), Random(1)
    for now in (10.0, 20.0, 30.0):
        rest.refused(now, now - 1, None, rng)
    rest.answered(25.0)
    assert rest.steps == 3
    rest.answered(31.0)
    assert rest.steps == 0


def test_a_circuit_opens_after_failures_in_a_row_only() -> None:
    """`consecutive` must not mean `in all`."""
    circuit, rng = Circuit(), Random(1)
    for now in range(1, 50):
        assert not circuit.failed(float(now), now - 0.5, "server_error", rng)
        if now % (PATIENCE - 1) == 0:
            circuit.answered()
    circuit.answered()
    opened = [circuit.failed(100.0 + n, 99.5 + n, "server_error", rng) for n in range(PATIENCE)]
    assert opened == [False] * (PATIENCE - 1) + [True]


def test_a_refused_connection_opens_it_at_once() -> None:
    """Nothing listens there: two more tries teach nothing."""
    circuit = Circuit()
    assert circuit.failed(1.0, 0.9, "connection", Random(1), at_once=True)
    assert circuit.tripped


def test_its_rest_grows_from_seconds_to_five_minutes_and_no_further() -> None:
    """A recovery must be seen; a dead provider must not be asked every second."""
    circuit, rng, now, rests = Circuit(), Random(3), 0.0, []
    for _ in range(12):
        now = max(now, circuit.open_until) + 1.0
        circuit.failed(now, now - 0.5, "server_error", rng, at_once=True)
        rests.append(circuit.open_until - now)
    assert 1.5 <= rests[0] <= 2.5
    assert all(later > earlier for earlier, later in pairwise(rests[:6]))
    assert max(rests) <= CIRCUIT_CAP_S + 1e-6


def test_its_rest_is_five_minutes_at_most() -> None:
    """The promise is five minutes, jitter included."""
    longest = 0.0
    for seed in range(50):
        circuit, rng, now = Circuit(), Random(seed), 0.0
        for _ in range(12):
            now = max(now, circuit.open_until) + 1.0
            circuit.failed(now, now - 0.5, "server_error", rng, at_once=True)
        longest = max(longest, circuit.open_until - now)
    assert 0.95 * CIRCUIT_CAP_S <= longest <= CIRCUIT_CAP_S + 1e-6


def test_echoes_of_one_outage_open_it_once() -> None:
    """Sixty requests in flight when it fell are one outage, not sixty."""
    circuit, rng = Circuit(), Random(1)
    for n in range(60):
        circuit.failed(10.0 + n / 100, 9.0, "timeout", rng)
    until = circuit.open_until
    assert until <= 10.0 + 0.6 + 2.5
    circuit.failed(11.0, 9.5, "timeout", rng)
    assert circuit.open_until == until


def test_a_failed_trial_opens_it_again_for_longer_and_an_answer_closes_it() -> None:
    """Half-open: one failure is enough."""
    circuit, rng = Circuit(), Random(1)
    circuit.failed(1.0, 0.9, "connection", rng, at_once=True)
    first = circuit.open_until - 1.0
    assert circuit.failed(10.0, 9.5, "server_error", rng)
    assert circuit.open_until - 10.0 > 1.1 * first
    assert circuit.answered()
    assert not circuit.tripped
    assert circuit.open_until < 10.0
    assert not circuit.answered()


def test_a_faster_clock_shortens_every_rest() -> None:
    """--simulate-speed."""
    fast, rng = Circuit(10.0), Random(1)
    fast.failed(1.0, 0.9, "connection", rng, at_once=True)
    assert fast.open_until - 1.0 <= 0.25
