"""`llmfan init` as a process: the files it writes, those it never touches, what it asks; one promise a test."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from llmfan.cli import new_files
from llmfan.cli.new_files import write_new
from llmfan.errors import UserError
from tests.loopback.serving import ROOT

#: The command by itself, registered here where the table of contents has it not.
CODE = """
from llmfan.cli import main
from llmfan.cli.init import init
if not any(command.callback is init for command in main.app.registered_commands):
    main.app.command()(init)
main.main()
"""
#: Before it: the terminal it was given becomes its own, as a shell would have it, so that Ctrl-C reaches it.
OWN_TERMINAL = "import fcntl, termios\nfcntl.ioctl(0, termios.TIOCSCTTY, 0)\n"
SECRET = "sk-very-secret-0123456789"
NAMES = ("providers.yaml", ".env.example")


def variables(env: Mapping[str, str] | None) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "VIRTUAL_ENV") if name in os.environ}
    return {**kept, "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1", **(env or {})}


def init(folder: Path, *args: str, env: Mapping[str, str] | None = None) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-c", CODE, "init", *args],
        cwd=folder, env=variables(env), capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout, done.stderr


def entries(folder: Path, file: str = "providers.yaml") -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((folder / file).read_text(encoding="utf-8"))["providers"]
    return found


def listing(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_two_files_to_start_from_and_the_next_step(tmp_path: Path) -> None:
    """The way in for someone who has nothing yet."""
    code, out, err = init(tmp_path)
    assert (code, err) == (0, "")
    assert listing(tmp_path) == [".env.example", "providers.yaml"]
    assert "llmfan probe" in out and "--simulate" in out
    assert len(entries(tmp_path)) > 8
    assert not any(entry.get("paid") for entry in entries(tmp_path).values())
    assert not stat.S_IMODE((tmp_path / "providers.yaml").stat().st_mode) & 0o111


def test_what_it_writes_can_be_run_at_once(tmp_path: Path) -> None:
    """A file that only looks right is found out an hour later."""
    init(tmp_path)
    (tmp_path / "p.jsonl").write_text('{"prompt": "Say hello."}\n')
    done = subprocess.run(
        [sys.executable, "-m", "llmfan", "run", "p.jsonl", "--simulate", "--simulate-speed", "20"],
        cwd=tmp_path, env=variables(None), capture_output=True, text=True, timeout=90,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_keys_in_the_environment_and_in_env_files_are_found_and_never_written(tmp_path: Path) -> None:
    """A key in the file is a key in the next commit."""
    (tmp_path / ".env").write_text(f"GROQ_API_KEY={SECRET}-a\nGROQ_API_KEY_2={SECRET}-b\nOPENAI_API_KEY=\n")
    code, out, err = init(tmp_path, "-v", env={"TOGETHER_API_KEY": f"{SECRET}-c"})
    assert code == 0
    found = entries(tmp_path)
    assert list(found)[:2] == ["groq", "together"]
    assert found["groq"]["keys"] == ["$GROQ_API_KEY", "$GROQ_API_KEY_2"]
    assert found["together"]["keys"] == "$TOGETHER_API_KEY*" and found["together"]["paid"] is True
    assert "openai" not in found
    written = "".join((tmp_path / name).read_text(encoding="utf-8") for name in NAMES)
    assert SECRET not in written + out + err


def test_an_env_file_of_another_name_is_read_and_named_again(tmp_path: Path) -> None:
    """The next command must find the keys that this one found."""
    (tmp_path / "team.env").write_text(f"COHERE_API_KEY={SECRET}\n")
    code, out, _ = init(tmp_path, "--env-file", "team.env")
    assert code == 0 and next(iter(entries(tmp_path))) == "cohere"
    assert "llmfan probe --env-file team.env" in out
    code, _, err = init(tmp_path, "--force", "--env-file", "nowhere.env")
    assert code == 2 and "nowhere.env: no such env file" in err


@pytest.mark.parametrize("there", [["providers.yaml"], list(NAMES)])
def test_a_file_that_is_there_is_never_written_over(tmp_path: Path, there: list[str]) -> None:
    """It may hold an afternoon's work."""
    for name in there:
        (tmp_path / name).write_text("mine\n")
    code, out, err = init(tmp_path, "--yes")
    assert (code, out) == (2, "")
    assert all(name in err for name in there) and "--force" in err and ".bak" in err
    assert listing(tmp_path) == sorted(there)
    assert all((tmp_path / name).read_text() == "mine\n" for name in there)


def test_a_link_that_leads_nowhere_is_a_file_too(tmp_path: Path) -> None:
    """Written through it, the file would appear in a place nobody thinks of."""
    (tmp_path / "providers.yaml").symlink_to(tmp_path / "elsewhere.yaml")
    assert init(tmp_path)[0] == 2
    assert listing(tmp_path) == ["providers.yaml"]


