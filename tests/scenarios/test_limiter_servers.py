"""The far end of the whole-run tests, proved by itself: a wrong yardstick would pass or fail every client alike."""

from __future__ import annotations

import http.client
import json
import random
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmfan.simulation.loop import START
from llmfan.simulation.script import Script
from tests.loopback.serving import Serving
from tests.scenarios.limiter_servers import (
    BACK,
    KINDS,
    THERE,
    Arrival,
    Kind,
    Limit,
    LimiterServer,
    Stranger,
    most_in_any,
    true_ideal,
)
from tests.scenarios.world import play, provider

BODY = b'{"model": "m", "max_tokens": 95}'
quick = settings(max_examples=60, deadline=None, derandomize=True, database=None)
gaps = st.lists(st.sampled_from([0.0, 0.1, 0.7, 3.0, 11.0, 65.0]) | st.floats(0, 20), min_size=1, max_size=60)


def send(server: LimiterServer, at: float, key: str = "k", body: bytes = BODY) -> Script:
    return server(START + at, key, body)


def still(*limits: Limit, **more: Any) -> LimiterServer:
    """Without chance: every request takes as long as every other."""
    return LimiterServer(*limits, **{"sigma": 0.0, "jitter": False, **more})


def admitted(server: LimiterServer, limit: Limit, arrivals: list[Arrival]) -> list[bool]:
    """What the plain counter says to these arrivals in their order."""
    counter = limit.counter(server.phases("k")[0])
    return [counter.admit(one.at).ok for one in arrivals]


def in_order(server: LimiterServer) -> list[Arrival]:
    return sorted(server.arrivals, key=lambda one: one.at)


# ---------------------------------------------------------------- what is let in


@quick
@given(gaps=gaps, kind=st.sampled_from(KINDS), seed=st.integers(0, 99))
def test_without_jitter_each_kind_lets_in_what_its_counter_does(gaps: list[float], kind: Kind, seed: int) -> None:
    """The queue and the copies must not change a verdict."""
    limit, at = Limit(10, 60.0, kind), 0.0
    server = still(limit, seed=seed)
    for gap in gaps:
        send(server, at)
        at += gap
    assert [not one.refused for one in server.arrivals] == admitted(server, limit, server.arrivals)


@quick
@given(gaps=gaps, kind=st.sampled_from(KINDS), seed=st.integers(0, 99))
def test_with_jitter_nothing_is_let_in_that_the_counter_would_refuse(gaps: list[float], kind: Kind, seed: int) -> None:
    """Requests overtake each other on the way; what was promised to one must not be spent on another."""
    limit, at = Limit(10, 60.0, kind), 0.0
    server = LimiterServer(limit, seed=seed)
    for gap in gaps:
        send(server, at)
        at += gap / 10
    assert all(admitted(server, limit, [one for one in in_order(server) if not one.refused]))


@pytest.mark.parametrize("kind", KINDS)
def test_with_jitter_as_many_are_refused_as_in_the_order_of_arrival(kind: Kind) -> None:
    """Which one of two that overtook each other is refused is our choice; how many are is not."""
    refused = expected = 0
    for seed in range(3):
        limit, rng, at = Limit(60, 60.0, kind), random.Random(seed), 0.0
        server = LimiterServer(limit, seed=seed)
        for _ in range(400):
            send(server, at)
            at += rng.expovariate(1.5)
        refused += server.refusals
        expected += admitted(server, limit, in_order(server)).count(False)
    assert expected > 0
    assert abs(refused - expected) <= 0.02 * expected


def test_delays_are_those_of_the_measurements() -> None:
    """A tenth of a second at least there and back, up to a third more, one in fifty by a second more on average."""
    server = LimiterServer(Limit(1e9, 0.1), service=2.0, sigma=0.5)
    for n in range(4000):
        send(server, n * 1.0)
    delays = [one.at - one.sent for one in server.arrivals]
    took = [one.ends - one.at - BACK for one in server.arrivals]
    assert min(delays) >= THERE
    assert 0.01 < sum(delay > THERE + 0.3 for delay in delays) / 4000 < 0.03
    assert sum(took) / 4000 == pytest.approx(2.0, rel=0.05)


