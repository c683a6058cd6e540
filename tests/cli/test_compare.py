"""`llmfan compare` as it is called: exit codes, the document, the table, Markdown and the page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from llmfan.cli.compare import compare
from llmfan.comparing import analysis
from llmfan.errors import UserError
from llmfan.outputs import compare_words as words
from tests.comparing.pairs_of_runs import answer, latencies, written

#: What the contract names.
FIELDS = {"comparable", "metrics", "gates"}
METRIC = {"metric", "base", "new", "change", "low", "high", "p_value", "verdict"}
EVIL = "x<script>alert(1)</script>|`@all`\x1b[31m"


def run(*args: object) -> tuple[int, str, str]:
    """As `main` runs it: (exit code, stdout, stderr)."""
    app = typer.Typer(rich_markup_mode=None)
    app.command()(compare)
    found = CliRunner().invoke(app, [str(arg) for arg in args], env={"COLUMNS": "120"})
    if isinstance(found.exception, UserError):
        return found.exception.exit_code, found.stdout, str(found.exception)
    if found.exception is not None and not isinstance(found.exception, SystemExit):
        raise found.exception
    return found.exit_code, found.stdout, found.stderr


@pytest.fixture
def runs(tmp_path: Path) -> tuple[Path, Path, Path]:
    """A base, one like it, and one a third slower."""
    return tuple(  # type: ignore[return-value]
        written(tmp_path / name, [answer(at, factor * took) for at, took in enumerate(latencies(200, seed))])
        for name, seed, factor in (("base", 1, 1.0), ("same", 2, 1.0), ("slow", 3, 1.33))
    )


def document(*args: object) -> dict[str, Any]:
    code, out, err = run(*args, "--json")
    assert code in (0, 3), err
    found: dict[str, Any] = json.loads(out)
    return found


def test_the_document_has_what_programs_rely_on(runs: tuple[Path, Path, Path]) -> None:
    """A CI job that reads a field breaks when it is gone."""
    found = document(runs[0], runs[2], "--fail-if", "latency_p50 > +10%")
    assert found.keys() >= FIELDS
    assert found["comparable"] is True
    for metric in found["metrics"]:
        assert metric.keys() >= METRIC
        assert metric["verdict"] in ("better", "worse", "no change")
    assert found["gates"][0].keys() >= {"expr", "value", "held"}
    (row,) = (m for m in found["metrics"] if m["metric"] == "latency_p50")
    assert row["verdict"] == "worse"
    assert 0.1 < row["low"] < row["change"] < row["high"] < 0.6


def test_exit_codes(runs: tuple[Path, Path, Path], tmp_path: Path) -> None:
    """They are all that a CI job looks at."""
    base, same, slow = runs
    gate = ("--fail-if", "latency_p50[a] > +10%")
    assert run(base, same, *gate)[0] == 0
    assert run(base, slow)[0] == 0
    assert run(base, slow, *gate)[0] == 3
    assert run(base, same, slow, *gate)[0] == 3
    for wrong in (
        (base, tmp_path / "gone"), (base, slow, "--fail-if", "latency_p50 > 2s"), (base, slow, "--by", "colour"),
        (base, slow, "--min-effect", "much"), (base, slow, "--json", "--md", "-"), (base,),
    ):  # fmt: skip
        assert run(*wrong)[0] == 2


def test_several_are_each_compared_with_the_base_in_order(runs: tuple[Path, Path, Path]) -> None:
    """Compared with each other, a slow drift would never be seen."""
    base, same, slow = runs
    found = document(base, slow, same)["comparisons"]
    assert [each["new"] for each in found] == [str(slow), str(same)]
    assert {each["base"] for each in found} == {str(base)}
    code, out, _ = run(base, slow, same)
    assert (code, " ".join(out.split()).count(" against ")) == (0, 2)


def test_the_verdict_comes_first_and_can_be_read_out(runs: tuple[Path, Path, Path]) -> None:
    """Who scrolls to find whether it got worse, does not find it."""
    base, same, slow = runs
    assert run(base, slow)[1].splitlines()[0].startswith("worse: latency p50 +")
    assert run(base, same)[1].splitlines()[0].startswith("no change: none of ")


def test_what_did_not_change_is_summed_up_unless_asked_for(runs: tuple[Path, Path, Path]) -> None:
    """Fifty lines of "no change" hide the one that is not."""
    base, _, slow = runs
    short, long = run(base, slow)[1], run(base, slow, "-v")[1]
    assert "failed_rate" not in short
    assert "failed_rate" in long
    assert len(long.splitlines()) > len(short.splitlines())


@pytest.mark.parametrize("width", [80, 200])
def test_the_table_fits_a_screen(runs: tuple[Path, Path, Path], width: int) -> None:
    """A line that wraps is no table any more."""
    import io

    from rich.console import Console

    from llmfan.outputs.compare_table import print_comparisons

    found = document(runs[0], runs[2], "--fail-if", "latency_p50 > +10%")
    stream = io.StringIO()
    assert print_comparisons([found], Console(file=stream, width=width, highlight=False), verbose=True)
    assert max(map(len, stream.getvalue().splitlines())) <= width
    assert "latency_p95[a]" in stream.getvalue()


def test_a_simulated_run_says_so_everywhere(runs: tuple[Path, Path, Path], tmp_path: Path) -> None:
    """A figure of an invented provider must not be quoted as a real one's."""
    lines = [answer(at, took) for at, took in enumerate(latencies(50, 1))]
    made = written(tmp_path / "made", lines, simulated=True)
    code, out, _ = run(made, made, "--md", tmp_path / "c.md", "--html", tmp_path / "c.html")
    assert code == 0
    assert out.startswith("simulated fleet: ")
    assert "simulated fleet" in (tmp_path / "c.md").read_text()
    assert "simulated fleet" in (tmp_path / "c.html").read_text()
    code, _, err = run(runs[0], made)
    assert code == 2
    assert "BASE is real, NEW is simulated" in err