def test_force_keeps_what_was_there_each_time(tmp_path: Path) -> None:
    """The second --force must not eat what the first one kept."""
    for turn in ("first", "second", "third"):
        (tmp_path / "providers.yaml").write_text(turn)
        code, out, _ = init(tmp_path, "--force")
        assert code == 0 and ".bak" in out
    kept = {p.name: p.read_text() for p in tmp_path.iterdir() if ".bak" in p.name}
    assert kept == {"providers.yaml.bak": "first", "providers.yaml.bak2": "second", "providers.yaml.bak3": "third"}
    assert len(entries(tmp_path)) > 8


def test_an_example_that_says_the_same_is_left_alone(tmp_path: Path) -> None:
    """A second providers file in one folder needs no second list of variables."""
    assert init(tmp_path)[0] == 0
    (tmp_path / "providers.yaml").unlink()
    before = (tmp_path / ".env.example").stat().st_mtime_ns
    assert init(tmp_path)[0] == 0
    assert (tmp_path / ".env.example").stat().st_mtime_ns == before
    assert listing(tmp_path) == [".env.example", "providers.yaml"]


def test_an_example_of_ones_own_is_no_hindrance_and_stays(tmp_path: Path) -> None:
    """Many projects have one; who had it could not start, and its lines are not llmfan's to throw away."""
    (tmp_path / ".env.example").write_text("MINE=\n")
    code, out, err = init(tmp_path)
    assert (code, err) == (0, "") and len(entries(tmp_path)) > 8
    assert (tmp_path / ".env.example").read_text() == "MINE=\n"
    assert ".env.example is there already, and is left as it was (--force" in out and "wrote .env.example" not in out
    (tmp_path / "providers.yaml").unlink()
    document = json.loads(init(tmp_path, "--json")[1])
    assert (document["kept"], document["left"]) == ({}, [".env.example"])
    assert init(tmp_path, "--force")[0] == 0
    assert (tmp_path / ".env.example.bak").read_text() == "MINE=\n"


