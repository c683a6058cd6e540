"""Limits that were declared rightly are used to the full and never passed, whatever the server counts and how."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest
from msgspec.structs import replace

from llmfan.options import RunOptions
from llmfan.settings import Limiter, Preset
from llmfan.simulation.fake import Behaviour, always, good, in_turn, limited
from llmfan.simulation.loop import START
from llmfan.simulation.script import Script
from tests.scenarios.far_ends import Rule, metered, most_in_any
from tests.scenarios.world import Happened, play, provider

#: Minutes of two seconds.
FAST = RunOptions(simulate=True, speed=30)
WINDOW = 2.0
KEYS, WINDOWS = 8, 30


def refused(happened: Happened) -> int:
    return sum(a["http_status"] == 429 for a in happened.attempts)


def all_answered_once(happened: Happened, jobs: int) -> None:
    assert happened.run.ending == "done"
    assert [r["status"] for r in happened.results] == ["ok"] * jobs
    assert len({r["id"] for r in happened.results}) == jobs


def least(kind: str, latency: float) -> float:
    """The shortest time in which 30 windows' worth of requests can be answered by one key of such a server."""
    if kind == "fixed":
        return WINDOW - START % WINDOW + (WINDOWS - 2) * WINDOW + latency
    return (WINDOWS - 1) * WINDOW + latency


@pytest.mark.parametrize("kind", ["sliding", "fixed", "bucket"])
@pytest.mark.parametrize("limit", [1, 2, 5, 20])
def test_eight_keys_use_nine_tenths_of_a_request_limit_without_one_refusal(
    tmp_path: Path, kind: str, limit: int
) -> None:
    """A 429 costs a key its standing; an unused window costs the user's time."""
    jobs = KEYS * WINDOWS * limit
    happened = play(
        tmp_path, [provider("p", KEYS, axes={"rpm": limit})], {"p": limited(kind, limit, WINDOW)}, jobs, FAST
    )
    all_answered_once(happened, jobs)
    assert refused(happened) == 0
    assert least(kind, 0.1) / happened.duration >= 0.90


@pytest.mark.parametrize("kind", ["sliding", "fixed", "bucket"])
def test_a_limit_by_the_second_is_kept_as_one_by_the_minute_is(tmp_path: Path, kind: str) -> None:
    """The guard against late arrival is a share of the window; on a short one it must not eat the throughput."""
    happened = play(tmp_path, [provider("p", 2, axes={"rps": 4})], {"p": limited(kind, 4, 1.0)}, 2 * 30 * 4)
    all_answered_once(happened, 240)
    assert refused(happened) == 0
    assert 28.6 / happened.duration >= 0.90


@pytest.mark.parametrize("kind", ["sliding", "fixed", "bucket"])
def test_a_batch_that_fits_into_one_window_leaves_within_it(tmp_path: Path, kind: str) -> None:
    """Ten prompts under ten a minute must not take a minute."""
    happened = play(tmp_path, [provider("p", axes={"rpm": 10})], {"p": limited(kind, 10, 60.0)}, 10)
    all_answered_once(happened, 10)
    assert refused(happened) == 0
    assert happened.duration < 10


@pytest.mark.parametrize("kind", ["sliding", "fixed", "bucket"])
def test_eight_keys_use_nine_tenths_of_a_token_limit_without_one_refusal(tmp_path: Path, kind: str) -> None:
    """Tokens are reserved by estimate and settled by usage: neither may leak."""
    tokens = 30 * 55  # thirty answers of 50 tokens to prompts of 5
    far = metered(Rule("tokens", tokens, WINDOW, kind), output=50)
    jobs = KEYS * WINDOWS * 30
    happened = play(tmp_path, [provider("p", KEYS, axes={"tpm": tokens})], {"p": far}, jobs, FAST)
    all_answered_once(happened, jobs)
    assert refused(happened) == 0
    # Of thirty, the last finds no room for what it reserves above what it takes; and what is used is counted when the
    # answer ends, as the server may.
    assert least(kind, 0.1) / happened.duration >= 0.87


