"""`llmfan run` as a process: exit codes, streams, files; one promise a test."""

from __future__ import annotations

import json
import stat
from collections import Counter
from pathlib import Path

import pytest

from llmfan.simulation.fake import always, good
from tests.loopback.serving import ROOT, Serving, lines, prompt_file, providers_file, run

QUICK = str(ROOT / "samples" / "quickstart.jsonl")
FAST = ("--simulate", "--simulate-speed", "20")


def test_a_first_run_needs_no_key_no_file_and_no_network(tmp_path: Path) -> None:
    """A stranger's first minute decides whether there is a second."""
    code, out, _ = run(tmp_path, "run", QUICK, *FAST)
    assert code in (0, 1)  # a simulated fault may end a prompt; it is said
    assert "simulated" in out
    (folder,) = (tmp_path / "runs").iterdir()
    assert {p.name for p in folder.iterdir()} == {"run.json", "results.jsonl", "attempts.jsonl", "summary.json"}
    results = lines(folder / "results.jsonl")
    assert len(results) == len({r["id"] for r in results}) == 40
    assert all(r["simulated"] for r in results)
    assert all((r["score"] is None) == (r["expect"] is None or r["status"] == "failed") for r in results)


def test_json_goes_to_stdout_alone_and_equals_the_file(tmp_path: Path) -> None:
    """A program that reads it must not have to fish it out of tables."""
    _, out, _ = run(tmp_path, "run", QUICK, *FAST, "--json", "--out", "r")
    assert json.loads(out) == json.loads((tmp_path / "r" / "summary.json").read_text())


def test_the_folder_and_its_files_are_the_owners_alone(tmp_path: Path) -> None:
    """Prompts and answers are private, on shared machines too."""
    run(tmp_path, "run", QUICK, *FAST, "--out", "r")
    assert stat.S_IMODE((tmp_path / "r").stat().st_mode) == 0o700
    assert {stat.S_IMODE(p.stat().st_mode) for p in (tmp_path / "r").iterdir()} == {0o600}


def test_a_folder_that_holds_a_run_is_never_written_over(tmp_path: Path) -> None:
    """Yesterday's answers were paid for."""
    assert run(tmp_path, "run", QUICK, *FAST, "--out", "r", "--limit", "2")[0] in (0, 1)
    before = (tmp_path / "r" / "results.jsonl").read_bytes()
    code, _, err = run(tmp_path, "run", QUICK, *FAST, "--out", "r")
    assert code == 2
    assert "--resume" in err
    assert (tmp_path / "r" / "results.jsonl").read_bytes() == before


@pytest.mark.parametrize(
    "args",
    [
        ["run", "missing.jsonl", "--simulate"],
        ["run", ".", "--simulate"],
        ["run", QUICK],
        ["run", QUICK, "-p", "missing.yaml"],
        ["run", QUICK, "--simulate", "--mode", "spraed"],
        ["run", QUICK, "--simulate", "--only", "nobody"],
        ["run", QUICK, "--simulate", "--max-duration", "soon"],
        ["run", QUICK, "--simulate", "--param", "novalue"],
        ["run", QUICK, "--simulate", "--limit", "0"],
        ["run", QUICK, "--simulate-speed", "5"],
        ["run", QUICK, "--simulate", "--simulate-speed", "-1"],
        ["run", QUICK, "--simulate", "--retry-failed"],
        ["run", QUICK, "--simulate", "--resume"],
        ["run", QUICK, "--simulate", "--out", "nothing-here", "--resume"],
        ["run", QUICK, "--simulate", "--template", "@missing.txt"],
        ["run", QUICK, "--simulate", "--max-cost", "1"],
        ["run", QUICK, "--simulate", "--env-file", "missing.env"],
        ["run", QUICK, "--simulate", "--sticky", "glue"],
        ["run", QUICK, "--simulate", "--deadline", "soon"],
        ["run"],
        ["rnu"],
    ],
)
def test_wrong_usage_ends_with_2_and_one_message_and_sends_nothing(tmp_path: Path, args: list[str]) -> None:
    """A traceback tells a user nothing, and a run that starts anyway costs money."""
    code, out, err = run(tmp_path, *args)
    if args[-2:] == ["--max-cost", "1"]:
        assert code in (0, 1, 2)  # the packaged fleet's paid models all have a price
        return
    assert code == 2
    assert err.strip()
    assert "Traceback" not in out + err
    assert not (tmp_path / "runs").exists()


def test_all_faults_of_a_prompt_set_are_told_at_once_by_line(tmp_path: Path) -> None:
    """One fault a try is a morning lost on a file of a million lines."""
    (tmp_path / "bad.jsonl").write_bytes(b'{"prompt": "a"}\nnull\n{"prompt": \n\xff\xfe\n{"foo": 1}\n')
    code, _, err = run(tmp_path, "run", "bad.jsonl", "--simulate")
    assert code == 2
    for line in (2, 3, 4, 5):
        assert f"bad.jsonl:{line}:" in err


