"""`--rate` over a real server: what a queue does to a caller, and what the provider has to do with it."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from llmfan.simulation.fake import good
from tests.loopback.serving import Serving, lines, prompt_file, providers_file, run


def test_half_a_second_of_service_at_ten_a_second_is_a_queue_and_the_total_shows_it(tmp_path: Path) -> None:
    """One at a time allowed. Timed from the send, every call takes half a second and all is well; callers wait twice as
    long with each that comes. (Only bounds from below, and order: a busy machine makes everything later.)"""
    with Serving({"a": good(0.5)}) as far:
        entries = {"a": {"base_url": far.base_url("a"), "keys": ["key-one-1234"], "model": "m"}}
        file, prompts = providers_file(tmp_path, entries), prompt_file(tmp_path, 5)
        code, _, err = run(
            tmp_path, "run", str(prompts), "-p", str(file), "--out", "r", "--rate", "10/s", "--concurrency", "1"
        )
        assert code == 0, err
        arrived = [seen.at for seen in far.fleet.seen]
    assert all(b - a >= 0.49 for a, b in pairwise(arrived))  # one at a time
    results = sorted(lines(tmp_path / "r" / "results.jsonl"), key=lambda r: r["planned_s"])
    first = results[0]["planned_s"]
    for k, r in enumerate(results):
        assert abs(r["planned_s"] - first - 0.1 * k) < 1e-5
        assert r["latency_s"] >= 0.49
        assert r["total_s"] >= 0.49 + 0.39 * k  # 0.5, 0.9, 1.3, …
        assert r["wait_s"] >= 0.39 * k - 0.01
        assert abs(r["wait_s"] + r["latency_s"] - r["total_s"]) < 1e-5
    totals = [r["total_s"] for r in results]
    assert totals == sorted(totals)
    assert min(r["latency_s"] for r in results) < min(totals[1:])
