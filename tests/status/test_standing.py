"""How a key is said to be, and when it is back."""

from __future__ import annotations

import datetime as dt
import io
from typing import Any

import msgspec
import pytest
from rich.console import Console

from llmfan.entries import KeyState
from llmfan.outputs.status_table import print_status
from llmfan.settings import KeySettings
from tests.status.knowing import NOON, document, fleet, key, ledger, limit, provider, the_key

NOW = NOON.timestamp()
HOUR = 3600.0


def state(word: Any, label: str = "a#1", **more: Any) -> KeyState:
    return KeyState(key=label, state=word, **{"at": NOW - 10, **more})


@pytest.mark.parametrize(
    ("word", "until", "expected", "available_in"),
    [
        ("ok", None, "ready", 0),
        ("unproven", None, "ready", 0),
        ("invalid", None, "invalid", None),
        ("forbidden", None, "invalid", None),
        ("no_credit", None, "invalid", None),
        ("no_model", None, "invalid", None),
        ("retired", None, "invalid", None),
        ("unreachable", None, "cooldown", None),
        ("unreachable", 30.0, "cooldown", 30),
        ("rate_limited", 42.0, "cooldown", 42),
        ("rate_limited", None, "cooldown", 50),  # a minute from when it was seen
        ("exhausted", HOUR, "exhausted", 3600),
        ("exhausted", None, "exhausted", 12 * 3600),  # till the day ends
        ("exhausted", -1.0, "ready", 0),  # over
        ("rate_limited", -1.0, "ready", 0),
    ],
)
def test_the_ledgers_words_are_told_in_five(
    word: str, until: float | None, expected: str, available_in: float | None
) -> None:
    """A program that waits for a key without credit waits for ever; one that gives up on a cooldown loses a key."""
    known = state(word, why="because", until=None if until is None else NOW + until)
    found = document(fleet(provider()), ledger(states=[known]))
    one = the_key(found)
    assert (one["state"], one["available_in_s"]) == (expected, available_in)
    entry = found["quota_status"]["a"]
    assert (entry["state"], entry["available"], entry["available_in_s"]) == (
        expected,
        expected == "ready",
        available_in,
    )
    if expected != "ready":
        assert one["why"] == f"{word}: because"


def test_a_key_nothing_is_known_of_is_ready() -> None:
    """Before the first probe a fleet must not look broken."""
    found = document(fleet(provider(axes={"rpd": 100})))
    assert the_key(found)["state"] == "ready"
    assert (found["known"], found["available_providers"], found["failed_providers"]) == (False, 1, [])


def test_a_key_that_is_not_set_is_missing_and_says_what_to_set() -> None:
    """A key that is not there is no failure of the provider's."""
    found = document(fleet(provider(keys=[key("a#1", missing="A_KEY")])))
    assert (the_key(found)["state"], the_key(found)["why"]) == ("missing", "$A_KEY is not set")
    entry = found["quota_status"]["a"]
    assert (entry["api_key_available"], entry["state"], entry["available_in_s"]) == (False, "missing", None)
    assert found["failed_providers"] == []


def test_a_retired_provider_is_invalid() -> None:
    """No key helps where there is no service any more."""
    one = the_key(document(fleet(provider(retired="closed in May"))))
    assert (one["state"], one["why"]) == ("invalid", "retired: closed in May")


@pytest.mark.parametrize("keys", [[key("a#1")], [key("a#1", missing="A_KEY")]])
def test_a_retired_provider_without_a_model_has_a_standing(keys: list[KeySettings]) -> None:
    """The file need not name one any more, and `status` ended with a traceback: for all other providers as well."""
    found = document(fleet(provider(keys=keys, models=(), retired="closed in May"), provider("b")))
    one = the_key(found)
    assert (one["state"], one["why"], one["limits"]) == ("invalid", "retired: closed in May", {})
    assert (one["available_in_s"], one["day_begins"]) == (None, "utc")
    assert the_key(found, "b#1")["state"] == "ready"
    for details in (False, True):
        page = io.StringIO()
        print_status(found, Console(file=page, width=120), details=details)
        assert "retired" in page.getvalue() and "b#1" in page.getvalue()


