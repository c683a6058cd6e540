"""`llmfan report`: where it writes and where it never does, and what it puts on stdout."""

from __future__ import annotations

import csv
import io
import json
import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest
import typer
from typer.testing import CliRunner

from llmfan.cli.report import report as command
from llmfan.errors import UserError
from llmfan.grading.grade import NORMALISATION
from llmfan.measures.metrics import CLIENT, DISTRIBUTIONS, RUN_TOTALS, TOTALS
from llmfan.outputs.html.page import Page
from tests.reporting.folders import attempt, failed, result, run_folder

Report = Callable[..., tuple[int, str, str]]
HEAD = "<!doctype html>\n<!-- llmfan report -->\n"


@pytest.fixture
def pages(monkeypatch: pytest.MonkeyPatch) -> list[Page]:
    """The documents that were drawn; drawing them is tested elsewhere, and takes its time."""
    drawn: list[Page] = []

    def render(page: Page) -> list[str]:
        drawn.append(page)
        return [HEAD, page.title]

    stub = ModuleType("llmfan.outputs.html.render")
    stub.render = render  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "llmfan.outputs.html.render", stub)
    return drawn


@pytest.fixture
def report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pages: list[Page]) -> Report:
    monkeypatch.chdir(tmp_path)
    app = typer.Typer()
    app.command()(command)

    def call(*args: object) -> tuple[int, str, str]:
        done = CliRunner().invoke(app, [str(arg) for arg in args])
        if isinstance(done.exception, UserError):
            return done.exception.exit_code, done.stdout, str(done.exception)
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done.exit_code, done.stdout, done.stderr

    return call


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return run_folder(tmp_path / "runs" / "one", [result(0), failed(1)], [attempt(0), attempt(1, "server_error")])


def test_the_page_goes_into_the_runs_folder_and_is_private(report: Report, run: Path) -> None:
    """It holds every prompt and answer: who may not read the run may not read its report."""
    code, out, err = report(run)
    assert (code, out, err) == (0, f"{run}/report.html\n", "")
    assert (run / "report.html").read_text() == HEAD + "one"
    assert stat.S_IMODE((run / "report.html").stat().st_mode) == 0o600


def test_without_a_name_it_is_the_newest_run_and_says_which(report: Report, run: Path, tmp_path: Path) -> None:
    """A report of another run than the last is read as the last one's."""
    newer = run_folder(tmp_path / "runs" / "a-resumed", [result()])
    header = msgspec.json.decode((newer / "run.json").read_bytes())
    header["sessions"].append("2026-11-22T00:00:00.000Z")
    (newer / "run.json").write_bytes(msgspec.json.encode(header))
    (tmp_path / "runs" / "broken").mkdir()
    (tmp_path / "runs" / "broken" / "run.json").write_text("{")
    code, out, err = report()
    assert (code, out, err) == (0, "runs/a-resumed/report.html\n", "the newest run: runs/a-resumed\n")
    assert report("-q")[2] == ""


def test_where_there_is_no_run_it_ends_with_2(report: Report) -> None:
    """An empty page would look like a run without results."""
    assert report() == (2, "", "no run was named, and there is none under runs/")


def test_several_runs_make_one_page_here(report: Report, run: Path, tmp_path: Path, pages: list[Page]) -> None:
    """In one of the runs' folders nobody would look for it."""
    other = run_folder(tmp_path / "runs" / "two", [result()])
    assert report(run, other)[:2] == (0, "report.html\n")
    assert [each.name for each in pages[0].runs] == ["one", "two"]


def test_only_a_page_of_its_own_is_written_over(report: Report, run: Path, tmp_path: Path) -> None:
    """Somebody's report.html of something else is gone for good."""
    assert report(run)[0] == report(run)[0] == 0
    (tmp_path / "index.html").write_text("<html>mine")
    code, _, err = report(run, "-o", "index.html")
    assert (code, err) == (2, "index.html: there already, and no page of llmfan's; name another file with --out")
    assert (tmp_path / "index.html").read_text() == "<html>mine"


