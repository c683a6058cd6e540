"""What was sent and never answered may have been billed: it is sent again a bounded number of times, and marked."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path

import pytest

from llmfan.options import RunOptions
from llmfan.simulation.fake import Behaviour, always, cut_stream, good, hanging, in_turn
from llmfan.simulation.script import EVENT_STREAM, Script
from tests.scenarios.world import Happened, play, provider


def dropping(now: float, key: str, body: bytes) -> Script:
    """Takes the request, then closes the connection without a byte."""
    return Script(200, {"content-type": EVENT_STREAM}, [], abort=True)


UNSURE: dict[str, Behaviour] = {
    "hangs": hanging(),
    "hangs after the headers": hanging(headers_first=True),
    "drops the connection": dropping,
    "breaks the stream": cut_stream(abort=True),
    "ends the stream early": cut_stream(),
    "gateway timeout": always(504, b"<html>504</html>"),
    "bad gateway": always(502, b"<html>502</html>"),
}


def sends(happened: Happened) -> Counter[str]:
    return Counter(a["id"] for a in happened.attempts)


@pytest.mark.parametrize("unsure", UNSURE.values(), ids=UNSURE.keys())
@pytest.mark.parametrize("again", [0, 1, 2])
def test_a_job_never_answered_is_sent_again_max_ambiguous_times_and_no_more(
    tmp_path: Path, unsure: Behaviour, again: int
) -> None:
    """426 billed duplicates in a week came of retrying a dropped connection as if nothing had happened."""
    options = RunOptions(max_ambiguous=again, timeout=5, max_attempts=9, max_stall=1e5)
    # One answer first: a provider that has never answered at all is given up sooner.
    happened = play(tmp_path, [provider("p", 3)], {"p": in_turn(good(0.0), unsure)}, 5, options)
    assert happened.run.ending == "done"
    assert Counter(r["status"] for r in happened.results) == {"ok": 1, "failed": 4}
    failed = {r["id"] for r in happened.results if r["status"] == "failed"}
    assert {n for id_, n in sends(happened).items() if id_ in failed} == {1 + again}
    assert len(happened.far.seen) == 1 + 4 * (1 + again)
    unsure_attempts = [a for a in happened.attempts if a["outcome"] != "ok"]
    assert {(a["billed"], a["ambiguous"]) for a in unsure_attempts} == {("unknown", True)}


@pytest.mark.parametrize("unsure", UNSURE.values(), ids=UNSURE.keys())
def test_the_second_send_goes_elsewhere(tmp_path: Path, unsure: Behaviour) -> None:
    """Where one provider kept silent another is likelier to answer; the same one is the last resort."""
    fleet = [provider("mute", 3, priority=9), provider("good")]
    happened = play(tmp_path, fleet, {"mute": unsure, "good": good()}, 40, RunOptions(timeout=5))
    assert happened.run.ending == "done"
    assert Counter(r["status"] for r in happened.results) == {"ok": 40}
    tried = defaultdict(list)
    for attempt in sorted(happened.attempts, key=lambda a: a["attempt"]):
        tried[attempt["id"]].append(attempt["provider"])
    assert {tuple(names) for names in tried.values()} <= {("good",), ("mute", "good")}
    assert ["mute", "good"] in tried.values()


def test_the_second_send_stays_where_there_is_no_elsewhere(tmp_path: Path) -> None:
    """One provider only: `elsewhere where possible` must not become `never`."""
    mute = {"left": 1}

    def once(now: float, key: str, body: bytes) -> Script:
        mute["left"] -= 1
        return (dropping if mute["left"] >= 0 else good())(now, key, body)

    happened = play(tmp_path, [provider("p", 2)], {"p": once}, 5, RunOptions(concurrency=1))
    assert Counter(r["status"] for r in happened.results) == {"ok": 5}
    assert sorted(sends(happened).values()) == [1, 1, 1, 1, 2]


def test_a_second_send_that_waits_for_a_first_answer_leaves_when_it_comes(tmp_path: Path) -> None:
    """Nobody looked again once the other place had proved itself: the job was left and the run gave up."""
    fleet = [provider("mute", axes={"concurrency": 1}, priority=9), provider("slow", 2)]
    gone = always(504, b"<html>504</html>", latency=5.0)
    happened = play(tmp_path, fleet, {"mute": gone, "slow": good(9.0)}, 2, RunOptions(timeout=10, concurrency=2))
    assert happened.run.ending == "done"
    assert Counter(r["status"] for r in happened.results) == {"ok": 2}


def test_with_zero_a_job_that_may_have_been_billed_fails_at_once(tmp_path: Path) -> None:
    """The user said never: not even with a healthy provider beside."""
    fleet = [provider("mute", priority=9), provider("good")]
    options = RunOptions(timeout=5, max_ambiguous=0)
    happened = play(tmp_path, fleet, {"mute": hanging(), "good": good()}, 30, options)
    assert happened.run.ending == "done"
    assert set(sends(happened).values()) == {1}
    by_status = Counter(r["status"] for r in happened.results)
    assert by_status["failed"] == len([s for s in happened.far.seen if s.provider == "mute"])
    assert by_status["ok"] == 30 - by_status["failed"]
    assert 0 < by_status["failed"] <= 20


@pytest.mark.parametrize(
    "clear",
    [None, always(429, {"error": {"message": "slow down"}}), always(503, b""), always(401, b"{}")],
    ids=["refused connection", "429", "503", "401"],
)
def test_a_request_refused_before_it_was_processed_is_not_counted_as_perhaps_billed(
    tmp_path: Path, clear: Behaviour | None
) -> None:
    """A refusal is certain: with --max-ambiguous 0 such jobs still go elsewhere."""
    fleet = [provider("no", 2, priority=9), provider("good")]
    behaviours = {"good": good()} | ({"no": clear} if clear is not None else {})
    happened = play(tmp_path, fleet, behaviours, 30, RunOptions(max_ambiguous=0))
    assert Counter(r["status"] for r in happened.results) == {"ok": 30}
    refused = [a for a in happened.attempts if a["provider"] == "no"]
    assert refused
    assert {(a["billed"], a["ambiguous"]) for a in refused} == {("no", False)}


def test_leaving_at_once_writes_what_was_in_flight_down_as_perhaps_billed(tmp_path: Path) -> None:
    """After a second Ctrl-C nobody else can say which calls may have been paid for."""
    happened = play(tmp_path, [provider("p", 2)], {"p": hanging()}, 8, RunOptions(max_duration=3, timeout=500))
    assert happened.run.ending == "bound"
    assert happened.results == []
    assert {(a["outcome"], a["billed"], a["ambiguous"]) for a in happened.attempts} == {("cancelled", "unknown", True)}
    assert len(happened.attempts) == len(happened.far.seen)
