"""Every prompt is answered by whoever can, and each failing far end is told apart and left alone as it deserves."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from llmfan.options import RunOptions
from llmfan.simulation.fake import Behaviour, always, cut_stream, good, hanging, in_turn
from llmfan.summary import document
from tests.scenarios.far_ends import by_key, refusal, refuse, until
from tests.scenarios.world import MIDNIGHT, Happened, play, prompts, provider

HTML = b"<!DOCTYPE html><html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"


def answered_once(happened: Happened, jobs: int) -> None:
    assert (happened.run.ending, happened.run.why) == ("done", "")
    assert sorted(r["index"] for r in happened.results) == list(range(jobs))
    assert {r["status"] for r in happened.results} == {"ok"}


def outcomes(happened: Happened, name: str) -> Counter[str]:
    return Counter(a["outcome"] for a in happened.attempts if a["provider"] == name)


def troubles(happened: Happened) -> dict[str, str]:
    """What the summary says of those that do not serve."""
    summary: dict[str, Any] = document(
        happened.accumulator, happened.crew.lanes, run={}, nearness={}, client={}, unsent=0,
        now=happened.crew.lanes[0].provider.last_heard,
    )  # fmt: skip
    found: dict[str, str] = summary["out"]
    return found


BAD: dict[str, tuple[Behaviour | None, str]] = {
    "dead": (None, "connection"),
    "hanging": (hanging(), "timeout"),
    "silent": (hanging(headers_first=True), "timeout"),
    "html": (always(502, HTML), "server_error"),
    "unauthorized": (refusal(401, "Incorrect API key provided"), "auth"),
    "unpaid": (refusal(402, "Insufficient credits"), "payment_required"),
    "forbidden": (refusal(403, "Not allowed"), "auth"),
    "cut": (cut_stream(), "truncated_stream"),
    "limited": (refuse(), "rate_limited"),
}


def test_one_good_provider_among_nine_bad_ones_answers_everything(tmp_path: Path) -> None:
    """The fleet of a user's worst day: all is answered, nothing twice, and each bad one is named with its reason."""
    fleet = [provider("good", 2)] + [provider(name, 2) for name in BAD]
    behaviours = {name: behave for name, (behave, _) in BAD.items() if behave is not None}
    happened = play(tmp_path, fleet, {"good": good(), **behaviours}, 300, RunOptions(timeout=20))
    answered_once(happened, 300)
    assert happened.by("good") == 300
    for name, (_, kind) in BAD.items():
        assert set(outcomes(happened, name)) == {kind}, name
    told = troubles(happened)
    for name, (_, kind) in BAD.items():
        if name != "limited":  # it may be between two rests at the end
            assert any(kind in why for key, why in told.items() if key.startswith(name)), (name, told)
    assert not any(key.startswith("good") for key in told)


def test_the_bad_ones_cost_a_bounded_number_of_requests(tmp_path: Path) -> None:
    """Thirty-three dead calls for eleven requests is what routers do."""
    fleet = [provider("good", axes={"rps": 5})] + [provider(name, 2) for name in BAD]
    behaviours = {name: behave for name, (behave, _) in BAD.items() if behave is not None}
    happened = play(tmp_path, fleet, {"good": good(), **behaviours}, 1000, RunOptions(timeout=20))
    answered_once(happened, 1000)
    for name in ("unauthorized", "unpaid", "forbidden"):
        assert 1 <= happened.far.count(name) <= 6, name  # a few were in flight when the first came back
    for name in ("dead", "html", "cut", "hanging", "silent", "limited"):
        assert 1 <= sum(outcomes(happened, name).values()) <= 40, name


def test_nine_spent_or_refused_keys_leave_the_tenth_to_answer(tmp_path: Path) -> None:
    """Walking a pool of keys is not a retry: the budget of attempts must not end it."""
    bad = {f"k{n}": refusal(*((402, "no credit") if n % 2 else (401, "bad key"))) for n in range(1, 10)}
    far = by_key(good(), **bad)
    # The tenth key's secret ends in -10.
    happened = play(tmp_path, [provider("p", 10)], {"p": far}, 20, RunOptions(max_attempts=2, concurrency=1))
    answered_once(happened, 20)
    assert {r["key"] for r in happened.results} == {"p#10"}
    assert Counter(a["key"] for a in happened.attempts if a["outcome"] != "ok") == {f"p#{n}": 1 for n in range(1, 10)}
    assert len([text for text in happened.said if "out for this run" in text]) == 9


def test_a_request_everybody_refuses_ends_after_a_second_opinion_and_blames_no_key(tmp_path: Path) -> None:
    """A poisoned prompt must not walk the fleet and bench it."""
    fleet = [provider(name, 3) for name in ("a", "b", "c")]
    bad = always(400, {"error": {"message": "messages: invalid role"}})
    happened = play(tmp_path, fleet, dict.fromkeys("abc", bad), 40)
    assert happened.run.ending == "done"
    assert Counter(r["status"] for r in happened.results) == {"failed": 40}
    assert {r["error"]["kind"] for r in happened.results} == {"bad_request"}
    tried: dict[str, list[str]] = {}
    for attempt in happened.attempts:
        tried.setdefault(attempt["id"], []).append(attempt["provider"])
    assert {len(names) for names in tried.values()} == {2}
    assert all(len(set(names)) == 2 for names in tried.values())
    now = happened.duration + 1e6
    assert {lane.state(now) for lane in happened.crew.lanes} == {"ready"}
    assert troubles(happened) == {}


