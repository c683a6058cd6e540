from __future__ import annotations

from typing import Any

import pytest
import yaml

from llmfan.errors import InputFaults
from llmfan.inputs import yaml_tree
from llmfan.inputs.yaml_tree import Faults, Scalar, Table, parse, plain


@pytest.fixture(params=["CSafeLoader", "SafeLoader"])
def _both_loaders(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wheels without libyaml have the slow loader only, and its messages differ."""
    if not hasattr(yaml, request.param):
        pytest.skip("PyYAML without libyaml")
    monkeypatch.setattr(yaml_tree, "_LOADER", getattr(yaml, request.param))


def read(text: str) -> Any:
    faults = Faults("f.yaml")
    tree = parse(text, faults)
    faults.check()
    assert tree is not None
    return plain(tree)


def said(text: str) -> str:
    with pytest.raises(InputFaults) as caught:
        read(text)
    return str(caught.value)


@pytest.mark.usefixtures("_both_loaders")
def test_keys_and_values_keep_their_lines() -> None:
    """Without them a message can only say that something is wrong somewhere."""
    tree = parse("a: 1\n\nb:\n  c:\n    [x,\n     y]\n", Faults("f.yaml"))
    assert isinstance(tree, Table)
    assert tree.entries["a"].line == 1
    b = tree.entries["b"].node
    assert isinstance(b, Table)
    assert (tree.entries["b"].line, b.entries["c"].line, b.entries["c"].node.line) == (3, 4, 5)


@pytest.mark.usefixtures("_both_loaders")
def test_values_are_what_yaml_says_and_dates_stay_text() -> None:
    """A date object in `params` could not be sent as JSON."""
    text = "{a: 1, b: 1.5, c: true, d: null, e: x, f: 2026-01-02, g: '1', h: 1e3, i: 1_000, j: '1e3', k: !!str 5}"
    assert read(text) == {
        "a": 1, "b": 1.5, "c": True, "d": None, "e": "x", "f": "2026-01-02", "g": "1", "h": 1000.0, "i": 1000,
        "j": "1e3", "k": "5",
    }  # fmt: skip


def test_a_value_keeps_what_was_written() -> None:
    """YAML reads `off` as false; `learn: off` means the word."""
    tree = parse("off", Faults("f.yaml"))
    assert isinstance(tree, Scalar)
    assert (tree.value, tree.text) == (False, "off")


@pytest.mark.usefixtures("_both_loaders")
def test_keys_are_the_text_that_was_written() -> None:
    """A provider called `no` would be called False."""
    assert read("{no: 1, 4.0: 2, '<<': 3}") == {"no": 1, "4.0": 2, "<<": 3}


@pytest.mark.usefixtures("_both_loaders")
def test_merge_keys_fill_in_what_is_not_there() -> None:
    """The usual way to share settings between providers."""
    text = "a: &a {x: 1, y: 1}\nb: &b {y: 2, z: 2}\nc: {<<: [*a, *b], x: 9}\n"
    assert read(text)["c"] == {"x": 9, "y": 1, "z": 2}


@pytest.mark.usefixtures("_both_loaders")
def test_duplicate_keys_are_faults_with_both_lines() -> None:
    """PyYAML keeps the last one without a word: half of a user's settings would do nothing."""
    assert said("a: 1\nb: 2\na: 3\n") == "f.yaml:3: a: a duplicate: it stands in line 1 already"


@pytest.mark.usefixtures("_both_loaders")
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a:\n\tb: 1\n", "2: tabs cannot indent YAML; use spaces"),
        ("a:\n  b: 1\n\tc: 2\n", "3: tabs cannot indent YAML; use spaces"),
        ("a: 'x\n", "a quoted text with no closing quote"),
        ("a: [1\n", "a [ that is not closed"),
        ("a: {b: 1\n", "a { that is not closed"),
        ("a: 1\n b: 2\n", '2: not YAML: a ":" where none can stand'),
        ("a: @x\n", "a text that begins with @"),
        ("a: *x\n", "there is none of that name"),
        ("a:\n  - b\n c: 1\n", "3: not YAML: the indentation does not fit"),
        ("a: 1\n---\nb: 1\n", "one document a file"),
        ("a: [$X, ${Y}]\n", '1: not YAML: inside [ ] and { } write "${NAME}" in quotes'),
        ("? [a]\n: b\n", "a key has to be a plain word"),
        ("a: !!int x\n", "a value that does not fit its type"),
        ("a: !!binary aGk=\n", "the tag !!binary has no meaning here"),
        ("a: !!set {x}\n", "the tag !!set has no meaning here"),
        ("a: &a [*a]\n", "an alias that holds itself"),
        ("a: &a {<<: *a}\n", "an alias that holds itself"),
    ],
)
def test_what_is_not_yaml_is_said_in_plain_words(text: str, message: str) -> None:
    """`could not find expected ':'` sends people to a search engine."""
    assert message in said(text)


def test_an_alias_bomb_is_stopped_by_what_it_expands_to() -> None:
    """Six short lines would fill the memory."""
    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    levels += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
    assert "aliases that expand to more than 10,000 values" in said("\n".join(levels))


def test_an_anchor_bomb_through_merge_keys_is_stopped_too() -> None:
    """Merged mappings are copies as well."""
    levels = ["a0: &a0 {x: 1}"]
    levels += [f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 9)}]}}" for i in range(1, 12)]
    assert "aliases that expand to more than 10,000 values" in said("\n".join(levels))
