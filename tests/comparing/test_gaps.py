"""What is missing on one side is said: no figure shows it, and nothing looks as good as what is not there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from llmfan.comparing.document import compare, names
from llmfan.comparing.gating import parse_all
from llmfan.comparing.joining import By
from llmfan.comparing.side import Side, load
from llmfan.errors import UserError
from llmfan.options import RunOptions
from llmfan.outputs.compare_words import headline
from tests.comparing.pairs_of_runs import answer, latencies, written

ALL = RunOptions(mode="providers")


def lines(name: str = "a", n: int = 60, **more: Any) -> list[dict[str, Any]]:
    return [answer(at, took, provider=name, key=f"{name}#1", **more) for at, took in enumerate(latencies(n, 1))]


def dead(name: str, n: int = 60) -> list[dict[str, Any]]:
    return [answer(at, None, provider=name, key=f"{name}#1") for at in range(n)]


def sides(folder: Path, base: list[dict[str, Any]], new: list[dict[str, Any]], **more: Any) -> tuple[Side, Side]:
    return tuple(  # type: ignore[return-value]
        load(written(folder / name, found, options=ALL, **more)) for name, found in (("base", base), ("new", new))
    )


def of(entries: list[dict[str, Any]], metric: str) -> dict[str, Any]:
    (found,) = (each for each in entries if each["metric"] == metric)
    return found


@pytest.mark.parametrize("by", ["provider", "model", "key"])
def test_one_that_answers_nothing_any_more_is_found(tmp_path: Path, by: By) -> None:
    """It has no latencies, so it drops out of every list of them; and it is the worst that can happen."""
    found = compare(*sides(tmp_path, [*lines(), *lines("b")], [*lines(), *dead("b")]), by=by)
    name = {"provider": "b", "model": "b/m", "key": "b#1"}[by]
    row = of(found["metrics"], f"failed_rate[{name}]")
    assert (row["base"], row["new"], row["verdict"]) == (0, 1, "worse")
    assert f"{name} answered nothing in NEW" in found["notes"]
    assert f"{name} answered nothing in NEW" in headline(found)


def test_one_that_is_gone_is_found(tmp_path: Path) -> None:
    """Left out of the fleet by mistake, it would make a run look as good as before."""
    both = sides(tmp_path, [*lines(), *lines("b")], lines())
    gates = parse_all(["failed_rate[b] > +10%", "latency_p95[b] > +10%"], names(both))
    found = compare(*both, gates=gates)
    row = of(found["figures"], "failed_rate[b]")
    assert (row["base"], row["new"]) == (0, None)
    assert "b is not in NEW" in headline(found)
    assert [gate["held"] for gate in found["gates"]] == [False, False]
    assert "no failed_rate[b] in NEW" in found["gates"][0]["why"]
    other = compare(both[1], both[0])
    assert "b is not in BASE" in other["absent"]


def test_a_figure_that_one_side_lacks_is_listed_and_noted(tmp_path: Path) -> None:
    """A run without its grader has no accuracy, and that must not read as one that did not fall."""
    both = sides(tmp_path, lines(score=1.0), lines())
    found = compare(*both, gates=parse_all(["accuracy < -2%"], names(both)))
    row = of(found["figures"], "accuracy")
    assert (row["base"], row["new"], row["change"]) == (1.0, None, None)
    assert "NEW has no accuracy" in found["notes"]
    assert "there is no accuracy in NEW" in found["gates"][0]["why"]


@pytest.mark.parametrize(
    ("header", "summary", "said"),
    [
        ({"ended_at": None}, {}, "NEW has not ended"),
        ({"ended_at": "x"}, {"run": {"ending": "cost", "why": "--max-cost was reached"}}, "NEW stopped early: --max"),
        ({}, {"totals": {"jobs": 70}}, "results.jsonl holds 60 of the 70 jobs"),
    ],
)
def test_a_side_that_is_not_whole_says_so(
    tmp_path: Path, header: dict[str, Any], summary: dict[str, Any], said: str
) -> None:
    """Half a run is compared like a whole one, unless somebody says that it is half a run."""
    base, folder = load(written(tmp_path / "base", lines())), written(tmp_path / "new", lines(), **header)
    (folder / "summary.json").write_text(json.dumps({"totals": {}} | summary))
    (folder / "attempts.jsonl").unlink()
    notes = compare(base, load(folder))["notes"]
    assert any(said in note for note in notes)
    assert any("NEW has no attempts.jsonl" in note for note in notes)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("summary.json", '{"totals": []}'),
        ("summary.json", '{"totals": {}, "latency_s": {"p50": "fast"}}'),
        ("summary.json", '{"totals": {"jobs": "many"}}'),
        ("summary.json", "[" * 100_000),
        ("run.json", '{"shaping": 5}'),
        ("run.json", "[]"),
        ("results.jsonl", None),
    ],
)
def test_damage_is_told_with_its_file(tmp_path: Path, file: str, content: str | None) -> None:
    """A traceback names our file, not theirs."""
    path = written(tmp_path / "run", lines()) / file
    if content is None:
        path.unlink()
        path.mkdir()
    else:
        path.write_text(content)
    with pytest.raises(UserError, match=file) as refused:
        load(tmp_path / "run")
    assert refused.value.exit_code == 2


def test_summaries_alone_are_by_what_was_asked_and_in_order(tmp_path: Path) -> None:
    """The order of a set differs from process to process, and so would the document."""
    entries = [{"name": f"k#{n}", "totals": {"jobs": 5, "ok": 5}, "latency_s": {"p50": 1.0}} for n in range(8)]
    for name, kept in (("base", entries), ("new", entries[:-1])):
        (tmp_path / f"{name}.json").write_text(json.dumps({"totals": {}, "keys": kept}))
    found = compare(load(tmp_path / "base.json"), load(tmp_path / "new.json"), by="key")
    listed = [each["metric"] for each in found["figures"] if each["metric"].startswith("latency_p50[")]
    assert listed == [f"latency_p50[k#{n}]" for n in range(8)]
    assert "k#7 is not in NEW" in found["notes"]
    assert "summary alone" in headline(found)


def test_what_a_header_does_not_say_is_not_known(tmp_path: Path) -> None:
    """Taken for real, or for the default, it would be a lie; and no --param is no --param, however it is written."""
    base = load(written(tmp_path / "base", lines()))
    for name, gone, said in (
        ("s", "simulated", "NEW is not known to be"),
        ("o", "shaping", "NEW was run is not known"),
    ):
        folder = written(tmp_path / name, lines())
        header = json.loads((folder / "run.json").read_text())
        del header[gone]
        (folder / "run.json").write_text(json.dumps(header))
        with pytest.raises(UserError, match=said):
            compare(base, load(folder))
    header["shaping"] = base.shaping | {"--param": None}
    (folder / "run.json").write_text(json.dumps(header))
    assert compare(base, load(folder))["comparable"]