def test_a_second_opinion_can_save_a_prompt(tmp_path: Path) -> None:
    """What one provider's rules refuse another may answer."""
    fleet = [provider("strict", priority=9), provider("lenient")]
    bad = always(400, {"error": {"message": "messages: invalid role"}})
    happened = play(tmp_path, fleet, {"strict": bad, "lenient": good()}, 20, RunOptions(concurrency=1))
    answered_once(happened, 20)
    assert outcomes(happened, "strict") == {"bad_request": 20}
    assert not happened.crew.lanes[0].out


def test_a_bad_request_with_one_provider_only_fails_after_one_send(tmp_path: Path) -> None:
    """There is nobody to ask for a second opinion: it must end, not wait for ever."""
    happened = play(tmp_path, [provider("p", 3)], {"p": always(400, {"error": {"message": "no"}})}, 10)
    assert happened.run.ending == "done"
    assert Counter(r["status"] for r in happened.results) == {"failed": 10}
    assert happened.far.count("p") == 10


def test_a_provider_that_is_down_is_tried_with_one_request_at_growing_intervals(tmp_path: Path) -> None:
    """Half-open is one trial, not a flood; five minutes at most, so that a recovery is seen."""
    fleet = [provider("down", 4, priority=9), provider("good", axes={"rpm": 6})]
    happened = play(tmp_path, fleet, {"down": always(500, HTML), "good": good()}, 300, RunOptions(max_stall=1e9))
    answered_once(happened, 300)
    at = [s.at for s in happened.far.seen if s.provider == "down"]
    bursts = [b - a for a, b in pairwise(at) if b - a > 0.5]
    assert len(at) - len(bursts) <= 40  # the first wave, before anything had come back
    assert 1.4 <= bursts[0] <= 2.6
    assert all(later >= 1.1 * earlier for earlier, later in pairwise(bursts) if later < 150)
    assert 200 <= max(bursts) <= 301


def test_a_provider_that_comes_back_serves_again(tmp_path: Path) -> None:
    """A bench that never ends shrinks the pool silently."""
    fleet = [provider("back", axes={"rps": 20}), provider("good", axes={"rps": 1})]
    happened = play(tmp_path, fleet, {"back": until(3.0, always(503, HTML), good()), "good": good()}, 400)
    answered_once(happened, 400)
    assert happened.by("back") > 300
    assert troubles(happened) == {}


def test_one_failure_opens_no_circuit(tmp_path: Path) -> None:
    """One blip among many answers is not an outage."""
    happened = play(tmp_path, [provider("p")], {"p": in_turn(good(), always(500, HTML), good())}, 30,
                    RunOptions(concurrency=1))  # fmt: skip
    answered_once(happened, 30)
    assert happened.duration < 5


def test_a_failing_job_is_failed_after_max_attempts(tmp_path: Path) -> None:
    """A budget of attempts a job, over all keys: not multiplied by them."""
    fleet = [provider(name, 3) for name in ("a", "b")]
    broken = always(200, b"{}", {"content-type": "application/json"})
    happened = play(tmp_path, fleet, {"a": broken, "b": broken}, 5, RunOptions(max_attempts=3))
    assert happened.run.ending == "done"
    assert {(r["status"], r["attempts"], r["error"]["kind"]) for r in happened.results} == {
        ("failed", 3, "bad_response")
    }


def test_figures_of_time_add_up(tmp_path: Path) -> None:
    """wait + retry + latency = total, or a column hides a cost."""
    far = in_turn(*[refuse(1.0), always(500, HTML, latency=0.7), good(0.3)] * 3)
    happened = play(tmp_path, [provider("p", 2, axes={"rpm": 120})], {"p": far}, prompts(30), wall=MIDNIGHT)
    answered_once(happened, 30)
    sent = {(a["id"], a["attempt"]): a for a in happened.attempts}
    for r in happened.results:
        assert r["wait_s"] + r["retry_s"] + r["latency_s"] == pytest.approx(r["total_s"], abs=5e-6)
        lost = sum(a["latency_s"] for a in happened.attempts if a["id"] == r["id"] and a["outcome"] != "ok")
        assert r["retry_s"] == pytest.approx(lost, abs=1e-5)
        last = sent[r["id"], r["attempts"]]
        assert last["outcome"] == "ok"
        assert r["total_s"] == pytest.approx(last["sent_s"] + last["latency_s"], abs=1e-5)
        assert last["started_at"] == _stamp(last["sent_s"])
    assert any(r["retry_s"] > 0 for r in happened.results)


def _stamp(sent: float) -> str:
    return (MIDNIGHT + dt.timedelta(seconds=sent)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
