"""A report's document: what it counts, what it lists, and what it says of what it leaves out."""

from __future__ import annotations

import datetime as dt
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest

from llmfan.errors import UserError
from llmfan.outputs.html.page import RunPage
from llmfan.reporting.pages import page_of
from tests.reporting.folders import attempt, failed, result, run_folder

NOW = dt.datetime(2026, 11, 21, 12, tzinfo=dt.UTC)


def one(folder: Path) -> RunPage:
    (run,) = page_of([folder], NOW).runs
    return run


# ---------------------------------------------------------------- figures


def test_charts_count_every_result(tmp_path: Path) -> None:
    """A chart of a sample would show another run than the table beside it."""
    results = [result(i, provider="ab"[i % 2], latency_s=0.5 + i / 1000, total_s=i / 10) for i in range(3000)]
    run = one(run_folder(tmp_path / "r", results))
    bins = {(h.metric, h.provider): h.bins for h in run.histograms}
    assert sum(n for _, _, n in bins["latency_s", ""]) == 3000
    assert sum(n for _, _, n in bins["latency_s", "a"]) == 1500
    assert run.timeline is not None
    assert sum(sum(counts) for counts in run.timeline.ok.values()) == 3000
    assert sum(sum(counts) for counts in run.timeline.tokens.values()) == 15000
    assert run.results == 3000


def test_bins_hold_what_lies_between_their_edges(tmp_path: Path) -> None:
    """A median read off the chart must be the one of the table."""
    values = [0.001 * 1.01**i for i in range(800)]
    run = one(run_folder(tmp_path / "r", [result(i, latency_s=v) for i, v in enumerate(values)]))
    bins = next(h.bins for h in run.histograms if h.metric == "latency_s" and not h.provider)
    assert 40 <= len(bins) <= 50
    for low, high, count in bins:
        assert abs(count - sum(low <= v < high for v in values)) <= 2  # edges are rounded to four digits
    assert bins[0][2] and bins[-1][2]
    assert all(a[1] == b[0] for a, b in pairwise(bins))


def test_refusals_and_failures_stand_at_the_time_they_were_sent(tmp_path: Path) -> None:
    """429s drawn where the retry ended would point at the wrong minute."""
    attempts = [attempt(sent_s=s) for s in range(100)]
    attempts += [attempt(sent_s=10.2, outcome="rate_limited"), attempt(sent_s=50.2, outcome="timeout")]
    attempts += [attempt(sent_s=60.0, outcome="cancelled", hedge=True)]
    timeline = one(run_folder(tmp_path / "r", [], attempts)).timeline
    assert timeline is not None
    assert 60 <= timeline.steps <= 240
    assert timeline.rate_limited["a"].index(1) == int(10.2 / timeline.step_s)
    assert timeline.failed["a"].index(1) == int(50.2 / timeline.step_s)
    assert sum(timeline.failed["a"]) == 1  # a hedge's loser is none


def test_a_keys_time_is_told_apart(tmp_path: Path) -> None:
    """What a key lost to failures would look like work it did."""
    attempts = [
        attempt(sent_s=0.0, latency_s=2.0), attempt(sent_s=1.0, latency_s=2.0),
        attempt(sent_s=10.0, latency_s=0.5, outcome="rate_limited"),
    ]  # fmt: skip
    (key,) = one(run_folder(tmp_path / "r", [], attempts)).keys
    assert (key.key, key.provider, key.attempts, key.rate_limited) == ("a#1", "a", 3, 1)
    assert (key.serving_s, key.failing_s, key.busy_s) == (4.0, 0.5, 3.5)


def test_allowances_come_from_the_summary(tmp_path: Path) -> None:
    """Used against allowed is what says whether another key would help."""
    folder = run_folder(tmp_path / "r", [result()], [attempt()])
    summary = msgspec.json.decode((folder / "summary.json").read_bytes())
    summary["keys"] = [
        {"name": "a#1", "allowances": [{"axis": "rpm", "limit": 30, "period_s": 60, "used": 12, "allowed": 45.5}]},
        {"name": "a#2", "allowances": []},
    ]
    (folder / "summary.json").write_bytes(msgspec.json.encode(summary))
    asked, idle = one(folder).keys
    assert [(a.axis, a.limit, a.period_s, a.used, a.allowed) for a in asked.allowances] == [("rpm", 30, 60, 12, 45.5)]
    assert (idle.key, idle.provider, idle.attempts) == ("a#2", "a", 0)


def test_failures_have_examples_that_differ(tmp_path: Path) -> None:
    """Three times the same message with another request id tells one thing."""
    results = [failed(i, message=f"request {i}f3a: model overloaded") for i in range(5)]
    results += [failed(9, message="upstream reset"), failed(10, kind="timeout", message="60 s")]
    attempts = [attempt(outcome="server_error")] * 6 + [attempt(outcome="rate_limited", http_status=429)]
    kinds = {kind.kind: kind for kind in one(run_folder(tmp_path / "r", results, attempts)).failures}
    assert [*kinds] == ["server_error", "timeout", "rate_limited"]
    assert (kinds["server_error"].jobs, kinds["server_error"].attempts) == (6, 6)
    assert [e.message for e in kinds["server_error"].examples] == ["request 0f3a: model overloaded", "upstream reset"]
    (refused,) = kinds["rate_limited"].examples  # no job ended so: the attempt has to do
    assert (refused.http_status, refused.at_s) == (429, 9.0)


