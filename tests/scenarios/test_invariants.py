"""What must hold whatever the fleet, its limits, its latencies and its faults: looked for by hypothesis."""

from __future__ import annotations

import random
import sys
import tempfile
from collections import Counter, defaultdict
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmfan.limits.axes import PLAIN
from llmfan.options import RunOptions
from llmfan.settings import AXES, Limiter, Preset, Provider
from llmfan.simulation.fake import Behaviour, always, cut_stream, good, hanging
from llmfan.simulation.script import Script
from tests.scenarios.far_ends import most_in_any, refusal, refuse
from tests.scenarios.world import Happened, play, prompts, provider

FAULTS: list[Behaviour] = [
    refuse(), refuse(0.5), always(500, b"<html>"), always(503, b""), cut_stream(), hanging(), refusal(400, "no"),
    always(200, b"{}"), always(504, b""),
]  # fmt: skip


class Plan(msgspec.Struct, frozen=True):
    """One drawn provider."""

    keys: int
    axes: dict[str, float]
    latency: float
    faults: float
    shared: bool
    dead_key: bool
    priority: int
    paid: bool


axes = st.fixed_dictionaries(
    {},
    optional={
        "rps": st.integers(1, 6),
        "rpm": st.integers(3, 60),
        "rpd": st.integers(3, 60),
        "tpm": st.integers(700, 6000),
        "concurrency": st.integers(1, 5),
    },
)
plans = st.builds(
    Plan, keys=st.integers(1, 3), axes=axes, latency=st.sampled_from([0.0, 0.05, 0.4, 3.0]),
    faults=st.sampled_from([0.0, 0.0, 0.1, 0.5]), shared=st.booleans(), dead_key=st.booleans(),
    priority=st.integers(0, 2), paid=st.booleans(),
)  # fmt: skip
seeded = settings(
    max_examples=60, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)


def fleet_of(drawn: list[Plan]) -> list[Provider]:
    made = []
    for n, plan in enumerate(drawn):
        preset = Preset(name=f"p{n}", checked="2026-11-20", limiter=Limiter(precharge=True))
        accounts = ["one"] * plan.keys if plan.shared else None
        made.append(
            provider(
                f"p{n}", plan.keys, axes=plan.axes, accounts=accounts, shared="account" if plan.shared else "key",
                preset=preset, priority=plan.priority, paid=plan.paid,
            )
        )  # fmt: skip
    return made


def far_of(drawn: list[Plan], seed: int) -> dict[str, Behaviour]:
    return {f"p{n}": _far(plan, random.Random(f"{seed} {n}")) for n, plan in enumerate(drawn)}


def _far(plan: Plan, rng: random.Random) -> Behaviour:
    def behave(now: float, key: str, body: bytes) -> Script:
        if plan.dead_key and key.endswith("-1"):
            return refusal(401, "bad key")(now, key, body)
        if rng.random() < plan.faults:
            return rng.choice(FAULTS)(now, key, body)
        return good(plan.latency * rng.uniform(0.5, 2.0), output_tokens=rng.randint(1, 100))(now, key, body)

    return behave


def run(drawn: list[Plan], seed: int, jobs: int, folder: str) -> Happened:
    options = RunOptions(
        seed=seed, timeout=8, max_tokens=100, concurrency=12, max_stall=400, max_duration=3000, max_ambiguous=seed % 3
    )
    return play(Path(folder), fleet_of(drawn), far_of(drawn, seed), prompts(jobs), options)


@seeded
@given(drawn=st.lists(plans, min_size=1, max_size=4), seed=st.integers(0, 1000), jobs=st.integers(1, 60))
def test_no_limit_is_ever_passed_and_every_job_ends_once_or_is_left_by_a_bound(
    drawn: list[Plan], seed: int, jobs: int
) -> None:
    """Whatever the mix of limits, latencies and failures."""
    with tempfile.TemporaryDirectory() as folder:
        happened = run(drawn, seed, jobs, folder)
    _limits_held(happened, drawn)
    _each_once(happened, jobs)
    _budgets_held(happened, seed % 3)
    _nothing_is_held(happened)


@settings(seeded, max_examples=15)
@given(drawn=st.lists(plans, min_size=1, max_size=4), seed=st.integers(0, 1000))
def test_the_same_seed_gives_the_same_journal_to_the_byte(drawn: list[Plan], seed: int) -> None:
    """A run that cannot be repeated cannot be debugged."""
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
        run(drawn, seed, 30, one)
        run(drawn, seed, 30, two)
        for name in ("results.jsonl", "attempts.jsonl"):
            assert (Path(one) / name).read_bytes() == (Path(two) / name).read_bytes()


