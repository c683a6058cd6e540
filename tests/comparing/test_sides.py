"""What is read of a run, what two runs have in common, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from llmfan.comparing.document import compare
from llmfan.comparing.joining import join
from llmfan.comparing.side import load
from llmfan.errors import UserError
from llmfan.options import RunOptions
from tests.comparing.pairs_of_runs import answer, latencies, written


def lines(n: int = 60, seed: int = 1, **more: Any) -> list[dict[str, Any]]:
    return [answer(at, took, **more) for at, took in enumerate(latencies(n, seed))]


def row(document: dict[str, Any], metric: str) -> dict[str, Any]:
    (found,) = (each for each in document["metrics"] if each["metric"] == metric)
    return found


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"prompts": {"sha256": "other"}}, "60 prompts in common of 60 and 60"),
        ({"simulated": True}, "BASE is real, NEW is simulated"),
        ({"options": RunOptions(mode="keys")}, "--mode was spread, is keys"),
        ({"options": RunOptions(grade="exact")}, "--grade was not set, is exact"),
        ({"options": RunOptions(temperature=0.5)}, "--temperature was not set, is 0.5"),
    ],
)
def test_what_is_not_comparable_is_refused_and_says_why(tmp_path: Path, more: dict[str, Any], said: str) -> None:
    """Apples and oranges give a significant difference, and it means nothing."""
    base, new = load(written(tmp_path / "base", lines())), load(written(tmp_path / "new", lines(seed=2), **more))
    with pytest.raises(UserError, match="--anyway") as refused:
        compare(base, new)
    assert said in str(refused.value)
    found = compare(base, new, anyway=True)
    assert found["comparable"] is False
    assert said in "; ".join(found["why"])
    assert row(found, "latency_p50")["n_base"] == 60


def test_only_what_ended_in_both_is_compared(tmp_path: Path) -> None:
    """A run that was cut short did the short prompts first, perhaps: its median is of other prompts."""
    base, new = load(written(tmp_path / "base", lines(80))), load(written(tmp_path / "new", lines(50)))
    found = compare(base, new)
    assert row(found, "latency_p50")["n_base"] == 50
    assert row(found, "latency_p50")["change"] == 0
    assert "left out: 30 of BASE, 0 of NEW" in found["notes"][0]
    assert not [each for each in found["metrics"] if "per_s" in each["metric"]]  # of other work


def test_nothing_in_common_is_two_heaps_and_says_so(tmp_path: Path) -> None:
    """Asked for with --anyway it is still useful, but no prompt is paired with another."""
    base = load(written(tmp_path / "base", lines()))
    other = [{**line, "id": f"other-{line['id']}"} for line in lines(seed=2)]
    new = load(written(tmp_path / "new", other, prompts={"sha256": "other"}))
    found = compare(base, new, anyway=True)
    assert row(found, "latency_p50")["paired"] is False
    assert "no prompt in common" in found["notes"][0]


def test_jobs_are_joined_by_prompt_repeat_and_what_every_prompt_went_to(tmp_path: Path) -> None:
    """Joined by id alone, one provider's answers would be paired with another's."""
    both = [{**line, "provider": p, "repeat": r} for p in "ab" for r in (0, 1) for line in lines(20)]
    base = load(written(tmp_path / "base", both, options=RunOptions(mode="providers")))
    new = load(written(tmp_path / "new", both[::-1], options=RunOptions(mode="providers")))
    joined = join(base, new)
    assert joined.aligned
    assert len(joined.base) == 80
    assert (joined.base.columns["latency_s"] == joined.new.columns["latency_s"]).all()
    names = [joined.base.targets[n][0] for n in joined.base.target]
    assert names == [joined.new.targets[n][0] for n in joined.new.target]


def test_warm_up_a_torn_end_and_a_second_line_of_a_job_do_not_count(tmp_path: Path) -> None:
    """The figures must be those of summary.json."""
    again = [*lines(20), answer(3, 9.0), answer(100, 50.0, warmup=True)]
    folder = written(tmp_path / "run", again, attempts=[])
    with open(folder / "results.jsonl", "a") as file:
        file.write('{"id": "p21", "sta')
    answers = load(folder).answers
    assert answers is not None
    assert len(answers) == 20
    assert sorted(answers.columns["latency_s"])[-1] == 9.0


def test_a_broken_line_is_named(tmp_path: Path) -> None:
    """A traceback helps nobody to find it."""
    folder = written(tmp_path / "run", lines(3))
    (folder / "results.jsonl").write_text('{"id": "p1", "status": "ok"}\nnot json\n')
    with pytest.raises(UserError, match=r"results\.jsonl:2: "):
        load(folder)


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    """A typing error in a path ends with its name."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "other.json").write_text("{}")
    for path, said in (("empty", "holds no run"), ("gone", "no such run"), ("other.json", "no summary.json")):
        with pytest.raises(UserError, match=said):
            load(tmp_path / path)


def test_a_summary_alone_is_set_side_by_side_without_a_verdict(tmp_path: Path) -> None:
    """A baseline kept as one small file must not pass for one that can be tested."""
    summary = {
        "schema": 1, "run": {"prompts": {"sha256": "same"}, "shaping": RunOptions().shaping(), "simulated": False},
        "totals": {"jobs": 60, "requests_per_s": 2.0}, "latency_s": {"p50": 1.0},
        "providers": [{"name": "a", "totals": {"jobs": 60, "ok": 60}, "latency_s": {"p50": 1.0}}],
    }  # fmt: skip
    (tmp_path / "base.json").write_text(json.dumps(summary))
    folder = written(tmp_path / "new", lines())
    new_summary = summary | {"latency_s": {"p50": 1.5}}
    (folder / "summary.json").write_text(json.dumps(new_summary))
    found = compare(load(tmp_path / "base.json"), load(folder))
    assert found["metrics"] == []
    figures = {each["metric"]: each["change"] for each in found["figures"]}
    assert figures["latency_p50"] == pytest.approx(0.5)
    assert figures["latency_p50[a]"] == 0
    assert "summary alone" in found["notes"][0]


def test_entries_are_by_provider_model_or_key(tmp_path: Path) -> None:
    """Whose change it is, is half the finding."""
    halves = [{**line, "key": f"a#{1 + n % 2}"} for n, line in enumerate(lines(60))]
    base, new = load(written(tmp_path / "base", halves)), load(written(tmp_path / "new", halves))
    by = {"provider": {"a"}, "model": {"a/m"}, "key": {"a#1", "a#2"}}
    for kind, names in by.items():
        found = compare(base, new, by=kind)  # type: ignore[arg-type]
        assert {each["metric"].partition("[")[2][:-1] for each in found["metrics"]} == {"", *names}


def test_an_entry_that_is_the_whole_run_is_no_second_question(tmp_path: Path) -> None:
    """With one provider everything would be tested twice, and half the power lost."""
    base, new = load(written(tmp_path / "base", lines())), load(written(tmp_path / "new", lines(seed=2)))
    found = compare(base, new)
    assert row(found, "latency_p50[a]") == row(found, "latency_p50") | {"metric": "latency_p50[a]"}
    assert found["questions"] <= 2