@pytest.mark.parametrize("far", [1e15, 1e300, float("inf"), -1e15])
def test_a_moment_that_no_calendar_has_is_none(far: float) -> None:
    """One provider's `Retry-After: 1e15` cost the whole of `status`."""
    states = [state("exhausted", until=far), state("rate_limited", "a#2", until=far)]
    found = document(fleet(provider(keys=2)), ledger(states=states))
    assert {key["until"] for key in found["quota_status"]["a"]["keys"]} == {None}
    print_status(found, Console(file=io.StringIO(), width=120), details=True)


@pytest.mark.parametrize("figure", [float("inf"), float("nan"), 1e300, 2.0**64])
def test_figures_that_no_limit_can_be_are_shown_all_the_same(figure: float) -> None:
    """Whatever a server said once stands in the ledger, and no document could be made of it any more."""
    known = [limit("a#1", "rpd", reported=figure, measured=figure, confidence=1.0)]
    found = document(fleet(provider(axes={"rpd": 10})), ledger(known))
    assert msgspec.json.decode(msgspec.json.encode(found))["quota_status"]
    print_status(found, Console(file=io.StringIO(), width=120), details=True)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["invalid", "ok"], "ready"),
        (["invalid", "exhausted"], "exhausted"),
        (["exhausted", "rate_limited"], "cooldown"),
        (["invalid", "no_credit"], "invalid"),
    ],
)
def test_a_provider_is_as_its_best_key_is(words: list[str], expected: str) -> None:
    """One bad key of five is no outage."""
    states = [state(word, f"a#{n}", until=NOW + 100 * n) for n, word in enumerate(words, 1)]
    found = document(fleet(provider(keys=2)), ledger(states=states))
    assert found["quota_status"]["a"]["state"] == expected


def test_a_provider_is_back_when_its_first_key_is() -> None:
    """The countdown is what one waits by."""
    states = [state("exhausted", "a#1", until=NOW + 9000), state("rate_limited", "a#2", until=NOW + 60)]
    assert document(fleet(provider(keys=2)), ledger(states=states))["quota_status"]["a"]["available_in_s"] == 60


def test_a_spent_day_is_exhausted_though_nobody_was_refused() -> None:
    """`run` sends nothing for such a key: `status` must say why, and until when."""
    spent = [("a#1", "rpd", 100.0, NOON - dt.timedelta(hours=1))]
    one = the_key(document(fleet(provider(axes={"rpd": 100, "rpm": 30})), ledger(booked=spent)))
    assert (one["state"], one["why"]) == ("exhausted", "rpd is spent")
    assert one["until"] == "2026-11-22T00:00:00.000Z"


def test_a_spent_minute_is_not_exhausted() -> None:
    """It comes back while one looks."""
    spent, later = [("a#1", "rpm", 30.0, NOON)], NOON + dt.timedelta(seconds=20)
    one = the_key(document(fleet(provider(axes={"rpm": 30})), ledger(booked=spent), later))
    assert (one["state"], one["limits"]["rpm"]["left"], one["limits"]["rpm"]["resets_in_s"]) == ("ready", 0, 40)


def test_a_key_is_as_its_best_model_is_and_each_is_told() -> None:
    """One model's spent allowance does not stop the others."""
    of = fleet(provider(axes={"rpd": 10}, models=["m", "n"], per_model=True))
    spent = [("a#1/m", "rpd", 10.0, NOON), ("a#1/n", "rpd", 4.0, NOON)]
    one = the_key(document(of, ledger(booked=spent)))
    assert one["state"] == "ready"
    assert [(m["model"], m["state"], m["limits"]["rpd"]["left"]) for m in one["models"]] == [
        ("m", "exhausted", 0), ("n", "ready", 6),
    ]  # fmt: skip
    assert one["limits"]["rpd"]["used"] == 10  # the fullest


def test_what_spoke_against_a_key_is_over_once_it_has_answered() -> None:
    """A card that was topped up after the probe: the run knows better."""
    states = [state("no_credit", at=NOW - 100), state("ok", model="m", at=NOW - 5)]
    assert the_key(document(fleet(provider()), ledger(states=states)))["state"] == "ready"
    states = [state("no_credit", at=NOW - 5), state("ok", model="m", at=NOW - 100)]
    assert the_key(document(fleet(provider()), ledger(states=states)))["state"] == "invalid"
