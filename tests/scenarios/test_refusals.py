"""Refusals: how long each scope is left alone, what one wave teaches, and when a run gives up."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from llmfan.options import RunOptions
from llmfan.simulation.fake import always, good, in_turn
from tests.scenarios.far_ends import by_key, refusal, refuse, until
from tests.scenarios.world import MIDNIGHT, Happened, play, provider

#: A stream whose first event is an error; and one that breaks off with a 429 after some text.
ERROR_FIRST = b'data: {"error":{"message":"Rate limit reached","code":"rate_limit_exceeded"}}\n\n'
ERROR_LATER = (
    b'data: {"choices":[{"index":0,"delta":{"content":"An answer"},"finish_reason":null}]}\n\n'
    b'data: {"error":{"message":"Too many requests","code":429}}\n\n'
)


def answered_once(happened: Happened, jobs: int) -> None:
    assert (happened.run.ending, happened.run.why) == ("done", "")
    assert sorted(r["index"] for r in happened.results) == list(range(jobs))
    assert {r["status"] for r in happened.results} == {"ok"}


def outcomes(happened: Happened, name: str) -> Counter[str]:
    return Counter(a["outcome"] for a in happened.attempts if a["provider"] == name)


@pytest.mark.parametrize(
    ("body", "headers", "wait"),
    [
        ({"error": {"message": "slow down"}}, {"retry-after": "7"}, 7.0),
        ({"error": {"message": "slow down"}}, {"retry-after": "Sat, 21 Nov 2026 12:00:40 GMT"}, 40.0),
        ({"error": {"message": "slow down"}}, {"retry-after-ms": "2500"}, 2.5),
        ({"error": {"message": "Rate limit reached. Please try again in 7.66s."}}, {}, 7.66),
        ({"error": {"message": "Rate limit reached. Please try again in 2m59.56s."}}, {}, 179.56),
        ({"error": {"message": "Quota used up; resets 2026-11-21T12:05:00Z"}}, {}, 300.0),
    ],
    ids=["seconds", "HTTP date", "milliseconds", "words", "minutes in words", "date in words"],
)
def test_what_a_server_says_about_waiting_is_obeyed(
    tmp_path: Path, body: dict[str, Any], headers: dict[str, str], wait: float
) -> None:
    """Sending sooner burns an attempt into a closed window; sending much later wastes it."""
    far = in_turn(always(429, body, headers, latency=0.0), good())
    happened = play(tmp_path, [provider("p")], {"p": far}, 3, RunOptions(concurrency=1), wall=MIDNIGHT)
    answered_once(happened, 3)
    gap = happened.far.seen[1].at - happened.far.seen[0].at
    assert wait - 0.001 <= gap <= wait + 1.5


def test_a_reset_in_years_ends_the_run_rather_than_being_tried_every_ten_minutes(tmp_path: Path) -> None:
    """The body names the date: doomed attempts all week are what a cap on cooldowns gives."""
    far = always(429, {"error": {"message": "Weekly quota reached, resets 2030-01-01"}})
    happened = play(tmp_path, [provider("p", 2)], {"p": far}, 5, RunOptions(concurrency=1))
    assert happened.run.ending == "nothing_left"
    assert happened.results == []
    assert happened.far.count("p") == 2


def test_a_longer_rest_is_never_shortened_by_an_earlier_answer(tmp_path: Path) -> None:
    """Retry-After 60 to one request, then 1 to another sent as early: the 60 hold."""
    late = always(429, {"error": {"message": "slow down"}}, {"retry-after": "1"}, latency=0.5)
    far = in_turn(refuse(60.0), late, good())
    happened = play(tmp_path, [provider("p")], {"p": far}, 5, RunOptions(concurrency=2))
    answered_once(happened, 5)
    assert happened.far.seen[2].at - happened.far.seen[0].at >= 60


def test_thirty_refusals_at_once_are_one_lesson(tmp_path: Path) -> None:
    """One wave rests the key once and teaches once; thirty cuts would stop it for the rest of the run."""
    wave = always(429, {"error": {"message": "slow down"}}, latency=0.2)
    happened = play(
        tmp_path, [provider("p", axes={"rpm": 3000}, burst=30)], {"p": until(0.1, wave, good())}, 60,
        RunOptions(concurrency=30),
    )  # fmt: skip
    answered_once(happened, 60)
    first_wave = [a for a in happened.attempts if a["outcome"] == "rate_limited"]
    assert len(first_wave) >= 4
    assert happened.crew.lanes[0].group.pace.limit > 1000
    assert happened.duration < 5


def test_all_keys_resting_is_waited_out_without_a_failure(tmp_path: Path) -> None:
    """Everything benched for two seconds is no reason to fail a prompt."""
    happened = play(tmp_path, [provider("p", 3)], {"p": until(0.5, refuse(2.0), good())}, 12)
    answered_once(happened, 12)
    assert 2.0 <= happened.duration <= 3.5


def test_an_address_that_is_limited_pauses_the_provider_and_blames_no_key(tmp_path: Path) -> None:
    """All keys refused in the same second: the limit is on the address. One pause, then all go on."""
    happened = play(tmp_path, [provider("p", 6)], {"p": until(0.5, refuse(5.0), good())}, 60, RunOptions(concurrency=6))
    answered_once(happened, 60)
    refused = [s for s in happened.far.seen if s.status == 429]
    assert len(refused) < 12  # what left before all six had been heard
    assert max(s.at for s in refused) - refused[0].at < 0.05
    assert min(s.at for s in happened.far.seen if s.status == 200) - refused[0].at >= 5.0
    assert len({r["key"] for r in happened.results}) == 6
    shared = set.intersection(*(set(map(id, lane.cooldowns)) for lane in happened.crew.lanes))
    assert len(shared) == 1


def test_a_key_out_of_quota_rests_until_its_reset_and_the_others_go_on(tmp_path: Path) -> None:
    """One key's spent day must not cool its siblings."""
    spent = always(429, {"error": {"message": "Rate limit reached on requests per day (RPD): Limit 50, Used 50"}})
    happened = play(tmp_path, [provider("p", 3)], {"p": by_key(good(), k1=spent)}, 60, RunOptions(concurrency=3))
    answered_once(happened, 60)
    assert outcomes(happened, "p")["quota_exhausted"] == 1
    assert happened.crew.lanes[0].state(happened.crew.lanes[0].rest_until - 1) == "exhausted"