def test_the_same_seed_plays_the_same_server() -> None:
    """A failure must be seen again."""
    runs = []
    for _ in range(2):
        server = LimiterServer(Limit(5, 60.0, "fixed"), seed=7, stranger=Stranger(0.2), answer_sigma=0.5)
        runs.append([send(server, n * 1.0) for n in range(100)])
    assert runs[0] == runs[1]


# ---------------------------------------------------------------- habits


def test_where_refused_requests_count_hammering_never_ends() -> None:
    """The livelock a client has to stay out of."""
    for count_refused, expected in ((True, 2), (False, 10)):
        server = still(Limit(2), count_refused=count_refused)
        for n in range(60):
            send(server, n * 5.0)
        assert server.answers == expected


@pytest.mark.parametrize("kind", KINDS)
def test_an_exact_hint_is_neither_too_short_nor_too_long(kind: Kind) -> None:
    """Else a client that obeys it is refused again, or waits in vain."""
    server = still(Limit(3, 60.0, kind), hints=("retry-after",))
    script = next(s for s in (send(server, n * 0.001) for n in range(9)) if s.status == 429)
    at, wait = server.arrivals[-1].sent, float(script.headers["retry-after"])
    assert send(server, at + wait - 0.01).status == 429
    assert send(server, at + wait + 0.001).status == 200


def test_a_proxy_gives_the_same_hint_whatever_its_window() -> None:
    """It says nothing about the window."""
    server = still(Limit(1, 3600.0), hints=("constant",))
    assert "retry-after" not in send(server, 0.0).headers
    assert [send(server, n * 1.0).headers["retry-after"] for n in range(1, 4)] == ["1"] * 3


def test_headers_tell_the_count_on_answers_and_refusals() -> None:
    """A client that reads them needs no refusal to learn the limit."""
    server = still(Limit(2), hints=("headers",))
    seen = [send(server, at).headers for at in (0.0, 10.0, 20.0)]
    assert [h["x-ratelimit-limit-requests"] for h in seen] == ["2"] * 3
    assert [h["x-ratelimit-remaining-requests"] for h in seen] == ["1", "0", "0"]
    assert [float(h["x-ratelimit-reset-requests"]) for h in seen] == pytest.approx([60.0, 60.0, 50.0], abs=0.01)
    assert not any(name.startswith(("x-", "retry")) for name in send(still(Limit(2)), 0.0).headers)


def test_keys_of_an_account_draw_on_one_counter_and_others_on_their_own() -> None:
    """Two counters for one account would call a client good that is refused every second time."""
    for account, expected in ((lambda key: "one", 3), (lambda key: key, 6)):
        server = still(Limit(3), account=account)
        for n in range(10):
            send(server, n * 1.0, key=f"k{n % 2}")
        assert server.answers == expected
        assert {key: len(log) for key, log in server.by_key().items()} == {"k0": 5, "k1": 5}


def test_a_stranger_takes_his_share_of_the_counter_while_he_is_there() -> None:
    """He is let in and refused as the client is, on the same counter."""
    server = still(Limit(60), stranger=Stranger(0.25, stop=240.0))
    for n in range(480):
        send(server, 0.5 + n * 1.0)
    assert 30 <= server.strangers <= 80
    assert server.rate(60, 240) == pytest.approx(0.8, abs=0.1)
    assert server.rate(300, 480) == pytest.approx(1.0, abs=0.01)


def test_a_limit_is_cut_and_restored_at_its_time() -> None:
    """Nobody is told; what was let in before still counts."""
    server = still(Limit(60), cuts=[(60.0, 0.2), (120.0, 1.0)])
    for n in range(360):
        send(server, n * 0.5)
    assert server.rate(0, 60) == 1.0
    assert server.rate(60, 120) <= 12 / 60
    assert server.rate(120, 180) >= 48 / 60


# ---------------------------------------------------------------- tokens


def test_max_tokens_are_charged_ahead_and_the_rest_is_given_back_at_the_end() -> None:
    """Ten requests of a hundred fill a thousand; their short answers free it again, unless the server keeps all."""
    for charge, again in (("ahead", 8), ("kept", 0)):
        server = still(Limit(1000, unit="tokens"), charge=charge, answer=15.0)
        assert [send(server, 0.0).status for _ in range(11)] == [200] * 10 + [429]
        assert sum(send(server, 10.0).status == 200 for _ in range(11)) == again


