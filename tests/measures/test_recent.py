"""The last minutes: every end is counted once, in its own stretch, in memory that does not grow."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmfan.measures.recent import FAILURES, KEPT, STRETCH_S, Recent, Row
from llmfan.records import ErrorInfo, ResultUsage
from tests.measures.test_accumulate import WHO, attempt, result

MOMENTS = st.floats(0.0, 3000.0, allow_nan=False)


def answered(recent: Recent, at: float, latency: float = 1.0, **more: Any) -> None:
    line = attempt(sent_s=at - latency, latency_s=latency)
    recent.count(line, result(latency_s=latency, ttft_s=latency / 4, usage=ResultUsage(5, 11, "server"), **more))


def refused(recent: Recent, at: float, who: tuple[str, str, str] = WHO[0], outcome: str = "rate_limited") -> None:
    recent.count(attempt(who, outcome, sent_s=at, latency_s=0.0, http_status=429), None)


def failed(recent: Recent, at: float, who: tuple[str, str, str] = WHO[0], message: str = "no answer") -> None:
    error = ErrorInfo("timeout", message, 504)
    recent.count(attempt(who, "timeout", sent_s=at, latency_s=0.0), result(who, "failed", error=error))


def sums(rows: Iterable[Row]) -> tuple[int, int, int, int]:
    kept = list(rows)
    return (
        sum(r.ok for r in kept), sum(r.failed for r in kept), sum(r.rate_limited for r in kept),
        sum(r.output_tokens for r in kept),
    )  # fmt: skip


@given(st.lists(st.tuples(MOMENTS, st.sampled_from(["ok", "failed", "refused"])), max_size=80))
def test_all_that_ended_in_the_last_ten_minutes_is_there_once(events: list[tuple[float, str]]) -> None:
    """A chart that drops or doubles what it was told shows a throughput that never was."""
    recent, now = Recent(), 3000.0
    for at, what in sorted(events):
        if what == "ok":
            answered(recent, at, latency=0.0)
        else:
            {"failed": failed, "refused": refused}[what](recent, at)
    first = (now // STRETCH_S - KEPT + 1) * STRETCH_S
    kept = [what for at, what in events if at >= first]
    counts = (kept.count("ok"), kept.count("failed"), kept.count("refused"), 11 * kept.count("ok"))
    assert sums(recent.rows(now)) == counts


@given(st.lists(MOMENTS, max_size=60), MOMENTS)
def test_rows_are_every_stretch_up_to_now_oldest_first(moments: list[float], now: float) -> None:
    """A stretch that is left out because nothing ended in it would shorten the chart's time."""
    recent = Recent()
    for at in sorted(moments):
        answered(recent, at)
    ago = [row.ago_s for row in recent.rows(now)]
    assert len(ago) == min(KEPT, int(now // STRETCH_S) + 1)
    assert 0 <= ago[-1] <= STRETCH_S  # to the millisecond
    assert ago == pytest.approx([ago[-1] + STRETCH_S * n for n in reversed(range(len(ago)))], abs=0.01)


def test_memory_is_bounded_however_long_it_runs() -> None:
    """A fleet that is kept running for weeks must not keep every ten seconds of them, nor every failure."""
    recent = Recent()
    for n in range(3000):
        answered(recent, n * STRETCH_S)
        failed(recent, n * STRETCH_S)
        refused(recent, n * STRETCH_S)
    assert len(recent._stretches) <= KEPT + 2
    assert len(recent.failures()) == FAILURES


def test_what_ends_out_of_order_is_counted_where_it_ended() -> None:
    """Attempts are told as their tasks wake up, not to the millisecond: none may be lost at a stretch's edge."""
    recent = Recent()
    answered(recent, 20.5)
    answered(recent, 19.9)
    assert [row.ok for row in recent.rows(25.0)] == [0, 1, 1]


def test_a_run_that_is_gone_on_with_counts_from_its_own_beginning() -> None:
    """Lines of a resumed run count on from the first one: an hour of seconds too many would put all in the future."""
    recent = Recent(offset=3600.0)
    answered(recent, 3605.0)
    assert [row.ok for row in recent.rows(12.0)] == [1, 0]


def test_a_call_that_was_never_sent_counts_when_it_came() -> None:
    """After a quiet hour a refused call would else be told as an hour old."""
    recent = Recent()
    answered(recent, 5.0)
    recent.count(None, result(("", "", ""), "failed", planned_s=3000.0))
    assert recent.rows(3001.0)[-1].failed == 1
    assert recent.failures()[0].at == 3000.0


def test_latencies_are_those_of_answers_and_undefined_without_any() -> None:
    """Zero for nothing would draw the fastest minute of all where nobody answered."""
    recent = Recent()
    for latency in (1.0, 2.0, 3.0):
        answered(recent, 5.0, latency)
    failed(recent, 15.0)
    first, second = recent.rows(19.0)
    assert (first.latency_p50_s, first.latency_p95_s, first.ttft_p50_s) == pytest.approx((2.0, 3.0, 0.5), rel=0.01)
    assert (second.latency_p50_s, second.latency_p95_s, second.ttft_p50_s) == (None, None, None)


def test_a_stretch_under_way_shows_what_has_ended_since_it_was_last_read() -> None:
    """Quantiles are kept between two looks; they must not outlive the next answer."""
    recent = Recent()
    answered(recent, 5.0, 1.0)
    assert recent.rows(6.0)[-1].latency_p50_s == pytest.approx(1.0, rel=0.01)
    answered(recent, 5.5, 4.0)
    assert recent.rows(6.0)[-1].latency_p95_s == pytest.approx(4.0, rel=0.01)


def test_rates_are_over_the_time_that_was() -> None:
    """Ten answers in the first five seconds are two a second, not one in six."""
    recent = Recent()
    for n in range(10):
        answered(recent, 0.5 * n)
    minute = recent.minute(5.0)
    assert (minute.requests_per_s, minute.output_tokens_per_s) == pytest.approx((2.0, 22.0))


def test_what_failed_has_ended_as_well() -> None:
    """Where every other call fails, a run would seem to need twice the time that is left."""
    recent = Recent()
    for n in range(10):
        (answered if n % 2 else failed)(recent, 0.5 * n)
    minute = recent.minute(5.0)
    assert (minute.requests_per_s, minute.ended_per_s) == pytest.approx((1.0, 2.0))


def test_rates_forget_what_is_older_than_a_minute() -> None:
    """A fleet that has stopped must not show the throughput of its best hour."""
    recent = Recent()
    for n in range(100):
        answered(recent, n / 10)
    still = recent.minute(80.0)
    assert (still.requests_per_s, still.latency_p50_s) == (0.0, None)
    assert recent.minute(0.2).requests_per_s is None


def test_the_newest_failure_stands_first_with_its_words() -> None:
    """What failed just now is what one looks for."""
    recent = Recent()
    failed(recent, 1.0, WHO[0], "first")
    failed(recent, 2.0, WHO[3], "second")
    newest, older = recent.failures()
    assert (newest.message, newest.key, newest.kind, newest.http_status) == ("second", "b#1", "timeout", 504)
    assert older.message == "first"


def test_refusals_do_not_push_failures_out() -> None:
    """Sixteen keys at their limits refuse more in a second than fails in a day."""
    recent = Recent()
    failed(recent, 1.0)
    for n in range(100):
        refused(recent, 2.0 + n)
    kinds = [each.kind for each in recent.failures()]
    assert (len(kinds), kinds[-1], set(kinds[:-1])) == (FAILURES, "timeout", {"rate_limited"})


@pytest.mark.parametrize(("outcome", "hedge"), [("cancelled", False), ("timeout", True)])
def test_what_was_broken_off_by_us_is_no_failure(outcome: str, hedge: bool) -> None:
    """A client that went away, or a copy that was not needed, says nothing against a key."""
    recent = Recent()
    recent.count(attempt(outcome=outcome, hedge=hedge), None)
    assert recent.failures() == []


def test_one_failure_is_told_once() -> None:
    """A job that nobody may take after its last attempt ends by itself: its words and who failed it belong together."""
    recent = Recent()
    recent.count(attempt(WHO[3], "bad_request", id="x", sent_s=1.0, http_status=400), None)
    recent.count(None, result(("", "", ""), "failed", id="x", error=ErrorInfo("bad_request", "no such field", 400)))
    recent.count(attempt(WHO[0], "timeout", id="z", sent_s=2.0), None)
    recent.count(None, result(("", "", ""), "failed", id="y", error=ErrorInfo("overloaded", "too many wait", None)))
    another, elsewhere, one = recent.failures()
    assert (another.key, another.message, elsewhere.key) == ("", "too many wait", "a#1")
    assert (one.key, one.kind, one.message) == ("b#1", "bad_request", "no such field")
