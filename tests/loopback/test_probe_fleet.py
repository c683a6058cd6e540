"""`llmfan probe` on 32 keys of every fate, over real sockets: what it says, and what it had to ask for it."""

from __future__ import annotations

import datetime as dt
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tests.loopback.probe_dialects import DAY, DIALECTS, next_midnight_in, next_utc_midnight
from tests.loopback.probe_fleet import EXPECTED, KEYS, TOGETHER, ProbeFleet
from tests.loopback.serving import run

KINDS = ("check", "list", "completion")
GOOD = ["groq#4", "openai#1"]


class Probed:
    """One probe of the whole fleet: what it said, what it wrote, and what the far end saw."""

    def __init__(self, folder: Path, far: ProbeFleet, *args: str):
        self.far, self.folder, self.began = far, folder, time.time()
        path, self.env = far.write_fleet(folder)
        args = ("probe", "-p", str(path), "--json", "--state", str(folder / "ledger.db"), *args)
        self.code, self.out, self.err = run(folder, *args, env=self.env)
        self.keys: dict[str, dict[str, Any]] = {}
        if self.out:
            self.keys = {entry["key"]: entry for entry in json.loads(self.out)["keys"]}

    def resets_in(self, label: str) -> float:
        """Seconds from the probe's beginning on."""
        return dt.datetime.fromisoformat(self.keys[label]["resets_at"]).timestamp() - self.began


@pytest.fixture(scope="module")
def probed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Probed]:
    with ProbeFleet() as far:
        yield Probed(tmp_path_factory.mktemp("probed"), far)


@pytest.fixture(scope="module")
def probed_free(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Probed]:
    with ProbeFleet() as far:
        yield Probed(tmp_path_factory.mktemp("free"), far, "--free")


def test_each_of_32_keys_is_named_rightly(probed: Probed) -> None:
    """Which of my keys work, and why do the others not: the one question a probe is for."""
    assert len(EXPECTED) == 32
    assert {label: entry["state"] for label, entry in probed.keys.items()} == EXPECTED, probed.err
    assert probed.code == 1


def test_all_providers_are_asked_at_once(probed: Probed) -> None:
    """One after the other, a fleet takes the sum of all delays and of every timeout: minutes instead of seconds."""
    ended: dict[str, list[float]] = {}
    for seen in sorted(probed.far.seen, key=lambda seen: seen.closed):
        ended.setdefault(seen.label, []).append(seen.closed)
    second_done = min(moments[1] for moments in ended.values() if len(moments) > 1)
    assert set(probed.far.opened) == {*DIALECTS, "hanging"}
    assert max(probed.far.opened.values()) < second_done, "a provider was asked when another was done with a key"


def test_the_keys_of_one_account_are_asked_one_after_the_other(probed: Probed) -> None:
    """Together they would pass the limit of their account, and a good key be called rate limited."""
    assert probed.far.most_at_once["cf"] == 1


def test_nothing_is_sent_beyond_the_cheapest_proof(probed: Probed) -> None:
    """Each completion is paid for and counts against a day of twenty; a refused key needs none at all."""
    for key in KEYS:
        asked = probed.far.asked(key.label)
        assert all(asked[kind] <= most for kind, most in zip(KINDS, key.most, strict=True)), (key.label, asked)
    assert not [seen for seen in probed.far.seen if seen.kind == "other" and seen.provider != "hanging"]
    for seen in probed.far.seen:
        if seen.kind == "completion" and isinstance(seen.body, dict):
            caps = [seen.body.get("max_tokens"), seen.body.get("max_completion_tokens")]
            caps.append(seen.body.get("generationConfig", {}).get("maxOutputTokens"))
            assert 1 in caps, seen


def test_a_public_list_is_no_proof_and_is_not_asked_for_each_key(probed: Probed) -> None:
    """It would say ok of a dead key, and cost a request for each."""
    assert len([seen for seen in probed.far.seen if seen.provider == "openrouter" and seen.kind == "list"]) <= 1


def test_keys_that_draw_on_one_account_are_told_and_those_alike_are_not(probed: Probed) -> None:
    """Counted apart, three keys of one account get three times what they may send: two of three calls are refused.
    Counted together, two accounts lose half of what they have.
    """
    shares = {label: sorted(entry["shares_with"]) for label, entry in probed.keys.items()}
    for label in TOGETHER:
        assert shares[label] == [other for other in TOGETHER if other != label]
    assert not any(mine for label, mine in shares.items() if label not in TOGETHER and "cloudflare" not in label)


def test_what_the_providers_report_is_told(probed: Probed) -> None:
    """That a key works is half of it; how much it may send is what one plans with."""
    assert probed.keys["groq#4"]["limits"]["rpd"]["reported"] == 1000
    assert probed.keys["groq#4"]["limits"]["tpm"]["reported"] == 8000
    assert probed.keys["mistral#1"]["limits"]["rpm"]["reported"] == 50
    assert probed.keys["openai#1"]["limits"]["rpm"]["reported"] == 500
    assert probed.keys["cohere#1"]["limits"]["requests_per_month"]["reported"] == 1000
    assert probed.keys["openrouter#1"]["limits"]["rpd"]["reported"] == 50
    assert probed.keys["groq#4"]["latency_s"] == pytest.approx(0.25, abs=0.5)
    assert probed.keys["dead#1"]["latency_s"] is None


