"""Scripted providers on a real loopback server in a thread of its own, and llmfan as a process of its own."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from llmfan.simulation.fake import Behaviour, ScriptedFleet
from llmfan.simulation.loopback import LoopbackFleet

ROOT = Path(__file__).parents[2]


class Serving:
    """`with Serving({...}) as far:` serves until the block ends. `on_request` is called with the number of each."""

    def __init__(self, behaviours: Mapping[str, Behaviour], on_request: Callable[[int], None] | None = None):
        wrapped = {name: self._counted(b) for name, b in behaviours.items()}
        self.fleet = ScriptedFleet(wrapped)
        self.requests = 0
        self._on_request = on_request
        self._loop = asyncio.new_event_loop()
        self._server = LoopbackFleet(self.fleet.providers, time.perf_counter)
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def _counted(self, behave: Behaviour) -> Behaviour:
        def counted(now: float, key: str, body: bytes) -> Any:
            self.requests += 1
            if self._on_request is not None:
                self._on_request(self.requests)
            return behave(now, key, body)

        return counted

    def __enter__(self) -> Serving:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._server.__aenter__(), self._loop).result(10)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._server.__aexit__(None, None, None), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def base_url(self, name: str) -> str:
        return self._server.base_url(name)


def providers_file(folder: Path, entries: Mapping[str, Mapping[str, Any]]) -> Path:
    """JSON is YAML."""
    path = folder / "providers.yaml"
    path.write_text(json.dumps({"version": 1, "providers": entries}))
    return path


def prompt_file(folder: Path, count: int) -> Path:
    path = folder / "prompts.jsonl"
    path.write_text("".join(json.dumps({"id": f"p{i}", "prompt": f"Question {i}?"}) + "\n" for i in range(count)))
    return path


def start(folder: Path, *args: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    """llmfan as a user starts it, in `folder`."""
    given = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "HOME": str(folder), **(env or {})}
    return subprocess.Popen(
        [sys.executable, "-m", "llmfan", *args],
        cwd=folder, env=given, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL,
    )  # fmt: skip


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def run(folder: Path, *args: str, env: Mapping[str, str] | None = None) -> tuple[int, str, str]:
    return finish(start(folder, *args, env=env))


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]