def test_tokens_charged_at_the_end_pass_the_limit_by_what_was_on_its_way() -> None:
    """At the door such a server sees only whether anything is left."""
    server = still(Limit(100, unit="tokens"), answer=55.0)
    assert [send(server, 0.0).status for _ in range(3)] == [200] * 3
    assert send(server, 10.0).status == 429
    assert server.passing(server.limits[0]) == pytest.approx(3 * 60 - 100)
    assert send(server, 65.0).status == 200


def test_requests_and_tokens_are_taken_together_or_not_at_all() -> None:
    """A request refused for its tokens must not have spent a request."""
    server = still(Limit(3), Limit(200, 10.0, unit="tokens"), charge="kept")
    assert [send(server, at).status for at in (0.0, 0.1, 0.2, 0.3, 11.0, 22.0)] == [200, 200, 429, 429, 200, 429]


def test_answers_vary_in_length_up_to_max_tokens() -> None:
    """The usage told is what is charged."""
    server = LimiterServer(Limit(1e9, 0.1), answer=60.0, answer_sigma=0.6)
    for n in range(500):
        send(server, n * 1.0)
    tokens = [one.tokens for one in server.arrivals]
    assert max(tokens) == 5 + 95
    assert 45 < sum(tokens) / 500 < 65
    script = send(server, 600.0)
    assert json.loads(script.writes[-1][1])["usage"]["total_tokens"] == server.arrivals[-1].tokens


def test_slots_are_freed_when_an_answer_ends() -> None:
    """A cap on requests in flight that leaks would stop a run for good."""
    server = still(Limit(2, unit="in_flight"), service=1.0)
    assert [send(server, at).status for at in (0.0, 0.5, 0.9, 1.01, 1.02, 1.6)] == [200, 200, 429, 200, 429, 200]


# ---------------------------------------------------------------- the ideal, and whole runs


def test_the_true_ideal_is_that_of_the_servers_kind() -> None:
    """600 at 60 a minute: the burst and the first boundary make the difference."""
    seconds = {}
    for kind in KINDS:
        server = still(Limit(60, 60.0, kind), seed=3)
        send(server, 0.0)
        seconds[kind] = true_ideal(600, server) - 2.1
    phase = still(Limit(60, 60.0, "fixed"), seed=3).phases("k")[0]
    expected = {
        "sliding": 540.0,
        "fixed": 540 - phase,
        "counter": 600 - phase,
        "bucket": 540,
        "bucket10": 594,
        "bucket1": 599,
    }
    assert seconds == pytest.approx(expected, abs=0.01)


def test_a_whole_run_plays_against_it(tmp_path: Path) -> None:
    """The run's own record and the far end's must agree."""
    server = LimiterServer(Limit(20, 60.0), seed=1, hints=("retry-after",))
    happened = play(tmp_path, [provider("p", axes={"rpm": 20})], {"p": server}, 30)
    assert [r["status"] for r in happened.results] == ["ok"] * 30
    assert server.answers == 30
    assert server.refusals == sum(a["http_status"] == 429 for a in happened.attempts)
    assert most_in_any([(one.at, 1.0) for one in in_order(server) if not one.refused], 60.0) <= 20
    assert server.makespan == pytest.approx(happened.duration, abs=0.5)
    assert happened.duration >= true_ideal(30, server) * 0.9


def test_it_is_the_same_over_http_with_time_scaled_down() -> None:
    """A minute in a tenth of a second; the headers and waits are scaled with it."""
    server = still(Limit(2, 6000.0), hints=("retry-after", "headers"), speed=600.0)
    with Serving({"p": server}) as far:
        address = urlsplit(far.base_url("p"))
        line = http.client.HTTPConnection(address.netloc)
        seen = []
        for _ in range(3):
            line.request("POST", address.path + "/chat/completions", BODY, {"authorization": "Bearer k"})
            reply = line.getresponse()
            seen.append((reply.status, reply.headers["x-ratelimit-remaining-requests"], reply.headers["retry-after"]))
            reply.read()
        line.close()
    assert [(status, left) for status, left, _ in seen] == [(200, "1"), (200, "0"), (429, "0")]
    assert 5 < float(seen[2][2]) <= 10