def test_a_file_that_cannot_be_written_goes_by_its_own_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`.providers.yaml.31825.new` or `None` is no file that anybody has."""
    path = str(tmp_path / "fleet.yaml")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match=r"^\S+/fleet\.yaml: cannot be written: No space left on device; nothing"):
        write_new({path: "new"}, force=False, may_stay="")
    with pytest.raises(UserError, match=r"^nowhere/fleet\.yaml: cannot be written: No such file"):
        write_new({"nowhere/fleet.yaml": "new"}, force=False, may_stay="")
    assert listing(tmp_path) == []


def test_a_server_of_ones_own_wants_no_key(tmp_path: Path) -> None:
    """Who has one was told to put a key into .env, and there is none."""
    code, out, _ = init(tmp_path, "--only", "Ollama")
    assert code == 0 and "no key needed" in out and "put a key" not in out and "next: llmfan probe" in out


def test_another_place_by_option_and_by_variable(tmp_path: Path) -> None:
    """What every other command reads, this one writes."""
    (tmp_path / "conf").mkdir()
    code, out, _ = init(tmp_path, "-p", "conf/fleet.yaml")
    assert code == 0 and "llmfan probe -p conf/fleet.yaml" in out
    assert listing(tmp_path / "conf") == [".env.example", "fleet.yaml"]
    assert init(tmp_path, env={"LLMFAN_PROVIDERS": "other.yaml"})[0] == 0
    assert listing(tmp_path) == [".env.example", "conf", "other.yaml"]


@pytest.mark.parametrize("path", ["nowhere/p.yaml", ".", "", ".env.example", "conf"])
def test_a_place_where_no_file_can_be_is_said(tmp_path: Path, path: str) -> None:
    """Said in one line, with nothing left behind."""
    (tmp_path / "conf").mkdir()
    code, out, err = init(tmp_path, "-p", path)
    assert (code, out) == (2, "") and err
    assert listing(tmp_path) == ["conf"] and not listing(tmp_path / "conf")


def test_only_takes_what_is_named_and_suggests_what_was_meant(tmp_path: Path) -> None:
    """A misspelt name must not become a file without it."""
    code, _, err = init(tmp_path, "--only", "gropq", "--only", "github-models", "--only", "xyzzy")
    assert code == 2 and not listing(tmp_path)
    assert 'gropq: no such preset (did you mean "groq"?)' in err
    assert "github-models: GitHub Models closed on 2026-07-30" in err and "xyzzy" in err
    assert init(tmp_path, "--only", "GROQ", "--only", "OpenAI", "--only", "vllm")[0] == 0
    found = entries(tmp_path)
    assert set(found) == {"groq", "openai", "vllm"}
    assert found["openai"]["paid"] is True and found["vllm"]["keys"] == "none"


def test_all_takes_the_paid_ones_too(tmp_path: Path) -> None:
    """Marked as such, so that none is used before a free one."""
    assert init(tmp_path, "--all")[0] == 0
    paid = {name for name, entry in entries(tmp_path).items() if entry.get("paid")}
    assert paid == {"openai", "anthropic", "deepseek", "fireworks", "together"}


def test_the_document_is_all_there_is_on_stdout(tmp_path: Path) -> None:
    """A script that sets up a machine reads it."""
    (tmp_path / "providers.yaml").write_text("mine\n")
    code, out, _ = init(tmp_path, "--json", "--force", env={"GROQ_API_KEY": SECRET, "GITHUB_TOKEN": "g"})
    document = json.loads(out)
    assert code == 0
    assert document["providers_file"] == "providers.yaml" and document["env_example"] == ".env.example"
    assert document["providers"][0] == "groq" and document["keys_found"] == ["GROQ_API_KEY"]
    assert {"openai", "github-models", "vllm"} <= {s["name"] for s in document["skipped"]}
    assert document["kept"] == {"providers.yaml": "providers.yaml.bak"}
    assert SECRET not in out


def test_quiet_says_nothing(tmp_path: Path) -> None:
    """Asked to be quiet."""
    assert init(tmp_path, "-q", "--state", "x.db") == (0, "", "")


# ---------------------------------------------------------------- on a terminal


def on_terminal(folder: Path, answers: list[str], *args: str, env: Mapping[str, str] | None = None) -> tuple[int, str]:
    """The command with a terminal of its own; each prompt gets the next answer. Gives what was on the screen."""
    pty = pytest.importorskip("pty")  # there is none on Windows
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", OWN_TERMINAL + CODE, "init", *args],
        cwd=folder, env=variables(env), stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    watchdog = threading.Timer(60, process.kill)
    watchdog.start()
    screen = b""
    for data in _read(ours):
        screen += data
        if screen.endswith(b"*: ") and answers:
            os.write(ours, answers.pop(0).encode())
    watchdog.cancel()
    os.close(ours)
    return process.wait(timeout=30), screen.decode()


def _read(fd: int) -> Iterator[bytes]:
    try:
        while data := os.read(fd, 4096):
            yield data
    except OSError:  # the other end has gone
        return


def test_on_a_terminal_it_asks_and_shows_where_keys_are_got(tmp_path: Path) -> None:
    """Who has no key yet sees at a glance which is got where, and for what."""
    answers = ["gropq\n", "groq, openai\n"]
    code, screen = on_terminal(tmp_path, answers, env={"COHERE_API_KEY": SECRET})
    assert code == 0 and not answers
    assert "console.groq.com/keys" in screen and "30/min, 1,000/day" in screen
    assert "COHERE_API_KEY set" in screen and SECRET not in screen
    assert 'did you mean "groq"' in screen
    assert set(entries(tmp_path)) == {"groq", "openai"}
    assert max(len(line) for line in screen.splitlines()) <= 80


def test_enter_alone_is_the_default(tmp_path: Path) -> None:
    """The same file as without a terminal."""
    assert on_terminal(tmp_path, ["\n"])[0] == 0
    other = tmp_path / "other"
    other.mkdir()
    assert init(other)[0] == 0
    assert (tmp_path / "providers.yaml").read_text() == (other / "providers.yaml").read_text()


@pytest.mark.parametrize(("key", "code"), [("\x03", 130), ("\x04", 2)])
def test_leaving_at_the_question_writes_nothing(tmp_path: Path, key: str, code: int) -> None:
    """Ctrl-C means no."""
    found, screen = on_terminal(tmp_path, [key])
    assert found == code and "nothing was written" in screen
    assert not listing(tmp_path)


def test_with_yes_nothing_is_asked(tmp_path: Path) -> None:
    """A script on a terminal must not hang."""
    code, screen = on_terminal(tmp_path, [], "--yes")
    assert code == 0 and "Which providers" not in screen


# ---------------------------------------------------------------- all or nothing


def test_when_the_second_file_fails_the_first_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that fills up between the two must not cost the old file."""
    first, second = str(tmp_path / "a"), str(tmp_path / "b")
    Path(first).write_text("old")
    put = new_files._put

    def failing(temporary: Path, path: str) -> None:
        if path == second:
            raise OSError(28, "No space left on device", path)
        put(temporary, path)

    monkeypatch.setattr(new_files, "_put", failing)
    with pytest.raises(UserError, match="No space left on device; nothing was written"):
        write_new({first: "new", second: "new"}, force=True, may_stay=second)
    assert listing(tmp_path) == ["a"] and Path(first).read_text() == "old"


def test_who_comes_second_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two of them at once: between the look and the write there is time for another."""
    path = str(tmp_path / "a")
    monkeypatch.setattr(new_files, "_check", lambda wanted, others, force: Path(path).write_text("theirs"))
    with pytest.raises(UserError, match="File exists"):
        write_new({path: "mine"}, force=False, may_stay="")
    assert listing(tmp_path) == ["a"] and Path(path).read_text() == "theirs"


def test_without_links_it_is_a_rename(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory sticks and network drives have none."""

    def none(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "link", none)
    assert write_new({str(tmp_path / "a"): "new"}, force=False, may_stay="") == {}
    assert listing(tmp_path) == ["a"] and (tmp_path / "a").read_text() == "new"
