"""Runs to compare: played on the virtual clock, or written down answer by answer."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from llmfan.options import RunOptions
from llmfan.simulation.fake import Behaviour, always, good
from llmfan.simulation.script import Script
from tests.scenarios.world import play, provider

SIGMA = 0.3
MEDIANS = {"a": 0.8, "b": 1.2, "c": 2.0}


def lognormal(median: float, seed: int, *, tail: float = 1.0, failing: float = 0.0) -> Behaviour:
    """Service times as the issue has them. `tail`: every eighth answer takes so many times as long; `failing`: the
    share of prompts that are refused for good."""
    rng = random.Random(seed)

    def behave(now: float, key: str, body: bytes) -> Script:
        if rng.random() < failing:
            return always(400, {"error": {"message": "no", "code": "invalid_request"}})(now, key, body)
        took = rng.lognormvariate(math.log(median), SIGMA)
        if tail != 1.0 and rng.random() < 0.125:
            took *= tail
        return good(took)(now, key, body)

    return behave


def played(
    folder: Path, seed: int, n: int = 500, *, slower: Mapping[str, float] | None = None,
    medians: Mapping[str, float] = MEDIANS, make: Callable[..., Behaviour] = lognormal, **more: Any,
) -> Path:  # fmt: skip
    """A run of three providers, or of `medians`, every prompt to each. `more` goes to the behaviour of "b"."""
    folder.mkdir(parents=True)
    options = RunOptions(mode="providers")
    behaviours = {
        name: make(median * (slower or {}).get(name, 1.0), seed * 31 + at, **(more if name == "b" else {}))
        for at, (name, median) in enumerate(medians.items())
    }
    fleet = [provider(name, open_=True) for name in medians]
    play(folder, fleet, behaviours, n, options)
    header(folder, options)
    return folder


def header(folder: Path, options: RunOptions | None = None, **more: Any) -> None:
    document = {
        "schema": 1, "shaping": (options or RunOptions()).shaping(), "prompts": {"sha256": "same"}, "simulated": False,
        **more,
    }  # fmt: skip
    (folder / "run.json").write_text(json.dumps(document))


def answer(number: int, latency: float | None = 1.0, **more: Any) -> dict[str, Any]:
    """A line of results.jsonl; without a latency, of a job that failed."""
    ok = latency is not None
    found = {
        "id": f"p{number}", "index": number, "repeat": 0, "status": "ok" if ok else "failed", "provider": "a",
        "model": "m", "key": "a#1", "latency_s": latency, "ttft_s": latency and latency / 4, "ttfo_s": None,
        "usage": {"input_tokens": 5, "output_tokens": 10, "source": "server"} if ok else None, "cost_usd": None,
        "score": None,
    }  # fmt: skip
    return found | more


def attempts_of(results: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One after the other."""
    now, found = 0.0, []
    for line in results:
        took = line["latency_s"]
        found.append(
            {**{name: line[name] for name in ("id", "repeat", "provider", "model", "key")}, "attempt": 1,
             "outcome": "bad_request" if took is None else "ok", "sent_s": now, "latency_s": took}
        )  # fmt: skip
        now += took or 0.02
    return found


def written(
    folder: Path, results: Sequence[Mapping[str, Any]], attempts: Sequence[Mapping[str, Any]] | None = None,
    options: RunOptions | None = None, **more: Any,
) -> Path:  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    header(folder, options, **more)
    for name, lines in (("results", results), ("attempts", attempts_of(results) if attempts is None else attempts)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def latencies(n: int, seed: int, factor: float = 1.0, sigma: float = SIGMA) -> list[float]:
    rng = random.Random(seed)
    return [factor * rng.lognormvariate(0.0, sigma) for _ in range(n)]
