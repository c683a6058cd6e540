"""Folders of runs as a run leaves them, made without one."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

from llmfan.measures.accumulate import Accumulator
from llmfan.records import AttemptLine, ErrorInfo, ResultLine, ResultUsage

BEGAN, ENDED = "2026-11-21T10:00:00.000Z", "2026-11-21T10:05:00.000Z"
OPTIONS = ("--prompt-field", "--expect-field", "--id-field", "--template", "--system")


def result(number: int = 0, **more: Any) -> ResultLine:
    """An answer in a second, at 10 seconds into the run."""
    fields: dict[str, Any] = {
        "id": f"q{number}", "index": number, "repeat": 0, "status": "ok", "provider": "a", "model": "m", "key": "a#1",
        "text": f"answer {number}", "reasoning": None, "finish_reason": "stop", "usage": ResultUsage(7, 5, "server"),
        "cost_usd": 0.001, "wait_s": 9.0, "retry_s": 0.0, "ttft_s": 0.25, "ttfo_s": 0.25, "latency_s": 1.0,
        "total_s": 10.0, "attempts": 1, "error": None, "expect": None, "score": None, "metadata": None,
        "simulated": False,
    }  # fmt: skip
    return ResultLine(**{**fields, **more})


def failed(number: int = 0, kind: str = "server_error", message: str = "it broke", **more: Any) -> ResultLine:
    none = dict.fromkeys(("text", "finish_reason", "usage", "wait_s", "ttft_s", "ttfo_s", "latency_s", "total_s"))
    status = more.pop("http_status", 500)
    return result(number, status="failed", error=ErrorInfo(kind, message, status), **{**none, **more})


def attempt(number: int = 0, outcome: str = "ok", sent_s: float = 9.0, **more: Any) -> AttemptLine:
    fields: dict[str, Any] = {
        "id": f"q{number}", "attempt": 1, "provider": "a", "model": "m", "key": "a#1", "started_at": BEGAN,
        "ttft_s": 0.25, "latency_s": 1.0, "http_status": 200, "outcome": outcome, "billed": "yes",
        "retry_after_s": None, "input_tokens": 7, "output_tokens": 5, "usage_source": "server", "ttfo_s": 0.25,
        "sent_s": sent_s, "repeat": 0, "turn": 0, "itl_ms": [],
    }  # fmt: skip
    return AttemptLine(**{**fields, **more})


def run_folder(
    folder: Path,
    results: Iterable[ResultLine] = (),
    attempts: Iterable[AttemptLine] = (),
    *,
    ended: bool = True,
    prompts: Path | None = None,
    shaping: dict[str, Any] | None = None,
    totals: dict[str, Any] | None = None,
) -> Path:
    """A finished run, with its summary; or one that has not `ended`, without."""
    folder.mkdir(parents=True, exist_ok=True)
    accumulator = Accumulator()
    with open(folder / "results.jsonl", "wb") as file:
        for line in results:
            accumulator.result(line)
            file.write(msgspec.json.encode(line) + b"\n")
    with open(folder / "attempts.jsonl", "wb") as file:
        for sent in attempts:
            accumulator.attempt(sent)
            file.write(msgspec.json.encode(sent) + b"\n")
    data = prompts.read_bytes() if prompts else b""
    header = {
        "schema": 1, "args": ["run"], "fleet": {"providers": []}, "versions": {}, "simulated": False,
        "shaping": {"--mode": "spread", "--repeat": 1, **dict.fromkeys(OPTIONS), **(shaping or {})},
        "prompts": {"path": str(prompts or "gone.jsonl"), "size": len(data), "sha256": sha256(data).hexdigest()},
        "started_at": BEGAN, "ended_at": ENDED if ended else None, "sessions": [BEGAN],
    }  # fmt: skip
    (folder / "run.json").write_bytes(msgspec.json.encode(header))
    if ended:
        (folder / "summary.json").write_bytes(msgspec.json.encode(summary(accumulator, header, totals or {})))
    return folder


def summary(accumulator: Accumulator, header: dict[str, Any], totals: dict[str, Any]) -> dict[str, Any]:
    whole = accumulator.merged()
    return {
        "schema": 1, "run": {**{k: v for k, v in header.items() if k != "fleet"}, "ending": "done", "why": ""},
        "simulated": False, "totals": {**whole.totals(), "unsent": 0, **totals}, **whole.distributions(),
        "providers": accumulator.listing(lambda ident: ident[0]),
        "models": accumulator.listing(lambda ident: f"{ident[0]}/{ident[1]}"),
        "keys": accumulator.listing(lambda ident: ident[2]), "errors": dict(whole.errors), "gates": [],
        "client": {"limited": False, "why": ""},
    }  # fmt: skip
