"""What a probe leaves in the ledger, and in its document."""

from __future__ import annotations

import datetime as dt
import json
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from llmfan.entries import KeyState
from llmfan.ledgers.memory import MemoryLedger
from llmfan.ledgers.opening import open_ledger
from llmfan.probing.clerk import Clerk
from llmfan.probing.document import probe_document
from llmfan.probing.findings import Finding, Measured, Reading
from llmfan.probing.key_probe import Shot
from llmfan.probing.remember import remember, states_of
from llmfan.records import Booking, Known
from llmfan.runfile import redactor
from llmfan.settings import Fleet
from tests.probing.world import NOON, fleet_of

HOUR = 3600.0


def shot(key: str = "a#1", outcome: str = "ok", at: float = NOON, took: float = 0.25) -> Shot:
    return Shot(
        key=key, model="m", at=at, sent=5.0, ended=5.0 + took, outcome=outcome, input_tokens=8, output_tokens=1
    )  # fmt: skip


def finding(state: str, key: str = "a#1", **fields: Any) -> Finding:
    return Finding(key=key, provider=key.partition("#")[0], model="m", state=state, **fields)


def kept(
    fleet: Fleet, findings: list[Finding], shots: list[Shot] | None = None, before: Known | None = None
) -> MemoryLedger:
    ledger = MemoryLedger()
    if before is not None:
        ledger.keep(before)
    remember(ledger, fleet, findings, shots or [], NOON)
    return ledger


def states(ledger: MemoryLedger) -> dict[tuple[str, str], str]:
    return {(state.key, state.model): state.state for state in ledger.known().states}


@pytest.mark.parametrize(
    ("state", "model"),
    [("ok", "m"), ("forbidden", "m"), ("exhausted", "m"), ("rate_limited", "m"), ("no_model", "m"), ("invalid", ""),
     ("no_credit", ""), ("unreachable", ""), ("missing", ""), ("retired", ""), ("unproven", "m")],
)  # fmt: skip
def test_a_state_is_kept_for_the_key_or_for_the_model_it_was_found_at(state: str, model: str, tmp_path: Path) -> None:
    """A dead key is dead at every model; a model that a plan does not hold says nothing of the next."""
    ledger = kept(fleet_of(tmp_path, a={}), [finding(state, why="because", until=NOON + 60)])
    (found,) = ledger.known().states
    assert found == KeyState(
        key="a#1", model=model, state=state, why="because", until=NOON + 60, source="probe", at=NOON
    )  # type: ignore[arg-type]


def test_a_key_that_answers_is_no_longer_what_was_said_of_it(tmp_path: Path) -> None:
    """Credit was bought: a run that still leaves the key out wastes it."""
    fleet = fleet_of(tmp_path, a={})
    before = Known(states=[KeyState(key="a#1", state="no_credit", at=1.0)])
    assert states(kept(fleet, [finding("ok")], before=before)) == {("a#1", ""): "ok", ("a#1", "m"): "ok"}


def test_a_key_that_answers_at_one_model_is_as_it_was_at_the_others(tmp_path: Path) -> None:
    """An account topped up is well again, and the day of its other model is as spent as before."""
    fleet = fleet_of(tmp_path, a={"models": ["m", "n", "o"]})
    before = [
        KeyState(key="a#1", state="no_credit", at=1.0),
        KeyState(key="a#1", model="m", state="forbidden", at=1.0),
        KeyState(key="a#1", model="n", state="exhausted", until=NOON + HOUR, at=2.0),
        KeyState(key="a#1", model="o", state="rate_limited", until=NOON - HOUR, at=2.0),
        KeyState(key="b#1", model="n", state="forbidden", at=1.0),
    ]
    found = list(states_of([finding("ok")], before, NOON))
    assert [(each.model, each.state) for each in found] == [("", "ok"), ("n", "exhausted"), ("m", "ok")]
    assert found[1] == before[2]
    with closing(open_ledger(str(tmp_path / "ledger"), fleet, print, wall=lambda: NOON)) as ledger:
        ledger.keep(Known(states=before))
        remember(ledger, fleet, [finding("ok")], [], NOON)
        known = {(state.model, state.state) for state in ledger.known().states if state.key == "a#1"}
    assert {("", "ok"), ("m", "ok"), ("n", "exhausted")} <= known and ("m", "forbidden") not in known


