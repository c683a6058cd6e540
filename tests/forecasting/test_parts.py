"""What a forecast is made of: the pacer without its loop, prompts without their text, draws, wishes."""

from __future__ import annotations

import asyncio
import statistics
import sys
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmfan.errors import UserError
from llmfan.forecasting.outlines import Outlines
from llmfan.forecasting.permits import Permits
from llmfan.forecasting.priors import DRAWS, SUPPOSED, Answers
from llmfan.forecasting.progress import Progress
from llmfan.forecasting.what_if import changed, one_more
from llmfan.options import RunOptions
from llmfan.pacing.departures import Departures
from llmfan.records import KnownTarget, Prompt
from llmfan.scheduling.jobs import Job
from llmfan.settings import Fleet
from llmfan.simulation.loop import run_virtual
from llmfan.simulation.tempo import Tempo
from llmfan.wiring import Crew, Moments
from tests.scenarios.world import MIDNIGHT, provider


class _Pace:
    def __init__(self, specs: list[tuple[float, float]]):
        self.specs = specs

    def spec(self) -> tuple[float, float]:
        return self.specs[0] if len(self.specs) == 1 else self.specs.pop(0)


class _Group:
    def __init__(self, specs: list[tuple[float, float]]):
        self.pace = _Pace(specs)


SPECS = st.lists(st.tuples(st.floats(1.0, 30.0), st.floats(0.05, 50.0)), min_size=1, max_size=3)
USES = st.lists(st.floats(0.0, 5.0), min_size=3, max_size=25)


@settings(deadline=None, max_examples=60)
@given(SPECS, USES)
def test_permits_come_when_the_pacer_would_give_them(specs: list[tuple[float, float]], rests: list[float]) -> None:
    """Another bucket than the run's drifts away from it by a request at each change of pace."""
    permits = Permits(_Group([*specs]))  # type: ignore[arg-type]
    now, planned = 0.0, []
    for rest in rests:
        at = permits.next(now)
        assert at is not None
        planned.append(at)
        now = at + rest

    async def paced() -> list[float]:
        clock, pace, seen = asyncio.get_running_loop().time, _Pace([*specs]), []
        start, departures = clock(), None
        for rest in rests:
            spec = pace.spec()
            departures = departures or Departures(*spec)
            await departures.retune(*spec)
            await departures.leave()
            seen.append(clock() - start)
            if rest:
                await asyncio.sleep(rest)
                await departures.left()
        return seen

    assert planned == pytest.approx(run_virtual(paced), abs=0.01)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 50_000), st.one_of(st.none(), st.integers(1, 900))), min_size=1, max_size=40))
def test_outlines_keep_each_prompts_size_and_cap(shapes: list[tuple[int, int | None]]) -> None:
    """Token limits bind by size: a set of long prompts planned as short ones is a promise nobody can keep."""
    given_ = [
        Prompt(id=f"{i}", index=i, messages=[{"role": "user", "content": "x" * n}], max_tokens=most)
        for i, (n, most) in enumerate(shapes)
    ]
    kept = list(Outlines(given_))
    assert [p.max_tokens for p in kept] == [most for _, most in shapes]
    for before, after in zip(given_, kept, strict=True):
        assert Job(after).size() == pytest.approx(Job(before).size(), rel=0.004)


def test_outlines_hold_a_few_bytes_a_prompt() -> None:
    """A million prompts have to fit beside everything else."""
    rng = Random(1)
    lengths = [rng.randint(10, 5000) for _ in range(20_000)]
    made = Outlines(Prompt(id="", index=0, messages=[{"role": "user", "content": "x" * n}]) for n in lengths)
    assert len(made) == 20_000
    assert len({id(p) for p in made}) < 1500
    assert sys.getsizeof(made._order) <= 8 * 20_000


def test_supposed_answers_are_those_of_the_middle_simulated_provider() -> None:
    """`plan` and `run --simulate` are each other's proof: a prior off by a fifth would make both look wrong."""
    rng = Random(3)
    services, lengths = [], []
    for _ in range(4000):
        tempo = Tempo(rng)
        tokens = tempo.tokens(rng)
        services.append(tempo.first_token(rng) + sum(tempo.gaps(rng, tokens - 1)))
        lengths.append(tokens)
    answers = Answers("a/m", None, "0")
    drawn = [answers.draw(10_000) for _ in range(DRAWS)]
    assert answers.service_s == pytest.approx(statistics.fmean(services), rel=0.05)
    assert answers.output_tokens == pytest.approx(statistics.fmean(lengths), rel=0.05)
    assert statistics.fmean(s for s, _ in drawn) == pytest.approx(answers.service_s, rel=0.02)
    assert statistics.fmean(n for _, n in drawn) == pytest.approx(answers.output_tokens, rel=0.02)
    assert 0.7 * SUPPOSED.doubt < 0.38 < 1.3 * SUPPOSED.doubt


