"""`--rate`: whole runs in an open loop, on the virtual clock."""

from __future__ import annotations

import datetime as dt
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmfan.options import Rate, RunOptions
from llmfan.records import Prompt
from llmfan.scheduling.dispatcher import Dispatcher
from llmfan.settings import Fleet, Price
from llmfan.simulation.fake import Behaviour, always, good, in_turn, limited
from llmfan.simulation.script import Script
from llmfan.wiring import Crew, Moments, build_dispatcher
from tests.scenarios.far_ends import refuse
from tests.scenarios.world import MIDNIGHT, Happened, play, prompts, provider

TEN = Rate(start=10.0)
#: A timer is a millisecond late, by design of the run's own loop.
LATE = 0.0021


def in_order(happened: Happened) -> list[dict[str, Any]]:
    return sorted(happened.results, key=lambda r: (r["planned_s"], r["index"]))


def sent_at(happened: Happened) -> dict[str, float]:
    first: dict[str, float] = {}
    for a in happened.attempts:
        first[a["id"]] = min(a["sent_s"], first.get(a["id"], a["sent_s"]))
    return first


def test_a_queue_shows_in_the_total_and_not_in_the_latency(tmp_path: Path) -> None:
    """Half a second of service, ten prompts a second asked, one at a time allowed: who starts his watch when the
    request leaves says 0.5 s for each, while callers wait longer and longer."""
    options = RunOptions(rate=TEN, concurrency=1)
    happened = play(tmp_path, [provider("a", axes={"rps": 1e6})], {"a": good(0.5)}, 20, options)
    ordered = in_order(happened)
    assert [r["planned_s"] for r in ordered] == [pytest.approx(0.1 * k, abs=1e-6) for k in range(20)]
    assert [r["total_s"] for r in ordered] == [pytest.approx(0.5 + 0.4 * k, abs=1e-3) for k in range(20)]
    assert [r["latency_s"] for r in ordered] == [pytest.approx(0.5, abs=1e-5)] * 20
    table = happened.run.dispatcher.waiting.table
    assert table is not None
    assert (table.planned, table.sent, table.capped) == (20, 20, 19)
    assert table.planned_s == pytest.approx(1.9)
    assert table.sent_s == pytest.approx(9.5, abs=1e-3)


def test_where_nothing_holds_them_prompts_leave_at_their_moment(tmp_path: Path) -> None:
    """A generator that is late is taken for a server that is slow."""
    options = RunOptions(rate=TEN)
    happened = play(tmp_path, [provider("a", 3, axes={"rpm": 6000})], {"a": good(0.5)}, 100, options)
    leaves = sent_at(happened)
    assert max(leaves[r["id"]] - r["planned_s"] for r in happened.results) <= LATE
    assert max(r["wait_s"] for r in happened.results) <= LATE
    assert happened.duration == pytest.approx(9.9 + 0.5, abs=0.01)
    table = happened.run.dispatcher.waiting.table
    assert table is not None
    assert (table.planned, table.sent, table.capped, table.due) == (100, 100, 0, 0)


def test_what_a_limit_holds_back_is_not_blamed_on_the_cap(tmp_path: Path) -> None:
    """`raise --concurrency` is bad advice where the key's own limit is the reason."""
    options = RunOptions(rate=TEN, concurrency=2)
    happened = play(tmp_path, [provider("a", axes={"rps": 1})], {"a": good(0.5)}, 100, options)
    table = happened.run.dispatcher.waiting.table
    assert table is not None
    assert table.capped <= 2
    assert in_order(happened)[-1]["wait_s"] > 50


