"""The dispatcher by itself: what it claims, in which order, and what it takes back."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from llmfan.limits.gauge import Gauge
from llmfan.limits.slots import Slots
from llmfan.limits.window import Meter, WindowLog
from llmfan.records import Failure, Prompt, Target, Usage
from llmfan.scheduling.claim import Claim
from llmfan.scheduling.dispatcher import Dispatcher
from llmfan.scheduling.estimate import Estimator
from llmfan.scheduling.failover import Policy
from llmfan.scheduling.jobs import Feed, Job, Waiting
from llmfan.scheduling.lanes import Group, Lane, ProviderState
from llmfan.scheduling.purse import Purse

NOW = 100.0
USAGE = Usage(5, 3)
STEPS = ["match", "answer", "fail", "refuse", "deny"]
TIMEOUT = Failure(kind="timeout", scope="provider", message="silent", ambiguous=True)


def jobs(n: int) -> list[Job]:
    return [Job(Prompt(id=f"p{i}", index=i, messages=[{"role": "user", "content": "x"}])) for i in range(n)]


def lane(
    number: int, provider: ProviderState, meters: Iterable[Meter] = (), *, priority: int = 0, paid: bool = False
) -> Lane:
    key = f"{provider.name}#{number}"
    target = Target(provider=provider.name, model="m", key=key, account=key, priority=priority, paid=paid)
    return Lane(number, target, provider, Group(key, Gauge("rpm", key, None, 1.0, rng=Random(1))), list(meters), None)


def dispatcher(lanes: list[Lane], waiting: Iterable[Job] = (), concurrency: int = 64) -> Dispatcher:
    return Dispatcher(
        lanes, Waiting({"": Feed(iter(list(waiting)))}), Estimator({}), concurrency=concurrency, policy=Policy(),
        purse=Purse(), rng=Random(1), max_tokens=lambda job, lane: 100,
    )  # fmt: skip


def proven(name: str) -> ProviderState:
    state = ProviderState(name, None)
    state.proven = True
    return state


def keys(claims: list[Claim]) -> list[str]:
    return [claim.lane.target.key for claim in claims]


def test_no_more_in_flight_than_the_cap_over_all_keys() -> None:
    """--concurrency."""
    d = dispatcher([lane(n, proven(f"p{n}")) for n in range(4)], jobs(100), concurrency=10)
    assert len(d.match(NOW)) == 10
    assert d.match(NOW) == []


def test_among_ready_lanes_priority_first_then_the_least_recently_used() -> None:
    """The user's order, then turns."""
    low, high = proven("low"), proven("high")
    slots = [Slots(f"k{n}", 2) for n in range(3)]
    made = [lane(0, low, [slots[0]]), lane(1, high, [slots[1]], priority=5), lane(2, high, [slots[2]], priority=5)]
    assert keys(dispatcher(made, jobs(6)).match(NOW)) == ["high#1", "high#2", "high#1", "high#2", "low#0", "low#0"]


def test_all_limits_of_a_job_are_reserved_or_none() -> None:
    """A request that passes one limit and waits for another must hold neither."""
    minute, second = WindowLog("rpm", 0, "k", 5, 60.0, 0.0), WindowLog("rps", 0, "k", 2, 1.0, 0.0)
    d = dispatcher([lane(0, proven("p"), [minute, second])], jobs(10))
    assert len(d.match(NOW)) == 2
    assert (minute.used(NOW), second.used(NOW)) == (2, 2)
    assert d.next_wake() == NOW + 1.0
    assert len(d.match(NOW + 1.0)) == 2
    assert len(d.match(NOW + 2.0)) == 1
    assert d.next_wake() == NOW + 60.0


def test_a_settled_claim_frees_its_slot_for_the_next_job() -> None:
    """In-flight caps are given back by every kind of ending."""
    cap = Slots("k", 1)
    d = dispatcher([lane(0, proven("p"), [cap])], jobs(4))
    (claim,) = d.match(NOW)
    d.settle_answer(claim, USAGE, NOW + 1)
    (claim,) = d.match(NOW + 1)
    d.settle_failure(claim, TIMEOUT, NOW + 2)
    (claim,) = d.match(NOW + 2)
    d.release(claim, NOW + 3)
    assert cap.used(NOW + 3) == 0
    assert d.in_flight == 0