@pytest.mark.parametrize("option", ["--out", "--md", "--csv", "--parquet", "--openai-batch"])
def test_a_runs_own_files_and_its_prompts_are_never_written_over(report: Report, tmp_path: Path, option: str) -> None:
    """One slip of the keyboard, and the answers that were paid for are gone."""
    prompts = tmp_path / "p.jsonl"
    prompts.write_text('{"id":"q0","prompt":"one"}\n')
    run = run_folder(tmp_path / "r", [result()], prompts=prompts)
    (tmp_path / "link").symlink_to(run / "results.jsonl")
    before = (run / "results.jsonl").read_bytes()
    for path in (run / "results.jsonl", tmp_path / "link", run / "run.json", prompts):
        code, _, err = report(run, option, path)
        assert (code, err) == (2, f"{path}: belongs to the run {run}; name another file")
    assert (run / "results.jsonl").read_bytes() == before


def test_places_that_cannot_be_written_are_told_before_anything_is_done(
    report: Report, run: Path, pages: list[Page]
) -> None:
    """After a minute of reading is late."""
    assert report(run, "-o", "no/such/x.html")[::2] == (2, "no/such/x.html: there is no directory no/such")
    assert report(run, "--csv", run)[::2] == (2, f"{run}: is a directory; name a file in it")
    assert report(run, "--csv", "x", "--md", "./x")[::2] == (2, "--md and --csv name the same file, x")
    assert report(run, "--json", "--md", "-")[::2] == (2, "--json and --md - cannot share stdout")
    assert report(run, run_folder(run.parent / "two"), "--openai-batch", "x")[0] == 2
    assert not pages


