"""`--mode providers|models|keys`: every prompt once in every scope, whatever else happens to the others."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from llmfan.options import Mode, RunOptions
from llmfan.records import Prompt
from llmfan.simulation.fake import always, good
from tests.scenarios.far_ends import by_key, by_model, refusal
from tests.scenarios.world import Happened, play, prompts, provider

FIELD = {"providers": lambda r: r["provider"], "models": lambda r: f"{r['provider']}/{r['model']}",
         "keys": lambda r: r["key"]}  # fmt: skip


def pairs(happened: Happened, mode: Mode) -> Counter[tuple[str, str]]:
    return Counter((r["id"], FIELD[mode](r)) for r in happened.results)


@pytest.mark.parametrize(
    ("mode", "scopes"),
    [
        ("providers", ["a", "b"]),
        ("models", ["a/m1", "a/m2", "b/x/y"]),
        ("keys", ["a#1", "a#2", "b#1", "b#2", "b#3"]),
    ],
)
@pytest.mark.parametrize("repeat", [1, 2])
def test_every_prompt_goes_once_to_every_scope(tmp_path: Path, mode: Mode, scopes: list[str], repeat: int) -> None:
    """A comparison with holes compares nothing."""
    fleet = [provider("a", 2, models=["m1", "m2"]), provider("b", 3, models=["x/y"])]
    happened = play(tmp_path, fleet, {"a": good(), "b": good()}, 20, RunOptions(mode=mode, repeat=repeat))
    assert happened.run.ending == "done"
    assert pairs(happened, mode) == {(f"p{n}", scope): repeat for n in range(20) for scope in scopes}
    assert {r["status"] for r in happened.results} == {"ok"}
    assert Counter(r["repeat"] for r in happened.results) == {n: 20 * len(scopes) for n in range(repeat)}


@pytest.mark.parametrize("why", [(401, "bad key"), (402, "no credit"), (403, "not yours")])
def test_a_dead_key_gives_failed_results_and_the_others_are_whole(tmp_path: Path, why: tuple[int, str]) -> None:
    """In mode keys each key owes an answer: one that is dead fails its share, it does not hold the run up."""
    far = by_key(good(), k2=refusal(*why))
    happened = play(tmp_path, [provider("p", 3)], {"p": far}, 25, RunOptions(mode="keys"))
    assert happened.run.ending == "done"
    assert Counter((r["key"], r["status"]) for r in happened.results) == {
        ("p#1", "ok"): 25, ("p#2", "failed"): 25, ("p#3", "ok"): 25,
    }  # fmt: skip
    kind = {401: "auth", 402: "payment_required", 403: "auth"}[why[0]]
    assert {r["error"]["kind"] for r in happened.results if r["status"] == "failed"} == {kind}
    assert happened.duration < 30


def test_a_dead_model_gives_failed_results(tmp_path: Path) -> None:
    """The same by model."""
    far = by_model({"m1": good(), "m2": refusal(404, "The model does not exist", "model_not_found")})
    happened = play(tmp_path, [provider("p", 2, models=["m1", "m2"])], {"p": far}, 10, RunOptions(mode="models"))
    assert happened.run.ending == "done"
    assert Counter((r["model"], r["status"]) for r in happened.results) == {("m1", "ok"): 10, ("m2", "failed"): 10}
    failed = [r for r in happened.results if r["status"] == "failed"]
    assert {r["error"]["kind"] for r in failed} == {"model_not_found"}


def test_a_refused_request_fails_in_its_scope_without_a_second_opinion(tmp_path: Path) -> None:
    """Nobody else may answer for a provider that is being compared."""
    fleet = [provider("a"), provider("b")]
    happened = play(tmp_path, fleet, {"a": refusal(400, "no"), "b": good()}, 10, RunOptions(mode="providers"))
    assert happened.run.ending == "done"
    assert Counter((r["provider"], r["status"]) for r in happened.results) == {("a", "failed"): 10, ("b", "ok"): 10}
    assert happened.far.count("a") == 10


def test_a_broken_scope_fails_after_max_attempts(tmp_path: Path) -> None:
    """A provider that answers rubbish fails its share; the run ends."""
    fleet = [provider("a"), provider("b")]
    rubbish = always(500, b"<html>")
    happened = play(tmp_path, fleet, {"a": rubbish, "b": good()}, 3, RunOptions(mode="providers", max_attempts=2))
    assert happened.run.ending == "done"
    assert Counter((r["provider"], r["status"]) for r in happened.results) == {("a", "failed"): 3, ("b", "ok"): 3}


def test_a_provider_out_of_reach_is_given_up_and_named_and_the_others_are_measured(tmp_path: Path) -> None:
    """A comparison of nine providers must not hang on the one whose address is wrong."""
    happened = play(tmp_path, [provider("a"), provider("b")], {"b": good()}, 10, RunOptions(mode="providers"))
    assert happened.run.ending == "done"
    assert happened.by("b") == 10
    assert {r["error"]["kind"] for r in happened.results if r["provider"] == "a"} == {"connection"}
    assert sum(r["provider"] == "a" for r in happened.results) == 10
    assert 20 < happened.duration < 60


def test_a_run_in_which_nobody_ever_answers_ends_soon_and_says_who_and_why(tmp_path: Path) -> None:
    """Ten silent minutes for a server that was not started is how a first try ends."""
    happened = play(tmp_path, [provider("a")], {}, 10)
    assert happened.run.ending == "nothing_left"
    assert "a: connection" in happened.run.why
    assert not happened.results
    assert happened.duration < 60


def test_a_paid_scope_is_not_left_out_of_a_comparison(tmp_path: Path) -> None:
    """`paid` orders who answers a prompt; here each has to."""
    fleet = [provider("free"), provider("paid", paid=True)]
    happened = play(tmp_path, fleet, {"free": good(), "paid": good()}, 10, RunOptions(mode="providers"))
    assert pairs(happened, "providers") == {(f"p{n}", p): 1 for n in range(10) for p in ("free", "paid")}


def test_a_prompt_too_large_for_one_scope_fails_there_only(tmp_path: Path) -> None:
    """And is answered by the others."""
    fleet = [provider("small", axes={"tpm": 50}), provider("large")]
    given: list[Prompt] = prompts(5, max_tokens=100)
    happened = play(tmp_path, fleet, {"small": good(), "large": good()}, given, RunOptions(mode="providers"))
    assert happened.run.ending == "done"
    assert Counter((r["provider"], r["status"]) for r in happened.results) == {
        ("small", "failed"): 5,
        ("large", "ok"): 5,
    }


def test_a_fast_scope_does_not_wait_for_a_slow_one(tmp_path: Path) -> None:
    """Each scope reads the prompts at its own speed."""
    fleet = [provider("slow", axes={"rpm": 6}), provider("fast")]
    happened = play(tmp_path, fleet, {"slow": good(), "fast": good()}, 20, RunOptions(mode="providers"))
    last_fast = max(r["total_s"] for r in happened.results if r["provider"] == "fast")
    assert last_fast < 5
    assert len(happened.results) == 40