@pytest.mark.parametrize("kind", ["sliding", "bucket"])
def test_a_server_that_charges_max_tokens_ahead_is_never_overdrawn(tmp_path: Path, kind: str) -> None:
    """Such a server refuses what the prompt and max_tokens do not fit, however short the answer will be."""
    preset = Preset(name="p", checked="2026-11-20", limiter=Limiter(precharge=True))
    far = metered(Rule("tokens", 2000, WINDOW, kind), output=20, precharge=True)
    happened = play(tmp_path, [provider("p", 2, axes={"tpm": 2000}, preset=preset)], {"p": far}, 400, FAST)
    all_answered_once(happened, 400)
    assert refused(happened) == 0


def test_a_cap_on_requests_in_flight_is_filled_and_never_passed(tmp_path: Path) -> None:
    """An idle slot is lost time, one too many is a 429."""
    far = metered(Rule("in_flight", 3), latency=0.5)
    happened = play(tmp_path, [provider("p", 4, axes={"concurrency": 3})], {"p": far}, 4 * 3 * 20)
    all_answered_once(happened, 240)
    assert refused(happened) == 0
    assert 20 * 0.5 / happened.duration >= 0.90


def test_several_limits_at_once_are_all_kept_and_the_tightest_is_used(tmp_path: Path) -> None:
    """Each limit alone may allow what all together do not."""
    far = metered(
        Rule("requests", 4, 1 / 6), Rule("requests", 50, 10.0), Rule("tokens", 40 * 55, 10.0), Rule("in_flight", 3),
        output=50, latency=0.3,
    )  # fmt: skip
    axes = {"rps": 4, "rpm": 50, "tpm": 40 * 55, "concurrency": 3}
    happened = play(
        tmp_path, [provider("p", 3, axes=axes)], {"p": far}, 3 * 40 * WINDOWS, RunOptions(simulate=True, speed=6)
    )
    all_answered_once(happened, 3600)
    assert refused(happened) == 0
    assert ((WINDOWS - 1) * 10 + 0.3) / happened.duration >= 0.90


@pytest.mark.parametrize("kind", ["sliding", "fixed", "bucket"])
def test_keys_of_one_account_share_its_limit(tmp_path: Path, kind: str) -> None:
    """Three keys of one organisation are one bucket: metering each alone draws 429s on all."""
    far = metered(Rule("requests", 10, WINDOW, kind, per=lambda key, model: "ab"[int(key[-1]) > 3]))
    fleet = [provider("p", 5, axes={"rpm": 10}, accounts=["a", "a", "a", "b", "b"], shared="account")]
    happened = play(tmp_path, fleet, {"p": far}, 2 * 10 * WINDOWS, FAST)
    all_answered_once(happened, 600)
    assert refused(happened) == 0
    assert least(kind, 0.1) / happened.duration >= 0.90


def test_a_limit_counted_by_model_is_open_to_each_model(tmp_path: Path) -> None:
    """Two models of a key are twice the limit where the provider counts so."""
    far = metered(Rule("requests", 10, WINDOW, per=lambda key, model: key + model))
    fleet = [provider("p", 2, axes={"rpm": 10}, models=["m1", "m2"], per_model=True)]
    happened = play(tmp_path, fleet, {"p": far}, 4 * 10 * WINDOWS, FAST)
    all_answered_once(happened, 1200)
    assert refused(happened) == 0
    assert least("sliding", 0.1) / happened.duration >= 0.90


def test_a_limit_counted_by_key_holds_over_its_models_together(tmp_path: Path) -> None:
    """Else each further model would double what a key sends."""
    far = metered(Rule("requests", 10, WINDOW))
    happened = play(
        tmp_path, [provider("p", 2, axes={"rpm": 10}, models=["m1", "m2"])], {"p": far}, 2 * 10 * WINDOWS, FAST
    )
    all_answered_once(happened, 600)
    assert refused(happened) == 0
    assert least("sliding", 0.1) / happened.duration >= 0.90


