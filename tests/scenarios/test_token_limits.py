"""Requests and tokens limited together, in whole runs: answers vary in length, and servers charge for them in two ways.

The least time is what one needs who knows each answer beforehand and sees the server's counters: in the same order,
each request arrives the moment the counters let it in. Where max_tokens is charged ahead, it is held there for as long
as the answer takes, so this counts what the plain bound cannot: an almost full window lets in one request at a time.
"""

from __future__ import annotations

import heapq
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from llmfan.settings import Limiter, Preset
from llmfan.simulation.limiter import Counter, Entry
from tests.scenarios import limiter_servers
from tests.scenarios.limiter_servers import BACK, PROMPT_TOKENS, THERE, Charge, Kind, Limit, LimiterServer, true_ideal
from tests.scenarios.world import play, prompts, provider

RPM, TPM, MINUTE = 60, 12000, 60.0
SEEDS = range(3)
#: (tokens of an answer on average, max_tokens, jobs): about ten windows of whichever limit binds.
TOKENS_BIND, WIDE_CAP, REQUESTS_BIND = (300.0, 600, 370), (300.0, 1200, 370), (120.0, 360, 600)


class Figures(NamedTuple):
    """Means over the seeds of time over the least and over the plain bound, and of refusals for an answer; the most by
    which requests were passed, and tokens, these as a share of the largest request."""

    ratio: float
    plain: float
    refusals: float
    passed: float
    overdrawn: float


@pytest.fixture(autouse=True)
def _refusals_name_no_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """With two limits it would be wrong to say of each refusal that it was for requests."""
    monkeypatch.setattr(limiter_servers, "REFUSED", {"error": {"message": "Rate limit reached."}})


def runs(folder: Path, kind: Kind, charge: Charge, work: tuple[float, int, int]) -> Figures:
    answer, cap, jobs = work
    limits = Limit(RPM, MINUTE, kind), Limit(TPM, MINUTE, kind, unit="tokens")
    preset = Preset(name="p", checked="2026-11-20", limiter=Limiter(precharge=charge == "ahead"))
    found = []
    for seed in SEEDS:
        server = LimiterServer(*limits, seed=f"{kind} {seed}", charge=charge, answer=answer, answer_sigma=0.6)
        place = folder / str(seed)
        place.mkdir()
        fleet = [provider("p", axes={"rpm": RPM, "tpm": TPM}, preset=preset)]
        happened = play(place, fleet, {"p": server}, prompts(jobs, max_tokens=cap))
        assert [r["status"] for r in happened.results] == ["ok"] * jobs
        largest = max(one.tokens for one in server.arrivals)
        times = happened.duration / least(server, cap), happened.duration / true_ideal(jobs, server)
        passed = server.passing(limits[0]), server.passing(limits[1]) / largest
        found.append((*times, server.refusals / jobs, *passed))
    ratio, plain, refusals, passing, overdrawn = zip(*found, strict=True)
    mean = statistics.fmean
    return Figures(mean(ratio), mean(plain), mean(refusals), max(passing), max(overdrawn))


def least(server: LimiterServer, cap: int) -> float:
    """The time of one who knows everything. What is charged at the end is charged at once here: it is known."""
    answered = [one for one in server.arrivals if not one.refused]
    phases = server.phases(answered[0].account)
    counters = [limit.counter(phase) for limit, phase in zip(server.limits, phases, strict=True)]
    held: list[tuple[float, int, float, Entry]] = []
    now = end = 0.0
    for n, one in enumerate(answered):
        asked = PROMPT_TOKENS + cap if server.charge == "ahead" else one.tokens
        while wait := _wait(now, counters, asked):
            now = min([now + wait, *(entry[0] for entry in held[:1])])
            _give_back(now, counters, held)
        entries = [counter.take(now, amount) for counter, amount in zip(counters, (1.0, asked), strict=True)]
        done = now + one.ends - BACK - one.at
        heapq.heappush(held, (done, n, asked - one.tokens, entries[1]))
        end = max(end, done)
    return end + THERE + BACK


def _wait(now: float, counters: Sequence[Counter], asked: float) -> float:
    seen = [counter.look(now, amount) for counter, amount in zip(counters, (1.0, asked), strict=True)]
    return 0.0 if all(one.ok for one in seen) else max(1e-4, *(one.retry_after for one in seen))


def _give_back(now: float, counters: Sequence[Counter], held: list[tuple[float, int, float, Entry]]) -> None:
    while held and held[0][0] <= now:
        at, _, rest, entry = heapq.heappop(held)
        counters[1].give_back(at, entry, rest)


@pytest.mark.parametrize("work", [TOKENS_BIND, WIDE_CAP, REQUESTS_BIND])
@pytest.mark.parametrize("charge", ["ahead", "used"])
def test_two_limits_together_are_used_and_kept(tmp_path: Path, charge: Charge, work: tuple[float, int, int]) -> None:
    """What is reserved for an answer must neither be lost nor overdrawn."""
    figures = runs(tmp_path, "sliding", charge, work)
    assert figures.ratio <= 1.08
    assert figures.refusals <= 0.01
    assert figures.passed <= 1
    assert figures.overdrawn <= 1
    assert charge == "ahead" or figures.plain <= 1.08


@pytest.mark.parametrize("charge", ["ahead", "used"])
@pytest.mark.parametrize("kind", ["fixed", "bucket"])
def test_other_kinds_refuse_hardly_anything(tmp_path: Path, kind: Kind, charge: Charge) -> None:
    """Tokens are kept as if any server counted the last minute; what a kinder one would give besides is not sought."""
    figures = runs(tmp_path, kind, charge, TOKENS_BIND)
    assert figures.refusals <= 0.01
    assert figures.ratio <= 1.20
