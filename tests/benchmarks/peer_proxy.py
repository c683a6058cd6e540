"""LiteLLM's proxy over the same server, as its own documentation sets it up for production: one worker, no database,
errors only in the log, one deployment for each key."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

TOKEN = "sk-bench-caller"
START_S = 120.0
QUIET = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR", "LITELLM_MODE": "PRODUCTION", "NO_PROXY": "*",
}  # fmt: skip


@contextmanager
def proxy(program: str, folder: Path, upstream: str, model: str, keys: Sequence[str]) -> Iterator[str]:
    """Runs until the block ends; gives its base URL."""
    port, config, log = _free_port(), folder / "litellm.yaml", folder / "litellm.log"
    config.write_text(json.dumps(_config(upstream, model, keys)))
    command = [program, "--config", str(config), "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
    with open(log, "wb") as said:
        process = subprocess.Popen(command, cwd=folder, stdout=said, stderr=said, env={**os.environ, **QUIET})
    try:
        url = f"http://127.0.0.1:{port}"
        _wait_for(f"{url}/health/liveliness", process, log)
        yield f"{url}/v1"
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _config(upstream: str, model: str, keys: Sequence[str]) -> dict[str, object]:
    deployments = [
        {"model_name": model, "litellm_params": {"model": f"openai/{model}", "api_base": upstream, "api_key": key}}
        for key in keys
    ]
    return {
        "model_list": deployments,
        "general_settings": {"master_key": TOKEN},
        "litellm_settings": {"telemetry": False, "set_verbose": False, "request_timeout": 600},
        "router_settings": {"routing_strategy": "simple-shuffle"},
    }


def _wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    until = time.monotonic() + START_S
    while time.monotonic() < until and process.poll() is None:
        try:
            opener.open(url, timeout=5).close()
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    sys.exit(f"the peer did not start: {log.read_text(errors='replace')[-2000:]}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
