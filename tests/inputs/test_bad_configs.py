"""Every defect has a file in tests/configs; its `# expect:` lines are the whole message, file name left off."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmfan.errors import UserError
from llmfan.inputs.config import load_fleet
from llmfan.inputs.yaml_tree import Faults, parse

CONFIGS = Path(__file__).parents[1] / "configs"
BAD = sorted(p.name for p in CONFIGS.glob("bad-*.yaml"))
SECRET = "gsk-recognisable-secret"
ENV = {
    "GROQ_API_KEY": SECRET,
    "GROQ_API_KEY_2": SECRET + "-2",
    "GITHUB_TOKEN": SECRET,
    "KEY_WITH_NEWLINE": SECRET + "\nrest",
    "KEY_WITH_SPACE": "Bearer " + SECRET,
    "KEY_WITH_EURO": SECRET + "€",
    "KEY_WITH_BELL": SECRET + "\a!",
}


def resolve(host: str, port: int) -> Iterable[Any]:
    if host != "public.example":
        raise OSError("no such host")
    return [(0, 0, 0, "", ("10.0.0.1", port)), (0, 0, 0, "", ("203.0.113.9", port))]


@pytest.fixture(autouse=True)
def _in_configs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(CONFIGS)


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_gets_one_message_with_all_its_faults(name: str) -> None:
    """A user who is told one fault a run needs as many runs as there are faults."""
    lines = Path(name).read_text(encoding="utf-8").splitlines()
    expected = [line.removeprefix("# expect: ") for line in lines if line.startswith("# expect: ")]
    with pytest.raises(UserError) as caught:
        load_fleet(name, ENV, resolve=resolve)
    assert caught.value.exit_code == 2
    assert [_place(name, e) for e in expected] == str(caught.value).splitlines()


@pytest.mark.parametrize("name", BAD)
def test_no_message_shows_a_secret(name: str) -> None:
    """Messages end in CI logs and bug reports."""
    with pytest.raises(UserError) as caught:
        load_fleet(name, ENV, resolve=resolve)
    assert SECRET not in str(caught.value)
    assert "hunter2" not in str(caught.value)


def _place(name: str, expected: str) -> str:
    return f"{name}:{expected}" if expected[0].isdigit() else f"{name}: {expected}"


def _message(path: Path | str, env: dict[str, str] | None = None) -> str:
    with pytest.raises(UserError) as caught:
        load_fleet(str(path), env or {})
    assert caught.value.exit_code == 2
    return str(caught.value)


def test_a_missing_file_names_init() -> None:
    """The first thing a newcomer meets."""
    assert _message("nowhere.yaml") == "nowhere.yaml: no such file; `llmfan init` writes one to start from"


def test_a_directory_is_named_as_one(tmp_path: Path) -> None:
    """`-p .` would end in a traceback."""
    assert _message(tmp_path).endswith("a directory, not a providers file")


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="needs a file its owner may not read")
def test_a_file_without_permission_is_named(tmp_path: Path) -> None:
    """A .yaml that root wrote would end in a traceback."""
    path = tmp_path / "p.yaml"
    path.touch(0o000)
    assert "Permission denied" in _message(path)


@pytest.mark.parametrize("text", ["", "\n\n", "# nothing\n", "---\n", "\ufeff"])
def test_an_empty_file_says_what_to_do(tmp_path: Path, text: str) -> None:
    """`llmfan init` does not write over it, so the message has to say where to."""
    path = tmp_path / "p.yaml"
    path.write_text(text, encoding="utf-8")
    assert "llmfan init" in _message(path)


def test_text_that_is_not_utf8_names_the_line(tmp_path: Path) -> None:
    """An editor set to another encoding breaks one comment and so the whole file."""
    path = tmp_path / "p.yaml"
    path.write_bytes(b"version: 1\n# caf\xe9\n")
    assert _message(path) == f"{path}:2: not UTF-8 text: save the file as UTF-8"


def test_a_control_character_is_named_by_line(tmp_path: Path) -> None:
    """PyYAML gives a position in bytes, which nobody can find."""
    path = tmp_path / "p.yaml"
    path.write_text("version: 1\nproviders: \x00\n", encoding="utf-8")
    assert _message(path).startswith(f"{path}:2: a character that no text file has (U+0000)")


def test_a_huge_file_is_refused_before_it_is_parsed(tmp_path: Path) -> None:
    """A prompt set given as the providers file would take minutes to parse."""
    path = tmp_path / "p.yaml"
    path.write_text("- x\n" * 300_000, encoding="utf-8")
    assert "larger than 1,000,000 bytes" in _message(path)


@pytest.mark.parametrize("text", ["[" * 50_000, "{a: " * 20_000, "- " * 3_000 + "x"])
def test_deep_nesting_is_refused_and_does_not_kill_the_process(tmp_path: Path, text: str) -> None:
    """The C composer recurses without a limit: the interpreter itself would crash."""
    path = tmp_path / "p.yaml"
    path.write_text(text, encoding="utf-8")
    assert "nested too deeply" in _message(path)


def test_many_values_are_refused(tmp_path: Path) -> None:
    """The cap holds without aliases too."""
    path = tmp_path / "p.yaml"
    path.write_text("[" + "x," * 20_000 + "]", encoding="utf-8")
    assert "too large" in _message(path)


def test_a_file_of_crlf_lines_keeps_its_line_numbers(tmp_path: Path) -> None:
    """A message that names the wrong line is worse than one that names none."""
    path = tmp_path / "p.yaml"
    path.write_bytes(b"\xef\xbb\xbfversion: 1\r\nproviders:\r\n  groq:\r\n    model: m\r\n    wibble: 1\r\n")
    assert _message(path) == f"{path}:5: providers.groq.wibble: unknown key"


def test_of_many_faults_twenty_are_shown_and_the_rest_counted(tmp_path: Path) -> None:
    """A file of another tool would scroll the reason off the screen."""
    path = tmp_path / "p.yaml"
    path.write_text("".join(f"key{i}: 1\n" for i in range(50)), encoding="utf-8")
    lines = _message(path).splitlines()
    assert len(lines) == 21
    assert lines[-1] == "… and 30 more faults"


@given(st.text(alphabet=":-[]{}&*!|>'\"%@`#,?~ \t\n<ab1$.é\x00", max_size=60))
def test_any_text_gives_a_tree_or_faults(text: str) -> None:
    """Whatever a user saves, no traceback."""
    try:
        parse(text, Faults("p.yaml"))
    except UserError as error:
        assert str(error).startswith("p.yaml")


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["none", "$A", "x", "", "\x1b[0m"]),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "model",
                        "models",
                        "keys",
                        "key",
                        "limits",
                        "rpm",
                        "price",
                        "base_url",
                        "headers",
                        "params",
                        "account",
                        "preset",
                    ]
                ),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    )
)
def test_any_shape_gives_a_fleet_or_faults(tmp_path_factory: pytest.TempPathFactory, value: Any) -> None:
    """A check that expects the right shape crashes on the wrong one."""
    import json

    path = tmp_path_factory.mktemp("shapes") / "p.yaml"
    path.write_text(json.dumps({"providers": {"groq": value, "x": value}}), encoding="utf-8")
    try:
        load_fleet(str(path), {"A": "secret-key"}, resolve=resolve)
    except UserError as error:
        assert "\x1b" not in str(error)
