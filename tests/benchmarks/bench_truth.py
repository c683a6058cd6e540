"""Are the figures true? llmfan against a server with known timing, at 1, 50 and 200 in flight.

    python tests/benchmarks/bench_truth.py

Each figure of summary.json beside what the server is meant to do, what its own clock says it did, and what an
independent count of results.jsonl and attempts.jsonl gives. A figure is off by what exceeds both 5 ms and 3 %.
"""

from __future__ import annotations

import json
import math
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from timed_server import CHUNKS, GAP_S, LATENCY_S, TOKENS, TTFO_S, TTFT_S

HERE = Path(__file__).parent
TRUTH = {
    "ttft_s": TTFT_S, "ttfo_s": TTFO_S, "latency_s": LATENCY_S, "itl_s": GAP_S,
    "tpot_s": (LATENCY_S - TTFT_S) / (CHUNKS * TOKENS - 1),
}  # fmt: skip
LOADS = ((1, 10), (50, 300), (200, 1000))


def main() -> None:
    for in_flight, prompts in LOADS:
        with tempfile.TemporaryDirectory() as folder:
            print(f"\n{in_flight} in flight, {prompts} prompts")
            report(*measured(Path(folder), in_flight, prompts))


def measured(folder: Path, in_flight: int, prompts: int) -> tuple[dict[str, Any], dict[str, list[float]], Any]:
    """(the summary's document, an independent list of every value, the server's own times)."""
    port = free_port()
    log = folder / "server.log"
    with open(log, "wb") as out:
        server = subprocess.Popen([sys.executable, str(HERE / "timed_server.py"), str(port)], stdout=out)
    try:
        wait_for(port)
        entry = {"base_url": f"http://127.0.0.1:{port}/v1", "keys": "none", "model": "m", "limits": "none"}
        (folder / "p.yaml").write_text(json.dumps({"version": 1, "providers": {"timed": entry}}))
        lines = (json.dumps({"id": f"p{n}", "prompt": f"Question {n}?"}) for n in range(prompts))
        (folder / "p.jsonl").write_text("\n".join(lines))
        command = ["run", "p.jsonl", "-p", "p.yaml", "--out", "r", "--concurrency", str(in_flight), "-q", "--json"]
        state = ["--state", str(folder / "ledger.db")]
        subprocess.run(
            [sys.executable, "-m", "llmfan", *command, *state], cwd=folder, check=True, stdout=subprocess.DEVNULL
        )
    finally:
        server.terminate()
        server.wait()
    return json.loads((folder / "r" / "summary.json").read_text()), counted(folder / "r"), own_times(log)


def counted(run: Path) -> dict[str, list[float]]:
    """Every value, counted with nothing of llmfan's."""
    values: dict[str, list[float]] = {name: [] for name in TRUTH}
    for line in (run / "results.jsonl").read_text().splitlines():
        result = json.loads(line)
        for name in ("ttft_s", "ttfo_s", "latency_s"):
            values[name].append(result[name])
        tokens = result["usage"]["output_tokens"]
        values["tpot_s"].append((result["latency_s"] - result["ttft_s"]) / (tokens - 1))
    for line in (run / "attempts.jsonl").read_text().splitlines():
        values["itl_s"] += [gap / 1000 for gap, count in json.loads(line)["itl_ms"] for _ in range(count)]
    return {name: sorted(found) for name, found in values.items()}


def own_times(log: Path) -> dict[str, list[float]]:
    times = [json.loads(line) for line in log.read_text().splitlines()]
    return {name: sorted(t[at] for t in times) for at, name in enumerate(("ttft_s", "ttfo_s", "latency_s"))}


def report(summary: dict[str, Any], values: dict[str, list[float]], own: dict[str, list[float]]) -> None:
    print(f"{'figure':10} {'truth':>8} {'server p50':>10} {'p50':>8} {'p95':>8} {'counted p50':>11} {'p95':>8}")
    for name, truth in TRUTH.items():
        found = summary[name]
        server = f"{1000 * quantile(own[name], 0.5):10.2f}" if name in own else " " * 10
        ours = [1000 * found["p50"], 1000 * found["p95"]]
        theirs = [1000 * quantile(values[name], q) for q in (0.5, 0.95)]
        off = "" if close(found["p50"], truth) else "  OFF"
        print(f"{name:10} {1000 * truth:8.2f} {server} {ours[0]:8.2f} {ours[1]:8.2f} "
              f"{theirs[0]:11.2f} {theirs[1]:8.2f}{off}")  # fmt: skip
    print("client:", {k: summary["client"][k] for k in ("loop_lag_p99_s", "cpu_share", "limited", "why")})


def close(value: float, truth: float) -> bool:
    return abs(value - truth) <= max(0.005, 0.03 * truth)


def quantile(values: list[float], q: float) -> float:
    return values[max(1, math.ceil(q * len(values))) - 1]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(port: int) -> None:
    for _ in range(100):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise SystemExit("the server did not start")


if __name__ == "__main__":
    main()
