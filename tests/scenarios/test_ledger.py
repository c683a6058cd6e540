"""What outlives a run: a spent day, a rest the server asked for, and how each key was."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from llmfan.entries import KeyState
from llmfan.ledgers.memory import MemoryLedger
from llmfan.options import RunOptions
from llmfan.records import Known
from llmfan.settings import HeaderRow, Preset
from llmfan.simulation.fake import always, good
from llmfan.simulation.script import Script
from tests.scenarios.world import Happened, play, provider

#: A server that says its day is spent, and for how long.
SPENT = always(429, {"error": {"message": "Rate limit reached for requests per day (RPD): Limit 5", "code": "x"}},
               {"retry-after": "7200"})  # fmt: skip


def at(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text + "+00:00")


def a_day_of_five(folder: Path, ledger: MemoryLedger, wall: str, jobs: int) -> Happened:
    folder.mkdir()
    fleet = [provider("a", axes={"rpm": 60, "rpd": 5}, reset="America/Los_Angeles")]
    return play(folder, fleet, {"a": good()}, jobs, wall=at(wall), ledger=ledger)


@pytest.mark.parametrize(
    ("spent", "before", "turns", "after"),
    [
        ("2026-11-01T06:00", "2026-11-01T06:30", "2026-11-01 07:00:00 UTC", "2026-11-01T07:30"),
        ("2026-11-01T07:05", "2026-11-02T07:50", "2026-11-02 08:00:00 UTC", "2026-11-02T08:30"),  # 25 hours
        ("2026-03-08T08:30", "2026-03-09T06:30", "2026-03-09 07:00:00 UTC", "2026-03-09T07:30"),  # 23 hours
    ],
)
def test_a_spent_day_stays_spent_over_a_restart_until_the_providers_own_midnight(
    tmp_path: Path, spent: str, before: str, turns: str, after: str
) -> None:
    """A crash at two in the afternoon must not hand the day's allowance back, nor summer time an hour of it."""
    ledger = MemoryLedger()
    assert a_day_of_five(tmp_path / "1", ledger, spent, 5).by("a") == 5
    again = a_day_of_five(tmp_path / "2", ledger, before, 3)
    assert again.far.seen == []
    assert again.run.ending == "nothing_left"
    assert turns in again.run.why
    assert a_day_of_five(tmp_path / "3", ledger, after, 3).by("a") == 3


def test_a_spent_month_of_31_days_stays_spent_to_its_end(tmp_path: Path) -> None:
    """What was sent on the first would be forgotten on the thirty-first."""
    ledger, fleet = MemoryLedger(), [provider("a", axes={"requests_per_month": 5})]
    for name in ("1", "2"):
        (tmp_path / name).mkdir()
    assert play(tmp_path / "1", fleet, {"a": good()}, 5, wall=at("2026-12-01T00:10"), ledger=ledger).by("a") == 5
    again = play(tmp_path / "2", fleet, {"a": good()}, 3, wall=at("2026-12-31T23:00"), ledger=ledger)
    assert again.far.seen == []


def test_keys_that_did_not_work_are_tried_with_one_request(tmp_path: Path) -> None:
    """A probe has said which keys are dead; a run that sends each of them a burst learns it again at full price."""
    ledger = MemoryLedger()
    ledger.keep(Known(states=[KeyState(key="a#1", state="invalid")]))
    bad = always(401, {"error": {"message": "Incorrect API key provided", "code": "invalid_api_key"}}, latency=1.0)
    happened = play(tmp_path, [provider("a"), provider("b")], {"a": bad, "b": good()}, 60, ledger=ledger)
    assert happened.far.count("a") == 1
    assert happened.by("b") == 60


def test_no_credit_on_one_key_is_asked_of_each_key_of_an_account_nobody_named(tmp_path: Path) -> None:
    """One colleague's empty purse would end a run that has two good keys."""
    broke, fine = always(402, {"error": {"message": "Insufficient Balance"}}), good()
    keys: list[str] = []

    def behave(now: float, key: str, body: bytes) -> Script:
        keys.append(key)
        return (broke if key.endswith("1") else fine)(now, key, body)

    supposed = [provider("a", 3, accounts=["default"] * 3, shared="account")]
    happened = play(tmp_path, supposed, {"a": behave}, 20)
    assert happened.by("a") == 20
    (tmp_path / "named").mkdir()
    named = [provider("a", 3, accounts=["team"] * 3, shared="account")]
    assert play(tmp_path / "named", named, {"a": broke}, 20, RunOptions(concurrency=1)).far.count("a") == 1


