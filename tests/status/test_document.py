"""The document of `status --json`: its names, whose counter a figure is, and what was sent when."""

from __future__ import annotations

import datetime as dt
import json

import pytest

from llmfan.entries import KeyState
from tests.status.knowing import NOON, document, fleet, key, ledger, limit, provider, tally, the_key

#: What the contract names.
TOP = {"total_providers", "available_providers", "failed_providers", "quota_status"}
OF_PROVIDER = {
    "calls_today", "max_daily", "tokens_today", "api_key_available", "available", "success_rate", "avg_latency_s",
    "utilization", "state", "available_in_s", "keys",
}  # fmt: skip
OF_KEY = {"key", "state", "why", "limits"}
OF_LIMIT = {"declared", "reported", "measured", "used"}
#: What stands beside it.
MORE_OF_KEY = {
    "mask", "account", "shares_with", "calls_today", "calls_month", "tokens_today", "tokens_month", "last_hour",
    "last_day", "all", "available_in_s", "until",
}  # fmt: skip
MORE_OF_LIMIT = {
    "left", "resets_in_s", "resets_at", "counts", "confidence", "reported_at", "owner", "shared_with", "in_force",
}  # fmt: skip
RATES = {
    "sent", "ok", "refused", "failed", "success_rate", "refused_rate", "avg_latency_s", "p50_latency_s",
    "p95_latency_s",
}  # fmt: skip


def ago(**span: float) -> dt.datetime:
    return NOON - dt.timedelta(**span)


def test_every_name_is_there_even_where_nothing_is_known() -> None:
    """A dashboard that reads it must not meet a field that comes and goes."""
    found = document(fleet(provider(axes={"rpm": 30, "rpd": 100, "concurrency": 4}), provider("b", models=["m", "n"])))
    assert found.keys() >= {*TOP, "differences"}
    assert "simulated" not in found
    for entry in found["quota_status"].values():
        assert entry.keys() >= OF_PROVIDER
        for each in entry["keys"]:
            assert each.keys() >= OF_KEY | MORE_OF_KEY
            assert all(each[span].keys() == RATES for span in ("last_hour", "last_day", "all"))
            assert all(one.keys() >= OF_LIMIT | MORE_OF_LIMIT for one in each["limits"].values())
    assert found["quota_status"]["a"]["keys"][0]["limits"].keys() == {"rpm", "rpd", "concurrency"}
    json.dumps(found, allow_nan=False)


def test_what_is_undefined_is_null() -> None:
    """A rate of 0 where nothing was sent is a lie."""
    entry = document(fleet(provider()))["quota_status"]["a"]
    assert [entry[name] for name in ("max_daily", "success_rate", "avg_latency_s", "utilization")] == [None] * 4
    assert (entry["calls_today"], entry["tokens_today"]) == (0, 0)
    rates = entry["keys"][0]["all"]
    assert {rates[name] for name in RATES - {"sent", "ok", "refused", "failed"}} == {None}


def test_nothing_of_a_key_but_its_last_characters_is_told() -> None:
    """The document goes to dashboards and into tickets."""
    text = json.dumps(document(fleet(provider(keys=2))), ensure_ascii=False)
    assert "sk-secret" not in text
    assert "…tail" in text


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        ({}, 1000),
        ({"measured": 400.0, "confidence": 0.9}, 1000),
        ({"reported": 500.0}, 500),
        ({"reported": 2000.0}, 2000),
    ],
)
def test_max_daily_is_what_was_reported_else_what_is_declared(known: dict[str, float], expected: float) -> None:
    """The contract's word, on which programs rely."""
    of = fleet(provider(axes={"rpd": 1000}))
    assert document(of, ledger([limit("a#1", "rpd", **known)]))["quota_status"]["a"]["max_daily"] == expected


def test_max_daily_counts_each_counter_once() -> None:
    """Three keys of one account have one day's allowance, not three."""
    shared = [key("a#1", "x"), key("a#2", "x"), key("a#3", "y")]
    of = fleet(provider(keys=shared, axes={"rpd": 1000}, shared="account"), provider("b", keys=2, axes={"rpd": 50}))
    quota = document(of)["quota_status"]
    assert (quota["a"]["max_daily"], quota["b"]["max_daily"]) == (2000, 100)


