"""How a run ends: by its bounds, by a signal, by itself; and what is then in the folder."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from llmfan.conduct.run import Run
from llmfan.options import RunOptions
from llmfan.simulation.fake import always, good, hanging
from llmfan.simulation.script import Script
from tests.scenarios.far_ends import refuse
from tests.scenarios.world import Happened, play, provider


def whole(happened: Happened) -> None:
    """Every job that has a result has one, every send has its line, and nothing is left in flight."""
    assert max(Counter(r["id"] for r in happened.results).values(), default=1) == 1
    assert len(happened.attempts) == len(happened.far.seen)
    assert happened.run.dispatcher.in_flight == 0
    assert all(lane.in_flight == 0 for lane in happened.crew.lanes)


def test_max_duration_drains_and_keeps_what_was_done(tmp_path: Path) -> None:
    """A bound on time: nothing is sent after it, what was on its way is kept."""
    options = RunOptions(max_duration=10, concurrency=2)
    happened = play(tmp_path, [provider("p")], {"p": good(1.0)}, 100, options)
    assert happened.run.ending == "bound"
    assert "--max-duration" in happened.run.why
    assert 10 <= happened.duration <= 12
    assert 18 <= len(happened.results) <= 22
    assert {r["status"] for r in happened.results} == {"ok"}
    assert max(s.at for s in happened.far.seen) - happened.far.seen[0].at <= 10.3
    whole(happened)


def test_a_batch_that_ends_in_time_is_done_in_spite_of_the_bounds(tmp_path: Path) -> None:
    """A bound that was not reached has no say."""
    options = RunOptions(max_duration=1000, max_stall=5, max_cost=1.0)
    happened = play(tmp_path, [provider("p")], {"p": good(1.0)}, 10, options)
    assert (happened.run.ending, happened.run.why) == ("done", "")


def test_max_stall_ends_a_run_in_which_nothing_moves(tmp_path: Path) -> None:
    """Refused for ever without a hint: the run ends by itself, says so, and does not fail the prompts."""
    happened = play(tmp_path, [provider("p", 2)], {"p": refuse()}, 10, RunOptions(max_stall=90))
    assert happened.run.ending == "bound"
    assert "--max-stall" in happened.run.why
    assert happened.duration == pytest.approx(90, abs=2)
    assert happened.results == []
    whole(happened)


def test_max_stall_does_not_count_a_wait_whose_end_is_known(tmp_path: Path) -> None:
    """The server said five minutes: that is a wait, not a standstill."""
    calls = {"n": 0}

    def later(now: float, key: str, body: bytes) -> Script:
        calls["n"] += 1
        return (refuse(300.0) if calls["n"] == 1 else good())(now, key, body)

    happened = play(tmp_path, [provider("p")], {"p": later}, 5, RunOptions(max_stall=60, concurrency=1))
    assert happened.run.ending == "done"
    assert len(happened.results) == 5


def test_max_stall_does_not_count_the_wait_for_a_declared_limit(tmp_path: Path) -> None:
    """One request an hour is slow, and known."""
    happened = play(tmp_path, [provider("p", axes={"rph": 1})], {"p": good()}, 3, RunOptions(max_stall=600))
    assert happened.run.ending == "done"
    assert len(happened.results) == 3


def test_max_stall_is_not_reached_by_slow_answers_under_it(tmp_path: Path) -> None:
    """Slow is not stalled."""
    options = RunOptions(max_stall=60, timeout=100, concurrency=1)
    happened = play(tmp_path, [provider("p")], {"p": good(50.0)}, 5, options)
    assert happened.run.ending == "done"


def at(seconds: float, act: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls `interrupted` (or `leave_at_once` after it) so long after the run began."""
    go = Run.go

    async def with_signal(self: Run) -> str:
        loop = asyncio.get_running_loop()
        loop.call_later(seconds, self.interrupted, 2)
        if act == "twice":
            loop.call_later(seconds + 1, self.interrupted, 2)
        return await go(self)

    monkeypatch.setattr(Run, "go", with_signal)


def test_the_first_signal_stops_sending_and_lets_those_in_flight_finish(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is under way has been paid for."""
    at(5.5, "once", monkeypatch)
    happened = play(tmp_path, [provider("p")], {"p": good(1.0)}, 100, RunOptions(concurrency=3))
    assert (happened.run.ending, happened.run.signal) == ("interrupted", 2)
    assert happened.duration == pytest.approx(6.0, abs=0.1)
    assert Counter(a["outcome"] for a in happened.attempts) == {"ok": len(happened.results)}
    whole(happened)


def test_draining_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A far end that hangs must not hold a stopped run for ever."""
    at(5.0, "once", monkeypatch)
    happened = play(tmp_path, [provider("p")], {"p": hanging()}, 10, RunOptions(timeout=1000))
    assert happened.run.ending == "interrupted"
    assert happened.duration == pytest.approx(35.0, abs=0.5)
    assert {a["outcome"] for a in happened.attempts} == {"cancelled"}
    assert happened.results == []
    whole(happened)


def test_the_second_signal_leaves_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the journal whole."""
    at(5.0, "twice", monkeypatch)
    happened = play(tmp_path, [provider("p")], {"p": hanging()}, 10, RunOptions(timeout=1000))
    assert happened.duration == pytest.approx(6.0, abs=0.5)
    assert {a["outcome"] for a in happened.attempts} == {"cancelled"}
    whole(happened)


def test_a_signal_while_everything_waits_ends_the_run_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is in flight: there is nothing to wait for."""
    at(5.0, "once", monkeypatch)
    happened = play(tmp_path, [provider("p", axes={"rph": 1})], {"p": good()}, 5)
    assert happened.run.ending == "interrupted"
    assert happened.duration == pytest.approx(5.0, abs=0.5)


def test_nothing_to_do_is_done(tmp_path: Path) -> None:
    """A resumed run that is finished already sends nothing and ends at once."""
    happened = play(tmp_path, [provider("p")], {"p": good()}, 0)
    assert happened.run.ending == "done"
    assert happened.far.seen == []
    assert happened.duration < 1


def test_a_batch_whose_last_job_fails_is_done(tmp_path: Path) -> None:
    """The end does not depend on a success."""
    happened = play(tmp_path, [provider("p")], {"p": always(400, b"{}")}, 1)
    assert happened.run.ending == "done"
    assert len(happened.results) == 1


def test_warmup_requests_are_marked_and_left_out_of_the_figures(tmp_path: Path) -> None:
    """Their answers count as answers, not as measurements."""
    happened = play(tmp_path, [provider("a"), provider("b")], {"a": good(), "b": good()}, 40, RunOptions(warmup=3))
    assert len(happened.results) == 40
    warm = Counter(a["provider"] for a in happened.attempts if a["warmup"])
    assert warm == {"a": 3, "b": 3}
    assert happened.accumulator.merged().ok == 34
    assert happened.accumulator.merged().attempts == 34
