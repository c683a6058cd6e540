"""A recognisable key is used in every way a run can go, and then looked for in every byte that came out."""

from __future__ import annotations

from pathlib import Path

from llmfan.simulation.fake import Behaviour, always, good
from llmfan.simulation.script import Script
from tests.loopback.serving import Serving, prompt_file, providers_file, run, start

CANARY = "sk-canary-7f3a9b1c5d8e2f60"


def echoing() -> Behaviour:
    """Quotes the key back, as some servers do."""

    def behave(now: float, key: str, body: bytes) -> Script:
        return always(401, {"error": {"message": f"Incorrect API key provided: {key}"}})(now, key, body)

    return behave


def test_no_key_reaches_a_file_a_screen_or_an_argument(tmp_path: Path) -> None:
    """Result folders are shared, logs are public, and `ps` shows arguments to everybody on the machine."""
    spoken = ""
    commands: list[bytes] = []
    with Serving({"a": good(0.0), "b": echoing()}, lambda n: commands.extend(_command_lines())) as far:
        entries = {
            "a": {"base_url": far.base_url("a"), "keys": ["$CANARY_KEY"], "model": "m"},
            "b": {"base_url": far.base_url("b"), "keys": ["$CANARY_KEY_2", CANARY + "-literal"], "model": "m"},
            "c": {"base_url": far.base_url("a"), "keys": "none", "model": "m", "headers": {"X-Own": "$CANARY_KEY"}},
        }
        file, prompts = providers_file(tmp_path, entries), prompt_file(tmp_path, 20)
        (tmp_path / ".env").write_text(f"CANARY_KEY_2={CANARY}-two\n")
        env = {"CANARY_KEY": CANARY}
        for number, more in enumerate((["-v"], ["--json"], ["--dry-run"], ["--only", "b"], ["--no-stream"])):
            code, out, err = run(tmp_path, "run", str(prompts), "-p", str(file), "--out", f"r{number}", *more, env=env)
            assert code in (0, 4), err
            spoken += out + err
    assert "out for this run" in spoken
    assert far.requests > 60
    assert CANARY not in spoken
    for path in tmp_path.rglob("*"):
        if path.is_file() and path.name not in (".env", "providers.yaml"):
            assert CANARY.encode() not in path.read_bytes(), path
    assert any(b"--out" in line for line in commands)
    assert not any(CANARY.encode() in line for line in commands)


def test_a_key_with_a_newline_is_refused_by_its_variable_not_its_value(tmp_path: Path) -> None:
    """It would be a second header in every request; and the message must not print what it complains of."""
    entries = {"a": {"base_url": "http://127.0.0.1:9/v1", "keys": ["$BAD_KEY"], "model": "m"}}
    file, prompts = providers_file(tmp_path, entries), prompt_file(tmp_path, 1)
    process = start(tmp_path, "run", str(prompts), "-p", str(file), env={"BAD_KEY": f"{CANARY}\nX-Evil: 1"})
    out, err = process.communicate(timeout=30)
    assert process.returncode == 2
    assert "BAD_KEY" in err
    assert CANARY not in out + err


def _command_lines() -> list[bytes]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes()
        except OSError:
            continue  # it has just ended
        if b"llmfan" in line:
            found.append(line)
    return found
