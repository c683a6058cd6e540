"""One run, counted four times: the summary, the report, the live table's counters and a count of the files alone."""

from __future__ import annotations

import datetime as dt
import json
import math
import statistics
from pathlib import Path
from typing import Any

import msgspec
import pytest

from llmfan.measures.accumulate import Accumulator
from llmfan.outputs.rows import Row
from llmfan.records import AttemptLine, ResultLine
from llmfan.reporting.pages import page_of
from llmfan.simulation.fake import always, good, in_turn
from tests.loopback.serving import Serving, lines, providers_file, run
from tests.outputs.fleets import lanes_of

NAMES = ("latency_s", "ttft_s", "ttfo_s", "wait_s", "retry_s", "total_s")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with failures, refusals, retries, right and wrong answers, and a price."""
    home = tmp_path_factory.mktemp("agree")
    busy = in_turn(good(0.03, "The answer is 7."), always(500, "no", latency=0.01), good(0.05, "The answer is 8."))
    far_ends = {"a": busy, "b": good(0.02, "So it is 7.")}
    with Serving(far_ends) as far:
        shared = {"keys": "none", "model": "m", "limits": "none"}
        entries: dict[str, Any] = {name: {"base_url": far.base_url(name), **shared} for name in far_ends}
        entries["a"]["price"] = {"input": 1.0, "output": 2.0}
        file = providers_file(home, entries)
        prompts = [{"id": f"p{n}", "prompt": "?", "expect": 7} for n in range(60)]
        (home / "p.jsonl").write_text("\n".join(json.dumps(p) for p in prompts))
        code, _, err = run(home, "run", "p.jsonl", "-p", str(file), "--out", "r", "--concurrency", "6", "--seed", "1")
        assert code in (0, 1), err
    return home / "r"


@pytest.fixture(scope="module")
def summary(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "summary.json").read_text()))


def test_the_summary_is_what_the_files_say(folder: Path, summary: dict[str, Any]) -> None:
    """Whoever doubts a figure counts the lines: the count must end the argument."""
    results, attempts = lines(folder / "results.jsonl"), lines(folder / "attempts.jsonl")
    for entry, mine in [(summary, lambda line: True)] + [
        (entry, lambda line, name=entry["name"]: line["provider"] == name) for entry in summary["providers"]
    ]:
        own = [r for r in results if mine(r)]
        ok = [r for r in own if r["status"] == "ok"]
        tried = [a for a in attempts if mine(a)]
        totals = entry["totals"]
        assert (totals["jobs"], totals["ok"]) == (len(own), len(ok))
        assert totals["attempts"] == len(tried)
        assert totals["success_rate"] == pytest.approx(sum(a["outcome"] == "ok" for a in tried) / len(tried))
        assert totals["right"] == sum(r["score"] == 1 for r in ok)
        assert totals["wrong"] == sum(r["score"] == 0 for r in ok)
        costs = [r["cost_usd"] for r in own if r["cost_usd"] is not None]
        assert totals["cost_usd"] == (pytest.approx(sum(costs)) if costs else None)
        assert totals["cost_unknown"] == sum(r["cost_usd"] is None for r in ok)
        first = min(a["sent_s"] for a in tried)
        last = max(a["sent_s"] + a["latency_s"] for a in tried if a["outcome"] == "ok")
        assert totals["duration_s"] == pytest.approx(last - first, abs=2e-6)
        assert totals["requests_per_s"] == pytest.approx(len(ok) / (last - first), rel=1e-3)
        for name in NAMES:
            values = sorted(r[name] for r in ok if r[name] is not None)
            assert entry[name]["n"] == len(values)
            assert entry[name]["mean"] == pytest.approx(statistics.fmean(values), abs=1e-6)
            assert entry[name]["max"] == pytest.approx(values[-1], abs=1e-6)
            for label, q in (("p50", 0.5), ("p90", 0.9), ("p95", 0.95), ("p99", 0.99)):
                exact = values[max(1, math.ceil(q * len(values))) - 1]
                assert entry[name][label] == pytest.approx(exact, rel=0.01, abs=1e-6)


def test_total_is_wait_and_retries_and_latency(folder: Path) -> None:
    """Time that is in no part, or in two, is how throttling gets hidden."""
    for line in lines(folder / "results.jsonl"):
        if line["status"] == "ok":
            parts = line["wait_s"] + line["retry_s"] + line["latency_s"]
            assert line["total_s"] == pytest.approx(parts, abs=5e-6)


def test_the_report_shows_the_summarys_figures(folder: Path, summary: dict[str, Any]) -> None:
    """Two documents of one run that differ are both wrong."""
    (shown,) = page_of([folder], dt.datetime.now(dt.UTC)).runs
    assert shown.summary == summary
    assert sum(n for h in shown.histograms if (h.metric, h.provider) == ("latency_s", "") for _, _, n in h.bins) == 60


def test_the_live_table_counts_as_the_summary_does(folder: Path, summary: dict[str, Any]) -> None:
    """A last frame that says other than the table beneath it makes people doubt both."""
    accumulator = Accumulator()
    for line in (folder / "attempts.jsonl").read_bytes().splitlines():
        accumulator.attempt(msgspec.json.decode(line, type=AttemptLine))
    for line in (folder / "results.jsonl").read_bytes().splitlines():
        accumulator.result(msgspec.json.decode(line, type=ResultLine))
    assert accumulator.merged().distributions() == {
        name: summary[name] for name in accumulator.merged().distributions()
    }
    for entry in summary["providers"]:
        lanes = lanes_of({entry["name"]: 1})
        found = Row(entry["name"], lanes, [0])._read(
            [t for k, t in accumulator.tallies.items() if k[0] == entry["name"]]
        )
        assert found.latency_p50 == pytest.approx(entry["latency_s"]["p50"], abs=1e-6)
        assert found.latency_p95 == pytest.approx(entry["latency_s"]["p95"], abs=1e-6)
        assert found.ttft_p50 == pytest.approx(entry["ttft_s"]["p50"], abs=1e-6)
        assert found.wait_p95 == pytest.approx(entry["wait_s"]["p95"], abs=1e-6)
