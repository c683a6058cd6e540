"""--max-cost against servers that bill more than anybody could suppose."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llmfan.options import RunOptions
from llmfan.records import Prompt
from llmfan.settings import Price, Provider
from llmfan.simulation.fake import Behaviour, good, hanging, in_turn, whole_answer
from llmfan.simulation.script import Script
from tests.scenarios.world import Happened, play, prompts, provider

#: USD per million tokens.
PRICE = Price(input=10.0, output=100.0)


class Billing:
    """Answers with what it counts, and adds up the bill."""

    def __init__(self, count: Callable[[dict[str, Any]], tuple[int, int]], latency: float = 0.1):
        self._count, self._latency, self.bill, self.at = count, latency, 0.0, list[float]()

    def __call__(self, now: float, key: str, body: bytes) -> Script:
        given, made = self._count(json.loads(body))
        self.bill += (given * PRICE.input + made * PRICE.output) / 1e6
        self.at.append(now)
        usage = {"prompt_tokens": given, "completion_tokens": made, "total_tokens": given + made}
        script = whole_answer(self._latency, "An answer.", made)
        document = json.loads(script.writes[0][1])
        document["usage"] = usage
        return Script(200, script.headers, [(self._latency, json.dumps(document).encode())])


def paid(**more: Any) -> Provider:
    return provider("paid", paid=True, price=PRICE, stream=False, **more)


def spend(
    folder: Path, far: Behaviour, bound: float, jobs: list[Prompt] | int = 300, options: Any = None, **fleet: Any
) -> Happened:
    given = {"max_cost": bound, "max_tokens": 20, **(options or {})}
    return play(folder, [paid(**fleet)], {"paid": far}, jobs, RunOptions(**given))


def test_a_server_that_counts_a_hundred_times_what_a_prompt_looks_like_keeps_to_the_bound(tmp_path: Path) -> None:
    """Sixty-four in flight at what they look like are sixty-four times too much."""
    far = Billing(lambda body: (1000, 2))
    happened = spend(tmp_path, far, 0.5)
    assert happened.run.ending == "bound"
    assert 0.4 < far.bill <= 0.5
    assert not happened.run.dispatcher.purse.passed


def test_a_first_answer_that_passes_the_bound_is_the_last_and_it_is_said(tmp_path: Path) -> None:
    """Nobody could know; but more than that one must not be paid, nor the run call itself done."""
    far = Billing(lambda body: (100_000, 2))
    happened = spend(tmp_path, far, 0.5)
    assert len(far.at) == 1
    assert happened.run.dispatcher.purse.passed
    assert happened.run.ending == "bound"


def test_prompts_of_any_length_are_reserved_at_the_widest_ratio_seen(tmp_path: Path) -> None:
    """The average of many cheap ones hides the dear ones: every tenth here is of another script."""
    jobs = [Prompt(id=f"p{n}", index=n, messages=[{"role": "user", "content": "x" * 400}]) for n in range(400)]
    calls = iter(range(10_000))
    far = Billing(lambda body: (1500 if next(calls) % 10 == 0 else 90, 2))
    happened = spend(tmp_path, far, 0.6, jobs)
    assert happened.run.ending == "bound"
    assert 0.3 < far.bill <= 0.6


def test_a_cap_among_the_params_is_reserved(tmp_path: Path) -> None:
    """max_tokens 20 by the option, 5,000 by --param: the answer is as long as what goes out allows."""
    far = Billing(lambda body: (10, body["max_tokens"] * body.get("n", 1)))
    happened = spend(tmp_path, far, 5.0, options={"params": {"max_tokens": 5000}})
    assert happened.run.ending == "bound"
    assert 3.0 < far.bill <= 5.0
    assert len(far.at) == 9  # half a dollar each, and a bit


def test_a_prompts_own_n_is_reserved(tmp_path: Path) -> None:
    """Four answers are four answers."""
    far = Billing(lambda body: (10, body["max_tokens"] * body.get("n", 1)))
    jobs = prompts(100, params={"n": 4, "max_tokens": 1000})
    spend(tmp_path, far, 2.0, jobs)
    assert 1.0 < far.bill <= 2.0


def test_a_server_that_heeds_no_cap_is_learned(tmp_path: Path) -> None:
    """Some drop the field; thinking is not always counted in."""
    far = Billing(lambda body: (10, 500))
    spend(tmp_path, far, 1.0)
    assert 0.8 < far.bill <= 1.0


def test_before_the_first_answer_one_is_out_and_then_as_many_as_may_be(tmp_path: Path) -> None:
    """A slow beginning is the price of a bound; a slow run is not."""
    far = Billing(lambda body: (10, 2), latency=1.0)
    happened = spend(tmp_path, far, 100.0, 33, {"concurrency": 32})
    assert sum(at < far.at[0] + 0.9 for at in far.at) == 1
    assert happened.duration == pytest.approx(2.0, abs=0.1)


def test_what_was_cut_off_counts_at_what_was_reserved(tmp_path: Path) -> None:
    """An answer nobody waited for may be as long as its cap: counted at a usual length, the bound is none."""
    options = {"max_tokens": 1000, "timeout": 1.0, "max_stall": 1e6, "max_ambiguous": 0, "concurrency": 4}
    happened = spend(tmp_path, in_turn(good(), hanging()), 1.0, 100, options)
    assert happened.run.ending == "bound"
    lost = sum(a["billed"] == "unknown" for a in happened.attempts)
    assert lost >= 5
    assert lost * 1000 * PRICE.output / 1e6 <= 1.0
