"""When limits changed, and what `--reset` makes the ledger forget."""

from __future__ import annotations

import datetime as dt

import pytest

from llmfan.entries import Change, KeyState
from llmfan.ledgers.memory import MemoryLedger
from llmfan.status.forgetting import forget, names_of, resets_of, still
from llmfan.status.history import history
from tests.status.knowing import NOON, document, fleet, key, ledger, limit, provider

FLEET = fleet(
    provider("a", keys=[key("a#1", "x"), key("a#2", "x"), key("a#3", "y")], axes={"rpd": 10}, shared="account"),
    provider("b", keys=2, axes={"rpd": 10}, models=["m", "n"], per_model=True),
)


def known() -> MemoryLedger:
    owners = ["a@x", "a@y", "b#1/m", "b#1/n", "b#2/m"]
    states = [KeyState(key=label, state="invalid") for label in ("a#1", "a#3")]
    states += [KeyState(key="b#1", model=model, state="exhausted") for model in ("m", "n")]
    return ledger([limit(owner, "rpd", reported=5.0) for owner in owners], states, booked=[("a@x", "rpd", 3.0, NOON)])


def left(after: MemoryLedger) -> tuple[set[str], set[tuple[str, str]]]:
    found = after.known()
    return {each.owner for each in found.limits}, {(each.key, each.model) for each in found.states}


@pytest.mark.parametrize(
    ("name", "owners", "states"),
    [
        ("a", {"b#1/m", "b#1/n", "b#2/m"}, {("b#1", "m"), ("b#1", "n")}),
        ("a#3", {"a@x", "b#1/m", "b#1/n", "b#2/m"}, {("a#1", ""), ("b#1", "m"), ("b#1", "n")}),
        ("b/m", {"a@x", "a@y", "b#1/n"}, {("a#1", ""), ("a#3", ""), ("b#1", "n")}),
        ("b#1", {"a@x", "a@y", "b#2/m"}, {("a#1", ""), ("a#3", "")}),
        ("all", set(), set()),
    ],
)
def test_what_goes_by_a_name_is_forgotten_and_nothing_else(
    name: str, owners: set[str], states: set[tuple[str, str]]
) -> None:
    """Lifting one cooldown must not make a fleet learn its limits anew, one refusal at a time."""
    archive = known()
    (reset,), unknown = resets_of([name], FLEET)
    forget(archive, reset, FLEET)
    assert not unknown
    assert left(archive) == (owners, states)


def test_it_says_what_it_did() -> None:
    """`--reset` on the wrong name has to be seen at once."""
    (reset,), _ = resets_of(["a#1"], FLEET)
    done = forget(known(), reset, FLEET)
    assert done == {
        "name": "a#1", "keys": ["a#1"], "lifted": [{"key": "a#1", "model": "", "state": "invalid"}],
        "was_well": False, "forgotten": [{"owner": "a@x", "axis": "rpd"}], "shared_with": ["a#2"],
    }  # fmt: skip


def test_an_ok_is_not_lifted() -> None:
    """`lifted ok` reads as if something had stood against the key."""
    archive = ledger(states=[KeyState(key="a#1", model="m", state="ok")])
    (reset,), _ = resets_of(["a#1"], FLEET)
    done = forget(archive, reset, FLEET)
    assert done is not None and (done["lifted"], done["was_well"]) == ([], True)
    archive = ledger(states=[KeyState(key="a#1", state="missing"), KeyState(key="a#1", model="m", state="retired")])
    done = forget(archive, reset, FLEET)
    assert done is not None and (done["lifted"], done["was_well"]) == ([], False)  # the file says so, not the ledger


def test_what_cannot_be_written_is_not_forgotten() -> None:
    """It was called done, and the key stood where it was at the next look."""

    class Locked(MemoryLedger):
        def forget(self, owners: object, keys: object) -> int:
            return -1

    (reset,), _ = resets_of(["a#1"], FLEET)
    assert forget(Locked(), reset, FLEET) is None


def test_what_still_holds_after_a_reset_is_known() -> None:
    """A day that is spent stays spent, whatever is forgotten."""
    of = fleet(provider(axes={"rpd": 10}, keys=2))
    archive = ledger(booked=[("a#1", "rpd", 10.0, NOON - dt.timedelta(hours=1))])
    (reset,), _ = resets_of(["a"], of)
    forget(archive, reset, of)
    (held,) = still(reset, document(of, archive))
    assert held == {
        "key": "a#1", "state": "exhausted", "why": "rpd is spent", "until": "2026-11-22T00:00:00.000Z",
    }  # fmt: skip


def test_what_was_spent_stays_spent() -> None:
    """The provider has not forgotten it."""
    archive = known()
    (reset,), _ = resets_of(["all"], FLEET)
    forget(archive, reset, FLEET)
    assert [booking.amount for booking in archive.booked(0.0)] == [3.0]


def test_unknown_names_are_given_back() -> None:
    """Nothing is forgotten by a name that was mistyped."""
    assert resets_of(["b/x", "c"], FLEET) == ([], ["b/x", "c"])
    assert {"a", "a#2", "b/n", "all"} <= set(names_of(FLEET))


def test_changes_are_told_by_keys_the_newest_first() -> None:
    """An owner's inner name says nothing to anybody."""
    changes = [
        Change(owner="a@x", axis="rpd", source="reported", before=None, after=1000.0, at=10.0),
        Change(owner="b#2/m", axis="rpd", source="measured", before=10.0, after=8.5, at=30.0),
        Change(owner="gone#1", axis="rpm", source="declared", before=1.0, after=None, at=20.0),
    ]
    found = history(changes, FLEET)
    assert [(each["name"], each["before"], each["after"]) for each in found] == [
        ("b#2", 10, 8.5), ("gone#1", 1, None), ("a#1, a#2", None, 1000),
    ]  # fmt: skip
    assert found[0]["at"] == "1970-01-01T00:00:30.000Z"
    assert [each["name"] for each in history(changes, FLEET, keys=["a#2"])] == ["a#1, a#2"]
    assert [each["name"] for each in history(changes, FLEET, providers=["b"])] == ["b#2"]
