"""What key checks tell, and what answers report of limits."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llmfan.probing.facts import Facts, facts_in
from llmfan.probing.findings import Reading
from llmfan.probing.readings import axis_meant, left_of, take
from llmfan.records import Report
from llmfan.settings import KeyFacts
from llmfan.units import DAY


def facts(value: Any, **paths: str) -> Facts:
    return facts_in(json.dumps(value).encode(), KeyFacts(**paths))


@pytest.mark.parametrize(
    ("credit", "spent"),
    [
        (0, True),
        (-1.5, True),
        ("0.00", True),
        (False, True),
        (5, False),
        ("3.2", False),
        (True, False),
        (None, False),
        ("?", False),
    ],
)
def test_credit_is_read_in_any_form(credit: Any, spent: bool) -> None:
    """Balances come as numbers, as texts and as yes or no; null means that there is no bound."""
    assert facts({"data": {"left": credit}}, credit="data.left").spent is spent


@pytest.mark.parametrize("figure", [10**400, -(10**400), "1e400", "nan", float("inf")])
def test_a_figure_beyond_all_figures_is_none(figure: Any) -> None:
    """A whole number of four hundred digits ended the probe, and what was known of all keys was gone."""
    body = json.dumps({"credit": figure, "n": {"limit": figure, "remaining": 3}}).encode()
    found = facts_in(body, KeyFacts(credit="credit", requests="n"))
    assert not found.spent
    assert found.reading == Reading(limit=None, remaining=3)


@pytest.mark.parametrize("figure", [float("inf"), float("nan"), 1e300])
def test_what_no_limit_can_be_is_not_taken_for_one(figure: float) -> None:
    """It would stand in the ledger, and every later document would stumble over it."""
    found: dict[str, Reading] = {}
    take(found, [Report(axis="rpd", limit=figure, remaining=figure, resets_in=figure)], {}, now=100.0)
    assert found == {"rpd": Reading()}
    assert left_of([Report(axis="rpd", limit=figure, remaining=1)], {}) == {}


def test_paths_lead_into_lists_and_nowhere() -> None:
    """An account that was given another form yesterday must not end the probe."""
    value = {"orgs": [{"name": "one"}, {"name": "two"}], "n": 7}
    assert facts(value, account="orgs.1.name").account == "two"
    assert facts(value, account="n").account == "7"
    for path in ("orgs.5.name", "orgs.name", "n.x", "gone", "orgs"):
        assert facts(value, account=path).account == ""
    assert facts_in(b"<html>", KeyFacts(account="a", credit="b", active="c=d", requests="e")) == Facts()


def test_a_word_that_is_not_the_wanted_one_is_told() -> None:
    """A disabled token answers its own check with 200."""
    assert facts({"result": {"status": "active"}}, active="result.status=active").inactive == ""
    assert facts({"result": {"status": "disabled"}}, active="result.status=active").inactive == "disabled"
    assert facts({}, active="result.status=active").inactive == ""


def test_requests_left_are_a_reading() -> None:
    """Some providers tell of a day's quota there and nowhere else."""
    found = facts({"q": {"limit": 50, "remaining": 12}}, requests="q", requests_axis="rpd")
    assert (found.axis, found.reading) == ("rpd", Reading(limit=50, remaining=12))
    assert facts({"q": {}}, requests="q").reading is None


@pytest.mark.parametrize(
    ("report", "declared", "axis"),
    [
        (Report(axis="tpm", limit=8000), {}, "tpm"),
        (Report(axis="requests", limit=30), {"rpm": 30.0, "rpd": 1000.0}, "rpm"),
        (Report(axis="requests", limit=1000), {"rpm": 30.0, "rpd": 1000.0}, "rpd"),
        (Report(axis="requests", limit=30, resets_in=3600), {"rpm": 30.0, "rpd": 1000.0}, "rpd"),
        (Report(axis="requests", limit=30), {"rps": 1.0}, "rps"),
        (Report(axis="requests", limit=30), {}, "rpm"),
        (Report(axis="requests", limit=30, resets_in=DAY / 2), {}, "rpd"),
        (Report(axis="tokens", limit=30), {"rpm": 5.0}, "tpm"),
        (Report(axis="concurrency", limit=3), {}, "concurrency"),
        (Report(axis="credits", limit=3), {}, ""),
    ],
)
def test_a_figure_finds_its_axis(report: Report, declared: dict[str, float], axis: str) -> None:
    """A day's limit taken for a minute's lets a run send a day's worth at once."""
    assert axis_meant(report, declared) == axis


def test_what_one_answer_leaves_out_stays_as_it_was_told() -> None:
    """A refusal often says only when, and the answer before it how many."""
    found: dict[str, Reading] = {}
    take(found, [Report(axis="rpd", limit=1000, remaining=7)], {}, now=100.0)
    take(found, [Report(axis="rpd", resets_in=60), Report(axis="credits", limit=1)], {}, now=200.0)
    assert found == {"rpd": Reading(limit=1000, remaining=7, resets_at=260.0, at=100.0)}
