"""Kill -9, signals and resume, judged by what the far end counted."""

import os
import signal
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from llmfan.simulation.fake import good, hanging, limited
from tests.loopback.serving import Serving, finish, lines, prompt_file, providers_file, run, start


class Killer:
    """Sends `number` to a process when the far end has seen so many requests."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[str] | None = None
        self.at: list[int] = []
        self.number = signal.SIGKILL

    def __call__(self, count: int) -> None:
        if self.at and self.process is not None and count >= self.at[0]:
            self.at.pop(0)
            os.kill(self.process.pid, self.number)
            if self.number == signal.SIGTERM:  # two of one kind that come in the same breath count as one
                self.number = signal.SIGINT


def test_ten_kills_lose_nothing_and_pay_again_at_most_for_what_was_in_flight(tmp_path: Path) -> None:
    """Somebody's night run dies ten times: every id once, and the provider's bill shows no more than it must."""
    killer = Killer()
    with Serving({"a": good(0.03)}, killer) as far:
        args = _args(tmp_path, far, 300)
        lost: list[str] = []
        for kill in range(11):
            killer.at = [far.requests + 25] if kill < 10 else []
            resume = ["--resume"] if (tmp_path / "r" / "run.json").exists() else []
            killer.process = start(tmp_path, *args, *resume)
            code, _, err = finish(killer.process)
            lost += _listed(err)
            if code == 0:
                break
            assert code == -signal.SIGKILL
        assert code == 0
    results = lines(tmp_path / "r" / "results.jsonl")
    assert Counter(r["id"] for r in results) == {f"p{i}": 1 for i in range(300)}
    assert far.requests <= 300 + len(lost)
    cancelled = Counter(a["id"] for a in lines(tmp_path / "r" / "attempts.jsonl") if a["outcome"] == "cancelled")
    assert cancelled == Counter(lost)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_first_signal_drains_keeps_all_and_prints_how_to_go_on(tmp_path: Path, number: int, code: int) -> None:
    """Requests in flight are paid for: a stop that drops them wastes money, and one that hides how to resume, time."""
    killer = Killer()
    killer.number = signal.Signals(number)
    with Serving({"a": good(0.05)}, killer) as far:
        args = _args(tmp_path, far, 300)
        killer.at = [40]
        killer.process = start(tmp_path, *args)
        got, _, err = finish(killer.process)
        assert got == code
        assert "--resume" in err
        assert len(lines(tmp_path / "r" / "results.jsonl")) == far.requests
        assert not (tmp_path / "r" / "in_flight.jsonl").exists()
        assert run(tmp_path, *args, "--resume")[0] == 0
        assert far.requests == 300


def test_a_torn_last_line_is_cut_off_and_its_prompt_asked_again(tmp_path: Path) -> None:
    """The next line would be glued onto it, and both be lost."""
    with Serving({"a": good(0.0)}) as far:
        args = _args(tmp_path, far, 20)
        assert run(tmp_path, *args)[0] == 0
        path = tmp_path / "r" / "results.jsonl"
        path.write_bytes(path.read_bytes()[:-40])
        code, _, err = run(tmp_path, *args, "--resume")
    assert code == 0
    assert "torn" in err
    assert Counter(r["id"] for r in lines(path)) == {f"p{i}": 1 for i in range(20)}
    assert far.requests == 21


def test_resume_refuses_other_settings_and_says_which(tmp_path: Path) -> None:
    """Answers of two settings in one file would be compared as if they were of one."""
    with Serving({"a": good(0.0)}) as far:
        args = _args(tmp_path, far, 5)
        assert run(tmp_path, *args)[0] == 0
        code, _, err = run(tmp_path, *args, "--resume", "--temperature", "0.5")
    assert code == 2
    assert "--temperature" in err


def test_a_file_that_grew_is_resumed_and_only_its_new_prompts_are_sent(tmp_path: Path) -> None:
    """Prompt sets grow; paying for the old ones again would be a reason not to use resume."""
    with Serving({"a": good(0.0)}) as far:
        args = _args(tmp_path, far, 5)
        assert run(tmp_path, *args)[0] == 0
        with open(tmp_path / "prompts.jsonl", "a") as file:
            file.write('{"id": "new", "prompt": "And this?"}\n')
        assert run(tmp_path, *args, "--resume")[0] == 0
    assert far.requests == 6


def test_a_second_process_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    """Two writers would interleave, and pay for every prompt twice."""
    refused: list[int] = []

    def try_again(count: int) -> None:
        if count == 3:
            refused.append(run(tmp_path, *args, "--resume")[0])

    with Serving({"a": good(0.0)}, try_again) as far:
        args = _args(tmp_path, far, 10)
        assert run(tmp_path, *args)[0] == 0
    assert refused == [2]


def _args(folder: Path, far: Serving, count: int) -> list[str]:
    entries = {"a": {"base_url": far.base_url("a"), "keys": ["key-one-1234", "key-two-1234"], "model": "m"}}
    file, prompts = providers_file(folder, entries), prompt_file(folder, count)
    return ["run", str(prompts), "-p", str(file), "--out", "r", "--concurrency", "8"]


def _listed(err: str) -> list[str]:
    """The ids a resumed run says were in flight."""
    for line in err.splitlines():
        if "were in flight" in line:
            return line.rpartition(": ")[2].split(", ")
    return []


def test_a_resumed_run_remembers_what_it_sent_and_does_not_pass_the_limit(tmp_path: Path) -> None:
    """The provider's window still holds what was sent before the crash; a fresh count would be refused at once."""
    killer = Killer()
    killer.number = signal.SIGKILL
    with Serving({"a": limited("sliding", 12, 60.0, good(0.0))}, killer) as far:
        entry = {"base_url": far.base_url("a"), "keys": ["key-one-1234"], "model": "m", "limits": {"rpm": 12}}
        file, prompts = providers_file(tmp_path, {"a": entry}), prompt_file(tmp_path, 12)
        args = ["run", str(prompts), "-p", str(file), "--out", "r"]
        killer.at = [8]
        killer.process = start(tmp_path, *args)
        assert finish(killer.process)[0] == -signal.SIGKILL
        code, _, _ = run(tmp_path, *args, "--resume", "--max-duration", "8s")
    assert code == 4  # it waits for the window rather than being refused
    assert 10 <= far.requests <= 12
    assert not [s for s in far.fleet.seen if s.status == 429]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_max_ambiguous_0_never_buys_again_what_was_in_flight(tmp_path: Path, number: int) -> None:
    """Who asks for nothing to be paid twice means a crash as well."""
    killer = Killer()
    killer.number = signal.Signals(number)
    with Serving({"a": hanging()}, killer) as far:
        args = [*_args(tmp_path, far, 8), "--max-ambiguous", "0"]
        killer.at = [8] if number == signal.SIGKILL else [7, 8]  # the second one leaves at once
        killer.process = start(tmp_path, *args)
        finish(killer.process)
        sent = far.requests
        assert run(tmp_path, *args, "--resume", "--timeout", "1")[0] == 1
        assert far.requests == 8 >= sent
    results = lines(tmp_path / "r" / "results.jsonl")
    assert Counter(r["id"] for r in results) == {f"p{i}": 1 for i in range(8)}
    assert {r["error"]["kind"] for r in results} <= {"cancelled", "timeout"}
