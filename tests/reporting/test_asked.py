"""The prompts' texts: read again as the run read them, or left out with the reason."""

from __future__ import annotations

import gzip
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from llmfan.reporting.asked import Asked, asked
from llmfan.reporting.folder import open_run
from tests.reporting.folders import result, run_folder


def lines(path: Path, *documents: Any) -> Path:
    path.write_bytes(b"".join(msgspec.json.encode(each) + b"\n" for each in documents))
    return path


def look(tmp_path: Path, prompts: Path, **shaping: Any) -> Asked:
    folder = run_folder(tmp_path / "r", [result()], prompts=prompts, shaping=shaping)
    return asked(open_run(folder), {0, 1, 2})


def test_they_are_read_by_the_options_of_the_run(tmp_path: Path) -> None:
    """Another field of the line than the one that was sent explains no answer."""
    path = lines(tmp_path / "p.jsonl", {"nr": "q0", "ask": {"it": "one"}}, {"nr": "q1", "ask": {"it": "two"}})
    found = look(tmp_path, path, **{"--id-field": "nr", "--template": "Now: {{ask.it}}"})
    assert (found.text(0, "q0"), found.text(1, "q1"), found.text(2, "q2"), found.note) == (
        "Now: one",
        "Now: two",
        None,
        "",
    )


def test_a_conversation_says_who_said_what(tmp_path: Path) -> None:
    """A system prompt read as the question misleads."""
    told = {"id": "q0", "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}]}
    parts = {
        "id": "q1",
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "What?"},
                    {"type": "image_url", "image_url": {"url": "https://a.example/x.png"}},
                ],
            }
        ],
    }
    turns = {"id": "q2", "turns": ["One?", "And two?"]}
    found = look(tmp_path, lines(tmp_path / "p.jsonl", told, parts, turns))
    assert found.text(0, "q0") == "system: Be brief.\n\nuser: Why?"
    assert found.text(1, "q1") == "What? [image_url]"
    assert found.text(2, "q2") == "user: One?\n\nuser: And two?"


def test_packed_sets_are_read_too(tmp_path: Path) -> None:
    """Large sets are packed, and theirs are the reports one needs."""
    path = tmp_path / "p.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"id":"q0","prompt":"one"}\n'))
    assert look(tmp_path, path).text(0, "q0") == "one"


def test_prompts_from_stdin_are_in_the_runs_folder(tmp_path: Path) -> None:
    """They stand nowhere else."""
    path = lines(tmp_path / "p.jsonl", {"id": "q0", "prompt": "one"})
    folder = run_folder(tmp_path / "r", [result()], prompts=path)
    header = msgspec.json.decode((folder / "run.json").read_bytes())
    header["prompts"]["path"] = "-"
    (folder / "run.json").write_bytes(msgspec.json.encode(header))
    path.rename(folder / "prompts.jsonl")
    assert asked(open_run(folder), {0}).text(0, "q0") == "one"


def test_a_relative_path_is_found_from_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who goes into runs/ to look at a run is not where the run was started."""
    monkeypatch.chdir(tmp_path)
    path = lines(Path("p.jsonl"), {"id": "q0", "prompt": "one"})
    folder = run_folder(tmp_path / "runs" / "r", [result()], prompts=path)
    monkeypatch.chdir(tmp_path / "runs")
    assert asked(open_run(folder), {0}).text(0, "q0") == "one"


@pytest.mark.parametrize("change", ["gone", "longer", "other", "pipe", "rubbish"])
def test_a_set_that_is_not_what_was_sent_is_not_shown(tmp_path: Path, change: str) -> None:
    """A question beside the answer to another one is worse than none."""
    path = lines(tmp_path / "p.jsonl", {"id": "q0", "prompt": "one"}, {"id": "q1", "prompt": "two"})
    folder = run_folder(tmp_path / "r", [result()], prompts=path)
    data = path.read_bytes()
    path.unlink()
    match change:
        case "longer":
            path.write_bytes(data + data[:27].replace(b"q0", b"q9"))
        case "other":
            path.write_bytes(data.replace(b"one", b"ONE"))
        case "rubbish":
            path.write_bytes(b"x" * len(data))
        case "pipe":
            os.mkfifo(path)
    found = asked(open_run(folder), {0, 1})
    assert found.text(0, "q0") is None
    said = {"gone": "is gone", "pipe": "was a pipe and is not kept"}.get(change, "has changed since the run read it")
    assert found.note == f"the prompts are not shown: {path} {said}"


def test_a_header_that_lacks_an_option_is_told(tmp_path: Path) -> None:
    """Read by a guess, every text might be another one."""
    path = lines(tmp_path / "p.jsonl", {"id": "q0", "prompt": "one"})
    folder = run_folder(tmp_path / "r", [result()], prompts=path)
    header = msgspec.json.decode((folder / "run.json").read_bytes())
    del header["shaping"]["--template"]
    (folder / "run.json").write_bytes(msgspec.json.encode(header))
    assert asked(open_run(folder), {0}).note == "the prompts are not shown: run.json does not say what --template was"
