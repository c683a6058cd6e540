"""Which grader a shape asks for, what cannot be graded, and that no answer is too odd to be graded."""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmfan.grading.grade import NAMES, NORMALISATION, fault, grade, kind_of
from llmfan.grading.thinking import answer_of


@pytest.mark.parametrize(
    ("expect", "kind"),
    [
        (18, "number"), (18.5, "number"), ("18", "number"), ("1,234", "number"), ("$5", "number"), ("50%", "number"),
        ("-3/4", "number"), ("It makes 18.\n#### 18", "number"), ("007", "exact"), ("18 km", "exact"),
        ("B", "choice"), ("(b)", "choice"), ("B.", "choice"), ("BC", "exact"),
        ("Paris", "exact"), (True, "exact"), (["a", "b"], "exact"), ([{"a": 1}], "json"),
        ({"contains": "a"}, "contains"), ({"any": ["a"]}, "contains"), ({"all": ["a"]}, "contains"),
        ({"regex": "a"}, "regex"), ({"number": 1, "tolerance": 0.1}, "number"), ({"choice": "B"}, "choice"),
        ({"json": {}}, "json"), ({"type": "object"}, "json"), ({"city": "Paris"}, "json"),
        (None, ""), ("", ""), ([], ""), ("word " * 30, ""),
    ],
)  # fmt: skip
def test_the_shape_of_an_expected_answer_asks_for_its_grader(expect: Any, kind: str) -> None:
    """Most prompt sets name no grader; a wrong guess makes every score of the run wrong."""
    assert kind_of(expect) == kind


@pytest.mark.parametrize(
    ("expect", "name", "words"),
    [
        ({"regex": "("}, None, "bad regular expression"),
        ({"regex": r"\p{Lu}"}, None, "bad regular expression: bad escape"),
        ({"regex": 3}, None, "expected a regular expression"),
        ("(", "regex", "bad regular expression"),
        ("Paris", "number", "expected a number"),
        ({"number": "many"}, None, "expected a number"),
        ({"number": 1, "tolerance": -1}, None, "tolerance"),
        ({"number": 1, "tolerence": 0.1}, None, 'did you mean "tolerance"'),
        ({"contain": "abc"}, None, 'did you mean "contains"'),
        (True, "number", "expected a number"),
        ("Paris", "choice", "expected a letter"),
        (2, "choice", "expected a letter"),
        ({"choice": "BC"}, None, "expected a letter"),
        ([], "exact", "empty list"),
        ("", "exact", "none of it empty"),
        ({"a": 1}, "exact", "got an object"),
        ({"contains": []}, None, "empty list"),
        ({"contains": ["a", ""]}, None, "none of it empty"),
        ({"contains": "\ufeff"}, None, "none of it empty"),
        ("Paris", "json", "expected a JSON value"),
        ({"json": {"type": "objekt", "properties": {}}}, None, "bad schema"),
        ({"type": "object", "required": 3}, None, "bad schema: required"),
        ({"$ref": "#/$defs/none"}, None, "nothing is fetched"),
        ({"$ref": "https://example.com/schema.json"}, None, "nothing is fetched"),
        ({"regex": "a"}, "number", "is meant for the grader regex"),
    ],
)
def test_what_cannot_be_graded_says_why(expect: Any, name: str | None, words: str) -> None:
    """Found at input it costs a second; found after the run it costs the run."""
    assert words in (fault(expect, name) or "")


@pytest.mark.parametrize(
    ("expect", "name"),
    [
        (18, None), ("long " * 99, None), ("", None), ([], None), ({"a": 1}, None), (None, "number"),
        ("#### 18", "number"), ("18 km", "number"), ("B", "choice"), (["A", "(b)"], "choice"), (3, "exact"),
        (3, "json"), ('{"a": 1}', "json"), ({"regex": r"(?:\d+,)+\d+$"}, None), ({"regex": r"(\w+ )*"}, None),
        ({"type": "object", "properties": {"a": {"$ref": "#/$defs/a"}}, "$defs": {"a": {"type": "string"}}}, None),
        ({"$ref": "https://json-schema.org/draft/2020-12/schema"}, None),
    ],
)  # fmt: skip
def test_what_can_be_graded_or_left_is_no_fault(expect: Any, name: str | None) -> None:
    """A run refused for a sound prompt set is a run lost."""
    assert fault(expect, name) is None


