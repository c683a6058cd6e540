"""The upstream in a process of its own, so that it does not share a core's time with who asks it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import msgspec

from tests.beds.serving import ROOT
from tests.beds.upstream import Site


class FarProcess:
    def __init__(self, origin: str):
        self.origin = origin

    def base_url(self, site: str) -> str:
        return f"{self.origin}/{site}/v1"

    def counts(self) -> Any:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"{self.origin}/counts", timeout=10) as answer:
            return json.load(answer)

    def falls_silent(self, seconds: float = 5.0) -> bool:
        """Whether no request is open any more, within so many seconds."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if self.counts()["open"] == 0:
                return True
            time.sleep(0.02)
        return False


@contextmanager
def far_process(sites: Mapping[str, Site], cpu: int | None = None) -> Iterator[FarProcess]:
    """Runs until the block ends. `cpu`: the one core it may use."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.beds.upstream", msgspec.json.encode(sites).decode()],
        cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        if cpu is not None:
            os.sched_setaffinity(process.pid, {cpu})
        yield FarProcess(process.stdout.readline().strip())
    finally:
        process.stdin.close()  # it ends with whoever started it
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()
