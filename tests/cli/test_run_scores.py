"""Scores, gates and load over the command line: exit codes, files for CI, and slips found before anything is sent."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from junitparser import JUnitXml

from llmfan.simulation.fake import always, good
from tests.loopback.serving import Serving, lines, providers_file, run

OPEN = {"keys": "none", "model": "m", "limits": "none"}


def prompts(folder: Path, expects: list[object]) -> str:
    path = folder / "p.jsonl"
    path.write_text("\n".join(json.dumps({"id": f"p{n}", "prompt": "?", "expect": e}) for n, e in enumerate(expects)))
    return str(path)


def test_a_gate_that_does_not_hold_ends_with_3_and_is_told_everywhere(tmp_path: Path) -> None:
    """A CI job decides by the exit code, a person by the sentence: both have to be there."""
    with Serving({"a": good(0.01, "The answer is 7.")}) as far:
        file = providers_file(tmp_path, {"a": {"base_url": far.base_url("a"), **OPEN}})
        args = ["run", prompts(tmp_path, [7, 7, 7, 8]), "-p", str(file), "--junit", "j.xml", "--summary-md", "s.md"]
        code, out, _ = run(tmp_path, *args, "--out", "r", "--fail-if", "accuracy < 0.9", "--fail-if", "failed_rate > 0")
    assert code == 3
    assert "FAILED  accuracy < 0.9" in out
    summary = json.loads((tmp_path / "r" / "summary.json").read_text())
    assert [(g["value"], g["held"]) for g in summary["gates"]] == [(0.75, False), (0, True)]
    assert [r["score"] for r in sorted(lines(tmp_path / "r" / "results.jsonl"), key=lambda r: r["id"])] == [1, 1, 1, 0]
    report = JUnitXml.fromfile(str(tmp_path / "j.xml"))
    assert (report.failures, report.errors) == (1, 0)
    assert "accuracy < 0.9" in (tmp_path / "s.md").read_text()


def test_a_broken_endpoint_stops_a_run_early_with_3(tmp_path: Path) -> None:
    """Two thousand prompts at a wrong model's price, for nothing, before anybody looks."""
    with Serving({"a": always(400, "no", latency=0.02)}) as far:
        file = providers_file(tmp_path, {"a": {"base_url": far.base_url("a"), **OPEN}})
        args = ["run", prompts(tmp_path, [1] * 2000), "-p", str(file), "--out", "r", "--max-attempts", "1"]
        code, _, err = run(tmp_path, *args, "--abort-if", "failed_rate > 50%", "--concurrency", "4")
        assert far.requests < 1500
    assert code == 3
    assert "--abort-if failed_rate > 50%" in err


def test_a_run_without_one_success_never_ends_with_0(tmp_path: Path) -> None:
    """Gates on figures that are undefined must not pass a run in which nothing was answered."""
    with Serving({"a": always(400, "no", latency=0.01)}) as far:
        file = providers_file(tmp_path, {"a": {"base_url": far.base_url("a"), **OPEN}})
        args = ["run", prompts(tmp_path, [1, 2]), "-p", str(file), "--out"]
        assert run(tmp_path, *args, "r")[0] == 1
        assert run(tmp_path, *args, "s", "--fail-if", "latency_p95 > 2s")[0] == 3


@pytest.mark.parametrize(
    ("args", "word"),
    [
        (["--fail-if", "latency_p59 > 2s"], "latency_p99"),
        (["--fail-if", "latency_p95[b] > 2s"], "b"),
        (["--fail-if", "latency_p95 > fast"], "fast"),
        (["--abort-if", "efficiency < 0.9"], "efficiency"),
        (["--grade", "nummber"], "number"),
        (["--grade", "python:nowhere:f"], "nowhere"),
        (["--rate", "fast"], "--rate"),
        (["--rate", "5/s..9/s"], "--over"),
        (["--over", "2m"], "--rate"),
        (["--arrival", "poison"], "poisson"),
        (["--junit", "nowhere/j.xml"], "nowhere"),
        (["--summary-md", "."], "folder"),
    ],
)
def test_a_slip_in_scores_and_load_is_found_before_anything_is_sent(tmp_path: Path, args: list[str], word: str) -> None:
    """After a night's run it is too late to learn that the gate's name was wrong."""
    with Serving({"a": good(0.01)}) as far:
        file = providers_file(tmp_path, {"a": {"base_url": far.base_url("a"), **OPEN}})
        code, _, err = run(tmp_path, "run", prompts(tmp_path, [1]), "-p", str(file), *args)
        assert far.requests == 0
    assert code == 2
    assert word in err
    assert "Traceback" not in err


def test_an_expected_answer_nobody_can_grade_is_a_fault_of_its_line(tmp_path: Path) -> None:
    """A broken pattern would call every answer wrong."""
    path = prompts(tmp_path, [1, {"regex": "("}])
    code, _, err = run(tmp_path, "run", path, "--simulate")
    assert code == 2
    assert "p.jsonl:2: expect" in err