def _limits_held(happened: Happened, drawn: list[Plan]) -> None:
    """Counted from what arrived at the far end and what the journal says it took; no client figure is used."""
    sent: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for attempt in happened.attempts:
        plan = drawn[int(attempt["provider"][1:])]
        sent[attempt["provider"] if plan.shared else attempt["key"]].append(attempt)
    for owner, attempts in sent.items():
        limits = drawn[int(owner.partition("#")[0][1:])].axes
        for axis, limit in limits.items():
            if AXES[axis][0] == "requests":
                taken = [a["sent_s"] for a in attempts if a["outcome"] != "rate_limited"]
                assert most_in_any(taken, AXES[axis][1]) <= limit, (owner, axis)
        if "concurrency" in limits:
            assert _most_at_once(attempts) <= limits["concurrency"], owner
        if "tpm" in limits:
            assert _most_tokens(attempts, 60.0) <= limits["tpm"] + 1e-6, owner


def _most_at_once(attempts: list[dict[str, Any]]) -> int:
    # Ends go before starts of the same moment.
    marks = sorted([(a["sent_s"] + a["latency_s"] - 2e-6, -1) for a in attempts] + [(a["sent_s"], 1) for a in attempts])
    most = now = 0
    for _, step in marks:
        now += step
        most = max(most, now)
    return most


def _most_tokens(attempts: list[dict[str, Any]], window: float) -> float:
    costs = sorted((a["sent_s"], (a["input_tokens"] or 0) + (a["output_tokens"] or 0)) for a in attempts)
    return max((sum(c for at, c in costs if end - window + 1e-6 < at <= end) for end, _ in costs), default=0)


def _each_once(happened: Happened, jobs: int) -> None:
    ids = Counter(r["id"] for r in happened.results)
    assert set(ids.values()) <= {1}
    assert set(ids) <= {f"p{n}" for n in range(jobs)}
    if happened.run.ending == "done":
        assert len(ids) == jobs
    else:
        assert happened.run.ending in ("bound", "nothing_left")
        assert happened.run.why
        assert len(ids) < jobs
    answered = Counter(a["id"] for a in happened.attempts if a["outcome"] == "ok")
    assert answered == Counter(r["id"] for r in happened.results if r["status"] == "ok")


def _budgets_held(happened: Happened, max_ambiguous: int) -> None:
    unsure = Counter(a["id"] for a in happened.attempts if a["ambiguous"])
    assert max(unsure.values(), default=0) <= 1 + max_ambiguous
    refused: dict[str, list[str]] = defaultdict(list)
    for a in happened.attempts:
        if a["outcome"] == "bad_request":
            refused[a["id"]].append(a["provider"])
    assert all(len(names) <= 2 and len(set(names)) == len(names) for names in refused.values())
    for r in happened.results:
        if r["status"] == "ok":
            assert abs(r["wait_s"] + r["retry_s"] + r["latency_s"] - r["total_s"]) < 5e-6


def _nothing_is_held(happened: Happened) -> None:
    """A leaked reservation shrinks a limit for the rest of the run."""
    dispatcher = happened.run.dispatcher
    assert dispatcher.in_flight == 0
    assert abs(dispatcher.purse.reserved) < 1e-9
    for lane in dispatcher.lanes:
        assert lane.in_flight == lane.group.in_flight == lane.provider.in_flight == 0
        assert all(meter.used(1e9) == 0 for meter in lane.meters if meter.axis == "concurrency")


def _calls_while(work: Any) -> int:
    """How many functions were called: a measure of work that no clock is needed for."""
    calls = count()

    def note(frame: Any, event: str, arg: Any) -> None:
        if event in ("call", "c_call"):
            next(calls)

    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
    return next(calls)


def _work_of_a_step(folder: Path, jobs: int, back: bool) -> int:
    """One claim, one failure and one answer while `jobs` wait: in the feed, or all returned once."""
    fleet = [provider(f"q{n}", 2, axes={"rpm": 5}) for n in range(4)]
    folder.mkdir()
    happened = play(folder, fleet, {f"q{n}": hanging() for n in range(4)}, jobs, RunOptions(max_duration=0.1))
    dispatcher, now = happened.run.dispatcher, 1e6
    dispatcher.stopped = False
    if back:
        while (job := dispatcher.waiting.feeds[""].peek()) is not None:
            dispatcher.waiting.put_back(dispatcher.waiting.feeds[""].take())
            job.sent = 1

    def step() -> None:
        for group in dispatcher.groups:
            dispatcher.grant(group)
        for claim in dispatcher.match(now):
            dispatcher.release(claim, now)
        dispatcher.match(now)

    assert dispatcher.lanes[0].meters[0].ready(now, PLAIN[0]) == now
    return _calls_while(step)


def test_ten_thousand_waiting_jobs_cost_a_step_no_more_than_a_hundred(tmp_path: Path) -> None:
    """A scheduler that looks at every waiting job at every step is quadratic: it stops at large batches."""
    for back in (False, True):
        few = _work_of_a_step(tmp_path / f"few {back}", 100, back)
        many = _work_of_a_step(tmp_path / f"many {back}", 10_000, back)
        assert few > 50
        assert many <= 1.1 * few
