"""The end of a batch, deadlines, spent quotas, what is remembered, and keys that share an account: whole runs."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec

from llmfan.ledgers.memory import MemoryLedger
from llmfan.options import RunOptions
from llmfan.records import Prompt
from llmfan.settings import Price
from llmfan.simulation.fake import Behaviour, Script, good
from tests.scenarios.limiter_servers import Limit, LimiterServer, true_ideal
from tests.scenarios.world import MIDNIGHT, Happened, play, prompts, provider


def answered_once(happened: Happened, jobs: int) -> None:
    assert Counter(r["id"] for r in happened.results) == Counter({f"p{i}": 1 for i in range(jobs)})
    assert {r["status"] for r in happened.results} == {"ok"}


def slow_once(seconds: float, usual: float) -> Behaviour:
    """Takes `seconds` for the prompt named `Question 3?`, `usual` for all others."""

    def behave(now: float, key: str, body: bytes) -> Script:
        return good(seconds if b"Question 3?" in body else usual)(now, key, body)

    return behave


def test_the_last_prompts_are_left_to_keys_that_answer_them_sooner(tmp_path: Path) -> None:
    """A batch that is done in a minute but for one answer of ninety seconds is not done in a minute."""
    fleet = [provider("fast", axes={"rpm": 30}), provider("slow", axes={"rpm": 20}, stream=False, timeout=1e4)]
    happened = play(tmp_path, fleet, {"fast": good(2.0), "slow": good(90.0)}, 100, RunOptions(max_stall=1e9))
    answered_once(happened, 100)
    assert happened.duration < 160  # the fast one alone needs 182, an even share 270


def test_a_hedged_straggler_has_one_result_and_its_loser_is_told(tmp_path: Path) -> None:
    """Two results for a prompt are a lie, and a request that may have been billed must be in the books."""
    fleet = [provider("a", timeout=1e4, stream=False), provider("b", stream=False)]
    behaviours = {"a": slow_once(500.0, 1.0), "b": good(1.2)}
    happened = play(tmp_path, fleet, behaviours, 30, RunOptions(hedge=True, concurrency=4))
    answered_once(happened, 30)
    lost = [a for a in happened.attempts if a["outcome"] == "cancelled"]
    assert [(a["id"], a["provider"], a["billed"]) for a in lost] in ([("p3", "a", "unknown")], [])
    assert happened.duration < 100
    assert sum(a["id"] == "p3" for a in happened.attempts) == 1 + len(lost)
    assert all(r["retry_s"] == 0 for r in happened.results)


def paid_fleet(rpm: float) -> list[Any]:
    return [provider("free", axes={"rpm": rpm}), provider("dear", paid=True, price=Price(input=1.0, output=1.0))]


def test_a_deadline_opens_paid_keys_as_far_as_free_ones_would_miss_it(tmp_path: Path) -> None:
    """Paid too soon is money for nothing, too late is a missed deadline."""
    happened = play(tmp_path, paid_fleet(30), {"free": good(), "dear": good()}, 300, RunOptions(), deadline=300.0)
    answered_once(happened, 300)
    assert happened.duration <= 300
    assert 120 <= happened.by("dear") <= 175  # free keys do 150 in five minutes, and are trusted with a little less


def test_a_deadline_that_free_keys_keep_costs_nothing(tmp_path: Path) -> None:
    """The promise is `no sooner`."""
    happened = play(tmp_path, paid_fleet(60), {"free": good(), "dear": good()}, 300, RunOptions(), deadline=900.0)
    answered_once(happened, 300)
    assert happened.by("dear") == 0


def test_spent_quotas_end_the_run_and_say_what_comes_back_when(tmp_path: Path) -> None:
    """`every quota is spent` alone leaves one guessing whether to wait an hour or a month."""
    happened = play(tmp_path, [provider("p", 2, axes={"rpd": 3})], {"p": good()}, 10)
    assert happened.run.ending == "nothing_left"
    assert len(happened.results) == 6
    assert "p#1 rpd" in happened.run.why


def test_with_wait_the_run_sleeps_until_the_day_turns(tmp_path: Path) -> None:
    """Who asked for it wants the batch done by tomorrow, not an exit code."""
    happened = play(tmp_path, [provider("p", 2, axes={"rpd": 3})], {"p": good()}, 10, RunOptions(wait=True))
    answered_once(happened, 10)
    assert 12 * 3600 <= happened.duration <= 12 * 3600 + 60  # it begins at noon
    assert any("asleep" in text for text in happened.said)


def test_what_a_run_spends_of_a_day_is_known_to_the_next(tmp_path: Path) -> None:
    """A second run the same day that believes its quota whole is refused from the first request on."""
    ledger = MemoryLedger()
    fleet = [provider("p", axes={"rpd": 10})]
    first, second, next_day = (tmp_path / name for name in ("first", "second", "third"))
    for place in (first, second, next_day):
        place.mkdir()
    assert len(play(first, fleet, {"p": good()}, 7, ledger=ledger).results) == 7
    later = MIDNIGHT + dt.timedelta(hours=3)
    assert len(play(second, fleet, {"p": good()}, 7, wall=later, ledger=ledger).results) == 3
    tomorrow = MIDNIGHT + dt.timedelta(hours=14)
    assert len(play(next_day, fleet, {"p": good()}, 7, wall=tomorrow, ledger=ledger).results) == 7


def test_a_quota_is_written_down_before_the_request_leaves(tmp_path: Path) -> None:
    """A crash in mid-flight must not hand the allowance back."""
    ledger = MemoryLedger()
    booked_at_send: list[float] = []

    def behave(now: float, key: str, body: bytes) -> Script:
        booked_at_send.append(sum(b.amount for b in ledger.booked(0.0) if b.axis == "rpd"))
        return good()(now, key, body)

    play(tmp_path, [provider("p", axes={"rpd": 100})], {"p": behave}, 5, RunOptions(concurrency=1), ledger=ledger)
    assert booked_at_send == [1.0, 2.0, 3.0, 4.0, 5.0]


def test_keys_that_share_an_account_are_joined_and_run_as_one(tmp_path: Path) -> None:
    """Two keys on one account draw twice its limit in 429s for as long as nobody notices."""
    ledger = MemoryLedger()
    server = LimiterServer(Limit(60), seed="shared", account=lambda key: "one")
    happened = play(tmp_path, [provider("p", 2, axes={"rpm": 60})], {"p": server}, 600, ledger=ledger)
    answered_once(happened, 600)
    assert any("p#1, p#2 draw on one account" in text for text in happened.said)
    assert happened.duration <= 1.10 * true_ideal(600, server)
    assert server.refusals <= 15
    assert [pair for pair in ledger.known().shared if pair[0] != pair[1]] == [("p#2", "p#1")]


def test_keys_of_their_own_are_never_joined(tmp_path: Path) -> None:
    """Joined wrongly, two keys are worth one."""
    server = LimiterServer(Limit(60), seed="apart")
    happened = play(tmp_path, [provider("p", 2, axes={"rpm": 60})], {"p": server}, 600)
    answered_once(happened, 600)
    assert not any("one account" in text for text in happened.said)
    assert happened.duration <= 1.10 * true_ideal(600, server)


def test_sticky_prompts_with_a_common_beginning_meet_one_key(tmp_path: Path) -> None:
    """A prompt cache belongs to an account: the same beginning spread over four keys is paid for four times."""
    many = [
        Prompt(id=f"p{i}", index=i, messages=[
            {"role": "system", "content": f"Document {i % 3}. " * 50}, {"role": "user", "content": f"Question {i}?"},
        ])
        for i in range(60)
    ]  # fmt: skip
    seen: dict[str, set[str]] = {}

    def behave(now: float, key: str, body: bytes) -> Script:
        seen.setdefault(str(msgspec.json.decode(body)["messages"][0]["content"][:12]), set()).add(key)
        return good(0.2)(now, key, body)

    happened = play(tmp_path, [provider("p", 4, axes={"rpm": 600})], {"p": behave}, many, RunOptions(sticky="prefix"))
    answered_once(happened, 60)
    assert sum(len(keys) for keys in seen.values()) <= 6  # one each, and a few that would have waited too long


def test_the_same_seed_gives_the_same_journal(tmp_path: Path) -> None:
    """What cannot be repeated cannot be understood."""
    lines = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        fleet = [provider("p", 3, axes={"rpm": 30}), provider("q", 2, axes={"rpm": 20})]
        servers = {"p": LimiterServer(Limit(20), seed=1), "q": LimiterServer(Limit(20), seed=2)}
        happened = play(tmp_path / name, fleet, servers, prompts(300))
        lines.append([(a["id"], a["key"], a["outcome"], a["sent_s"]) for a in happened.attempts])
    assert lines[0] == lines[1]
