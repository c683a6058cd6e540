"""Keys that draw on one account are found by what they report, with as few requests as that takes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llmfan.probing.prober import ProbeOptions
from llmfan.simulation.script import Script
from tests.probing.world import Far, Probed, answers, fleet_of, lists, probe, refuses, reported, says


def far_of(accounts: Mapping[str, str], left: Mapping[str, int], axis: str = "day", limit: int = 1000) -> Far:
    """`accounts`: the account of each key; each answer takes one of what it has left, and says so."""
    rest = Counter(left)

    def answer(what: str, key: str, body: dict[str, Any]) -> Script:
        if what != "ask":
            return lists("m")
        rest[accounts[key]] -= 1
        return answers(**reported(rest[accounts[key]], limit, axis))

    return Far(answer)


def probed(tmp_path: Path, keys: list[Any], far: Far, free: bool = False, **entry: Any) -> Probed:
    return probe(fleet_of(tmp_path, a={"keys": keys, **entry}), {"a": far}, ProbeOptions(free=free))


def shares(found: Probed) -> dict[str, list[str]]:
    return {f.key: f.shares_with for f in found.findings if f.shares_with}


def asked(far: Far) -> Counter[str]:
    return Counter(seen.key for seen in far.asked("ask"))


KEYS = ["key-a-1", "key-a-2", "key-a-3"]


def test_keys_whose_remainders_fall_together_share(tmp_path: Path) -> None:
    """Counted apart they are refused two times out of three."""
    far = far_of({"key-a-1": "x", "key-a-2": "x", "key-a-3": "y"}, {"x": 500, "y": 800})
    assert shares(probed(tmp_path, KEYS, far)) == {"a#1": ["a#2"], "a#2": ["a#1"]}
    assert sum(asked(far).values()) == 4


def test_fresh_accounts_do_not_share_and_are_not_asked_again(tmp_path: Path) -> None:
    """They report the same figure, and would be paid for twice."""
    far = far_of({key: key for key in KEYS}, dict.fromkeys(KEYS, 1000))
    assert shares(probed(tmp_path, KEYS, far)) == {}
    assert set(asked(far).values()) == {1}


def test_a_likeness_by_chance_is_seen_through(tmp_path: Path) -> None:
    """500 and 499 left of 1000 look like one account until one of them is asked again."""
    far = far_of({"key-a-1": "x", "key-a-2": "y"}, {"x": 500, "y": 499})
    assert shares(probed(tmp_path, KEYS[:2], far)) == {}
    assert sum(asked(far).values()) == 3


def test_one_account_of_the_presets_is_looked_into_as_well(tmp_path: Path) -> None:
    """A preset's rule that all keys are of one account is a guess, not the user's word."""
    together = far_of(dict.fromkeys(KEYS, "x"), {"x": 1000})
    found = probed(tmp_path, KEYS, together, limits={"shared": "account"})
    assert shares(found)["a#1"] == ["a#2", "a#3"]
    apart = far_of({key: key for key in KEYS}, dict.fromkeys(KEYS, 1000))
    assert shares(probed(tmp_path, KEYS, apart, limits={"shared": "account"})) == {}


def test_what_the_file_says_needs_no_evidence(tmp_path: Path) -> None:
    """Who has written down whose key it is knows better."""
    keys = [{"key": key, "account": account} for key, account in zip(KEYS, ("team", "team", "own"), strict=True)]
    far = Far(lambda what, key, body: answers() if what == "ask" else lists("m"))
    assert shares(probed(tmp_path, keys, far)) == {"a#1": ["a#2"], "a#2": ["a#1"]}
    assert set(asked(far).values()) == {1}


def test_accounts_of_the_file_that_are_one_after_all_are_told(tmp_path: Path) -> None:
    """A mistake in the file is what one probes for."""
    keys = [{"key": key, "account": account} for key, account in zip(KEYS[:2], ("team", "own"), strict=True)]
    assert shares(probed(tmp_path, keys, far_of(dict.fromkeys(KEYS, "x"), {"x": 700}))) == {
        "a#1": ["a#2"],
        "a#2": ["a#1"],
    }


def test_a_name_that_the_provider_gives_is_enough(tmp_path: Path) -> None:
    """Where it says whose key it is, nothing has to be spent to find out."""

    def answer(what: str, key: str, body: dict[str, Any]) -> Script:
        names = {"key-a-1": "ann", "key-a-2": "ben", "key-a-3": "ann"}
        return answers() if what == "ask" else lists("m") if what == "list" else says(200, {"name": names[key]})

    fleet = fleet_of(tmp_path, a={"preset": "huggingface", "keys": KEYS})
    far = Far(answer)
    found = probe(fleet, {"a": far})
    assert shares(found) == {"a#1": ["a#3"], "a#3": ["a#1"]}
    assert set(asked(far).values()) == {1}


def test_free_asks_nobody_again(tmp_path: Path) -> None:
    """`--free` sends no completion, for no question."""
    far = far_of(dict.fromkeys(KEYS, "x"), {"x": 1000})
    probed(tmp_path, KEYS, far, free=True)
    assert not asked(far)


def test_keys_that_do_not_work_are_left_out(tmp_path: Path) -> None:
    """A refused key reports what it likes."""

    def answer(what: str, key: str, body: dict[str, Any]) -> Script:
        if what == "list":
            return lists("m")
        return answers(**reported(999)) if key == "key-a-1" else refuses(429, "no", **reported(998))

    far = Far(answer)
    assert shares(probed(tmp_path, KEYS[:2], far)) == {}
    assert set(asked(far).values()) == {1}


def test_a_limit_of_a_minute_serves_where_nothing_longer_is_reported(tmp_path: Path) -> None:
    """Many providers tell of the minute alone."""
    far = far_of(dict.fromkeys(KEYS, "x"), {"x": 50}, axis="minute", limit=60)
    found = probed(tmp_path, KEYS[:2], far)
    assert set(found["a#1"].limits) == {"rpm"}
    assert shares(found) == {"a#1": ["a#2"], "a#2": ["a#1"]}