def test_names_that_are_markup_stay_text(tmp_path: Path) -> None:
    """A provider's or a model's name may be anything, and the page is opened in a browser."""
    for name, factor in (("base", 1.0), ("new", 1.5)):
        lines = [answer(at, factor * took, provider=EVIL) for at, took in enumerate(latencies(50, 1))]
        written(tmp_path / name, [*lines, *(answer(at, 1.0 + at / 100, provider="b", repeat=1) for at in range(50))])
    code, out, err = run(tmp_path / "base", tmp_path / "new", "--html", tmp_path / "c.html", "--md", tmp_path / "c.md")
    assert code == 0, err
    page, text = (tmp_path / "c.html").read_text(), (tmp_path / "c.md").read_text()
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "\x1b" not in page + text + out
    rows = [line for line in text.splitlines() if "script" in line]
    assert rows
    assert all("`" in line.split("<script")[0] for line in rows)


def test_markdown_may_go_to_stdout_and_alone(runs: tuple[Path, Path, Path]) -> None:
    """`>> "$GITHUB_STEP_SUMMARY"` wants nothing else in it."""
    code, out, _ = run(runs[0], runs[2], "--md", "-", "--fail-if", "latency_p50 > +10%")
    assert code == 3
    assert out.startswith("## llmfan compare: ")
    assert "| **worse** |" in out
    assert "**no**" in out