def test_what_is_spent_says_when_it_is_whole_again(probed: Probed) -> None:
    """Midnight is another one in Los Angeles; who is told 38 s tries all night."""
    slack = 60
    assert 60 < probed.resets_in("groq#6") < 87 + slack
    assert probed.resets_in("openrouter#3") == pytest.approx(next_utc_midnight() - probed.began, abs=slack)
    angeles = next_midnight_in(ZoneInfo("America/Los_Angeles"))
    assert probed.resets_in("gemini#3") == pytest.approx(angeles - probed.began, abs=slack)
    assert probed.resets_in("cohere#2") == pytest.approx(DAY, abs=slack)
    assert 20 < probed.resets_in("mistral#2") < 37 + slack


def test_each_failure_says_what_to_do_about_it(probed: Probed) -> None:
    """`unreachable` alone may be a typing error, a dead proxy or a server that is down."""
    whys = {label: entry["why"] for label, entry in probed.keys.items()}
    assert "refused" in whys["dead#1"]
    assert "name" in whys["nowhere#1"] and "resolve" in whys["nowhere#1"]
    assert "timed out" in whys["hanging#1"] or "within" in whys["hanging#1"]
    assert "OPENAI_KEY_4" in whys["openai#4"] and "https://platform.openai.com/api-keys" in whys["openai#4"]
    assert "command-a-03-2025" in json.dumps(probed.keys["typo#1"])
    assert "2026-07-30" in whys["github-models#1"]
    assert all(why for label, why in whys.items() if EXPECTED[label] != "ok")
    assert "No user with the key [key]" in whys["openrouter#2"]


@pytest.mark.parametrize("which", ["probed", "probed_free"])
def test_no_key_gets_out(which: str, request: pytest.FixtureRequest) -> None:
    """Documents are pasted into issues, and the ledger outlives the key."""
    probed: Probed = request.getfixturevalue(which)
    assert (probed.folder / "ledger.db").exists()
    for secret in probed.env.values():
        assert secret not in probed.out + probed.err
        for path in probed.folder.rglob("*"):
            if path.is_file() and path.name != "providers.yaml":
                assert secret.encode() not in path.read_bytes(), path


def test_free_sends_no_completion_and_calls_nothing_ok_that_is_not_proven(probed_free: Probed) -> None:
    """Who says so does not want to pay for a single token, and a listing proves neither credit nor access."""
    assert not [seen for seen in probed_free.far.seen if seen.kind == "completion"]
    states = {label: entry["state"] for label, entry in probed_free.keys.items()}
    sure = ("invalid", "missing", "retired", "unreachable")
    for label, expected in EXPECTED.items():
        if expected in sure:
            assert states[label] == expected, label
        else:
            assert states[label] in (expected, "ok", "unproven"), label
    assert states["deepseek#2"] == "no_credit"
    assert states["typo#1"] == "no_model"


@pytest.mark.parametrize(
    ("labels", "options", "code"),
    [
        ([*GOOD, "openai#4"], [], 0),  # what is not there cannot fail
        ([*GOOD, "openai#2"], [], 1),
        ([*GOOD, "openai#2"], ["--any"], 0),
        ([*GOOD, "openai#2"], ["--require", "2"], 0),
        ([*GOOD, "openai#2"], ["--require", "3"], 1),
        (["openai#2"], ["--any"], 1),
        (["openai#4"], ["--any"], 4),
    ],
)
def test_the_exit_code_says_whether_enough_keys_work(
    labels: list[str], options: list[str], code: int, tmp_path: Path
) -> None:
    """A CI job asks before it begins whether there is any point."""
    with ProbeFleet() as far:
        path, env = far.write_fleet(tmp_path, labels)
        args = ["probe", "-p", str(path), "--json", "--state", str(tmp_path / "ledger.db"), *options]
        got, out, err = run(tmp_path, *args, env=env)
    assert got == code, err
    assert len(json.loads(out)["keys"]) == len(labels)


def test_the_table_names_each_key_too(tmp_path: Path) -> None:
    """The document is for programs; people read the table, and what it says while it goes."""
    with ProbeFleet() as far:
        path, env = far.write_fleet(tmp_path, [*GOOD, "openai#2", "openai#4"])
        code, out, err = run(tmp_path, "probe", "-p", str(path), "--state", str(tmp_path / "ledger.db"), env=env)
    assert code == 1
    rows = {line.split()[0]: line for line in out.splitlines() if "#" in line.split(" ")[0]}
    assert " ok " in rows["groq#1"] and "rpd 999/1,000" in rows["groq#1"]
    assert " no_credit " in rows["openai#2"] and " missing " in rows["openai#3"]
    assert "2 of 4 keys work" in out
    assert "groq#1 …" in err and "\x1b" not in out + err