def test_keys_without_a_days_limit_have_no_maximum() -> None:
    """The sum of those that have one would promise too little."""
    of = fleet(provider(axes={"rpd": 10}, models=["m", "n"], by_model={"n": {"rpm": 5}, "m": {"rpd": 10}}))
    assert document(of)["quota_status"]["a"]["max_daily"] is None


def test_keys_that_are_not_set_add_nothing() -> None:
    """A fleet file that names ten keys of which two are set has two keys' allowance."""
    of = fleet(provider(keys=[key("a#1"), key("a#2", missing="A_KEY_2")], axes={"rpd": 1000}))
    entry = document(of)["quota_status"]["a"]
    assert (entry["max_daily"], entry["available"], entry["api_key_available"]) == (1000, True, True)


def test_a_shared_account_is_told_with_whom_and_counted_together() -> None:
    """Each key alone would look half empty."""
    shared = [key("a#1", "x"), key("a#2", "x")]
    of = fleet(provider(keys=shared, axes={"rpd": 100}, shared="account"))
    found = document(of, ledger(booked=[("a@x", "rpd", 60.0, NOON)]))
    for label, other in (("a#1", "a#2"), ("a#2", "a#1")):
        one = the_key(found, label)
        assert one["shares_with"] == one["limits"]["rpd"]["shared_with"] == [other]
        assert one["limits"]["rpd"]["used"] == 60
    assert found["quota_status"]["a"]["utilization"] == 0.6


def test_keys_found_out_to_share_are_counted_as_one() -> None:
    """The file says two accounts, the provider counts one: what both have spent is gone for each."""
    of = fleet(provider(keys=2, axes={"rpd": 100}))
    spent = [("a#1", "rpd", 30.0, NOON), ("a#2", "rpd", 45.0, NOON)]
    learned = [limit("a#1", "rpd", reported=80.0, at=2.0), limit("a#2", "rpd", reported=90.0, at=1.0)]
    found = document(of, ledger(learned, shared=[("a#2", "a#1")], booked=spent))
    for label in ("a#1", "a#2"):
        rpd = the_key(found, label)["limits"]["rpd"]
        assert (rpd["used"], rpd["reported"], rpd["left"]) == (75, 80, 5)
    assert found["quota_status"]["a"]["max_daily"] == 80


def test_limits_that_nobody_declared_are_told_once_they_are_known() -> None:
    """What the provider says without being asked is what one came for."""
    of = fleet(provider(axes={"rpm": 30}))
    learned = [limit("a#1", "tpd", reported=5000.0), limit("a#1", "concurrency", measured=3.0, confidence=0.8)]
    limits = the_key(document(of, ledger(learned)))["limits"]
    assert list(limits) == ["rpm", "tpd", "concurrency"]
    assert (limits["tpd"]["declared"], limits["tpd"]["reported"], limits["tpd"]["used"]) == (None, 5000, 0)
    assert (limits["concurrency"]["measured"], limits["concurrency"]["used"]) == (3, None)


def test_a_models_own_limit_is_not_anothers() -> None:
    """What was learned of one model must not stand beside another."""
    of = fleet(provider(axes={"rpd": 100}, models=["m", "n"], per_model=True))
    one = the_key(document(of, ledger([limit("a#1/n", "rpd", reported=20.0)], booked=[("a#1/n", "rpd", 5.0, NOON)])))
    assert [(m["limits"]["rpd"]["reported"], m["limits"]["rpd"]["used"]) for m in one["models"]] == [(None, 0), (20, 5)]


def test_what_a_measurement_knows_is_told() -> None:
    """A figure without how sure it is, and of when, cannot be weighed."""
    known = limit("a#1", "rpm", measured=12.34567, confidence=0.97, counts="sliding")
    one = the_key(document(fleet(provider(axes={"rpm": 30})), ledger([known])))["limits"]["rpm"]
    assert (one["measured"], one["confidence"], one["counts"]) == (12.346, 0.97, "sliding")
    assert (one["measured_at"], one["reported_at"]) == ("2026-11-19T08:00:00.000Z", None)