def test_what_could_not_be_proven_takes_nothing_back(tmp_path: Path) -> None:
    """`--free` knows less than the run before it."""
    fleet = fleet_of(tmp_path, a={})
    before = Known(states=[KeyState(key="a#1", model="m", state="exhausted", until=NOON + 60, at=1.0)])
    assert states(kept(fleet, [finding("unproven"), finding("")], before=before)) == {("a#1", "m"): "exhausted"}


def test_reported_and_measured_figures_are_kept_by_whom_they_count_for(tmp_path: Path) -> None:
    """A figure under the wrong owner is never found again."""
    entry = {"keys": [{"key": "key-a-1", "account": "team"}], "limits": {"rpm": 30, "rpd": 14400, "shared": "account"}}
    found = finding("ok", limits={"rpd": Reading(limit=1000, remaining=7), "tpm": Reading(remaining=3)})
    found.measured = [
        Measured(axis="rpm", figure=20.0, counts="sliding", confidence=0.9),
        Measured(axis="rph", figure=None),
    ]
    limits = {limit.axis: limit for limit in kept(fleet_of(tmp_path, a=entry), [found]).known().limits}
    assert set(limits) == {"rpd", "rpm"}
    assert {limit.owner for limit in limits.values()} == {"a@team"}
    assert (limits["rpd"].declared, limits["rpd"].reported, limits["rpd"].at) == (14400, 1000, NOON)
    rpm = limits["rpm"]
    assert (rpm.declared, rpm.measured, rpm.counts, rpm.confidence) == (30, 20.0, "sliding", 0.9)


def test_keys_that_share_are_joined_unless_the_file_says_otherwise(tmp_path: Path) -> None:
    """Run and plan count them as one from then on; what the user wrote down stays the user's word."""
    keys: list[Any] = ["key-a-1", "key-a-2", "key-a-3"]
    found = [finding("ok", f"a#{n}", shares_with=[f"a#{m}" for m in (1, 2, 3) if m != n]) for n in (1, 2, 3)]
    plain = fleet_of(tmp_path, a={"keys": keys, "limits": {"rpm": 30}})
    assert kept(plain, found).known().shared == [("a#2", "a#1"), ("a#3", "a#1")]
    written = [{"key": key, "account": f"team-{key[-1]}"} for key in keys]
    limits = {"rpm": 30, "shared": "account"}
    assert kept(fleet_of(tmp_path, a={"keys": written, "limits": limits}), found).known().shared == []
    one = fleet_of(tmp_path, a={"keys": keys, "limits": limits})
    assert kept(one, found).known().shared == []  # of one account by the preset's rule: counted so already


def test_what_is_sent_is_booked_before_and_given_back_if_it_was_refused(tmp_path: Path) -> None:
    """Ten probes of a day of twenty are half of it; and a measurement that is cut off has spent what it sent."""
    fleet = fleet_of(tmp_path, a={"limits": {"rpm": 30, "rpd": 20, "tpm": 100, "concurrency": 3}})
    ledger = MemoryLedger()
    clerk = Clerk(ledger, fleet, lambda: NOON)
    for _ in range(3):
        clerk.ahead("a#1", "m")
    clerk.back("a#1", "m")
    assert booked(ledger) == {("a#1", "rpm"): 2.0, ("a#1", "rpd"): 2.0}


@pytest.mark.parametrize(("reset", "spent"), [("utc", 93.0), ("America/Los_Angeles", 93.0), ("rolling", 5.0)])
def test_what_others_spent_of_a_day_is_booked_as_well(tmp_path: Path, reset: str, spent: float) -> None:
    """A run would start as if the whole day were there. What refills all the time would stand for a day too long."""
    fleet = fleet_of(tmp_path, a={"limits": {"rpd": 100, "reset": reset}})
    ledger = MemoryLedger()
    ledger.book(lambda _: [Booking(owner="a#1", axis="rpd", amount=5.0, at=NOON - 60)])
    found = finding("ok")
    found.limits["rpd"] = Reading(limit=100, remaining=7)
    Clerk(ledger, fleet, lambda: NOON).hear([found])
    assert booked(ledger) == {("a#1", "rpd"): spent}


