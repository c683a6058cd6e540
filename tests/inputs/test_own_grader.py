"""A grader of the user's own, the choice of a grader, and the check of what is expected."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from llmfan.errors import InputFaults, UserError
from llmfan.inputs.grader_choice import chosen
from llmfan.inputs.own_grader import OwnGrader, own_grader
from llmfan.inputs.prompts import ReadOptions, check_prompts
from llmfan.records import Prompt

SOURCE = """
import dataclasses
from beside_it import WORD

@dataclasses.dataclass
class Box:
    text: str

def same(text, expect):
    return Box(text).text == expect

def third(text, expect, prompt):
    expect.append(WORD)
    return prompt["metadata"]["weight"] if prompt["id"] == "p" else None

def odd(text, expect):
    if text == "raise":
        raise ValueError("secret sk-123")
    return {"half": 0.5, "none": None, "two": 2, "nan": float("nan"), "text": "yes"}[text]

async def later(text, expect):
    return 1

def one(text):
    return 1

number = 4
"""

#: Each stands where a fixed expression is what the grader returns or does.
CRASHES = {
    "10**400": "returned a number that is not from 0 to 1",
    "-(10**400)": "returned a number that is not from 0 to 1",
    "Odd(0.5)": "raised Strange",
    "Sly(7)": "returned a number that is not from 0 to 1",
    "array('d', [1, 0])": "returned array, not a score",
    "numpy.array([1, 0])": "returned ndarray, not a score",
    "numpy.array([1])": "returned ndarray, not a score",
    "numpy.str_('1')": "returned str, not a score",
    "type('a\\nb', (), {})()": "returned something, not a score",
    "stubborn()": "raised RuntimeError",
    "leave(Strange())": "raised Strange",
    "leave(GeneratorExit())": "raised GeneratorExit",
    "leave(StopIteration())": "raised StopIteration",
    "leave(asyncio.CancelledError())": "raised CancelledError",
    "leave(SystemExit(3))": "raised SystemExit",
    "leave(KeyboardInterrupt())": "raised KeyboardInterrupt",
    "again()": "raised RecursionError",
}
CRASHING = """
import asyncio
from array import array
import numpy

class Strange(BaseException):
    pass

class Odd(float):
    def __float__(self):
        raise Strange

class Sly(float):
    __le__ = __ge__ = lambda self, other: True

async def stubborn():
    try:
        await asyncio.sleep(0)
    except GeneratorExit:
        await asyncio.sleep(0)

def leave(error):
    raise error

def again():
    return again()

def crash(text, expect):
    value = eval(text)
    if asyncio.iscoroutine(value):
        value.send(None)
    return value

def printing(text, expect):
    print("NOISE")
    return numpy.float64(0.5) if text == "half" else numpy.bool_(True)

print("NOISE")
"""


def prompt(expect: Any = None, **more: Any) -> Prompt:
    return Prompt(id="p", index=0, messages=[], expect=expect, **more)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "my_grading.py").write_text(SOURCE)
    (tmp_path / "beside_it.py").write_text("WORD = 'x'\n")
    (tmp_path / "broken.py").write_text("import os\nraise RuntimeError('sk-123')\n")
    (tmp_path / "unparsed.py").write_text("def f(:\n")
    (tmp_path / "wanting.py").write_text("import not_there_at_all\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in ("my_grading", "beside_it", "llmfan_own_grader_my_grading", "llmfan_own_grader_crashing"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return tmp_path


@pytest.mark.parametrize("source", ["my_grading", "my_grading.py", "{}/my_grading.py"])
def test_it_is_found_in_the_current_folder_and_by_its_file(folder: Path, source: str) -> None:
    """A grader that must first be installed is not written."""
    grader = own_grader(f"python:{source.format(folder)}:same")
    assert grader(prompt("a"), "<think>b</think>a") == 1.0
    assert grader(prompt("a"), "b") == 0.0


def test_the_third_parameter_is_the_prompt_and_nothing_given_is_shared(folder: Path) -> None:
    """A grader that sorts its lists in place would else rewrite what stands in the results."""
    expect = ["a"]
    assert own_grader("python:my_grading:third")(prompt(expect, metadata={"weight": 0.25}), "t") == 0.25
    assert expect == ["a"]


def test_what_it_raises_or_returns_amiss_judges_nothing_and_is_counted(folder: Path) -> None:
    """A grader's own fault counted as a wrong answer would be the model's."""
    grader = own_grader("python:my_grading:odd")
    assert [grader(prompt(), text) for text in ("half", "none")] == [0.5, None]
    assert not grader.faults
    assert [grader(prompt(), text) for text in ("raise", "raise", "two", "nan", "text")] == [None] * 5
    amiss = "returned a number that is not from 0 to 1"
    assert dict(grader.faults) == {"raised ValueError": 2, amiss: 2, "returned str, not a score": 1}
    assert grader.example == "raised ValueError in my_grading.py:18 at prompt p"
    assert len(grader.told()) == 3
    assert "sk-123" not in "".join(grader.told())


@pytest.fixture
def crashing(folder: Path) -> Path:
    (folder / "crashing.py").write_text(CRASHING)
    return folder


@pytest.mark.parametrize("text", CRASHES)
def test_nothing_that_a_grader_does_ends_the_run(crashing: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One odd answer after ten hours would else cost ten hours. The loop of a run has the signal, as here."""
    monkeypatch.setattr(signal, "getsignal", lambda number: None)
    grader = own_grader("python:crashing.py:crash")
    assert grader(prompt(), text) is None
    assert list(grader.faults) == [CRASHES[text]]