def test_a_provider_that_never_answered_gets_a_share_and_not_the_whole_concurrency() -> None:
    """A hanging provider would hold every slot until its timeouts."""
    made = [lane(n, ProviderState(f"p{n}", None)) for n in range(4)]
    claims = dispatcher(made, jobs(100), concurrency=64).match(NOW)
    assert max(keys(claims).count(f"p{n}#{n}") for n in range(4)) <= 8


def test_a_stopped_dispatcher_claims_nothing() -> None:
    """After a signal nothing more may be sent."""
    d = dispatcher([lane(0, proven("p"))], jobs(3))
    d.stopped = True
    assert d.match(NOW) == []


def test_a_released_job_waits_again() -> None:
    """What was cut off has no result: it is left, so that the run does not call itself done."""
    d = dispatcher([lane(0, proven("p"))], jobs(1))
    (claim,) = d.match(NOW)
    d.stopped = True
    d.release(claim, NOW)
    assert not d.waiting.empty


def test_free_and_paid_lanes_never_wait_for_each_other() -> None:
    """A paid place that answers is no better place than a free one: it waits for that one itself."""
    free, paid = ProviderState("free", None), proven("paid")
    d = dispatcher([lane(0, free), lane(1, paid, paid=True)])
    (job,) = jobs(1)
    job.ambiguous = 1
    d.waiting.put_back(job)
    assert keys(d.match(NOW)) == ["free#0"]


def test_what_was_never_answered_waits_for_the_first_answer_of_its_new_place_and_then_leaves() -> None:
    """The lanes that passed it by have to be asked again."""
    new = ProviderState("new", None)
    first, second = Slots("a", 1), Slots("b", 1)
    d = dispatcher([lane(0, new, [first]), lane(1, new, [second])], jobs(1))
    (claim,) = d.match(NOW)
    (job,) = jobs(1)
    job.ambiguous = 1
    d.waiting.put_back(job)
    d.changed = True
    assert d.match(NOW + 1) == []
    d.settle_answer(claim, USAGE, NOW + 2)
    assert len(d.match(NOW + 2)) == 1


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(
    steps=st.lists(st.tuples(st.floats(0, 3), st.sampled_from(STEPS)), max_size=60),
    limit=st.integers(1, 5), cap=st.integers(1, 3),
)  # fmt: skip
def test_whatever_comes_back_in_whatever_order_the_counts_are_right(
    steps: list[tuple[float, str]], limit: int, cap: int
) -> None:
    """A claim is settled once; no job is in two places; limits hold."""
    state, log, slots = proven("p"), WindowLog("rps", 0, "k", limit, 2.0, 0.0), Slots("k", cap)
    d = dispatcher([lane(0, state, [log, slots]), lane(1, proven("q"))], jobs(30), concurrency=6)
    now, flying, ended, sends = NOW, [], 0, []
    failures = {
        "fail": TIMEOUT,
        "refuse": Failure(kind="rate_limited", scope="key", message="", free=True, wait=0.5),
        "deny": Failure(kind="bad_request", scope="request", message=""),
    }
    for gap, step in steps:
        now += gap
        if step == "match" or not flying:
            for claim in d.match(now):
                flying.append(claim)
                if claim.lane.number == 0:
                    sends.append(now)
        elif step == "answer":
            d.settle_answer(flying.pop(0), USAGE, now)
            ended += 1
        else:
            ended += d.settle_failure(flying.pop(0), failures[step], now)
        assert d.in_flight == len(flying) <= 6
        assert sum(claim.lane.number == 0 for claim in flying) <= cap
        assert all(sum(at - 2.0 < s <= at for s in sends) <= limit for at in sends)
        left = sum(len(back) for back in d.waiting.back.values()) + len(d.ended)
        feed = d.waiting.feeds[""]
        unread = 30 - len({c.job.prompt.id for c in flying}) - ended - left
        assert unread >= 0
        assert (feed.peek() is None) == (unread == 0)
