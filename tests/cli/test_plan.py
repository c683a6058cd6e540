"""`llmfan plan` as a process: the document, the table, wrong usage; one promise a test."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.loopback.serving import ROOT, prompt_file, providers_file, run

QUICK = str(ROOT / "samples" / "quickstart.jsonl")
FLEET = str(ROOT / "samples" / "fleet-32-keys.yaml")
#: What the contract names.
FIELDS = {
    "duration_s", "low_s", "high_s", "jobs", "finishes", "finishes_at", "requests_per_minute", "binding", "cost_usd",
    "providers", "keys",
}  # fmt: skip


def plan(folder: Path, *args: str, env: Mapping[str, str] | None = None) -> dict[str, Any]:
    code, out, err = run(folder, "plan", *args, "--json", env=env)
    assert code == 0, err
    found: dict[str, Any] = json.loads(out)
    return found


def one_provider(folder: Path, **more: Any) -> str:
    entry = {"base_url": "https://a.example/v1", "keys": ["$A_KEY", "$A_KEY_2"], "model": "m", "limits": {"rpm": 30}}
    return str(providers_file(folder, {"a": entry | more}))


def test_the_document_has_what_programs_rely_on(tmp_path: Path) -> None:
    """A CI job that decides by a forecast breaks on a field that is gone."""
    found = plan(tmp_path, QUICK, "-p", FLEET, "--repeat", "10")
    assert found.keys() >= FIELDS
    assert found["low_s"] <= found["duration_s"] <= found["high_s"]
    assert found["jobs"] == 400 == sum(p["jobs"] for p in found["providers"]) == sum(k["jobs"] for k in found["keys"])
    assert sum(p["share"] for p in found["providers"]) == pytest.approx(1, abs=0.01)
    assert found["finishes"] is True
    assert dt.datetime.fromisoformat(found["finishes_at"]).tzinfo is not None
    assert {"key", "limit"} <= found["binding"][0].keys()
    assert len(found["keys"]) == 32
    assert found["keys"][0]["quota_left"].keys() == {"rpd"}


def test_it_needs_no_key_no_file_and_no_network(tmp_path: Path) -> None:
    """Who has to sign up before the first forecast signs up for nothing."""
    found = plan(tmp_path, QUICK)
    assert found["jobs"] == 40
    assert len(found["providers"]) > 8
    assert not list(tmp_path.iterdir())  # and leaves nothing behind


def test_keys_that_are_set_are_counted_and_those_that_are_not_are_told(tmp_path: Path) -> None:
    """A glob that stands for three keys is three keys; one that is missing must not pass for there."""
    glob = one_provider(tmp_path, keys="$A_KEY*")
    found = plan(tmp_path, QUICK, "-p", glob, env={"A_KEY": "k1", "A_KEY_2": "k2", "A_KEY_3": "k3"})
    assert [k["there"] for k in found["keys"]] == [True] * 3
    listed = one_provider(tmp_path)
    found = plan(tmp_path, QUICK, "-p", listed, env={"A_KEY": "k1"})
    assert [k["there"] for k in found["keys"]] == [True, False]
    assert any("1 of 2 keys" in said for said in found["assumptions"])


def test_no_key_is_printed(tmp_path: Path) -> None:
    """A forecast is pasted into tickets."""
    file = one_provider(tmp_path)
    for args in (["--json"], ["-v"]):
        code, out, err = run(tmp_path, "plan", QUICK, "-p", file, *args, env={"A_KEY": "sk-very-secret-1"})
        assert code == 0
        assert "sk-very-secret" not in out + err


def test_more_keys_and_higher_limits_are_sooner(tmp_path: Path) -> None:
    """`--what-if` is asked to decide what to get."""
    file = one_provider(tmp_path)
    args = (QUICK, "-p", file, "--repeat", "10")
    plain, keys = plan(tmp_path, *args), plan(tmp_path, *args, "--what-if", "a.keys=4")
    limit = plan(tmp_path, *args, "--what-if", "a.limits.rpm=60")
    assert keys["duration_s"] < 0.6 * plain["duration_s"]
    assert limit["duration_s"] < 0.6 * plain["duration_s"]
    assert keys["instead_of_s"] == pytest.approx(plain["duration_s"], rel=0.01)
    assert keys["what_if"] == ["a.keys=4"]
    (gain,) = plain["one_more_key"]
    third = plan(tmp_path, *args, "--what-if", "a.keys=3")
    assert gain["duration_s"] == pytest.approx(third["duration_s"], rel=0.03)


def test_a_batch_for_which_there_is_no_quota_says_when_it_would_be_done(tmp_path: Path) -> None:
    """`finishes: false` alone would be half an answer."""
    file = one_provider(tmp_path, limits={"rpm": 30, "rpd": 10})
    found = plan(tmp_path, QUICK, "-p", file)
    assert found["finishes"] is False
    assert found["stops"]["jobs"] == 20
    at = dt.datetime.fromisoformat(found["finishes_at"])
    assert dt.timedelta(0) < at - dt.datetime.now(dt.UTC) < dt.timedelta(days=2)
    assert found["binding"][0] == {**found["binding"][0], "key": "a#1", "limit": "rpd"}
    _, out, _ = run(tmp_path, "plan", QUICK, "-p", file)
    assert "quotas forbid it in one go" in out


def test_the_table_says_how_long_by_whom_and_on_what_it_rests(tmp_path: Path) -> None:
    """It is read by a person who is about to start something long."""
    code, out, err = run(tmp_path, "plan", QUICK, "-p", FLEET, "--repeat", "100")
    assert code == 0
    assert not err
    first = out.splitlines()[0]
    assert first.startswith("4,000 prompts in about ")
    assert "finishes " in first and "UTC" in first
    assert "held back by " in out.splitlines()[1]
    for word in ("cerebras", "lighthouse", "one more key", "quota left", "rpd", "not heard of yet", "ideal"):
        assert word in out
    assert "\x1b" not in out
    assert max(map(len, out.splitlines())) <= 120


@pytest.mark.parametrize("columns", [80, 200])
def test_the_table_fits_the_screen(columns: int, tmp_path: Path) -> None:
    """A line that wraps is a table no more."""
    from io import StringIO

    from rich.console import Console

    from llmfan.outputs.plan_table import print_plan

    found = plan(tmp_path, QUICK, "-p", FLEET, "--repeat", "20")
    page = StringIO()
    assert print_plan(
        found, Console(file=page, width=columns, highlight=False, markup=False, emoji=False), verbose=True
    )
    lines = page.getvalue().splitlines()
    assert max(map(len, lines)) <= columns
    rows = [line for line in lines if line.startswith("openrouter ")]
    assert len(rows) == 1 and "rpm" in rows[0]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["missing.jsonl"], "missing.jsonl"),
        ([QUICK, "-p", "missing.yaml"], "missing.yaml"),
        ([QUICK, "--mode", "spraed"], "spread"),
        ([QUICK, "--only", "nobody"], "nobody"),
        ([QUICK, "--what-if", "groq"], "NAME.keys=N"),
        ([QUICK, "--what-if", "gorq.keys=2"], "groq"),
        ([QUICK, "--limit", "0"], "--limit"),
        ([QUICK, "--max-cost", "-1"], "--max-cost"),
        ([QUICK, "--deadline", "soon"], "--deadline"),
        ([QUICK, "--env-file", "missing.env"], "missing.env"),
        ([QUICK, "--template", "@missing.txt"], "missing.txt"),
        ([], "PROMPTS"),
    ],
)
def test_wrong_usage_ends_with_2_and_one_message(args: list[str], said: str, tmp_path: Path) -> None:
    """A forecast of something else than was meant is worse than none."""
    code, out, err = run(tmp_path, "plan", *args)
    assert code == 2
    assert said in err
    assert not out
    assert "Traceback" not in err


def test_all_faults_of_a_prompt_set_are_told(tmp_path: Path) -> None:
    """A forecast is when a bad file should be found out, not the run."""
    (tmp_path / "bad.jsonl").write_text('{"prompt": "a"}\nnull\n{"foo": 1}\n')
    code, _, err = run(tmp_path, "plan", "bad.jsonl")
    assert code == 2
    assert "bad.jsonl:2:" in err and "bad.jsonl:3:" in err


def test_prompts_come_from_stdin_as_well(tmp_path: Path) -> None:
    """A generated set need not be a file."""
    text = prompt_file(tmp_path, 7).read_bytes()
    done = subprocess.run(
        [sys.executable, "-m", "llmfan", "plan", "-", "-p", FLEET, "--json"],
        input=text, capture_output=True, cwd=tmp_path, env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert done.returncode == 0
    assert json.loads(done.stdout)["jobs"] == 7