def test_a_users_own_ctrl_c_is_passed_on(crashing: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody else has taken the signal, a grader that hangs could else not be stopped."""
    monkeypatch.setattr(signal, "getsignal", lambda number: signal.default_int_handler)
    with pytest.raises(KeyboardInterrupt):
        own_grader("python:crashing.py:crash")(prompt(), "leave(KeyboardInterrupt())")


def test_what_a_grader_prints_is_kept_off_stdout(crashing: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Stdout may be read by a program, which would choke on it."""
    grader = own_grader("python:crashing.py:printing")
    assert (grader(prompt(), "half"), grader(prompt(), "")) == (0.5, 1.0)
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "NOISE\n" * 3)


@pytest.mark.parametrize("error", ["SystemExit(0)", "GeneratorExit", "BaseException('sk-123')", "ModuleNotFoundError"])
def test_a_module_that_ends_everything_while_it_is_loaded_is_one_line(folder: Path, error: str) -> None:
    """An exit code of 0 would say that the run went well."""
    (folder / "ending.py").write_text(f"raise {error}\n")
    with pytest.raises(UserError, match=r"loading it raised \w+ in ending.py:1$"):
        own_grader("python:ending.py:f")


def test_a_grader_of_ones_own_judges_all_prompts(folder: Path) -> None:
    """One that fails where nothing was expected has left an answer ungraded; a built-in one was never asked."""
    assert own_grader("python:my_grading:same").judges_all
    assert not hasattr(chosen("exact"), "judges_all")


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("python:my_grading:sam", 'no such function in my_grading: sam (did you mean "same"?)'),
        ("python:my_gradin:same", 'no module my_gradin (did you mean "my_grading"?)'),
        ("python:my_gradin.py:same", 'no file my_gradin.py (did you mean "my_grading.py"?)'),
        ("python:my_grading:number", "is no function"),
        ("python:my_grading:later", "async"),
        ("python:my_grading:one", "must take (text, expect)"),
        ("python:my_grading", "expected python:module:function"),
        ("python:broken:f", "loading it raised RuntimeError in broken.py:2"),
        ("python:unparsed:f", "not valid Python at unparsed.py:1"),
        ("python:wanting:f", "imports not_there_at_all, which is not installed"),
        ("python:wanting.py:f", "imports not_there_at_all, which is not installed"),
        ("nmber", 'unknown grader "nmber" (did you mean "number"?)'),
    ],
)
def test_a_grader_that_is_not_there_is_one_plain_line(folder: Path, spec: str, words: str) -> None:
    """A traceback tells a user nothing, and may show what the module holds."""
    with pytest.raises(UserError) as caught:
        chosen(spec)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "sk-123" not in str(caught.value)


def test_any_value_of_grade_gives_a_grader(folder: Path) -> None:
    """One door: else reasoning is taken off here and not there."""
    assert isinstance(chosen("python:my_grading:same"), OwnGrader)
    assert chosen(None)(prompt("18"), "<think>7</think>It is 18.") == 1.0
    assert chosen("exact")(prompt("18"), "It is 18.") == 0.0
    assert chosen("contains")(prompt(None), "anything") is None


def found(path: Path, text: str, **options: Any) -> list[str]:
    path.write_text(text)
    try:
        with check_prompts(str(path), ReadOptions(**options)):
            return []
    except InputFaults as e:
        return [str(fault).removeprefix(f"{path}") for fault in e.faults]


def test_each_expected_answer_that_cannot_be_graded_is_a_fault_of_its_line(tmp_path: Path) -> None:
    """A bad pattern found after the run has cost the run."""
    path = tmp_path / "p.jsonl"
    lines = (
        '{"prompt": "a", "expect": {"regex": "("}}\n{"prompt": "b", "expect": "x"}\n{"question": "c", "answer": "("}\n'
    )
    (only,) = found(path, lines)
    assert only.startswith(":1: expect: bad regular expression: ")
    by_name = found(path, lines, grade="regex")
    assert [fault.split(": b")[0] for fault in by_name] == [":1: expect", ":3: answer"]
    (own,) = found(path, '{"prompt": "a", "gold": {"n": "x"}}\n', grade="number", expect_field="gold.n")
    assert own == ':1: gold.n: expected a number, or text that holds one; got "x"'
    assert found(path, lines, grade="python:any:thing") == []


def test_a_named_grader_with_nothing_to_compare_with_is_a_fault_of_the_file(tmp_path: Path) -> None:
    """A whole run graded against nothing would only say so at its end."""
    path = tmp_path / "p.jsonl"
    (only,) = found(path, '{"prompt": "a"}\n"b"\n{"prompt": "c", "expect": null}\n', grade="exact")
    assert only.startswith(": expect: no line has an expected answer, so --grade exact has nothing to compare with")
    assert found(path, '{"prompt": "a"}\n{"prompt": "b", "expect": "c"}\n', grade="exact") == []
    assert found(path, '{"prompt": "a"}\n', grade="python:any:thing") == []
    assert found(path, "", grade="exact") == [": is empty: there is no prompt in it"]
    (named,) = found(path, '{"prompt": "a", "god": 1}\n', grade="exact", expect_field="gold")
    assert "gold" in named and "the whole file" in named
