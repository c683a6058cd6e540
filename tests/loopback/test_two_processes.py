"""Two llmfan processes on the same keys at once, judged by what the far end counted."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import deque
from pathlib import Path

from llmfan.simulation.fake import good, hanging
from llmfan.simulation.script import Script
from tests.loopback.serving import Serving, finish, lines, prompt_file, providers_file, run, start


class Counting:
    """Answers after `latency`, and keeps the most it ever had open at once and took within a second."""

    def __init__(self, latency: float):
        self.latency, self.total, self.most_open, self.most_a_second = latency, 0, 0, 0
        self._open: deque[float] = deque()
        self._recent: deque[float] = deque()
        self._behave = good(latency)

    def __call__(self, now: float, key: str, body: bytes) -> Script:
        self.total += 1
        for kept, span in ((self._open, self.latency), (self._recent, 1.0)):
            while kept and kept[0] <= now - span:
                kept.popleft()
            kept.append(now)
        self.most_open = max(self.most_open, len(self._open))
        self.most_a_second = max(self.most_a_second, len(self._recent))
        return self._behave(now, key, body)


def fleet(tmp_path: Path, far: Serving, limits: dict[str, float]) -> list[str]:
    entry = {"base_url": far.base_url("a") + "/v1", "model": "m", "keys": ["key-of-the-account"], "limits": limits}
    file, prompts = providers_file(tmp_path, {"a": entry}), prompt_file(tmp_path, 60)
    return ["run", str(prompts), "-p", str(file), "--state", str(tmp_path / "ledger"), "-q"]


def test_two_processes_together_never_pass_a_limit(tmp_path: Path) -> None:
    """A cron job beside a run by hand spends the day twice, and both are punished for it."""
    counting = Counting(0.1)
    with Serving({"a": counting}) as far:
        args = fleet(tmp_path, far, {"rps": 20, "rpd": 70, "concurrency": 3})
        both = [start(tmp_path, *args, "-o", f"r{n}") for n in range(2)]
        codes = sorted(finish(process)[0] for process in both)
    assert codes in ([0, 4], [4, 4])  # 120 prompts, and a day of 70
    assert counting.total == 70
    assert counting.most_open <= 3
    assert counting.most_a_second <= 20
    assert sum(len(lines(tmp_path / f"r{n}" / "results.jsonl")) for n in range(2)) == 70


def test_what_a_killed_process_held_is_free_again(tmp_path: Path) -> None:
    """One crashed job would starve the next for as long as its places are thought to be taken."""
    hang, answer = hanging(), good(0.05)
    held = threading.Event()

    def behave(now: float, key: str, body: bytes) -> Script:
        if not held.is_set():
            if far.requests >= 3:
                held.set()
            return hang(now, key, body)
        return answer(now, key, body)

    with Serving({"a": behave}) as far:
        args = fleet(tmp_path, far, {"rpm": 6000, "concurrency": 3})
        first = start(tmp_path, *args, "-o", "r0")
        assert held.wait(20)
        os.kill(first.pid, signal.SIGKILL)
        killed = time.monotonic()
        finish(first)
        assert run(tmp_path, *args, "-o", "r1")[0] == 0
        assert time.monotonic() - killed < 60
    assert len(lines(tmp_path / "r1" / "results.jsonl")) == 60


def test_keys_of_one_account_share_it_though_each_run_uses_another(tmp_path: Path) -> None:
    """`--only` names keys one by one: the account's day would be spent once for each."""
    counting = Counting(0.01)
    with Serving({"a": counting}) as far:
        entry = {
            "base_url": far.base_url("a") + "/v1", "model": "m", "keys": ["key-number-one", "key-number-two"],
            "limits": {"rpd": 8, "shared": "account"},
        }  # fmt: skip
        args = ["run", str(prompt_file(tmp_path, 6)), "-p", str(providers_file(tmp_path, {"a": entry})), "-q"]
        assert run(tmp_path, *args, "--only", "a#1", "-o", "r0")[0] == 0
        assert run(tmp_path, *args, "--only", "a#2", "-o", "r1")[0] == 4
    assert counting.total == 8