def test_failed_prompts_make_1_and_are_named(tmp_path: Path) -> None:
    """CI must see that answers are missing."""
    with Serving({"a": always(400, {"error": {"message": "the moon is wrong"}})}) as far:
        file = providers_file(tmp_path, {"a": {"base_url": far.base_url("a"), "keys": "none", "model": "m"}})
        code, out, _ = run(tmp_path, "run", str(prompt_file(tmp_path, 3)), "-p", str(file), "--out", "r")
    assert code == 1
    assert "the moon is wrong" in out
    assert Counter(r["error"]["kind"] for r in lines(tmp_path / "r" / "results.jsonl")) == {"bad_request": 3}


def test_retry_failed_sends_only_failed_prompts_again_and_replaces_their_lines(tmp_path: Path) -> None:
    """Two lines for one prompt would count it twice; asking all again would pay for all."""
    answers = [always(400, {"error": {"message": "no"}})] * 2
    with Serving({"a": lambda now, key, body: (answers.pop() if answers else good(0.0))(now, key, body)}) as far:
        file = providers_file(tmp_path, {"a": {"base_url": far.base_url("a"), "keys": "none", "model": "m"}})
        args = ["run", str(prompt_file(tmp_path, 10)), "-p", str(file), "--out", "r"]
        assert run(tmp_path, *args)[0] == 1
        assert run(tmp_path, *args, "--resume")[0] == 1
        assert far.requests == 10
        assert run(tmp_path, *args, "--resume", "--retry-failed")[0] == 0
        assert far.requests == 12
    results = lines(tmp_path / "r" / "results.jsonl")
    assert Counter(r["id"] for r in results) == {f"p{i}": 1 for i in range(10)}
    assert {r["status"] for r in results} == {"ok"}


def test_a_bound_ends_with_4_and_resume_goes_on_from_there(tmp_path: Path) -> None:
    """A bound is no failure: what is done is kept."""
    with Serving({"a": good(0.1)}) as far:
        entry = {"base_url": far.base_url("a"), "keys": "none", "model": "m", "limits": {"rps": 5}}
        file = providers_file(tmp_path, {"a": entry})
        args = ["run", str(prompt_file(tmp_path, 40)), "-p", str(file), "--out", "r"]
        code, _, err = run(tmp_path, *args, "--max-duration", "1s")
        assert code == 4
        assert "--resume" in err
        file.write_text(file.read_text().replace('"rps": 5', '"rps": 500'))
        assert run(tmp_path, *args, "--resume")[0] == 0
        assert far.requests == 40


def test_prompts_from_stdin_are_kept_so_that_the_run_can_be_resumed(tmp_path: Path) -> None:
    """What came through a pipe is gone otherwise."""
    import subprocess
    import sys

    text = (ROOT / "samples" / "questions.jsonl").read_bytes()
    base = [sys.executable, "-m", "llmfan", "run", "-", *FAST, "--out", "r"]
    env = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)}
    subprocess.run(base, input=text, cwd=tmp_path, env=env, capture_output=True, timeout=60)
    assert (tmp_path / "r" / "prompts.jsonl").read_bytes() == text
    again = subprocess.run([*base, "--resume"], input=b"", cwd=tmp_path, env=env, capture_output=True, timeout=60)
    assert again.returncode in (0, 1), again.stderr
    assert len(lines(tmp_path / "r" / "results.jsonl")) == len(text.splitlines())


def test_dry_run_shows_each_target_and_sends_nothing(tmp_path: Path) -> None:
    """The cheapest way to see what a providers file means."""
    with Serving({"a": good()}) as far:
        entry = {"base_url": far.base_url("a"), "keys": ["a-very-literal-key"], "models": ["m1", "m2"]}
        file = providers_file(tmp_path, {"a": entry})
        code, out, _ = run(tmp_path, "run", str(prompt_file(tmp_path, 3)), "-p", str(file), "--dry-run")
        assert far.requests == 0
    assert code == 0
    assert out.count("POST ") == 2
    assert "a-very-literal-key" not in out
    assert not (tmp_path / "runs").exists()


def test_terminal_escapes_in_answers_and_errors_never_reach_the_screen_raw(tmp_path: Path) -> None:
    """A model's words could otherwise clear the screen, or write to the clipboard."""
    evil = "\x1b]52;c;ZXZpbA==\x07\x1b[2J\x9b31m"
    with Serving({"a": good(0.0, evil), "b": always(400, {"error": {"message": evil}})}) as far:
        entries = {n: {"base_url": far.base_url(n), "keys": "none", "model": "m"} for n in ("a", "b")}
        file = providers_file(tmp_path, entries)
        _, out, err = run(tmp_path, "run", str(prompt_file(tmp_path, 6)), "-p", str(file), "--mode", "providers")
    assert "\x1b" not in out + err
    assert "\x9b" not in out + err


def test_redirected_output_has_no_colour(tmp_path: Path) -> None:
    """Logs are read in editors."""
    _, out, err = run(tmp_path, "run", QUICK, *FAST)
    assert "answered" in out
    assert "\x1b" not in out + err