def test_a_schema_never_reaches_for_the_network() -> None:
    """An address in a prompt set would be called from the user's machine, for each answer."""
    schema = {"type": "object", "properties": {"a": {"$ref": "http://127.0.0.1:9/x"}}}
    assert grade('{"a": 1}', schema, None) is None


ENDLESS = r"^(a|a)*$"
STUCK = "a" * 40 + "!"


@pytest.mark.parametrize(
    ("text", "expect"),
    [
        (STUCK, {"regex": ENDLESS}),
        (f'"{STUCK}"', {"type": "string", "pattern": ENDLESS}),
        (f'"{STUCK}"', {"$schema": "http://json-schema.org/draft-07/schema#", "allOf": [{"pattern": ENDLESS}]}),
        (f'{{"{STUCK}": 1}}', {"type": "object", "patternProperties": {ENDLESS: {}}, "additionalProperties": False}),
        (f'{{"{STUCK}": 1}}', {"type": "object", "patternProperties": {ENDLESS: {}}, "unevaluatedProperties": False}),
    ],
)
def test_a_pattern_that_would_take_for_ever_is_stopped_and_leaves_the_answer_ungraded(text: str, expect: Any) -> None:
    """A pattern that cannot be stopped hangs the run, and an answer that it never judged is not a wrong one."""
    assert fault(expect, None) is None
    start = time.process_time()
    assert grade(text, expect, None) is None
    assert time.process_time() - start < 2.0


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [(r"^a{e}$", "a{e}", "a"), (r"^\{d}[{i}]x{2}\N{BULLET}$", "{d}{xx•", "d}{xx•"), (r"^(?:ab){1,}$", "abab", "ba")],
)
def test_a_pattern_means_what_it_means_to_pythons_re(pattern: str, yes: str, no: str) -> None:
    """To another engine `a{e}` is an `a` with any misprint, so every answer would be right."""
    assert re.search(pattern, yes) and not re.search(pattern, no)
    assert [grade(text, {"regex": pattern}, None) for text in (yes, no)] == [1.0, 0.0]


@pytest.mark.parametrize(
    ("value", "fits"),
    [({"x1": 1}, True), ({"x1": "s"}, False), ({"y": 1}, True), ({"z": "b1"}, True), ({"z": "1"}, False)],
)
def test_the_patterns_of_a_schema_mean_what_they_mean_to_the_library(value: Any, fits: bool) -> None:
    """They are checked by code of our own."""
    for more in ({}, {"$schema": "http://json-schema.org/draft-07/schema#"}):
        schema = {
            **more,
            "type": "object",
            "properties": {"y": {}},
            "patternProperties": {"^x": {"type": "integer"}},
            "additionalProperties": {"pattern": "^b"},
        }
        assert jsonschema.validators.validator_for(schema)(schema).is_valid(value) is fits
        assert grade(json.dumps(value), schema, None) == float(fits)
    assert grade('{"x": 1, "q": 1}', {"patternProperties": {"x": {}}, "additionalProperties": False}, "json") == 0.0


def test_every_grader_has_its_normalisation_written_down() -> None:
    """A score whose rules nobody can read cannot be defended."""
    assert tuple(NORMALISATION) == NAMES
    assert all(len(text) > 40 and "\n" not in text for text in NORMALISATION.values())


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("<think>\n7\n</think>\n\n18", "18"),
        ("\n<think>7</think>18", "18"),
        ("7 or so</think>18", "18"),
        ("<think>7 and on", ""),
        ("18 <b>", "18 <b>"),
        ("<thinking>7</thinking> 18", "18"),
    ],
)
def test_reasoning_before_the_answer_is_no_answer(text: str, answer: str) -> None:
    """A number from the reasoning would be graded in the answer's place."""
    assert answer_of(text) == answer