@pytest.mark.parametrize("arrival", ["constant", "poisson"])
def test_each_provider_meets_the_same_load(tmp_path: Path, arrival: Any) -> None:
    """Compared under loads of their own, the one with the luckier gaps wins."""
    options = RunOptions(rate=Rate(start=5.0, arrival=arrival), mode="providers", concurrency=500)
    fleet = [provider("a", axes={"rpm": 6000}), provider("b", 2, axes={"rpm": 6000})]
    happened = play(tmp_path, fleet, {"a": good(0.1), "b": good(2.0)}, 40, options)
    planned = {name: [r["planned_s"] for r in in_order(happened) if r["provider"] == name] for name in ("a", "b")}
    assert planned["a"] == planned["b"]
    assert len(planned["a"]) == 40
    assert max(r["wait_s"] for r in happened.results) <= LATE


def test_a_ramp_sends_more_and_more(tmp_path: Path) -> None:
    """From 2/s to 10/s in ten seconds: 4 a second on average in the first half, 8 in the second."""
    options = RunOptions(rate=Rate(start=2.0, end=10.0, over=10.0))
    happened = play(tmp_path, [provider("a", axes={"rpm": 60000})], {"a": good(0.1)}, 80, options)
    leaves = sorted(sent_at(happened).values())
    assert sum(at < 5.0 for at in leaves) == pytest.approx(20, abs=1)
    assert sum(5.0 <= at < 10.0 for at in leaves) == pytest.approx(40, abs=1)
    assert leaves[-1] == pytest.approx(10 + 19 / 10, abs=0.01)


def test_a_prompt_that_is_far_away_is_no_stall(tmp_path: Path) -> None:
    """--max-stall 100 s, one prompt every thousand seconds: the run would end after the first."""
    options = RunOptions(rate=Rate(start=0.001), max_stall=100.0)
    happened = play(tmp_path, [provider("a", 2), provider("b")], {"a": good(), "b": good()}, 4, options)
    assert happened.run.ending == "done"
    assert happened.duration == pytest.approx(3000.1, abs=0.5)


def test_a_provider_that_answers_nothing_is_still_a_stall(tmp_path: Path) -> None:
    """The next prompt's coming is no excuse for those that hang now."""
    options = RunOptions(rate=Rate(start=1.0), max_stall=30.0, timeout=1000.0)
    happened = play(tmp_path, [provider("a", timeout=1e4)], {"a": good(500.0)}, 1000, options)
    assert "--max-stall" in happened.run.why


def test_a_quota_that_is_back_before_the_next_prompt_ends_nothing(tmp_path: Path) -> None:
    """Two a day, spent five minutes before midnight; the third prompt arrives after it."""
    options = RunOptions(rate=Rate(start=1 / 200))
    late = MIDNIGHT + dt.timedelta(hours=11, minutes=55)
    happened = play(tmp_path, [provider("p", axes={"rpd": 2})], {"p": good()}, 4, options, wall=late)
    assert happened.run.ending == "done"
    assert happened.duration == pytest.approx(600.1, abs=0.5)


def test_a_key_that_says_its_quota_is_spent_ends_nothing_while_no_prompt_waits(tmp_path: Path) -> None:
    """It rests for ten minutes more than anybody waits; its prompt found another key, and the next one is far off."""
    spent = always(429, {"error": {"message": "quota"}}, {"retry-after": "700"})
    fleet = [provider("a", priority=5), provider("b", axes={"rpd": 1}, reset="utc")]
    options = RunOptions(rate=Rate(start=1 / 1000), max_stall=50.0)
    happened = play(
        tmp_path, fleet, {"a": in_turn(spent, good()), "b": good()}, 2, options,
        wall=MIDNIGHT + dt.timedelta(hours=11, minutes=50),
    )  # fmt: skip
    assert happened.run.ending == "done"
    assert [r["provider"] for r in in_order(happened)] == ["b", "a"]


def test_spent_quotas_end_the_run_once_a_prompt_waits_for_them(tmp_path: Path) -> None:
    """Without --wait nobody sits through the night."""
    happened = play(tmp_path, [provider("p", axes={"rpd": 2})], {"p": good()}, 9, RunOptions(rate=Rate(start=0.1)))
    assert happened.run.ending == "nothing_left"
    assert "every quota is spent" in happened.run.why
    assert len(happened.results) == 2
    assert happened.duration == pytest.approx(20, abs=0.5)


