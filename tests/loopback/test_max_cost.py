"""--max-cost is the whole run's, however often it is cut off and gone on with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from llmfan.simulation.fake import Behaviour, good, whole_answer
from llmfan.simulation.script import FOREVER, Script
from tests.loopback.serving import Serving, lines, providers_file, run

BOUND = 0.5
#: USD per million tokens: each turn of a conversation is about a cent.
INPUT, OUTPUT, GIVEN, MADE = 10.0, 100.0, 500, 50
TURNS = 30


def conversations(folder: Path, count: int) -> Path:
    path = folder / "prompts.jsonl"
    said = [f"Turn {n}?" for n in range(TURNS)]
    path.write_text("".join(json.dumps({"id": f"c{n}", "turns": said}) + "\n" for n in range(count)))
    return path


def billing(bill: list[float], latency: float) -> Behaviour:
    """Counts whatever it was sent, answered in time or not."""

    def behave(now: float, key: str, body: bytes) -> Script:
        bill.append((GIVEN * INPUT + MADE * OUTPUT) / 1e6)
        document = json.loads(whole_answer(latency, "So it is.", MADE).writes[0][1])
        document["usage"] = {"prompt_tokens": GIVEN, "completion_tokens": MADE, "total_tokens": GIVEN + MADE}
        return Script(200, {"content-type": "application/json"}, [(latency, json.dumps(document).encode())])

    return behave


def entries(far: Serving, **more: Any) -> dict[str, dict[str, Any]]:
    price = {"input": INPUT, "output": OUTPUT}
    given = {"keys": ["key-one-1234"], "model": "m", "paid": True, "price": price, "stream": False, "max_tokens": MADE}
    return {"a": {"base_url": far.base_url("a"), **given, **more}}


def test_conversations_that_are_cut_off_again_and_again_stay_within_the_bound(tmp_path: Path) -> None:
    """They have no result, so the summary's cost is nothing: each session would spend the whole bound anew."""
    bill: list[float] = []
    with Serving({"a": billing(bill, 0.2)}) as far:
        file, prompts = providers_file(tmp_path, entries(far)), conversations(tmp_path, 12)
        ask = ["run", str(prompts), "-p", str(file), "--out", "r", "--max-cost", f"{BOUND}"]
        codes = [run(tmp_path, *ask, "--max-duration", "0.4s")[0]]
        for _ in range(2):
            codes.append(run(tmp_path, *ask, "--max-duration", "0.4s", "--resume")[0])
    assert codes == [4] * 3
    assert 0.6 * BOUND < sum(bill) <= BOUND + 1e-9
    assert not lines(tmp_path / "r" / "results.jsonl")


def test_answers_that_never_came_are_spent_in_the_next_session_too(tmp_path: Path) -> None:
    """Timed out and billed, perhaps: a provider that hangs would be paid once more with each --resume."""
    sent: list[float] = []

    def hang(now: float, key: str, body: bytes) -> Script:
        sent.append(now)
        return Script(200, {}, [(FOREVER, b"")])

    with Serving({"a": hang}) as far:
        file = providers_file(tmp_path, entries(far, max_tokens=1000, timeout=0.2))
        prompts = conversations(tmp_path, 30)
        ask = ["run", str(prompts), "-p", str(file), "--out", "r", "--max-cost", f"{BOUND}", "--max-duration", "0.7s"]
        codes = [run(tmp_path, *ask)[0], run(tmp_path, *ask, "--resume")[0], run(tmp_path, *ask, "--resume")[0]]
    assert codes == [4, 4, 4]
    assert 2 <= len(sent) <= BOUND / (1000 * OUTPUT / 1e6)


def test_a_bound_that_was_passed_all_the_same_is_said_and_ends_with_4(tmp_path: Path) -> None:
    """A server may count a thousand times what a prompt looks like; `done` and 0 would be a lie."""
    with Serving({"a": good(0.02, output_tokens=5000)}) as far:
        file = providers_file(tmp_path, entries(far))
        prompts = tmp_path / "prompts.jsonl"
        prompts.write_text('{"id": "p", "prompt": "Hi"}\n')
        code, _, err = run(tmp_path, "run", str(prompts), "-p", str(file), "--out", "r", "--max-cost", "0.01")
    assert code == 4
    assert "--max-cost" in err


def test_the_warm_up_is_the_first_sessions(tmp_path: Path) -> None:
    """Taken out of each session's beginning, a run of ten sessions has no figures left."""
    with Serving({"a": good(0.02)}) as far:
        file = providers_file(tmp_path, {"a": {"base_url": far.base_url("a"), "keys": ["key-one-1234"], "model": "m"}})
        prompts = tmp_path / "prompts.jsonl"
        prompts.write_text("".join(json.dumps({"id": f"p{n}", "prompt": "Hi"}) + "\n" for n in range(12)))
        ask = ["run", str(prompts), "-p", str(file), "--out", "r", "--warmup", "3", "--concurrency", "1"]
        assert run(tmp_path, *ask, "--rate", "10/s", "--max-duration", "0.6s")[0] == 4
        assert run(tmp_path, *ask, "--rate", "10/s", "--resume")[0] == 0
    attempts = lines(tmp_path / "r" / "attempts.jsonl")
    assert len(attempts) == 12
    assert sum(a["warmup"] for a in attempts) == 3