def test_warm_up_is_in_nothing(tmp_path: Path) -> None:
    """Cold starts in the charts and not in the table would look like an error of one of the two."""
    results = [result(0, warmup=True, latency_s=99.0), failed(1, warmup=True), result(2)]
    run = one(run_folder(tmp_path / "r", results, [attempt(0, warmup=True), attempt(2)]))
    assert [row.id for row in run.rows] == ["q2"]
    assert (run.results, run.failures, run.keys[0].attempts) == (1, [], 1)
    assert "2 warm-up results are in no figure, chart or list (1 of them failed)" in run.notes


# ---------------------------------------------------------------- runs without an end, damage


def test_a_run_that_was_killed_is_counted_from_its_journal(tmp_path: Path) -> None:
    """When a night's run was killed, what it has is all there is."""
    folder = run_folder(tmp_path / "r", [result(i) for i in range(10)], [attempt(i) for i in range(10)], ended=False)
    with open(folder / "results.jsonl", "ab") as file:
        file.write(b'{"id":"q10","index":10,"sta')
    run = one(folder)
    assert (run.results, run.summary["totals"]["ok"], run.summary["latency_s"]["p50"]) == (
        10,
        10,
        pytest.approx(1, rel=0.01),
    )
    assert run.summary["totals"]["efficiency"] is None
    assert run.verdict.startswith("Not ended: so far 10 of 10 prompts answered")
    assert run.notes[0].startswith("the run has not ended")


def test_the_summary_of_an_earlier_session_is_not_taken_for_this_ones(tmp_path: Path) -> None:
    """While a resumed run goes on, its folder still holds the old figures."""
    folder = run_folder(tmp_path / "r", [result()])
    run_folder(folder, [result(i) for i in range(5)], ended=False)
    assert one(folder).summary["totals"]["jobs"] == 5


def test_figures_and_journal_that_differ_are_noticed(tmp_path: Path) -> None:
    """A results file that somebody thinned out makes charts of another run than the table."""
    folder = run_folder(tmp_path / "r", [result(i) for i in range(5)], totals={"jobs": 6})
    assert any("summary.json counts 6 results, results.jsonl holds 5" in note for note in one(folder).notes)


@pytest.mark.parametrize("name", ["results.jsonl", "attempts.jsonl"])
@pytest.mark.parametrize("bad", [b"{}\n", b"not json\n", b'{"id": 5}\n', b"\xff\xfe\n", b"\n"])
def test_a_damaged_line_is_named(tmp_path: Path, name: str, bad: bytes) -> None:
    """ "Cannot read the run" sends people through a hundred thousand lines."""
    folder = run_folder(tmp_path / "r", [result(i) for i in range(3)], [attempt(i) for i in range(3)])
    lines = (folder / name).read_bytes().splitlines(keepends=True)
    (folder / name).write_bytes(b"".join([lines[0], bad, *lines[1:]]))
    with pytest.raises(UserError, match=rf"{name}:2: not a line of llmfan's"):
        one(folder)


def test_all_that_are_no_runs_are_told_at_once(tmp_path: Path) -> None:
    """One wrong name at a time is one more try at a time."""
    run_folder(tmp_path / "good", [result()])
    damaged = run_folder(tmp_path / "damaged", [result()])
    (damaged / "summary.json").write_text("{")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError) as caught:
        page_of([tmp_path / n for n in ("good", "damaged", "empty", "goood", "good/results.jsonl")], NOW)
    text = str(caught.value)
    assert "summary.json: is damaged" in text
    assert "holds no run: there is no run.json in it" in text
    assert 'no such folder (did you mean "good"?)' in text
    assert f"name the run's folder, {tmp_path / 'good'}" in text


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("summary.json", b'"jobs":3', b'"jobs":"three"'),
        ("summary.json", b'"providers":[', b'"providers":["a",'),
        ("summary.json", b'"totals":', b'"totale":'),
        ("run.json", b'"size":0', b'"size":"big"'),
        ("run.json", b'"prompts":{', b'"prompts":[{'),
        ("run.json", b"{", b""),
    ],
)
def test_a_damaged_document_is_named_and_makes_no_traceback(tmp_path: Path, name: str, old: bytes, new: bytes) -> None:
    """A file that was edited by hand is the user's to mend, if he is told which."""
    folder = run_folder(tmp_path / "r", [result(i) for i in range(3)])
    text = (folder / name).read_bytes()
    assert old in text
    (folder / name).write_bytes(text.replace(old, new, 1))
    with pytest.raises(UserError, match=rf"{name}: is damaged: "):
        one(folder)