def test_without_the_extra_it_says_how_to_get_it(
    runs: tuple[Path, Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a plain install this is the first thing a user of `compare` sees."""
    monkeypatch.setattr(analysis.importlib.util, "find_spec", lambda name: None)
    code, out, err = run(runs[0], runs[1])
    assert (code, out) == (2, "")
    assert "llmfan[analysis]" in err


def test_no_file_of_a_run_is_written_over(runs: tuple[Path, Path, Path], tmp_path: Path) -> None:
    """A slip of the shell's completion would cost a run that took a night."""
    base, same, _ = runs
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text("{}")
    lines = [answer(at, took) for at, took in enumerate(latencies(20, 1))]
    other = written(tmp_path / "other", lines, prompts={"path": str(prompts), "sha256": "same"})
    for mine in (base / "results.jsonl", same / "run.json", prompts):
        before = mine.read_bytes()
        for option in ("--md", "--html"):
            code, out, err = run(base, same, other, option, mine)
            assert (code, out, mine.read_bytes()) == (2, "", before)
            assert "name another file" in err
    for wrong in (tmp_path, tmp_path / "gone" / "c.md", tmp_path / ("x" * 300)):
        assert run(base, same, "--md", wrong)[0] == 2
    assert run(base, same, "--md", tmp_path / "c", "--html", f"{tmp_path}/../{tmp_path.name}/c")[0] == 2


def test_all_that_is_wrong_with_any_side_is_told_at_once(runs: tuple[Path, Path, Path], tmp_path: Path) -> None:
    """Three runs, three attempts to find out."""
    made = written(tmp_path / "made", [answer(0)], simulated=True)
    code, out, err = run(runs[0], runs[1], made, tmp_path / "slwo", runs[1] / "results.jsonl")
    assert (code, out) == (2, "")
    assert "NEW is simulated" in err
    assert 'no such run (did you mean "slow"?)' in err
    assert f"name the run's folder, {runs[1]}" in err


def test_a_gate_may_name_what_only_one_of_several_has(runs: tuple[Path, Path, Path], tmp_path: Path) -> None:
    """Parsed side by side, it would be a fault of the others."""
    lines = [answer(at, took, provider="z") for at, took in enumerate(latencies(200, 1))]
    assert run(runs[0], runs[1], written(tmp_path / "z", lines), "--fail-if", "latency_p50[z] > +10%")[0] == 3


def test_the_first_line_counts_what_the_table_shows(runs: tuple[Path, Path, Path], tmp_path: Path) -> None:
    """Twelve said and four shown: somebody looks for the other eight."""
    found = document(runs[0], runs[2])
    changed = [each for each in found["metrics"] if each["verdict"] != "no change"]
    shown, _ = words.rows(found, verbose=False)
    hidden = len(changed) - len(shown)
    assert hidden > 0
    _, out, _ = run(runs[0], runs[2], "--md", tmp_path / "c.md")
    for text in (out, (tmp_path / "c.md").read_text()):
        assert f"{hidden} more changed figure" in text
        assert f"no change in {len(found['metrics']) - len(changed)}" in text


def test_longer_answers_are_neither_better_nor_worse(tmp_path: Path) -> None:
    """Whether more was said or only more words, no count of tokens knows."""
    for name, tokens in (("base", 100), ("new", 50)):
        lines = [
            answer(at, took, usage={"output_tokens": tokens + at % 7, "source": "server"}, ttft_s=took)
            for at, took in enumerate(latencies(60, 1))
        ]
        written(tmp_path / name, lines)
    code, out, _ = run(tmp_path / "base", tmp_path / "new")
    assert code == 0
    assert "shorter answers: output tokens -4" in out
    assert "better: output" not in out


def test_an_interval_beyond_the_scale_is_drawn_with_an_arrow(runs: tuple[Path, Path, Path], tmp_path: Path) -> None:
    """Cut off at the edge it would look like a short one."""
    lines = [answer(at, 3 * took) for at, took in enumerate(latencies(200, 3))]
    far = written(tmp_path / "far", lines)
    for new, arrows in ((runs[1], False), (far, True)):
        assert run(runs[0], new, "--html", tmp_path / "c.html")[0] == 0
        page = (tmp_path / "c.html").read_text()
        assert ('class="cut"' in page) is arrows
        assert "drawn, ±50" in page


def test_what_cannot_be_compared_is_a_document_too(runs: tuple[Path, Path, Path], tmp_path: Path) -> None:
    """A program that asked for JSON reads there why there is nothing."""
    other = tmp_path / "other"
    other.mkdir()
    for name in ("results.jsonl", "attempts.jsonl", "summary.json"):
        if (runs[1] / name).exists():
            (other / name).write_bytes((runs[1] / name).read_bytes())
    header = json.loads((runs[1] / "run.json").read_text())
    header["shaping"] = {**header.get("shaping", {}), "--grade": "exact"}
    (other / "run.json").write_text(json.dumps(header))
    code, out, err = run(runs[0], other, "--json")
    assert code == 2
    found = json.loads(out)
    assert found["comparable"] is False
    assert any("--grade" in why for why in found["why"])
    assert "--anyway" in err