def test_calls_and_tokens_are_those_of_the_providers_day_and_month() -> None:
    """At 05:00 UTC it is yesterday in Los Angeles."""
    now = dt.datetime(2026, 11, 1, 5, 0, tzinfo=dt.UTC)
    sent = [tally("a#1", now - dt.timedelta(hours=h), 10) for h in (1, 6, 23)]
    local = document(fleet(provider(reset="America/Los_Angeles")), ledger(tallies=sent), now)["quota_status"]["a"]
    assert (local["calls_today"], local["tokens_today"], local["keys"][0]["calls_month"]) == (20, 600, 30)
    utc = document(fleet(provider()), ledger(tallies=sent), now)["quota_status"]["a"]
    assert (utc["calls_today"], utc["keys"][0]["calls_month"]) == (10, 10)


def test_rates_are_of_the_last_hour_day_and_all() -> None:
    """A key that failed all last year and works today is a good one, and the other way round."""
    sent = [
        tally("a#1", ago(days=40), 100, span=86400.0, ok=0, failed=100, latency_s=0.0, latencies={}),
        tally("a#1", ago(hours=3), 10, ok=8, refused=2, latency_s=16.0, latencies={70: 8}),
        tally("a#1", ago(minutes=5), 4),
    ]
    found = document(fleet(provider()), ledger(tallies=sent))
    one = the_key(found)
    assert [one[span]["sent"] for span in ("last_hour", "last_day", "all")] == [4, 14, 114]
    assert one["last_hour"]["success_rate"] == 1
    day = one["last_day"]
    assert (day["ok"], day["refused"], day["success_rate"], day["refused_rate"]) == (12, 2, 0.8571, 0.1429)
    assert day["avg_latency_s"] == pytest.approx(20 / 12, abs=1e-3)
    assert day["p50_latency_s"] == pytest.approx(1.01**70.5, rel=0.01)
    assert one["all"]["failed"] == 100
    assert found["quota_status"]["a"]["success_rate"] == 0.8571  # of the last day


def test_a_stretch_counts_where_most_of_it_lies() -> None:
    """Old tallies are long: a day of which an hour reaches into this month is last month's."""
    first = dt.datetime(2026, 11, 1, tzinfo=dt.UTC)
    sent = [tally("a#1", first - dt.timedelta(hours=h), 10, span=86400.0) for h in (23, 1)]
    assert the_key(document(fleet(provider()), ledger(tallies=sent)))["calls_month"] == 10


def test_failed_providers_are_those_no_waiting_helps() -> None:
    """A spent allowance comes back, a key that is not set was never tried: neither has failed."""
    states = [
        KeyState(key="bad#1", state="invalid"),
        KeyState(key="down#1", state="unreachable", at=NOON.timestamp()),
        KeyState(key="spent#1", state="exhausted", until=NOON.timestamp() + 60),
    ]
    of = fleet(
        provider("good"), provider("bad"), provider("down"), provider("spent"),
        provider("unset", keys=[key("unset#1", missing="K")]),
    )  # fmt: skip
    found = document(of, ledger(states=states))
    assert found["failed_providers"] == ["bad", "down"]
    assert (found["total_providers"], found["available_providers"]) == (5, 1)


def test_it_can_be_narrowed() -> None:
    """A figure of one key must not change because the others are not shown."""
    shared = [key("a#1", "x"), key("a#2", "x")]
    of = fleet(provider(keys=shared, axes={"rpd": 100}, shared="account"), provider("b"))
    whole, one = document(of), document(of, keys=["a#2"])
    assert (list(one["quota_status"]), one["total_providers"]) == (["a"], 1)
    assert one["quota_status"]["a"]["keys"] == [the_key(whole, "a#2")]
    assert list(document(of, providers=["b"])["quota_status"]) == ["b"]
    assert list(document(of, providers=["b"], keys=["a#1"])["quota_status"]) == ["a", "b"]