def test_learned_answers_are_as_they_were() -> None:
    """What was measured must come back as it was measured."""
    known = KnownTarget(name="a/m", n=50, service_s=4.0, service_sigma=0.5, output_tokens=80.5, tokens_per_char=0.3)
    answers = Answers("a/m", known, "0")
    drawn = [answers.draw(10_000) for _ in range(DRAWS)]
    assert statistics.median(s for s, _ in drawn) == pytest.approx(4.0, rel=0.02)
    assert statistics.fmean(n for _, n in drawn) == pytest.approx(80.5, rel=0.001)
    assert answers.input_tokens(100) == 31


def test_a_lower_cap_makes_answers_shorter_and_sooner() -> None:
    """--max-tokens 10 is chosen to be quick."""
    answers = Answers("a/m", None, "0")
    capped = [answers.draw(10) for _ in range(DRAWS)]
    assert max(n for _, n in capped) == 10
    assert statistics.fmean(s for s, _ in capped) < 0.5 * answers.service_s


def test_one_more_key_is_read_off_the_course() -> None:
    """Two keys of a provider that did all the work in 100 s would have done it in two thirds with a third."""
    crew = Crew(
        Fleet(file="virtual", providers=[provider("a", 2), provider("b")]), RunOptions(),
        Moments(lambda: 0.0, MIDNIGHT), {}, {},
    )  # fmt: skip
    progress = Progress(crew.lanes)
    for at in range(1, 101):
        progress.note(float(at), [at, at, 0], at > 90)
    assert progress.one_more_key("a") == pytest.approx(200 / 3, abs=1)
    assert progress.one_more_key("b") == 100
    assert progress.sustained() == pytest.approx(120, rel=0.03)


# ---------------------------------------------------------------- wishes


def fleet() -> Fleet:
    return Fleet(
        file="virtual", providers=[provider("a", 2, axes={"rpm": 30, "rpd": 100}), provider("a.b", axes={"rpm": 5})]
    )


def test_wishes_change_keys_limits_and_priority() -> None:
    """What cannot be tried beforehand is bought to find out."""
    wished = changed(fleet(), ["a.keys=4", "a.limits.rpm=60", "a.limits.rpd=null", "a.b.priority=7"])
    first, second = wished.providers
    assert [k.label for k in first.keys] == ["a#1", "a#2", "a#3", "a#4"]
    assert len({k.account for k in first.keys}) == 4
    assert {tuple(each.axes.items()) for each in first.limits.values()} == {(("rpm", 60.0),)}
    assert len(first.limits) == 4
    assert second.priority == 7


def test_fewer_keys_and_one_more() -> None:
    """A key that is about to be cancelled is as good a question as one that is about to be bought."""
    assert [len(p.keys) for p in changed(fleet(), ["a.keys=1"]).providers] == [1, 1]
    assert [p.name for p in changed(fleet(), ["a.keys=0"]).providers] == ["a.b"]
    assert [len(p.keys) for p in one_more(fleet(), "a").providers] == [3, 1]


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        ("nothing", "expected NAME.keys=N"),
        ("c.keys=3", "no such provider"),
        ("a.keys=many", "whole number"),
        ("a.keys=-1", "number of keys"),
        ("a.limits.rpmm=3", 'did you mean "limits.rpm"'),
        ("a.limits.rpm=-3", "positive number"),
        ("a.price=3", "nothing that can be changed"),
    ],
)
def test_a_wish_that_cannot_be_met_is_named(wish: str, said: str) -> None:
    """A wish that is passed over gives the answer to another question."""
    with pytest.raises(UserError, match=said) as caught:
        changed(fleet(), ["a.keys=3", wish])
    assert caught.value.exit_code == 2
    assert wish in str(caught.value)


def test_no_fleet_is_no_forecast() -> None:
    """Dividing a batch by no key at all is no forecast but a crash."""
    with pytest.raises(UserError, match="no provider would have a key left"):
        changed(fleet(), ["a.keys=0", "a.b.keys=0"])