@pytest.mark.parametrize("by", ["this probe", "the ledger", "the file"])
def test_what_others_spent_of_an_account_is_booked_once(by: str, tmp_path: Path) -> None:
    """Each of twelve keys of one account tells of the same four hundred: counted twelve times, the day was over."""
    shared = {"shared": "account"} if by == "the file" else {}
    fleet = fleet_of(tmp_path, a={"keys": ["key-1", "key-2", "key-3"], "limits": {"rpm": 30, "rpd": 1000, **shared}})
    ledger = MemoryLedger()
    if by == "the ledger":
        ledger.keep(Known(shared=[("a#2", "a#1"), ("a#3", "a#2")]))
    clerk = Clerk(ledger, fleet, lambda: NOON)
    found = []
    for number in (1, 2, 3):
        clerk.ahead(f"a#{number}", "m")
        found.append(finding("ok", f"a#{number}"))
        found[-1].limits["rpd"] = Reading(limit=1000, remaining=600 - number, at=NOON)
        if by == "this probe":
            found[-1].shares_with = [f"a#{other}" for other in (1, 2, 3) if other != number]
    clerk.hear(found)
    clerk.hear(found)
    sums = booked(ledger)
    assert sum(amount for (_, axis), amount in sums.items() if axis == "rpd") == 403
    assert sums["a@default" if shared else "a#1", "rpd"] == (403 if shared else 401)


def test_keys_that_the_file_keeps_apart_are_heard_apart(tmp_path: Path) -> None:
    """Two people's accounts that happen to look alike each have a day of their own."""
    keys = [{"key": f"key-{name}", "account": name} for name in ("ann", "bob")]
    fleet = fleet_of(tmp_path, a={"keys": keys, "limits": {"rpd": 1000}})
    ledger, found = MemoryLedger(), [finding("ok", f"a#{number}") for number in (1, 2)]
    for number, each in enumerate(found, 1):
        each.limits["rpd"], each.shares_with = Reading(limit=1000, remaining=900, at=NOON), [f"a#{3 - number}"]
    Clerk(ledger, fleet, lambda: NOON).hear(found)
    assert sorted(booked(ledger).values()) == [100.0, 100.0]


@pytest.mark.parametrize(("at", "heard"), [(-HOUR, 0.0), (5.0, 0.0), (2 * HOUR, 93.0)])
def test_what_was_left_of_yesterday_says_nothing_of_today(at: float, heard: float, tmp_path: Path) -> None:
    """A probe over midnight took the old day's spending for the new one's, and the new day was gone before it began."""
    midnight = NOON + 12 * HOUR
    fleet = fleet_of(tmp_path, a={"limits": {"rpd": 100}})
    ledger, found = MemoryLedger(), finding("ok")
    found.limits["rpd"] = Reading(limit=100, remaining=7, at=midnight + at)
    Clerk(ledger, fleet, lambda: midnight + max(at, 0.0) + 6.0).hear([found])
    assert booked(ledger).get(("a#1", "rpd"), 0.0) == heard


@pytest.mark.parametrize(
    ("spent", "reset", "told", "said"),
    [
        (30.0, "utc", None, "its day is spent by our own count (rpd 30/30), back at 00:00 UTC"),
        (31.0, "America/Los_Angeles", None, "its day is spent by our own count (rpd 31/30), back at 08:00 UTC"),
        (30.0, "rolling", None, "its day is spent by our own count (rpd 30/30), back bit by bit"),
        (30.0, "utc", 1000.0, ""),
        (29.0, "utc", None, ""),
    ],
)
def test_a_key_that_answers_beyond_its_day_says_so(
    spent: float, reset: str, told: float | None, said: str, tmp_path: Path
) -> None:
    """It was plain `ok`, and the next run sent nothing to it without a word."""
    fleet = fleet_of(tmp_path, a={"limits": {"rpd": 30, "reset": reset}})
    ledger, found = MemoryLedger(), finding("ok")
    ledger.book(lambda _: [Booking(owner="a#1", axis="rpd", amount=spent, at=NOON - 60)])
    if told is not None:
        found.limits["rpd"] = Reading(limit=told, remaining=900, at=NOON)
    Clerk(ledger, fleet, lambda: NOON).warn([found])
    assert (found.state, found.why) == ("ok", said)


