"""`llmfan status` as a process: the document, the table, narrowing, resetting, watching; one promise a test."""

from __future__ import annotations

import json
import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from llmfan.entries import KeyState, Tally
from llmfan.inputs.config import load_fleet
from llmfan.ledgers.opening import open_ledger
from llmfan.records import Booking, Known, KnownLimit
from tests.loopback.serving import finish, run, start

SECRET = "sk-a-very-secret-key-9876"
ENV = {"A_KEY": SECRET, "A_KEY_2": "sk-another-secret-key-5432", "LLMFAN_STATE": "ledger.sqlite3"}
FILE = """\
version: 1
providers:
  a:
    base_url: https://a.example/v1
    keys: [$A_KEY, $A_KEY_2]
    model: m
    limits: {rpm: 30, rpd: 14400}
  b:
    base_url: https://b.example/v1
    keys: $B_KEY
    model: m
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "providers.yaml").write_text(FILE)
    return tmp_path


@pytest.fixture
def known(folder: Path) -> Path:
    """What a probe and a run have left behind: `a#2` reported another limit, and its first key is out of credit."""
    fleet = load_fleet(str(folder / "providers.yaml"), ENV, every=True)
    ledger, now = open_ledger(str(folder / "ledger.sqlite3"), fleet, print), time.time()
    ledger.book(lambda _: [Booking(owner="a#2", axis="rpd", amount=250.0, at=now)])
    ledger.tally([Tally(key="a#2", model="m", at=now // 60 * 60, sent=4, ok=3, refused=1, latency_s=6.0)])
    reported = KnownLimit(owner="a#2", axis="rpd", declared=14400.0, reported=1000.0, at=now)
    broke = KeyState(key="a#1", state="no_credit", why=f"402: no credit for {SECRET}", at=now)
    ledger.keep(Known(limits=[reported], states=[broke]))
    ledger.close()
    return folder


def status(folder: Path, *args: str) -> dict[str, Any]:
    code, out, err = run(folder, "status", "--json", *args, env=ENV)
    assert code == 0, err
    found: dict[str, Any] = json.loads(out)
    return found


def test_it_tells_what_others_have_left_in_the_ledger(known: Path) -> None:
    """It is all it is for."""
    found = status(known)
    assert (found["total_providers"], found["available_providers"], found["failed_providers"]) == (2, 1, [])
    first, second = found["quota_status"]["a"]["keys"]
    assert (first["state"], second["state"]) == ("invalid", "ready")
    assert second["limits"]["rpd"]["used"] == 250
    assert second["limits"]["rpd"]["reported"] == 1000
    assert (second["calls_today"], second["last_hour"]["refused"]) == (4, 1)
    assert found["quota_status"]["b"]["state"] == "missing"
    (difference,) = found["differences"]
    assert difference["change"] == "providers.yaml:7: limits: {rpd: 1000}"


def test_the_table_begins_with_what_to_change(known: Path) -> None:
    """The rest of the page can wait."""
    code, out, err = run(known, "status", env=ENV)
    assert (code, err) == (0, "")
    assert out.splitlines()[0].startswith("a#2 rpd: declared 14400, reported 1000 on ")
    assert "1 of 3 keys ready" in out and "no credit" in out and "no key: b ($B_KEY)" in out
    assert "\x1b" not in out


def test_no_key_is_printed(known: Path) -> None:
    """A server quotes a key in its message, and the page goes into a ticket."""
    for args in ((), ("-v",), ("--json",), ("--history",), ("--history", "--json")):
        code, out, err = run(known, "status", *args, env=ENV)
        assert code == 0
        assert "secret" not in out + err


def test_before_there_is_a_ledger_it_says_so_and_leaves_none(folder: Path) -> None:
    """A look must not change what is looked at."""
    code, out, _ = run(folder, "status", env=ENV)
    assert code == 0
    assert "nothing is known yet: llmfan probe asks every key" in out
    assert "rpd 0/14.4k" in out
    assert [path.name for path in folder.iterdir()] == ["providers.yaml"]


def test_a_look_does_not_change_the_ledger(known: Path) -> None:
    """Another llmfan may be writing there."""
    before = (known / "ledger.sqlite3").read_bytes()
    status(known)
    assert (known / "ledger.sqlite3").read_bytes() == before


def test_it_can_be_narrowed(known: Path) -> None:
    """With thirty keys one asks for the one that fails."""
    found = status(known, "--key", "a#2")
    assert [key["key"] for key in found["quota_status"]["a"]["keys"]] == ["a#2"]
    assert list(status(known, "--provider", "b")["quota_status"]) == ["b"]
    _, out, _ = run(known, "status", "--key", "a#2", env=ENV)
    assert "declared" in out and "last hour" in out and "a#1" not in out


def test_history_tells_when_limits_changed(known: Path) -> None:
    """A limit that was cut last night explains this morning."""
    (change,) = status(known, "--history")["changes"]
    assert change.items() >= {"keys": ["a#2"], "axis": "rpd", "source": "reported", "after": 1000}.items()
    assert status(known, "--history", "--key", "a#1")["changes"] == []


def test_reset_forgets_by_name_and_says_what(known: Path) -> None:
    """A key that was topped up is to be tried again, the others are not to learn anew."""
    code, out, err = run(known, "status", "--reset", "a#1", env=ENV)
    assert (code, out, err) == (0, "a#1: lifted no_credit\n", "")
    found = status(known)
    assert [key["state"] for key in found["quota_status"]["a"]["keys"]] == ["ready", "ready"]
    assert len(found["differences"]) == 1
    (done,) = status(known, "--reset", "a")["reset"]
    assert done["forgotten"] == [{"owner": "a#2", "axis": "rpd"}]
    found = status(known)
    assert found["differences"] == []
    assert found["quota_status"]["a"]["keys"][1]["limits"]["rpd"]["used"] == 250  # what was spent stays spent


@pytest.mark.parametrize("as_json", [False, True])
def test_a_reset_that_cannot_be_written_has_failed(known: Path, as_json: bool) -> None:
    """`lifted no_credit`, and at the next look it was still there: somebody reads the log of such a job."""
    (known / "elsewhere.sqlite3").write_bytes(b"SQLite format 3\0" + b"no ledger of ours" * 100)
    with closing(sqlite3.connect(known / "other.db")) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    args = ["--json"] if as_json else []
    code, out, err = run(known, "status", "--reset", "a#1", "--state", "other.db", *args, env=ENV)
    assert code == 4 and "Traceback" not in err
    assert "a#1: nothing was forgotten: " in err and "other.db" in err
    if as_json:
        found = json.loads(out)
        assert found["reset"] == [] and "other.db" in found["failed"]
    else:
        assert out == ""


def test_a_reset_that_finds_the_ledger_locked_has_failed(known: Path) -> None:
    """Another process holds it for as long as it likes."""
    with closing(sqlite3.connect(known / "ledger.sqlite3", isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        code, out, err = run(known, "status", "--reset", "a#1", env=ENV)
    assert (code, out) == (4, "") and "a#1: nothing was forgotten" in err
    assert status(known)["quota_status"]["a"]["keys"][0]["state"] == "invalid"


def test_a_reset_says_that_a_spent_day_stays_spent(known: Path) -> None:
    """`lifted exhausted`, and the next run sends nothing all the same."""
    fleet = load_fleet(str(known / "providers.yaml"), ENV, every=True)
    with closing(open_ledger(str(known / "ledger.sqlite3"), fleet, print)) as ledger:
        ledger.book(lambda _: [Booking(owner="a#1", axis="rpd", amount=14400.0, at=time.time())])
    code, out, err = run(known, "status", "--reset", "a#1", env=ENV)
    assert code == 0, err
    assert out.startswith("a#1: lifted no_credit; a#1 is still exhausted: rpd is spent (until ")
    (done,) = status(known, "--reset", "a#1")["reset"]
    assert [each["state"] for each in done["still"]] == ["exhausted"]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--provider", "aa"], 'did you mean "a"'),
        (["--key", "a#3"], 'did you mean "a#'),
        (["--reset", "a/n"], 'did you mean "a/m"'),
        (["--reset", "a#1", "--reset", "nobody"], "nobody"),
        (["-p", "missing.yaml"], "missing.yaml"),
        (["--env-file", "missing.env"], "missing.env"),
        (["--watch"], "terminal"),
        (["--verbos"], "--verbos"),
    ],
)
def test_wrong_usage_ends_with_2_and_one_message(args: list[str], said: str, known: Path) -> None:
    """A mistyped name must not look like a fleet without that key, nor reset anything."""
    code, out, err = run(known, "status", *args, env=ENV)
    assert code == 2
    assert said in err
    assert not out
    assert "Traceback" not in err
    assert status(known)["quota_status"]["a"]["keys"][0]["state"] == "invalid"


def test_without_a_file_it_names_init(tmp_path: Path) -> None:
    """The next step, not a riddle."""
    code, _, err = run(tmp_path, "status")
    assert code == 2
    assert "llmfan init" in err


def test_a_host_is_not_looked_up(folder: Path) -> None:
    """From the ledger alone: a laptop on a train has one, and no network."""
    (folder / "providers.yaml").write_text(FILE.replace("https://a.example", "http://no-such-host.invalid"))
    assert status(folder)["quota_status"]["a"]["state"] == "ready"


def test_a_damaged_ledger_is_told_and_left_alone(folder: Path) -> None:
    """Who only looks sets nothing aside."""
    (folder / "ledger.sqlite3").write_bytes(b"no database" * 100)
    code, out, err = run(folder, "status", env=ENV)
    assert code == 0
    assert err.count("ledger.sqlite3") == 1 and "Traceback" not in err
    assert "nothing is known yet" in out
    assert (folder / "ledger.sqlite3").read_bytes() == b"no database" * 100


def test_watching_off_a_terminal_writes_a_document_a_line_until_it_is_stopped(known: Path) -> None:
    """A dashboard reads it line by line; stopping it is no failure."""
    watching = start(known, "status", "--watch", "--json", env=ENV)
    assert watching.stdout is not None
    first, second = (json.loads(watching.stdout.readline()) for _ in range(2))
    assert first["at"] < second["at"]
    watching.send_signal(signal.SIGINT)
    code, _, err = finish(watching)
    assert (code, err) == (0, "")


def test_a_reader_that_has_seen_enough_is_no_failure(known: Path) -> None:
    """`| head` closes the pipe."""
    watching = start(known, "status", "--watch", "--json", env=ENV)
    assert watching.stdout is not None and watching.stderr is not None
    watching.stdout.readline()
    watching.stdout.close()
    assert watching.wait(20) == 0
    assert watching.stderr.read() == ""
    watching.stderr.close()