@given(st.integers(-(10**12), 10**12), st.sampled_from(["{}", "{:,}", "**{}**", "$\\boxed{{{}}}$", "It is {} km."]))
def test_whole_numbers_survive_every_spelling(value: int, spelling: str) -> None:
    """A separator or a decoration that changes the number changes the score."""
    text = spelling.format(value)
    assert grade(text, value, None) == 1.0
    assert grade(text, value + 1, None) == 0.0
    assert grade(text.replace(",", " "), str(value), "number") == 1.0


@given(st.decimals(-1000000, 1000000, places=3), st.sampled_from(["{}", "{:,}", "**{}**", "${}", "{} %"]))
def test_decimals_survive_every_spelling(value: Any, spelling: str) -> None:
    """The same, behind the decimal point."""
    assert grade(spelling.format(value), float(value), "number") == 1.0


@given(st.text(), st.sampled_from(NAMES))
def test_any_text_is_graded_and_is_right_for_itself(text: str, name: str) -> None:
    """A grader that raises ends a run; one that misses equality is no grader."""
    assert grade(text, "B", name) in (0.0, 1.0, None)
    if name in ("exact", "contains") and fault(text, name) is None:
        assert grade(text, text, name) == 1.0


N = 100_000
HOSTILE = {
    "digits": "9" * N, "digits then not": "9" * N + " x", "lists": "[" * N, "objects": "{" * N, "brackets": "(" * N,
    "deep": "[" * 10_000 + "]" * 10_000, "deep objects": '{"a":' * 10_000 + "1" + "}" * 10_000, "quotes": '"' * N,
    "groups": "1," * (N // 2), "fractions": "1/" * (N // 2), "stars": "*a" * (N // 2), "fences": "```\n" * (N // 4),
    "marks": "#### " * (N // 5), "boxes": "\\boxed{" * (N // 7), "answers": "answer is " * (N // 10),
    "powers": "9e999^99 " * (N // 9), "blanks": "answer" + " " * N, "letters": "A or " * (N // 5), "word": "a" * N,
    "items": "1. x\n" * (N // 5), "frac": "\\frac{" * (N // 6), "objects in a list": "[" + "{}," * (N // 3) + "{}]",
}  # fmt: skip
EXPECTED: dict[str, Any] = {
    "exact": "x", "contains": ["18", "no", "x y"], "regex": r"x\d", "number": 18, "choice": "B",
    "json": {"type": "array", "items": {"type": "integer"}, "uniqueItems": True},
}  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_no_answer_is_slow_or_raises(name: str) -> None:
    """Grading stands between two answers of a running benchmark: a second here is a second of every figure."""
    for kind, text in HOSTILE.items():
        start = time.process_time()
        assert grade(text, EXPECTED[name], name) in (0.0, 1.0), kind
        assert time.process_time() - start < 1.0, kind


def test_reference_answers_are_right_for_themselves_and_wrong_for_others() -> None:
    """On a set whose answers are known, any miss is the grader's own."""
    folder = os.environ.get("LLMFAN_TEST_DATA")
    if not folder:
        pytest.skip("LLMFAN_TEST_DATA is not set")
    lines = (Path(folder) / "gsm8k-test.jsonl").read_text(encoding="utf-8").splitlines()
    answers = [json.loads(line)["answer"] for line in lines]
    assert len(answers) == 1319
    assert all(grade(answer, answer, None) == 1.0 for answer in answers)
    bare = [answer.rpartition("####")[2].strip() for answer in answers]
    assert all(grade(f"So it is {text}.", answer, None) == 1.0 for text, answer in zip(bare, answers, strict=True))
    others = [grade(answer, other, None) for answer, other in zip(answers, answers[1:] + answers[:1], strict=True)]
    assert 0 < sum(score or 0.0 for score in others) / len(others) < 0.03
