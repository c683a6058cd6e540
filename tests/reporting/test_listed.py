"""The results that a report lists: which, why, and how much of their texts."""

from __future__ import annotations

import tracemalloc
from hashlib import sha256
from pathlib import Path

import msgspec

from llmfan.outputs.html.page import Page
from llmfan.reporting.pages import page_of
from tests.reporting.folders import attempt, failed, result, run_folder
from tests.reporting.test_pages import NOW, one


def bytes_in_html(page: Page) -> int:
    data = msgspec.json.encode(page)
    return len(data) + 5 * sum(data.count(char) for char in (b"<", b">", b"&"))


def test_of_many_the_bad_the_slow_and_a_sample_are_listed_and_it_says_so(tmp_path: Path) -> None:
    """A list cut off at its end would hide just what a reader looks for."""
    results = [result(i, latency_s=1 + i / 1e5, score=1.0) for i in range(4000)]
    for i in range(0, 4000, 100):
        results[i] = failed(i)
    for i in range(1, 4000, 5):
        results[i] = result(i, latency_s=0.5, score=0.0)
    run = one(run_folder(tmp_path / "r", results))
    why: dict[str, list[int]] = {}
    for row in run.rows:
        why.setdefault(row.why, []).append(row.index)
    assert {name: len(found) for name, found in why.items()} == {"failed": 40, "wrong": 300, "slow": 100, "sample": 560}
    assert (
        why["slow"] == sorted((r.index for r in results if r.latency_s and r.latency_s > 1.03868), reverse=True)[:100]
    )
    assert max(why["wrong"]) > 3500 and max(why["sample"]) > 3500  # not the first ones
    assert (
        "1,000 of 4,000 results are listed: all 40 failed, 300 of 800 wrong, the 100 slowest, 560 of the others, drawn "
        "at random; figures and charts count all"
    ) in run.notes
    assert run == one(tmp_path / "r")  # another time the same


def test_a_slow_one_that_is_wrong_is_both(tmp_path: Path) -> None:
    """The slowest of all, left out of the slowest because it was wrong as well, is the one that was looked for."""
    results = [result(i, latency_s=1 + i, score=float(i != 39)) for i in range(40)]
    rows = one(run_folder(tmp_path / "r", results)).rows
    assert [(row.index, row.why) for row in rows[:4]] == [
        (39, "wrong slow"), (38, "slow"), (37, "slow"), (36, "slow"),
    ]  # fmt: skip
    assert {row.why for row in rows[4:]} == {"other"}  # nothing is a sample where all are listed


def test_who_was_asked_in_the_warm_up_only_is_told(tmp_path: Path) -> None:
    """ "Not used" of a provider that got requests and was billed for them is false."""
    attempts = [attempt(0, warmup=True), attempt(1, warmup=True, provider="b", key="b#1"), attempt(2)]
    assert one(run_folder(tmp_path / "r", [result(2)], attempts)).warmed == ["b", "b#1", "b/m"]


def test_prompts_that_came_through_stdin_are_found_in_the_folder(tmp_path: Path) -> None:
    """The run keeps them there, since nobody else does."""
    folder = run_folder(tmp_path / "r", [result()], prompts=None)
    kept = b'{"id":"q0","prompt":"one"}\n'
    (folder / "prompts.jsonl").write_bytes(kept)
    header = msgspec.json.decode((folder / "run.json").read_bytes())
    header["prompts"] = {"path": "-", "size": len(kept), "sha256": sha256(kept).hexdigest()}
    (folder / "run.json").write_bytes(msgspec.json.encode(header))
    assert one(folder).rows[0].prompt == "one"


def test_of_few_all_are_listed_and_nothing_is_said(tmp_path: Path) -> None:
    """A note about a sample that is none makes people look for the rest."""
    run = one(run_folder(tmp_path / "r", [*(failed(i) for i in range(400)), *(result(i) for i in range(400, 500))]))
    assert len(run.rows) == 500
    assert not [note for note in run.notes if "listed" in note]


def test_huge_and_hostile_texts_cannot_blow_the_page_up(tmp_path: Path) -> None:
    """A page of a hundred megabytes opens nowhere, and a model can write one."""
    evil = "<script>&\x00\u2028" * 60_000
    results = [result(i, text=evil, expect={"x": evil}, metadata=evil) for i in range(40)]
    results += [failed(i, message="<&>" * 5000) for i in range(40, 1200)]
    prompts = tmp_path / "p.jsonl"
    prompts.write_bytes(
        b"".join(msgspec.json.encode({"id": f"q{i}", "prompt": "<" * 3000}) + b"\n" for i in range(1200))
    )
    page = page_of([run_folder(tmp_path / "r", results, prompts=prompts)], NOW)
    assert bytes_in_html(page) < 3_000_000
    (run,) = page.runs
    assert len(run.rows) == 1000 and all(row.cut for row in run.rows)
    assert any(note.startswith("long texts are cut") and "bytes each" in note for note in run.notes)


def test_only_the_cuts_that_were_made_are_told(tmp_path: Path) -> None:
    """Who reads that texts end at 2,000 characters looks for more where there is none."""
    notes = one(run_folder(tmp_path / "a", [result(i, text="<>" * 990) for i in range(1000)])).notes
    (said,) = [note for note in notes if "cut" in note]
    assert "bytes each" in said and "characters" not in said
    assert not [note for note in one(run_folder(tmp_path / "b", [result(text="x" * 2000)])).notes if "cut" in note]


def test_short_texts_stay_whole_beside_huge_ones(tmp_path: Path) -> None:
    """If one model rambles, the question that made it do so must still be readable."""
    question = "Say nothing. " * 20
    prompts = tmp_path / "p.jsonl"
    prompts.write_bytes(b"".join(msgspec.json.encode({"id": f"q{i}", "prompt": question}) + b"\n" for i in range(1000)))
    results = [result(i, text="<>" * 1000) for i in range(1000)]
    run = one(run_folder(tmp_path / "r", results, prompts=prompts))
    assert all(row.prompt == question for row in run.rows)
    assert all(row.text and len(row.text) < 500 for row in run.rows)


def test_memory_does_not_grow_with_the_journal(tmp_path: Path) -> None:
    """A report that needs the run in memory fails on just the runs that need one."""
    folder = run_folder(tmp_path / "r", (result(i, text="x" * 40_000, reasoning="y" * 20_000) for i in range(2500)))
    tracemalloc.start()
    try:
        one(folder)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 30_000_000  # of 150 MB


def test_several_runs_share_the_page(tmp_path: Path) -> None:
    """Ten runs side by side must open as one does, and two of one name be told apart."""
    folders = [run_folder(tmp_path / f"{i}" / "same", [result(n) for n in range(1200)]) for i in range(4)]
    page = page_of([*folders, folders[0]], NOW)
    assert page.title == "4 runs"
    assert len({run.name for run in page.runs}) == 4
    assert [len(run.rows) for run in page.runs] == [250] * 4
