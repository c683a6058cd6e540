"""The engine of a forecast: the run's own schedule, without the run."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmfan.forecasting.forecast import Forecaster
from llmfan.forecasting.outlines import Outlines
from llmfan.options import RunOptions
from llmfan.records import KnownTarget, Message, Prompt
from llmfan.scheduling.claim import Claim
from llmfan.scheduling.dispatcher import Dispatcher
from llmfan.settings import Fleet, Price, Provider
from llmfan.simulation.fake import good
from tests.forecasting.rehearsal import ledger, questions
from tests.scenarios.world import MIDNIGHT, play, prompts, provider

Sends = list[tuple[float, str]]


def forecaster(providers: list[Provider], jobs: list[Prompt], options: RunOptions | None = None) -> Forecaster:
    """Of providers that all answer within a second, always."""
    targets = [f"{p.name}/{m.name}" for p in providers for m in p.models]
    known = [
        KnownTarget(name=name, n=1000, service_s=1.0, service_sigma=0.0, output_tokens=3.0, tokens_per_char=0.0)
        for name in targets
    ]
    return Forecaster(
        Fleet(file="virtual", providers=providers), Outlines(jobs), options or RunOptions(), ledger(*known), MIDNIGHT
    )


@pytest.fixture
def sends(monkeypatch: pytest.MonkeyPatch) -> Sends:
    """Every claim that any dispatcher makes: when, and by which key."""
    seen: Sends = []
    real = Dispatcher.match

    def watched(self: Dispatcher, now: float) -> list[Claim]:
        claims = real(self, now)
        seen.extend((now, claim.lane.target.key) for claim in claims)
        return claims

    monkeypatch.setattr(Dispatcher, "match", watched)
    return seen


#: Rates that share no multiple: what falls on one moment may go either way.
FLEETS = {
    "one key": [provider("a", axes={"rpm": 30}, learn="off")],
    "a burst": [provider("a", axes={"rpm": 617}, learn="off"), provider("b", axes={"rpm": 293}, learn="off")],
    "unlike limits": [
        provider("a", 2, axes={"rpm": 31, "rpd": 40}, learn="off"),
        provider("b", axes={"rps": 2, "tpm": 5000}, learn="off"),
        provider("c", axes={"rpm": 17, "concurrency": 1}, learn="off"),
    ],
    "priority and caps": [
        provider("a", 2, axes={"rpm": 61}, priority=9, concurrency=2, learn="off"),
        provider("b", axes={"rpm": 43}, learn="off"),
    ],
}


@pytest.mark.parametrize("name", FLEETS)
def test_the_same_providers_send_at_the_same_moments(name: str, sends: Sends, tmp_path: Path) -> None:
    """A forecast by other rules than the run's own is right by chance, until either is changed."""
    fleet, jobs = FLEETS[name], prompts(150)
    forecaster(fleet, jobs).duration()
    planned, sends[:] = sends[: len(jobs)], []  # of several courses, the first
    play(tmp_path, fleet, {p.name: good(1.0) for p in fleet}, jobs)
    for each in fleet:
        ours, real = _moments(planned, each.name), _moments(sends, each.name)
        assert len(ours) == len(real)
        assert ours == pytest.approx(real, abs=0.1)


def _moments(sends: Sends, provider: str) -> list[float]:
    return [at - sends[0][0] for at, key in sends if key.startswith(f"{provider}#")]


def test_a_batch_that_quotas_forbid_goes_on_after_each_reset() -> None:
    """Who asks on Friday whether it will be done needs Sunday's date, not a shrug."""
    made = forecaster([provider("a", 2, axes={"rpm": 60, "rpd": 30})], questions(150)).forecast()
    assert made.ran.ending == "done"
    assert made.ran.before == 60
    assert made.ran.stops is not None and made.ran.stops < 120
    day = 86400.0
    assert made.ran.duration == pytest.approx(1.5 * day, abs=60)  # from noon: 60 today, 60 tomorrow, then 30
    assert made.ran.binding[0].limit == "rpd"
    assert sorted(left["rpd"] for left in made.quota_left.values()) == [15, 15]


def test_what_fits_nowhere_is_counted_and_the_rest_is_done() -> None:
    """One prompt too long must not make a forecast of never."""
    jobs = [*questions(20), Prompt(id="x", index=20, messages=[{"role": "user", "content": "long " * 10_000}])]
    made = forecaster([provider("a", axes={"rpm": 60, "tpm": 2000})], jobs).forecast()
    assert made.ran.ending == "done"
    assert (made.ran.unservable, sum(made.ran.answered)) == (1, 20)
    assert "tpm" in made.ran.why


def test_a_bound_on_cost_ends_the_batch_early() -> None:
    """A forecast that promises what the budget forbids is found out when the run stops."""
    paid = provider("p", axes={"rpm": 600}, paid=True, price=Price(input=0.0, output=1000.0))
    made = forecaster([paid], questions(100), RunOptions(max_cost=0.2, max_tokens=20)).forecast()
    assert made.ran.ending == "cost"
    assert made.ran.finished is None and made.low is None
    assert made.ran.cost is not None and 0.1 < made.ran.cost <= 0.2
    assert 0 < sum(made.ran.answered) < 100


def test_a_conversation_takes_each_turn_in_order_on_one_model() -> None:
    """Turns sent at once would make a conversation look as quick as a single question."""
    turn: Message = {"role": "user", "content": "And then?"}
    jobs = [Prompt(id="c", index=0, messages=[turn], turns=[turn, turn])]
    made = forecaster([provider("a", 3, axes={"rpm": 600})], jobs).forecast()
    assert made.ran.duration == pytest.approx(3.0, abs=0.3)
    assert sum(made.ran.answered) == 1


def test_every_scope_gets_every_prompt() -> None:
    """A comparison of three providers is three batches."""
    fleet = [provider("a", axes={"rpm": 600}), provider("b", 2, axes={"rpm": 600})]
    made = forecaster(fleet, questions(10), RunOptions(mode="keys")).forecast()
    assert made.jobs == 30
    assert made.ran.answered == [10, 10, 10]


def test_the_same_question_has_the_same_answer() -> None:
    """A forecast that changes by itself cannot be compared with what-if."""
    fleet = [provider("a", 2, axes={"rpm": 30}), provider("b", axes={"rpm": 45})]
    plain = Fleet(file="virtual", providers=fleet)
    two = [Forecaster(plain, Outlines(questions(200)), RunOptions(), ledger(), MIDNIGHT).forecast() for _ in range(2)]
    assert (two[0].ran.duration, two[0].low, two[0].high) == (two[1].ran.duration, two[1].low, two[1].high)
    assert two[0].low < two[0].ran.duration < two[0].high  # type: ignore[operator]