def booked(ledger: MemoryLedger) -> dict[tuple[str, str], float]:
    sums: dict[tuple[str, str], float] = {}
    for each in ledger.booked(NOON - 3600):
        sums[each.owner, each.axis] = sums.get((each.owner, each.axis), 0.0) + each.amount
    return sums


def test_what_was_sent_is_tallied(tmp_path: Path) -> None:
    """`status` shows a key's health by what was sent to it, by whomever."""
    shots = [shot(), shot(outcome="refused", at=NOON + 1), shot(outcome="failed"), shot(at=NOON + 60)]
    first, second = kept(fleet_of(tmp_path, a={}), [], shots).tallied(0.0)
    assert (first.sent, first.ok, first.refused, first.failed, first.input_tokens) == (3, 1, 1, 1, 24)
    assert first.latency_s == pytest.approx(0.25)
    assert (second.at, second.sent, second.ok) == (NOON + 60, 1, 1)


# ---------------------------------------------------------------- the document


def document(fleet: Fleet, *findings: Finding) -> list[dict[str, Any]]:
    made = probe_document(findings, fleet, redactor(fleet).document)
    keys: list[dict[str, Any]] = json.loads(msgspec.json.encode(made))["keys"]
    return keys


def test_the_document_has_what_the_contract_names(tmp_path: Path) -> None:
    """Programs rely on each of these names."""
    fleet = fleet_of(tmp_path, a={"limits": {"rpm": 30}})
    found = finding("exhausted", why="spent", until=NOON, latencies=[0.5, 0.1, 0.2], shares_with=["a#2"])
    found.limits["rpd"] = Reading(limit=1000, remaining=0, resets_at=NOON + 0.5)
    found.measured.append(Measured(axis="rpm", figure=20.0, high=float("inf")))
    (entry,) = document(fleet, found)
    assert entry["key"] == "a#1" and entry["provider"] == "a" and entry["model"] == "m"
    assert (entry["state"], entry["why"], entry["latency_s"], entry["shares_with"]) == (
        "exhausted",
        "spent",
        0.2,
        ["a#2"],
    )
    assert entry["resets_at"] == "2026-11-20T12:00:00.000Z"
    assert dt.datetime.fromisoformat(entry["resets_at"]).timestamp() == NOON
    assert entry["limits"] == {
        "rpm": {"declared": 30, "reported": None, "measured": 20.0, "used": None, "left": None, "resets_at": None},
        "rpd": {"declared": None, "reported": 1000, "measured": None, "used": None, "left": 0,
                "resets_at": "2026-11-20T12:00:00.500Z"},
    }  # fmt: skip
    assert entry["measured"][0]["high"] is None


def test_what_is_undefined_is_null(tmp_path: Path) -> None:
    """A latency of 0 would be the best of all."""
    (entry,) = document(fleet_of(tmp_path, a={}), finding("unreachable", until=1e300))
    assert entry["latency_s"] is None and entry["resets_at"] is None and entry["account"] is None


def test_no_key_stands_in_the_document(tmp_path: Path) -> None:
    """It is pasted into issues, and a provider's words may hold the key in any field."""
    fleet = fleet_of(tmp_path, a={"keys": ["sk-secret-0123456789"]})
    (entry,) = document(fleet, finding("invalid", why="no: sk-secret-0123456789", nearest=["sk-secret-0123456789"]))
    assert "sk-secret-0123456789" not in json.dumps(entry)
