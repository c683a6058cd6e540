"""`llmfan serve` as a user starts it: a process of its own, on a port the system picks, with a ledger of its own."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
START_S, STOP_S = 20.0, 15.0


class Served:
    """`url` is the origin; `v1` what an SDK is given."""

    def __init__(self, process: subprocess.Popen[str], log: Path, ready: Mapping[str, Any]):
        self.process, self._log = process, log
        self.url = str(ready["url"]).rstrip("/")
        self.pid, self.v1 = int(ready["pid"]), f"{self.url}/v1"
        self.port = int(self.url.rpartition(":")[2])

    @property
    def said(self) -> str:
        """What it wrote to stderr so far."""
        return self._log.read_text()

    def kib(self, field: str = "VmRSS") -> int:
        """Its memory in KiB, as Linux books it: VmRSS is now, VmHWM the most it ever was."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(field):
                return int(line.split()[1])
        raise ValueError(field)

    def cpu_s(self) -> float:
        """CPU it has used: its fields 14 and 15, counted after its name."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self) -> int:
        """SIGTERM, as a service manager does it; gives its exit code."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise


@contextmanager
def served(
    folder: Path, providers: Mapping[str, Any], *args: str, env: Mapping[str, str] | None = None
) -> Iterator[Served]:
    """Runs until the block ends. `providers`: that section of the file, which is JSON, and so YAML."""
    file, log = folder / "providers.yaml", folder / "serve.log"
    file.write_text(json.dumps({"version": 1, "providers": providers}))
    given = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "HOME": str(folder), **(env or {})}
    command = [sys.executable, "-m", "llmfan", "serve", "-p", str(file), "--state", str(folder / "ledger.db")]
    with open(log, "w", encoding="utf-8") as errors:
        process = subprocess.Popen(
            [*command, "--port", "0", "--json", *args],
            cwd=folder, env=given, text=True, stdout=subprocess.PIPE, stderr=errors, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    try:
        server = Served(process, log, _ready(process, log))
        yield server
        server.stop()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()


def entry(base_url: str, keys: Any = "none", model: str = "m", **more: Any) -> dict[str, Any]:
    return {"base_url": base_url, "keys": keys, "model": model, **more}


def _ready(process: subprocess.Popen[str], log: Path) -> Mapping[str, Any]:
    """Its one line on stdout."""
    assert process.stdout is not None
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        if select.select([process.stdout], [], [], 0.2)[0]:
            line = process.stdout.readline()
            if not line:
                break
            found: Mapping[str, Any] = json.loads(line)
            return found
    raise AssertionError(f"it did not start (exit code {process.poll()}): {log.read_text()[-2000:]}")
