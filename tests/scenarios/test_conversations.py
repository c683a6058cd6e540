"""Conversations: each turn with the answers before it, on one model throughout."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from llmfan.options import RunOptions
from llmfan.records import Prompt
from llmfan.simulation.fake import always, good
from llmfan.simulation.script import Script
from tests.scenarios.far_ends import by_model, refusal
from tests.scenarios.world import Happened, play, provider


def conversations(n: int, turns: int = 3) -> list[Prompt]:
    return [
        Prompt(
            id=f"c{i}", index=i, messages=[{"role": "user", "content": f"{i}: turn 0"}],
            turns=[{"role": "user", "content": f"{i}: turn {t}"} for t in range(1, turns)],
        )
        for i in range(n)
    ]  # fmt: skip


def asked(happened: Happened) -> dict[str, list[tuple[str, dict[str, Any]]]]:
    """By conversation: who was asked what, in order."""
    found = defaultdict(list)
    for seen in happened.far.seen:
        body = json.loads(seen.body)
        found["c" + body["messages"][0]["content"].partition(":")[0]].append((seen.provider, body))
    return found


def test_each_turn_carries_the_answers_before_it(tmp_path: Path) -> None:
    """Else the model answers a conversation it never had."""
    happened = play(tmp_path, [provider("p", 2)], {"p": good(text="Yes.")}, conversations(3))
    assert happened.run.ending == "done"
    for name, calls in asked(happened).items():
        n = name[1:]
        assert [[m["content"] for m in body["messages"]] for _, body in calls] == [
            [f"{n}: turn 0"],
            [f"{n}: turn 0", "Yes.", f"{n}: turn 1"],
            [f"{n}: turn 0", "Yes.", f"{n}: turn 1", "Yes.", f"{n}: turn 2"],
        ]
    for result in happened.results:
        assert (result["status"], result["text"], result["turns"]) == ("ok", "Yes.", ["Yes."] * 3)
        assert result["attempts"] == 3
        assert result["usage"]["output_tokens"] == 9


def test_a_conversation_stays_on_one_model(tmp_path: Path) -> None:
    """Half a conversation by one model and half by another measures neither."""
    fleet = [provider("a", 2, models=["m1", "m2"]), provider("b", 2)]
    happened = play(tmp_path, fleet, {"a": good(), "b": good(0.15)}, conversations(40), RunOptions(concurrency=7))
    assert len(happened.results) == 40
    for calls in asked(happened).values():
        assert len({(name, body["model"]) for name, body in calls}) == 1
        assert len(calls) == 3
    assert len({r["provider"] for r in happened.results}) == 2


def test_a_conversation_whose_model_dies_begins_again_on_another(tmp_path: Path) -> None:
    """What was said so far was said by a model that is gone: the whole conversation is the other's."""
    answered = {"left": 2}

    def dying(now: float, key: str, body: bytes) -> Script:
        answered["left"] -= 1
        return (good(text="Old.") if answered["left"] >= 0 else refusal(401, "revoked"))(now, key, body)

    fleet = [provider("dying", priority=9), provider("good")]
    happened = play(tmp_path, fleet, {"dying": dying, "good": good(text="New.")}, conversations(1))
    assert happened.run.ending == "done"
    (result,) = happened.results
    assert (result["status"], result["provider"], result["turns"]) == ("ok", "good", ["New."] * 3)
    calls = asked(happened)["c0"]
    assert [name for name, _ in calls] == ["dying"] * 3 + ["good"] * 3
    assert len(calls[3][1]["messages"]) == 1
    assert result["usage"]["output_tokens"] == 9
    assert result["wait_s"] + result["retry_s"] + result["latency_s"] == pytest.approx(result["total_s"], abs=5e-6)


def test_a_conversation_whose_model_has_no_quota_left_begins_again_on_another(tmp_path: Path) -> None:
    """Tomorrow is too late, and another model is idle today."""
    fleet = [provider("small", axes={"rpd": 2}, priority=9), provider("good")]
    happened = play(tmp_path, fleet, {"small": good(text="Old."), "good": good(text="New.")}, conversations(2))
    assert happened.run.ending == "done"
    assert [(r["status"], r["provider"], r["turns"]) for r in happened.results] == [("ok", "good", ["New."] * 3)] * 2


def test_a_conversation_waits_for_its_model_while_that_only_rests(tmp_path: Path) -> None:
    """A minute's limit is no reason to begin again."""
    fleet = [provider("p", axes={"rpm": 2}), provider("q", priority=-1, axes={"rpm": 2})]
    happened = play(tmp_path, fleet, {"p": good(), "q": good()}, conversations(2))
    assert happened.run.ending == "done"
    for calls in asked(happened).values():
        assert len(calls) == 3
        assert len({name for name, _ in calls}) == 1


def test_times_of_a_conversation_are_the_first_turns_and_the_sum(tmp_path: Path) -> None:
    """TTFT of the first turn, latency of all; the limits' share is wait."""
    happened = play(tmp_path, [provider("p", axes={"rpm": 6})], {"p": good(0.4)}, conversations(1))
    (result,) = happened.results
    assert result["ttft_s"] == pytest.approx(0.2, abs=0.001)
    assert result["latency_s"] == pytest.approx(1.2, abs=0.001)
    assert result["wait_s"] + result["retry_s"] + result["latency_s"] == pytest.approx(result["total_s"], abs=5e-6)


def test_turns_of_attempts_count_from_0(tmp_path: Path) -> None:
    """The contract says so; a plain prompt's only turn is 0, whether it failed or not."""
    happened = play(tmp_path, [provider("p")], {"p": good()}, conversations(1))
    assert [a["turn"] for a in happened.attempts] == [0, 1, 2]


def test_a_turn_that_is_refused_fails_the_conversation_once(tmp_path: Path) -> None:
    """One result for each conversation, failed or not."""
    calls = {"n": 0}

    def second_fails(now: float, key: str, body: bytes) -> Script:
        calls["n"] += 1
        return (good() if len(json.loads(body)["messages"]) == 1 else refusal(400, "no"))(now, key, body)

    happened = play(tmp_path, [provider("p", 2)], {"p": second_fails}, conversations(4))
    assert happened.run.ending == "done"
    assert [r["status"] for r in happened.results] == ["failed"] * 4
    assert calls["n"] == 8
    assert all(r["latency_s"] is None for r in happened.results)


def test_conversations_in_mode_models_stay_in_their_scope(tmp_path: Path) -> None:
    """Each model has its own conversation."""
    far = by_model({"m1": good(text="One."), "m2": good(text="Two.")})
    happened = play(
        tmp_path, [provider("p", 2, models=["m1", "m2"])], {"p": far}, conversations(5), RunOptions(mode="models")
    )
    assert sorted((r["model"], tuple(r["turns"])) for r in happened.results) == sorted(
        [("m1", ("One.",) * 3)] * 5 + [("m2", ("Two.",) * 3)] * 5
    )


def test_a_conversation_whose_only_model_is_down_ends_by_its_attempts(tmp_path: Path) -> None:
    """No other model, no answer: it fails, it does not hang."""
    happened = play(tmp_path, [provider("p")], {"p": always(500, b"<html>")}, conversations(2))
    assert happened.run.ending == "done"
    assert {(r["status"], r["attempts"]) for r in happened.results} == {("failed", 4)}
