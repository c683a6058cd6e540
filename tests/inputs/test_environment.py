from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmfan.errors import UserError
from llmfan.inputs.environment import environment, expand_keys, fill


def test_the_process_environment_wins_over_the_env_file(tmp_path: Path) -> None:
    """A CI job that sets its own key would go on using the one in the checkout."""
    path = tmp_path / "keys.env"
    path.write_text("A=file\nB=file\n", encoding="utf-8")
    assert environment(str(path), {"A": "process"}) == {"A": "process", "B": "file"}


def test_an_empty_variable_hides_nothing(tmp_path: Path) -> None:
    """CI systems set variables whose secret is not there to nothing, and the key in the file was not seen."""
    path = tmp_path / "keys.env"
    path.write_text("A=file\nB=file\n", encoding="utf-8")
    assert environment(str(path), {"A": "", "B": "  ", "C": ""}) == {"A": "file", "B": "file", "C": ""}


def test_dot_env_is_read_where_there_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The README says to put keys there."""
    monkeypatch.chdir(tmp_path)
    assert environment(None, {"A": "1"}) == {"A": "1"}
    Path(".env").write_text("B=2\n", encoding="utf-8")
    assert environment(None, {"A": "1"}) == {"A": "1", "B": "2"}


def test_a_folder_called_dot_env_is_no_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Virtual environments are at times made under that name."""
    monkeypatch.chdir(tmp_path)
    Path(".env").mkdir()
    assert environment(None, {}) == {}


def test_an_env_file_is_taken_literally(tmp_path: Path) -> None:
    """With interpolation a key with a dollar sign in it becomes another one; a bare name is no value."""
    path = tmp_path / "keys.env"
    path.write_bytes(b"\xef\xbb\xbfexport A='x$HOME'\r\nB=\"y${A}\"\r\n# c\r\nBARE\r\nE=\r\n")
    assert environment(str(path), {}) == {"A": "x$HOME", "B": "y${A}", "E": ""}


@pytest.mark.parametrize(("make", "said"), [("missing", "no such env file"), ("folder", "cannot be read")])
def test_a_named_env_file_has_to_be_there(tmp_path: Path, make: str, said: str) -> None:
    """A typing mistake in --env-file would run without any key, or with the wrong ones."""
    path = tmp_path / "keys.env"
    if make == "folder":
        path.mkdir()
    with pytest.raises(UserError, match=said) as caught:
        environment(str(path), {})
    assert str(caught.value).startswith(str(path))
    assert caught.value.exit_code == 2


def test_an_env_file_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    """Keys saved as UTF-16 (an old PowerShell's way) would end in a traceback."""
    path = tmp_path / "keys.env"
    path.write_bytes("A=1".encode("utf-16"))
    with pytest.raises(UserError, match="UTF-8"):
        environment(str(path), {})


def test_a_reference_gives_the_variable_and_its_value() -> None:
    """Both are needed: the value to send, the name to say which one is not set."""
    env = {"K": " key \n", "EMPTY": "", "BLANK": "  "}
    assert expand_keys("$K", env) == [("K", "key")]
    assert expand_keys("${K}", env) == [("K", "key")]
    assert expand_keys("$EMPTY", env) == [("EMPTY", None)]
    assert expand_keys("$BLANK", env) == [("BLANK", None)]
    assert expand_keys("$NOT_SET", env) == [("NOT_SET", None)]


@pytest.mark.parametrize("glob", ["$K*", "${K}*", "${K*}"])
def test_a_glob_takes_all_set_ones_in_natural_order(glob: str) -> None:
    """By plain order K_10 comes before K_2, and every label after it names another key."""
    env = {"K_10": "e", "K_2": "c", "K": "a", "K2": "b", "K_9": "d", "K_3": "", "K_TEAM": "f", "XK": "no", "k": "no"}
    assert expand_keys(glob, env) == [
        ("K", "a"),
        ("K2", "b"),
        ("K_2", "c"),
        ("K_9", "d"),
        ("K_10", "e"),
        ("K_TEAM", "f"),
    ]


def test_a_glob_that_finds_nothing_stands_for_its_bare_name() -> None:
    """The note has to name the variable to set."""
    assert expand_keys("$K*", {"K_2": ""}) == [("K", None)]


@pytest.mark.parametrize(
    "text", ["sk-123", "$", "$1A", "$A-B", "$A B", "${A", "$A}", "${A*}*", "$*", "x$A", "$A**", ""]
)
def test_what_is_no_reference_is_not_taken_for_one(text: str) -> None:
    """A literal key that begins with a dollar sign would be looked up and not found."""
    assert expand_keys(text, {"A": "1"}) is None


@given(st.dictionaries(st.from_regex(r"K(_?[0-9]{1,3})?", fullmatch=True), st.sampled_from(["", "v"]), max_size=12))
def test_a_glob_finds_each_set_variable_once(env: dict[str, str]) -> None:
    """A key taken twice is sent twice what it may take."""
    found = [name for name, value in expand_keys("$K*", env) or [] if value]
    assert sorted(found) == sorted(name for name, value in env.items() if value)


def test_variables_inside_a_text_are_filled_in() -> None:
    """Headers and addresses need one part from the environment."""
    assert fill("Bearer ${A}/$B$$C", {"A": "1", "B": "2"}) == ("Bearer 1/2$C", [])
    assert fill("$A-$B", {"A": ""}) == ("-", ["A", "B"])
    assert fill("costs 5$, {account_id}", {}) == ("costs 5$, {account_id}", [])