def test_fifty_jobs_at_once_never_pass_five_a_minute(tmp_path: Path) -> None:
    """The classic race: all see room, all send."""
    happened = play(tmp_path, [provider("p", axes={"rpm": 5})], {"p": limited("sliding", 5, 60.0)}, 50)
    all_answered_once(happened, 50)
    assert most_in_any([s.at for s in happened.far.seen], 60.0) == 5


def test_a_limit_nobody_declared_is_found_with_few_refusals(tmp_path: Path) -> None:
    """Unknown is not unlimited: it starts low, doubles, and stops doubling when refused."""
    far = limited("sliding", 40, WINDOW)
    happened = play(tmp_path, [provider("p", open_=True)], {"p": far}, 1500, FAST)
    all_answered_once(happened, 1500)
    assert refused(happened) <= 0.05 * 1500
    assert 1500 / 40 * WINDOW / happened.duration >= 0.5


def test_a_limit_declared_too_high_is_lowered_on_evidence(tmp_path: Path) -> None:
    """The file says 40, the server means 20: one wave of refusals teaches, it does not repeat each window."""
    happened = play(tmp_path, [provider("p", axes={"rpm": 40})], {"p": limited("sliding", 20, WINDOW)}, 600, FAST)
    all_answered_once(happened, 600)
    assert refused(happened) <= 0.15 * 600
    assert 600 / 20 * WINDOW / happened.duration >= 0.6


def test_a_server_of_ones_own_without_limits_is_not_slowed(tmp_path: Path) -> None:
    """`limits: none` means no pace at all: only --concurrency bounds it."""
    happened = play(tmp_path, [provider("p")], {"p": good(0.1)}, 640)
    all_answered_once(happened, 640)
    assert happened.duration == pytest.approx(1.0, rel=0.25)


def test_a_spent_day_ends_the_run_and_leaves_the_rest_for_resume(tmp_path: Path) -> None:
    """A day's quota does not come back while one waits; sending on would draw 429s all day."""
    happened = play(tmp_path, [provider("p", 2, axes={"rpd": 5})], {"p": limited("fixed", 5, 86400.0)}, 30)
    assert happened.run.ending == "nothing_left"
    assert "quota" in happened.run.why
    assert len(happened.results) == 10
    assert refused(happened) == 0
    assert happened.duration < 60


@pytest.mark.parametrize(
    ("zone", "wall"),
    [
        ("utc", dt.datetime(2026, 11, 21, 23, 59, 30, tzinfo=dt.UTC)),
        ("America/Los_Angeles", dt.datetime(2026, 11, 22, 7, 59, 30, tzinfo=dt.UTC)),
        ("America/Los_Angeles", dt.datetime(2026, 7, 22, 6, 59, 30, tzinfo=dt.UTC)),
    ],
)
def test_a_day_that_ends_within_a_minute_is_waited_for(tmp_path: Path, zone: str, wall: dt.datetime) -> None:
    """Nobody wants exit 4 half a minute before midnight; where the day begins is the provider's business."""
    fleet = [provider("p", axes={"rpd": 5}, reset=zone)]
    happened = play(tmp_path, fleet, {"p": good()}, 10, wall=wall)
    all_answered_once(happened, 10)
    late = [a["sent_s"] for a in happened.attempts if a["sent_s"] > 1]
    assert len(late) == 5
    assert min(late) == pytest.approx(30.0, abs=1.0)


def test_a_request_no_limit_could_ever_hold_is_refused_before_it_is_sent(tmp_path: Path) -> None:
    """It would draw a 429 that no waiting cures, or wait for ever."""
    preset = Preset(name="p", checked="2026-11-20", limiter=Limiter(precharge=True))
    happened = play(tmp_path, [provider("p", 2, axes={"tpm": 100}, preset=preset)], {"p": good()}, 5)
    assert happened.run.ending == "done"
    assert happened.far.seen == []
    assert [r["status"] for r in happened.results] == ["failed"] * 5
    for result in happened.results:
        assert result["error"]["kind"] == "context_length"
        assert "tpm 100" in result["error"]["message"]
        assert result["attempts"] == 0