def test_a_rest_the_server_asked_for_outlives_the_run(tmp_path: Path) -> None:
    """The next run would begin with the same 429, and with some providers be punished for it."""
    ledger, fleet = MemoryLedger(), [provider("a", axes={"rpm": 60}), provider("b", axes={"rpm": 60})]
    for name in ("1", "2", "3"):
        (tmp_path / name).mkdir()
    first = play(tmp_path / "1", fleet, {"a": SPENT, "b": good()}, 4, ledger=ledger, wall=at("2026-11-21T12:00"))
    assert first.far.count("a") == 1
    second = play(tmp_path / "2", fleet, {"a": good(), "b": good()}, 8, ledger=ledger, wall=at("2026-11-21T13:00"))
    assert second.far.count("a") == 0
    third = play(tmp_path / "3", fleet, {"a": good(), "b": good()}, 8, ledger=ledger, wall=at("2026-11-21T14:30"))
    assert third.far.count("a") > 0


def test_the_ledger_is_told_how_each_key_was(tmp_path: Path) -> None:
    """`status` knows nothing else."""
    ledger = MemoryLedger()
    fleet = [provider("a"), provider("b"), provider("c"), provider("d")]
    bad = {"error": {"message": "Incorrect API key provided", "code": "invalid_api_key"}}
    broke = {"error": {"message": "Insufficient Balance"}}
    play(tmp_path, fleet, {"a": good(), "b": always(401, bad), "c": always(402, broke), "d": SPENT}, 9, ledger=ledger)
    states = {state.key: state for state in ledger.known().states}
    assert {key: state.state for key, state in states.items()} == {
        "a#1": "ok", "b#1": "invalid", "c#1": "no_credit", "d#1": "exhausted",
    }  # fmt: skip
    assert states["d#1"].until == pytest.approx(states["d#1"].at + 7200, abs=2)


def test_every_attempt_is_tallied_once(tmp_path: Path) -> None:
    """Rates and totals of `status` rest on these, whatever became of a request."""
    ledger = MemoryLedger()
    fleet = [provider("a"), provider("b")]
    happened = play(tmp_path, fleet, {"a": good(output_tokens=7), "b": SPENT}, 20, ledger=ledger)
    tallies = ledger.tallied(0.0)
    assert sum(t.sent for t in tallies) == len(happened.attempts)
    assert sum(t.ok for t in tallies) == 20 == sum(sum(t.latencies.values()) for t in tallies)
    assert sum(t.refused for t in tallies if t.key == "b#1") == happened.far.count("b")
    assert sum(t.output_tokens for t in tallies) == 140
    assert sum(t.latency_s for t in tallies) == pytest.approx(2.0, rel=0.05)


@pytest.mark.parametrize(("accounts", "joined"), [(None, True), (["x", "y"], False)])
def test_a_shared_account_found_before_is_counted_as_one_unless_the_file_says_otherwise(
    tmp_path: Path, accounts: list[str] | None, joined: bool
) -> None:
    """A probe's finding would be worth nothing to the run; and a user who knows better must have the last word."""
    ledger = MemoryLedger()
    ledger.keep(Known(shared=[("a#2", "a#1")]))
    fleet = [provider("a", 2, axes={"rpm": 10}, accounts=accounts or ["a#1", "a#2"])]
    happened = play(tmp_path, fleet, {"a": good()}, 20, ledger=ledger, options=RunOptions(max_duration=30.0))
    assert len(happened.attempts) == (10 if joined else 20)


def test_what_others_spent_of_a_day_is_remembered_as_well(tmp_path: Path) -> None:
    """A colleague used 90 of the day's 100: the next run, an hour later, would start as if all were there."""
    told = {"x-ratelimit-limit-requests": "100", "x-ratelimit-remaining-requests": "9"}
    rows = [HeaderRow(name=f"x-ratelimit-{role}-requests", axis="rpd", role=role) for role in ("limit", "remaining")]
    preset = Preset(name="a", checked="2026-11-20", limit_headers=rows)
    answer = {"choices": [{"message": {"content": "x"}, "finish_reason": "stop"}]}
    for name in ("1", "2"):
        (tmp_path / name).mkdir()
    ledger, fleet = MemoryLedger(), [provider("a", axes={"rpd": 100}, preset=preset)]
    play(tmp_path / "1", fleet, {"a": always(200, answer, told)}, 1, ledger=ledger)
    assert sum(booking.amount for booking in ledger.booked(0.0)) == 91
    assert play(tmp_path / "2", fleet, {"a": good()}, 20, ledger=ledger).by("a") == 9


def test_refusals_for_a_reason_of_their_own_teach_no_limit_of_requests_at_once(tmp_path: Path) -> None:
    """A key that answers nothing but 401 would be shown with a measured concurrency of two."""
    ledger = MemoryLedger()
    bad = always(401, {"error": {"message": "Incorrect API key provided", "code": "invalid_api_key"}}, latency=1.0)
    play(tmp_path, [provider("a"), provider("b")], {"a": bad, "b": good(1.0)}, 60, ledger=ledger)
    assert [limit for limit in ledger.known().limits if limit.owner == "a#1"] == []
