"""The inputs of the benchmarks: prompt sets of any length, and a fleet of eight keys on one local server."""

from __future__ import annotations

from pathlib import Path

KEYS = 8


def write_prompts(path: Path, count: int) -> Path:
    """Lines of about 280 bytes, each its own; written one by one, so that the writer stays small."""
    filler = "Weigh the reasons for and against, name the strongest of each, and end with a sentence of advice. " * 2
    with open(path, "w", encoding="utf-8") as file:
        for i in range(count):
            file.write(f'{{"id": "p{i}", "prompt": "Question {i}: is it worth mending? {filler}"}}\n')
    return path


def fleet_file(path: Path, url: str) -> Path:
    path.write_text(
        f"version: 1\nproviders:\n  bench:\n    base_url: {url}\n    keys: $LLMFAN_BENCH_KEY*\n"
        "    model: bench-model\n    limits: none\n"
    )
    return path


def fleet_keys() -> dict[str, str]:
    return {f"LLMFAN_BENCH_KEY_{i}": f"sk-bench-{i}" for i in range(KEYS)}