def test_all_quotas_spent_ends_the_run_and_keeps_the_jobs(tmp_path: Path) -> None:
    """Nothing comes back today: the run ends by itself, and the prompts are left for --resume, not failed."""
    spent = always(429, {"error": {"message": "Rate limit reached on requests per day (RPD): Limit 50, Used 50"}})
    happened = play(tmp_path, [provider("p", 2), provider("q")], {"p": spent, "q": spent}, 10)
    assert happened.run.ending == "nothing_left"
    assert "quota" in happened.run.why
    assert happened.results == []
    assert happened.duration < 60


def test_all_keys_refused_ends_the_run_and_keeps_the_jobs(tmp_path: Path) -> None:
    """A typo in the keys must not turn ten thousand prompts into failures."""
    happened = play(tmp_path, [provider("p", 2)], {"p": refusal(401, "bad key")}, 10)
    assert happened.run.ending == "nothing_left"
    assert "p#1" in happened.run.why
    assert happened.results == []


def test_a_402_for_calls_in_flight_passes_by_itself(tmp_path: Path) -> None:
    """A budget that calls in flight hold is given back: the key is not out of credit."""
    body = {"error": {"message": "in flight budget", "code": "in_flight_budget_exhausted"}}
    far = in_turn(always(402, body, {"retry-after": "2"}), good())
    happened = play(tmp_path, [provider("p")], {"p": far}, 5, RunOptions(concurrency=1))
    answered_once(happened, 5)
    assert not happened.crew.lanes[0].out
    assert 2.0 <= happened.duration < 5


def test_an_error_event_in_a_200_is_what_it_says(tmp_path: Path) -> None:
    """A stream that opens with a 429 is a refusal: free, and resting the key; never an empty success."""
    kind = {"content-type": "text/event-stream"}
    far = in_turn(always(200, ERROR_FIRST, kind), good())
    happened = play(tmp_path, [provider("p")], {"p": far}, 3, RunOptions(concurrency=1))
    answered_once(happened, 3)
    assert outcomes(happened, "p") == {"rate_limited": 1, "ok": 3}


def test_an_error_in_the_middle_of_a_stream_is_no_success_and_may_have_been_billed(tmp_path: Path) -> None:
    """Half an answer is not an answer, and it was paid for."""
    kind = {"content-type": "text/event-stream"}
    far = in_turn(always(200, ERROR_LATER, kind), good())
    happened = play(tmp_path, [provider("p")], {"p": far}, 3, RunOptions(concurrency=1))
    answered_once(happened, 3)
    assert outcomes(happened, "p") == {"rate_limited": 1, "ok": 3}
    (bad,) = [a for a in happened.attempts if a["outcome"] != "ok"]
    assert (bad["billed"], bad["ambiguous"]) == ("unknown", True)
