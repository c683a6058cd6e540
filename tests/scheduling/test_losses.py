"""Where the time went: rests count as rests, with limits and without."""

from __future__ import annotations

from itertools import count
from pathlib import Path

from llmfan.options import RunOptions
from llmfan.simulation.fake import always, good, in_turn
from llmfan.simulation.script import Script
from tests.scenarios.world import play, provider


def test_the_rests_of_a_failing_provider_without_limits_are_not_called_spacing(tmp_path: Path) -> None:
    """Who reads "spacing" turns at limits and bursts, while the server is down half of the time."""
    flaky = in_turn(good(0.05), always(500, "no"), always(500, "no"))
    happened = play(tmp_path, [provider("a", open_=True)], {"a": flaky}, 40, RunOptions(max_attempts=20, concurrency=4))
    duration = max(a["sent_s"] + a["latency_s"] for a in happened.attempts)
    lost = happened.run.losses.shares(rest=duration, attempts_lost=0, tail=0.0, late=0.0)
    assert duration > 5.0
    assert lost.cooldowns > 0.5 * duration
    assert lost.spacing < 0.5 * duration


def test_an_answer_that_shows_a_provider_alive_ends_its_rest_for_all(tmp_path: Path) -> None:
    """Failures in a row open its circuit, the next answer closes it: keys that wait on would wait for nothing."""
    fails, answers, asked = always(500, "no", latency=0.02), good(0.1), count()

    def far_end(now: float, key: str, body: bytes) -> Script:
        return (fails if next(asked) < 3 else answers)(now, key, body)

    options = RunOptions(max_attempts=9, concurrency=8)
    happened = play(tmp_path, [provider("a", axes={"rpm": 60_000})], {"a": far_end}, 40, options)
    assert {r["status"] for r in happened.results} == {"ok"}
    assert max(a["sent_s"] for a in happened.attempts) < 1.0