def test_the_cost_bound_ends_it_when_the_prompt_that_is_too_much_arrives(tmp_path: Path) -> None:
    """Not before, for it might have been answered for less, and not by waiting for ever."""
    fleet = [provider("a", price=Price(input=0.0, output=1e6))]
    options = RunOptions(rate=Rate(start=1.0), max_cost=10.0, max_tokens=3)
    happened = play(tmp_path, fleet, {"a": good(0.1, output_tokens=3)}, 20, options)
    assert happened.run.ending == "bound"
    assert len(happened.results) == 3
    assert happened.duration == pytest.approx(3.0, abs=0.01)


def test_a_dead_key_ends_its_own_prompts_and_the_others_keep_their_time(tmp_path: Path) -> None:
    """--mode providers: half an hour of arrivals for a key that was refused at the first is half an hour lost."""
    options = RunOptions(rate=Rate(start=10.0), mode="providers")
    fleet = [provider("a"), provider("dead")]
    dead = always(401, {"error": {"message": "invalid api key"}})
    happened = play(tmp_path, fleet, {"a": good(0.1), "dead": dead}, 50, options)
    assert Counter(r["status"] for r in happened.results if r["provider"] == "dead") == {"failed": 50}
    leaves = [(a["sent_s"], a["id"]) for a in happened.attempts if a["provider"] == "a"]
    assert [pytest.approx(0.1 * k, abs=LATE) for k in range(50)] == [at for at, _ in sorted(leaves)]
    assert happened.far.count("dead") <= 3


def test_a_second_attempt_counts_from_the_planned_moment(tmp_path: Path) -> None:
    """A retry that starts the watch anew hides what the refusal cost."""
    far = in_turn(good(0.1), refuse(2.0), good(0.1))
    happened = play(tmp_path, [provider("a")], {"a": far}, 4, RunOptions(rate=Rate(start=1.0)))
    again = next(r for r in happened.results if r["attempts"] == 2)
    end = max(a["sent_s"] + a["latency_s"] for a in happened.attempts if a["id"] == again["id"])
    assert again["total_s"] == pytest.approx(end - again["planned_s"], abs=1e-5)
    assert again["total_s"] > 2.0
    assert again["wait_s"] + again["retry_s"] + again["latency_s"] == pytest.approx(again["total_s"], abs=1e-5)


def test_slow_keys_take_their_turn_until_the_end(tmp_path: Path) -> None:
    """A batch leaves its last prompts to the fast; a load is not a batch, and what has not come is not to be left."""
    fleet = [provider("fast", axes={"rpm": 600}), provider("slow", axes={"rpm": 600}, stream=False)]
    happened = play(tmp_path, fleet, {"fast": good(0.2), "slow": good(9.0)}, 30, RunOptions(rate=Rate(start=1.0)))
    assert happened.by("slow") == pytest.approx(15, abs=2)
    assert max(r["wait_s"] for r in happened.results) <= LATE


def test_stragglers_are_hedged_only_when_the_last_has_left(tmp_path: Path) -> None:
    """Copies in the midst of a load are a load nobody asked for."""
    fleet = [provider("a", timeout=1e4, stream=False), provider("b", stream=False)]

    def late(now: float, key: str, body: bytes) -> Script:
        return good(500.0 if b"Question 4?" in body else 0.2)(now, key, body)

    options = RunOptions(rate=Rate(start=2.0), hedge=True, max_stall=1e9)
    happened = play(tmp_path, fleet, {"a": late, "b": good(0.25)}, 30, options)
    assert Counter(r["id"] for r in happened.results) == {f"p{n}": 1 for n in range(30)}
    last = max(r["planned_s"] for r in happened.results)
    first = sent_at(happened)
    assert all(a["sent_s"] in (first[a["id"]],) or a["sent_s"] >= last for a in happened.attempts)
    assert happened.duration < 60