def test_a_request_too_large_for_one_provider_goes_to_one_that_can_hold_it(tmp_path: Path) -> None:
    """Only the small key is ruled out, and only for that job."""
    preset = Preset(name="small", checked="2026-11-20", limiter=Limiter(precharge=True))
    fleet = [provider("small", axes={"tpm": 100}, preset=preset, priority=9), provider("large")]
    happened = play(tmp_path, fleet, {"small": good(), "large": good()}, 5)
    all_answered_once(happened, 5)
    assert happened.by("large") == 5
    assert happened.far.count("small") == 0


def test_less_than_one_a_second_is_a_limit_like_any_other(tmp_path: Path) -> None:
    """`rps: 0.5` would never let a request out if it counted half a request a second."""
    happened = play(tmp_path, [provider("p", axes={"rps": 0.5})], {"p": good(0.1)}, 4)
    assert [r["status"] for r in happened.results] == ["ok"] * 4
    assert 6 <= happened.duration <= 7


def test_what_is_too_large_for_one_key_goes_to_a_larger_key_of_the_same_model(tmp_path: Path) -> None:
    """The message itself says: use a larger key."""
    both = provider("p", 2, axes={"tpm": 100.0})
    large = replace(both.limits["p#1", "m"], axes={"tpm": 100000.0})
    fleet = replace(both, limits={**both.limits, ("p#2", "m"): large})
    happened = play(tmp_path, [fleet], {"p": good(0.1)}, 5)
    assert {(r["status"], r["key"]) for r in happened.results} == {("ok", "p#2")}


def test_a_refusal_of_one_key_leaves_the_others_of_its_account_alive(tmp_path: Path) -> None:
    """Keys without a declared limit get a pace by a refusal; one without a pacer would wait for ever."""
    refused_once = in_turn(always(429, {"error": {"message": "slow down"}}, {"retry-after": "1"}), good(0.1))
    fleet = provider("p", 2, accounts=["x", "x"])
    happened = play(tmp_path, [fleet], {"p": refused_once}, 5, RunOptions(mode="keys", concurrency=1))
    assert happened.run.ending == "done"
    assert sorted(r["key"] for r in happened.results if r["status"] == "ok") == ["p#1"] * 5 + ["p#2"] * 5


def telling(limit: str) -> Behaviour:
    """Answers, and says how many requests it takes, as many servers do without naming the window."""

    def behave(now: float, key: str, body: bytes) -> Script:
        script = good(0.1)(now, key, body)
        told = {"x-ratelimit-limit-requests": limit, "x-ratelimit-remaining-requests": limit}
        return Script(script.status, {**script.headers, **told}, script.writes)

    return behave


@pytest.mark.parametrize("axes", [{}, {"rpd": 1000}])
def test_a_header_gives_a_rate_that_nobody_declared(tmp_path: Path, axes: dict[str, float]) -> None:
    """Without a declared pace to compare it with, the first header of a server of one's own must not end the run."""
    happened = play(tmp_path, [provider("p", axes=axes)], {"p": telling("60")}, 200, RunOptions(concurrency=4))
    all_answered_once(happened, 200)
    pace = happened.crew.lanes[0].group.pace
    assert (pace.limit, pace.period) == (60.0, 60.0)
    assert most_in_any([s.at for s in happened.far.seen], 60.0) <= 60 + 4  # those before the first header came


def test_a_header_about_the_day_is_no_pace(tmp_path: Path) -> None:
    """A thousand a day, taken for a thousand a minute or the other way round, is a wrong limit for the whole run."""
    happened = play(tmp_path, [provider("p", axes={"rpd": 1000})], {"p": telling("1000")}, 50)
    all_answered_once(happened, 50)
    assert happened.crew.lanes[0].group.pace.reported is None


def test_a_rate_first_told_in_a_later_answer_is_paced_too(tmp_path: Path) -> None:
    """A limit without a pacer lets nobody leave: the run would hang in its middle until --max-stall."""
    far = in_turn(*[good(0.1)] * 20, telling("60"))
    happened = play(tmp_path, [provider("p")], {"p": far}, 150, RunOptions(concurrency=4))
    all_answered_once(happened, 150)
    assert happened.run.ending == "done"
    assert happened.duration < 200
