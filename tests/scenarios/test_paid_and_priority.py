"""Free before paid, the higher priority first, the longest idle key next; and money never past its bound."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from llmfan.options import RunOptions
from llmfan.settings import Limiter, Preset, Price, Provider
from llmfan.simulation.fake import Behaviour, always, good, in_turn
from tests.scenarios.far_ends import refusal, refuse, until
from tests.scenarios.world import Happened, play, provider

PRICE = Price(input=1.0, output=10.0)
SPENT = refusal(429, "Rate limit reached on requests per day (RPD): Limit 50, Used 50")


def paid(name: str = "paid", **more: object) -> Provider:
    return provider(name, paid=True, price=PRICE, **more)  # type: ignore[arg-type]


def ok(happened: Happened) -> Counter[str]:
    return Counter(r["provider"] for r in happened.results if r["status"] == "ok")


def test_waiting_for_a_minutes_limit_is_no_reason_to_pay(tmp_path: Path) -> None:
    """A free key that serves in half a minute is free; the user said when money may be spent."""
    fleet = [provider("free", axes={"rpm": 10}), paid(priority=99)]
    happened = play(tmp_path, fleet, {"free": good(), "paid": good()}, 50)
    assert ok(happened) == {"free": 50}
    assert happened.far.count("paid") == 0


def test_a_short_rest_after_a_429_is_no_reason_to_pay(tmp_path: Path) -> None:
    """Nor is a cooldown that ends by itself."""
    fleet = [provider("free"), paid()]
    happened = play(tmp_path, fleet, {"free": until(1.0, refuse(30.0), good()), "paid": good()}, 20)
    assert ok(happened) == {"free": 20}


@pytest.mark.parametrize(
    "gone",
    [refusal(401, "bad key"), refusal(402, "no credit"), refusal(404, "no such model"), SPENT],
    ids=["key refused", "no credit", "no model", "quota spent"],
)
def test_paid_keys_open_when_the_free_ones_are_gone_for_this_run(tmp_path: Path, gone: Behaviour) -> None:
    """Free keys that cannot serve any more must not leave the rest undone."""
    happened = play(tmp_path, [provider("free", 2), paid()], {"free": gone, "paid": good()}, 30)
    assert happened.run.ending == "done"
    assert ok(happened) == {"paid": 30}


def test_paid_keys_open_when_a_quota_we_counted_ourselves_is_spent(tmp_path: Path) -> None:
    """The day's limit is declared and used up: no 429 is needed to know it."""
    happened = play(tmp_path, [provider("free", axes={"rpd": 12}), paid()], {"free": good(), "paid": good()}, 30)
    assert happened.run.ending == "done"
    assert ok(happened) == {"free": 12, "paid": 18}


def test_paid_keys_open_while_a_free_provider_is_down_and_close_when_it_is_back(tmp_path: Path) -> None:
    """An open circuit is a reason to pay; a closed one is not any more."""
    fleet = [provider("free"), paid(axes={"rps": 5})]
    far: dict[str, Behaviour] = {"free": until(5.0, always(500, b"<html>"), good(0.2)), "paid": good()}
    happened = play(tmp_path, fleet, far, 400, RunOptions(concurrency=4))
    assert happened.run.ending == "done"
    served = ok(happened)
    assert served["paid"] > 0
    assert served["free"] > 200
    back = min(s.at for s in happened.far.seen if s.provider == "free" and s.status == 200)
    assert not [s for s in happened.far.seen if s.provider == "paid" and s.at > back + 1.0]


def test_a_job_too_large_for_every_free_key_is_paid_for(tmp_path: Path) -> None:
    """No waiting makes a bucket larger."""
    preset = Preset(name="free", checked="2026-11-20", limiter=Limiter(precharge=True))
    fleet = [provider("free", axes={"tpm": 100}, preset=preset), paid()]
    happened = play(tmp_path, fleet, {"free": good(), "paid": good()}, 10)
    assert ok(happened) == {"paid": 10}


def test_a_job_the_free_provider_refuses_gets_its_second_opinion_from_a_paid_one(tmp_path: Path) -> None:
    """No free key can serve that job: refused is one of the reasons."""
    happened = play(tmp_path, [provider("free"), paid()], {"free": refusal(400, "no"), "paid": good()}, 5)
    assert happened.run.ending == "done"
    assert ok(happened) == {"paid": 5}


def test_the_higher_priority_goes_first_while_it_is_ready(tmp_path: Path) -> None:
    """`priority` is the user's order; the others take what it cannot."""
    fleet = [provider("low", priority=1), provider("high", priority=95), provider("middle", priority=50)]
    happened = play(tmp_path, fleet, dict.fromkeys(("low", "high", "middle"), good()), 40, RunOptions(concurrency=1))
    assert ok(happened) == {"high": 40}


def test_a_lower_priority_helps_out_while_the_higher_waits(tmp_path: Path) -> None:
    """Priority orders those that are ready; it leaves nobody idle."""
    fleet = [provider("low", axes={"rpm": 30}, priority=1), provider("high", axes={"rpm": 30}, priority=95)]
    happened = play(tmp_path, fleet, {"low": good(), "high": good()}, 120)
    served = ok(happened)
    assert abs(served["low"] - served["high"]) <= 4


def test_keys_of_a_provider_take_turns(tmp_path: Path) -> None:
    """Least recently used first: the first key is not hammered while the others idle."""
    happened = play(tmp_path, [provider("p", 4)], {"p": good()}, 40, RunOptions(concurrency=1))
    assert Counter(r["key"] for r in happened.results) == {f"p#{n}": 10 for n in range(1, 5)}
    order = [s.key for s in happened.far.seen]
    assert all(a != b for a, b in pairwise(order))


def test_a_job_that_came_back_goes_before_new_ones(tmp_path: Path) -> None:
    """Else the first prompt of a batch may be its last answer."""
    happened = play(tmp_path, [provider("p", 2)], {"p": in_turn(always(500, b""), good())}, 30,
                    RunOptions(concurrency=1))  # fmt: skip
    assert [r["id"] for r in happened.results][:2] == ["p0", "p1"]


@pytest.mark.parametrize("concurrency", [1, 64])
def test_max_cost_is_never_passed(tmp_path: Path, concurrency: int) -> None:
    """What is in flight counts at its reserved size, so that a bound is one."""
    bound = 0.001  # a call: 5 tokens in, 3 out = 35e-6 USD
    options = RunOptions(max_cost=bound, concurrency=concurrency, max_tokens=20)
    happened = play(tmp_path, [paid()], {"paid": good()}, 500, options)
    assert happened.run.ending == "bound"
    assert "--max-cost" in happened.run.why
    spent = sum(r["cost_usd"] for r in happened.results)
    assert 0.5 * bound < spent <= bound
    assert len(happened.attempts) == len(happened.results)


def test_an_answer_that_may_have_been_billed_counts_against_max_cost(tmp_path: Path) -> None:
    """A hanging paid provider must not be paid for ever."""
    gone = always(504, b"<html>504</html>")
    options = RunOptions(max_cost=0.0005, max_tokens=20, max_stall=1e6, concurrency=1, max_ambiguous=0)
    happened = play(tmp_path, [paid()], {"paid": gone}, 100, options)
    assert happened.run.ending == "bound"
    assert len(happened.far.seen) <= 3
