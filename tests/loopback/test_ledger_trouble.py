"""`run`, `probe` and `status` where something is wrong with the ledger: each goes on, and says what is wrong."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from llmfan.inputs.config import load_fleet
from llmfan.ledgers.opening import open_ledger
from llmfan.ledgers.schema import APPLICATION
from llmfan.records import Booking
from llmfan.simulation.fake import good
from tests.loopback.serving import Serving, lines, prompt_file, providers_file, run

HOUR = 3600.0


def garbage(state: Path) -> Path:
    state.write_bytes(b"this was a ledger once\n" * 400)
    return state


def newer(state: Path) -> Path:
    with sqlite3.connect(state) as connection:
        connection.execute(f"PRAGMA application_id = {APPLICATION}")
        connection.execute("CREATE TABLE future (x)")
        connection.execute("PRAGMA user_version = 99")
    return state


def nowhere(state: Path) -> Path:
    """Not even root can make a folder in a file."""
    state.write_text("a file")
    return state / "ledger"


@pytest.mark.parametrize(
    ("spoil", "said"),
    [(garbage, "damaged"), (newer, "newer llmfan"), (nowhere, "cannot be")],
    ids=lambda p: getattr(p, "__name__", ""),
)
def test_each_command_goes_on_and_says_what_is_wrong(tmp_path: Path, spoil: Callable[[Path], Path], said: str) -> None:
    """A night's run must not end because of a file that only helps; nor may it be thrown away with what was in it."""
    with Serving({"a": good(0.01)}) as far:
        entry = {"base_url": far.base_url("a") + "/v1", "model": "m", "keys": ["key-of-a"], "limits": {"rpd": 50}}
        file, prompts = providers_file(tmp_path, {"a": entry}), prompt_file(tmp_path, 5)
        for number, command in enumerate((["run", str(prompts), "-o", "r", "-q"], ["probe", "-q"], ["status"])):
            folder = tmp_path / f"state-{number}"
            folder.mkdir()
            state = spoil(folder / "ledger")
            before = (folder / "ledger").read_bytes()
            code, _, err = run(tmp_path, *command, "-p", str(file), "--state", str(state))
            assert code == 0, err
            assert "Traceback" not in err
            if command[0] != "status" or spoil is not nowhere:
                assert said in err
            assert before in [kept.read_bytes() for kept in folder.iterdir() if kept.is_file()]
    assert len(lines(tmp_path / "r" / "results.jsonl")) == 5


def test_a_clock_set_back_an_hour_hands_nothing_back(tmp_path: Path) -> None:
    """What was sent at three o'clock is not to come when it is two again."""
    with Serving({"a": good(0.01)}) as far:
        entry = {"base_url": far.base_url("a") + "/v1", "model": "m", "keys": ["key-of-a"], "limits": {"rpd": 8}}
        file, prompts = providers_file(tmp_path, {"a": entry}), prompt_file(tmp_path, 5)
        state = str(tmp_path / "ledger")
        ledger = open_ledger(state, load_fleet(str(file), {}), print, wall=lambda: time.time() + HOUR)
        ledger.book(lambda _: [Booking(owner="a#1", axis="rpd", amount=6, at=time.time() + HOUR)])
        ledger.close()
        code, _, err = run(tmp_path, "run", str(prompts), "-p", str(file), "--state", state, "-o", "r", "-q")
        assert code == 4
        assert "behind the ledger's last entry" in err
        assert far.requests == 2
        _, out, err = run(tmp_path, "status", "-p", str(file), "--state", state, "--json")
    assert "behind the ledger's last entry" in err
    assert json.loads(out)["quota_status"]["a"]["keys"][0]["limits"]["rpd"]["used"] == 8


def test_what_a_run_and_a_probe_found_is_what_status_tells(tmp_path: Path) -> None:
    """Three commands, one book: or each tells a story of its own."""
    with Serving({"a": good(0.01, output_tokens=7)}) as far:
        entry = {"base_url": far.base_url("a") + "/v1", "model": "m", "keys": ["key-of-a"], "limits": {"rpd": 50}}
        file, prompts = providers_file(tmp_path, {"a": entry}), prompt_file(tmp_path, 5)
        assert run(tmp_path, "run", str(prompts), "-p", str(file), "-o", "r", "-q")[0] == 0
        assert run(tmp_path, "probe", "-p", str(file), "-q")[0] == 0
        _, out, _ = run(tmp_path, "status", "-p", str(file), "--json")
    told = json.loads(out)["quota_status"]["a"]
    assert (told["calls_today"], told["max_daily"], told["state"], told["success_rate"]) == (6, 50, "ready", 1.0)
    assert told["keys"][0]["limits"]["rpd"]["used"] == 6