def test_nothing_is_written_where_one_of_several_cannot_be(
    report: Report, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of what was asked for, and an error, looks like all of it to the script that asked."""
    (tmp_path / "shut").mkdir()
    (tmp_path / "away").symlink_to(tmp_path / "no" / "such")
    may = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "shut" and may(path, mode))
    assert report(run, "--csv", "x.csv", "--md", "shut/x")[::2] == (4, "shut/x: cannot be written: Permission denied")
    assert report(run, "--csv", "x.csv", "--md", "away")[::2] == (2, f"away: there is no directory {tmp_path}/no")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    code, _, err = report(run, "--csv", "x.csv", "--parquet", "x.parquet")
    assert code == 2 and "llmfan[analysis]" in err
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    assert report(run, "--csv", "x.csv", "-o", "x.html")[0] == 2
    assert not (tmp_path / "x.csv").exists()


def test_other_forms_are_written_instead_of_the_page(report: Report, run: Path, pages: list[Page]) -> None:
    """Who wants a CSV in CI has no use for a page, and may lack the extra for it."""
    code, out, _ = report(run, "--csv", "x.csv", "--md", "x.md", "--parquet", "x.parquet", "--openai-batch", "x.jsonl")
    assert (code, out) == (0, "x.md\nx.csv\nx.parquet\nx.jsonl\n")
    assert not pages and not (run / "report.html").exists()
    assert len(list(csv.reader(io.StringIO(Path("x.csv").read_text())))) == 3
    assert len(Path("x.jsonl").read_text().splitlines()) == 2
    assert "1 of 2 prompts answered" in Path("x.md").read_text()
    assert all(stat.S_IMODE(os.stat(f"x.{end}").st_mode) == 0o600 for end in ("csv", "md", "parquet", "jsonl"))
    assert report(run, "--csv", "x.csv", "-o", "page.html")[1] == "page.html\nx.csv\n"
    assert len(pages) == 1


def test_json_is_the_summary_and_nothing_else(report: Report, run: Path) -> None:
    """A program reads it: one line more, and it reads nothing."""
    code, out, err = report(run, "--json", "--csv", "x.csv")
    assert json.loads(out) == json.loads((run / "summary.json").read_text())
    assert (code, err) == (0, "x.csv\n")
    two = json.loads(report(run, run_folder(run.parent / "two"), "--json")[1])
    assert [each["totals"]["jobs"] for each in two] == [2, 0]
    assert not (run / "report.html").exists()


def test_a_run_that_goes_on_is_shown_as_that(report: Report, tmp_path: Path) -> None:
    """Half a run's figures taken for the whole one's decide wrongly."""
    run = run_folder(tmp_path / "r", [result()], [attempt()], ended=False)
    code, out, err = report(run, "--json")
    found: dict[str, Any] = json.loads(out)
    assert (code, found["totals"]["ok"], found["totals"]["efficiency"]) == (0, 1, None)
    assert err == f"{run}: the run has not ended; this is what it has so far\n"


def test_markdown_goes_to_stdout_and_tells_runs_apart(report: Report, run: Path) -> None:
    """`>> $GITHUB_STEP_SUMMARY` is how it is used."""
    code, out, err = report(run, "--md", "-")
    assert (code, err) == (0, "") and out.startswith("## ")
    both = report(run, run_folder(run.parent / "`two`\n# x"), "--md", "-")[1]
    assert "# `one`" in both and "\n# x" not in both


def test_notes_are_told_when_asked_for(report: Report, run: Path) -> None:
    """What the page leaves out is on the page; a terminal need not be full of it."""
    assert report(run)[2] == ""
    assert "the prompts are not shown: gone.jsonl is gone" in report(run, "-v")[2]


def test_a_batch_with_names_of_its_own_is_announced(report: Report, tmp_path: Path) -> None:
    """Who joins by id and finds nothing should know why."""
    run = run_folder(tmp_path / "r", [result()], shaping={"--mode": "providers"})
    assert "each prompt was asked several times" in report(run, "--openai-batch", "x.jsonl")[2]
    assert report(run, "--openai-batch", "x.jsonl", "-q")[2] == ""


def test_a_link_stays_a_link_and_a_pipe_a_pipe(report: Report, run: Path, tmp_path: Path) -> None:
    """A rename over /dev/stdout, or over a link into another disk, replaces what it must not."""
    (tmp_path / "there").mkdir()
    (tmp_path / "page.html").symlink_to(tmp_path / "there" / "page.html")
    for _ in range(2):
        assert report(run, "-o", "page.html")[0] == 0
    assert (tmp_path / "page.html").is_symlink() and (tmp_path / "there" / "page.html").is_file()
    assert report(run, "--csv", "/dev/null")[0] == 0
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_definitions_name_every_figure(report: Report) -> None:
    """A figure without a meaning is read as everybody likes."""
    metrics = [*DISTRIBUTIONS, *TOTALS, *RUN_TOTALS, *CLIENT]
    text = report("--definitions")[1]
    assert all(metric.name in text for metric in metrics)
    document = json.loads(report("--definitions", "--json")[1])
    found = {each["name"]: each for each in document["figures"]}
    assert {each["name"]: each["normalisation"] for each in document["graders"]} == NORMALISATION
    assert all(name in text for name in NORMALISATION)
    for metric in metrics:
        each = found[metric.name]
        assert (each["unit"], each["better"], each["formula"]) == (metric.unit, metric.better, metric.formula)


def test_the_real_page_holds_hostile_texts_as_text(
    report: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a model said would run in the browser of whoever opens the report."""
    monkeypatch.delitem(sys.modules, "llmfan.outputs.html.render")
    evil = "</script><script>alert('gotcha')</script><img src=x onerror=alert(1)>\x1b[2J\u202e=cmd()"
    prompts = tmp_path / "p.jsonl"
    prompts.write_bytes(msgspec.json.encode({"id": "q0", "prompt": evil}) + b"\n")
    lines = [result(0, text=evil, expect=evil, score=0.0), failed(1, id=evil, message=evil, provider=evil, key=evil)]
    run = run_folder(tmp_path / "r", lines, [attempt(0), attempt(1, "server_error", id=evil)], prompts=prompts)
    for _ in range(2):  # the second time over its own
        assert report(run)[0] == 0
    page = (run / "report.html").read_text()
    assert "<script>alert" not in page and "<img src=x" not in page
    assert "gotcha" in page