def test_a_deadline_opens_paid_keys_in_an_open_loop_too(tmp_path: Path) -> None:
    """What the free keys cannot answer in time goes to those that were bought for it."""
    fleet = [provider("free", axes={"rpm": 30}), provider("dear", paid=True, price=Price(input=1.0, output=1.0))]
    options = RunOptions(rate=Rate(start=2.0))
    happened = play(tmp_path, fleet, {"free": good(), "dear": good()}, 200, options, deadline=120.0)
    assert happened.duration <= 120
    assert happened.by("free") >= 40
    assert happened.by("dear") >= 100


def test_prompts_that_begin_alike_keep_their_key_and_their_time(tmp_path: Path) -> None:
    """--sticky with --rate: the shelf looks ahead, but not into the future."""
    given = [
        Prompt(id=f"p{n}", index=n, messages=[{"role": "system", "content": f"{n % 3} " * 50},
                                              {"role": "user", "content": f"{n}"}])
        for n in range(60)
    ]  # fmt: skip
    options = RunOptions(rate=TEN, sticky="prefix")
    happened = play(tmp_path, [provider("a", 4, axes={"rpm": 6000})], {"a": good(0.5)}, given, options)
    leaves = sent_at(happened)
    assert all(-1e-6 <= leaves[r["id"]] - r["planned_s"] <= LATE for r in happened.results)
    homes = Counter((r["index"] % 3, r["key"]) for r in happened.results)
    assert len(homes) == 3


def test_a_bound_leaves_what_has_not_arrived_for_resume(tmp_path: Path) -> None:
    """A stopped run neither waits for arrivals nor invents results for them."""
    options = RunOptions(rate=Rate(start=1.0), max_duration=10.1)
    happened = play(tmp_path, [provider("a")], {"a": good(0.5)}, 100, options)
    assert happened.run.ending == "bound"
    assert len(happened.results) == 11
    assert happened.duration < 11


