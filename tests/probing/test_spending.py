"""`--measure`: which keys it spends on, what it says beforehand, and what comes of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from llmfan.probing.prober import Prober
from llmfan.probing.spending import announcement, plans, spend
from llmfan.simulation.limiter import SlidingLog
from llmfan.simulation.script import Script
from tests.probing.world import Far, Probed, answers, fleet_of, lists, probe, refuses, reported


class Limited:
    """A server that counts by account and says nothing of it until it refuses."""

    def __init__(self, limit: int, accounts: Mapping[str, str] | None = None, words: str = "Rate limit reached"):
        self._limits: dict[str, SlidingLog] = {}
        self._limit, self._accounts, self._words = limit, accounts or {}, words
        self.now = 0.0
        self.far = Far(self._answer)

    def handle(self, now: float, path: str, headers: Mapping[str, str], body: bytes) -> Script:
        self.now = now
        return self.far.handle(now, path, headers, body)

    def _answer(self, what: str, key: str, body: dict[str, Any]) -> Script:
        if what != "ask":
            return lists("m")
        log = self._limits.setdefault(self._accounts.get(key, key), SlidingLog(self._limit, 60.0))
        return answers(0.05) if log.admit(self.now, 1.0).ok else refuses(429, self._words, latency=0.05)

    def sent(self, key: str) -> int:
        return sum(seen.key == key for seen in self.far.asked("ask"))


def measured(tmp_path: Path, far: Mapping[str, Any], most: int = 300, **entries: Any) -> tuple[Probed, list[str]]:
    said: list[str] = []

    async def further(prober: Prober, clock: Any) -> None:
        await spend(plans(prober, most), clock, said.append)

    return probe(fleet_of(tmp_path, **entries), far, further=further), said


def test_the_real_limit_of_a_key_is_found(tmp_path: Path) -> None:
    """The file says 60, the server lets 20 through: two of three requests of a run would be refused."""
    server = Limited(20)
    found, said = measured(tmp_path, {"a": server}, a={"limits": {"rpm": 60}})
    (result,) = found["a#1"].measured
    assert result.axis == "rpm"
    assert result.figure == pytest.approx(20, rel=0.05)
    assert result.refused <= 3
    assert any("a#1" in text for text in said)


def test_never_more_is_sent_than_was_allowed(tmp_path: Path) -> None:
    """The bound is the user's money."""
    server = Limited(1000)
    found, _ = measured(tmp_path, {"a": server}, most=12, a={})
    assert server.sent("key-of-a") == 1 + 12
    assert found["a#1"].measured[0].figure is None


def test_only_keys_that_are_ok_are_measured_and_one_of_each_account(tmp_path: Path) -> None:
    """Two keys of one account, measured at once, would each find half of its limit."""
    server = Limited(20, {"key-a-1": "x", "key-a-2": "x"})
    keys = [{"key": f"key-a-{n}", "account": "x"} for n in (1, 2)]
    found, _ = measured(tmp_path, {"a": server, "b": Far(lambda *_: refuses(401, "no"))}, a={"keys": keys}, b={})
    assert [len(f.measured) for f in found.findings] == [1, 0, 0]
    assert server.sent("key-a-2") == 1


def test_an_idle_key_that_is_refused_with_it_shares_its_account(tmp_path: Path) -> None:
    """Many servers report nothing: one's traffic brings 429s to a sibling, and that is all one ever sees."""
    keys = ["key-a-1", "key-a-2"]
    limits = {"rpm": 60, "shared": "account"}
    one = Limited(20, dict.fromkeys(keys, "x"), "Rate limit reached for requests")
    found, _ = measured(tmp_path, {"a": one}, most=25, a={"keys": keys, "limits": limits})
    assert found["a#1"].shares_with == ["a#2"] and found["a#2"].shares_with == ["a#1"]
    two = Limited(20)
    found, _ = measured(tmp_path, {"a": two}, most=25, a={"keys": keys, "limits": limits})
    assert found["a#1"].shares_with == []


def test_another_limit_that_refuses_first_is_named(tmp_path: Path) -> None:
    """A figure of tokens written down as one of requests is wrong by a factor of a thousand."""
    words = "Rate limit reached on tokens per minute (TPM): Limit 8000, Used 8000, Requested 9."
    found, _ = measured(tmp_path, {"a": Limited(20, words=words)}, a={"limits": {"rpm": 60}})
    (result,) = found["a#1"].measured
    assert result.figure is None and "tpm" in result.why


def test_a_key_that_dies_meanwhile_ends_its_measurement(tmp_path: Path) -> None:
    """Three hundred requests to a key without credit find nothing."""
    script = iter([answers()] * 5)
    far = Far(lambda what, key, body: lists("m") if what == "list" else next(script, refuses(402, "no credit")))
    found, _ = measured(tmp_path, {"a": far}, a={})
    assert len(far.asked("ask")) < 12
    assert "no credit" in found["a#1"].measured[0].why


def test_it_says_beforehand_how_many_and_what_they_may_cost(tmp_path: Path) -> None:
    """Nobody agrees to a sum that is not named."""
    said: list[str] = []

    async def further(prober: Prober, clock: Any) -> None:
        said.append(announcement(plans(prober, 300)))

    far = {
        name: Far(lambda what, key, body: answers(**reported(41)) if what == "ask" else lists("m")) for name in "abc"
    }
    price = {"input": 1.0, "output": 2.0}
    probe(fleet_of(tmp_path, a={"price": price}, b={}, c={"paid": True}), far, further=further)
    lines = said[0].splitlines()
    assert "123 requests" in lines[0]  # no more than is left of the day: 41 each
    assert "a#1: at most 41 for its rpm, at most $0.0021" in lines[1]
    assert lines[2].endswith("free") and lines[3].endswith("price not known")