def test_nothing_spins_between_two_arrivals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A loop that asks all the time takes the processor from what it measures."""
    calls = Counter[str]()
    match, try_ = Dispatcher.match, Dispatcher._try
    monkeypatch.setattr(Dispatcher, "match", lambda self, now: (calls.update(["match"]), match(self, now))[1])
    monkeypatch.setattr(Dispatcher, "_try", lambda self, lane, now: (calls.update(["try"]), try_(self, lane, now))[1])
    fleet = [provider("a", 50, axes={"rpm": 6000})]
    play(tmp_path, fleet, {"a": good(20.0)}, 200, RunOptions(rate=TEN, concurrency=1000))
    assert calls["match"] <= 200 * 5 + 100
    assert calls["try"] <= 200 * 5 + 100  # and not fifty for each arrival


seeded = settings(
    max_examples=25, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)
rates = st.builds(
    Rate, start=st.sampled_from([0.5, 3.0, 40.0]), end=st.sampled_from([None, 1.0, 20.0]),
    over=st.sampled_from([4.0, 30.0]), arrival=st.sampled_from(["constant", "poisson"]),
)  # fmt: skip


@seeded
@given(
    rate=rates,
    mode=st.sampled_from(["spread", "providers", "keys"]),
    concurrency=st.sampled_from([1, 4, 64]),
    rpm=st.sampled_from([None, 20, 300]),
    latency=st.sampled_from([0.0, 0.3, 4.0]),
    flaky=st.booleans(),
    sticky=st.sampled_from([None, "3"]),
    seed=st.integers(0, 99),
)
def test_nobody_leaves_early_everybody_ends_once_and_the_same_seed_is_the_same_run(
    rate: Rate, mode: Any, concurrency: int, rpm: int | None, latency: float, flaky: bool, sticky: str | None, seed: int
) -> None:
    """Whatever the load, the limits, the cap and the faults."""

    def far() -> Behaviour:
        faults = iter([refuse(), always(503, b""), good(latency)] * 100)
        return (lambda now, key, body: next(faults)(now, key, body)) if flaky else good(latency)

    options = RunOptions(
        rate=rate, mode=mode, concurrency=concurrency, seed=seed, sticky=sticky, max_attempts=20, max_stall=5000.0
    )
    fleet = [provider("a", 2, axes={} if rpm is None else {"rpm": rpm}), provider("b", axes={"rpm": 120})]
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
        happened = play(Path(one), fleet, {"a": far(), "b": good(latency)}, 25, options)
        play(Path(two), fleet, {"a": far(), "b": good(latency)}, 25, options)
        for name in ("results.jsonl", "attempts.jsonl"):
            assert (Path(one) / name).read_bytes() == (Path(two) / name).read_bytes()
    scopes = {"spread": 1, "providers": 2, "keys": 3}[mode]
    assert happened.run.ending == "done"
    assert Counter(r["id"] for r in happened.results) == {f"p{n}": scopes for n in range(25)}
    planned = {(r["id"], r["key"] if mode == "keys" else r["provider"] if mode == "providers" else ""): r["planned_s"]
               for r in happened.results}  # fmt: skip
    for a in happened.attempts:
        scope = a["key"] if mode == "keys" else a["provider"] if mode == "providers" else ""
        assert a["sent_s"] >= planned[a["id"], scope] - 2e-6
    table = happened.run.dispatcher.waiting.table
    assert table is not None
    assert (table.planned, table.sent, table.due) == (25 * scopes, 25 * scopes, 0)
    for r in happened.results:
        if r["status"] == "ok":
            assert abs(r["wait_s"] + r["retry_s"] + r["latency_s"] - r["total_s"]) < 5e-6


@pytest.mark.parametrize("kind", ["sliding", "fixed", "bucket"])
def test_a_load_that_its_limit_carries_with_ease_is_not_kept_for_even_spacing(tmp_path: Path, kind: str) -> None:
    """Half of what the key allows, by chance in twos and threes: a client that spaces them out adds a queue of its own
    to every figure."""
    server = limited(kind, 60, 60.0)
    options = RunOptions(rate=Rate(start=0.5, arrival="poisson"))
    happened = play(tmp_path, [provider("a", axes={"rpm": 60})], {"a": server}, 1500, options)
    waits = sorted(r["wait_s"] for r in happened.results)
    assert sum(waits) / len(waits) < 0.02
    assert waits[-1] < 1.5
    assert {a["outcome"] for a in happened.attempts} == {"ok"}


def test_a_resumed_load_begins_with_what_is_left(tmp_path: Path) -> None:
    """Half of it is done: the other half arrives at the asked rate, not at half of it with gaps between."""
    fleet, options = Fleet(file="virtual", providers=[provider("a", axes={"rpm": 6000})]), RunOptions(rate=TEN)
    crew = Crew(fleet, options, Moments(lambda: 5.0, MIDNIGHT), {}, {})
    dispatcher = build_dispatcher(
        fleet, crew, options, lambda: iter(prompts(10)), 10, lambda text: None,
        done=lambda id_, repeat, scope: int(id_[1:]) % 2 == 0, finished=5,
    )  # fmt: skip
    claims = []
    for step in range(10):
        for group in dispatcher.groups:
            dispatcher.grant(group)
        claims += dispatcher.match(5.0 + step / 10)
    assert [c.job.prompt.id for c in claims] == [f"p{2 * k + 1}" for k in range(5)]
    assert [c.job.planned for c in claims] == [pytest.approx(5.0 + k / 10) for k in range(5)]
    table = dispatcher.waiting.table
    assert table is not None
    assert (table.planned, dispatcher.next_wake()) == (5, float("inf"))
