"""Where the providers file is wrong about a limit, and which line to change."""

from __future__ import annotations

from typing import Any

import pytest

from llmfan.records import KnownLimit
from llmfan.settings import Provider
from tests.status.knowing import document, fleet, key, ledger, limit, provider

FILE = """\
version: 1
providers:
  a:
    # limits: {rpd: 14400}
    keys: $A*
    limits:
      rpm: 30
      rpd: 14_400
  b:
    limits: {rpd: 14400}
    keys:
      - {key: $B, limits: {rpm: 60}}
      - {key: $B_2, limits: {rpm: 45}}
    models:
      first: {limits: {tpd: 500}}
      second: {limits: {tpd: 500}}
  c:
    model: m
""".splitlines()


def differences(of: Provider, *known: KnownLimit, **more: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = document(fleet(of), ledger(known, **more), lines=FILE)["differences"]
    return found


def test_a_reported_limit_that_differs_is_told_with_the_line_to_change() -> None:
    """It is what ends a run hours before its forecast."""
    of = provider(keys=2, axes={"rpm": 30, "rpd": 14400}, line=3)
    (one,) = differences(of, limit("a#2", "rpd", reported=1000.0), limit("a#2", "rpm", reported=30.0))
    assert one["message"] == "a#2 rpd: declared 14400, reported 1000 on 2026-11-19"
    assert one["change"] == "providers.yaml:8: limits: {rpd: 1000}"
    assert one.items() >= {
        "key": "a#2", "model": "m", "axis": "rpd", "declared": 14400, "reported": 1000, "measured": None,
        "at": "2026-11-19T08:00:00.000Z", "line": 8,
    }.items()  # fmt: skip


@pytest.mark.parametrize(
    ("known", "said"),
    [
        ({"reported": 96.0}, None),
        ({"reported": 104.0}, None),
        ({"reported": 94.0}, "reported 94"),
        ({"reported": 200.0}, "reported 200"),
        ({"measured": 50.0, "confidence": 0.4}, None),
        ({"measured": 50.0, "confidence": 0.5}, "measured 50"),
        ({"reported": 100.0, "measured": 50.0, "confidence": 0.9}, "measured 50"),
        ({"reported": 80.0, "measured": 50.0, "confidence": 0.9}, "reported 80"),
        ({}, None),
    ],
)
def test_only_what_differs_enough_and_is_sure_enough_is_told(known: dict[str, float], said: str | None) -> None:
    """Noise at the top of the page hides the one line that matters."""
    found = differences(provider(axes={"rpd": 100}), limit("a#1", "rpd", **known))
    assert [each["message"] for each in found] == ([f"a#1 rpd: declared 100, {said} on 2026-11-19"] if said else [])


@pytest.mark.parametrize(
    ("of", "known", "line", "change"),
    [
        (provider("b", axes={"rpd": 14400}, line=9), limit("b#1", "rpd", reported=1000.0), 10, "limits: {rpd: 1000}"),
        (
            provider("b", keys=2, axes={"rpm": 45}, origin="key", line=9), limit("b#2", "rpm", reported=30.0), 13,
            "limits: {rpm: 30}",
        ),
        (
            provider("b", axes={"tpd": 500}, models=["first", "second"], origin="model", line=9),
            limit("b#1/second", "tpd", reported=200.0), 16, "limits: {tpd: 200}",
        ),
        (
            provider("c", axes={"rpd": 50}, origin="preset", line=17), limit("c#1", "rpd", reported=20.0), 17,
            "add limits: {rpd: 20} under c",
        ),
        (
            provider("b", axes={"tpm": 50}, origin="preset", line=9), limit("b#1", "tpm", reported=20.0), 10,
            "add tpm: 20 to the limits of b",
        ),
        (
            provider("c", axes={"rpd": 50}, models=["m", "n"], origin="preset", per_model=True, line=17),
            limit("c#1/n", "rpd", reported=20.0), 17, "add limits: {rpd: 20} under c, model n",
        ),
        (
            provider("c", keys=2, axes={"rpm": 50}, origin="preset", line=17),
            limit("c#2", "rpm", measured=12.35, confidence=0.9), 17, "keys: give c#2 limits: {rpm: 12.3} of its own",
        ),
    ],
)  # fmt: skip
def test_the_line_is_the_one_that_says_so(of: Provider, known: KnownLimit, line: int, change: str) -> None:
    """The wrong line sends people to the wrong key's limit."""
    (one,) = differences(of, known)
    assert (one["line"], one["change"]) == (line, f"providers.yaml:{line}: {change}")


def test_without_the_file_it_is_where_the_provider_begins() -> None:
    """The file may be gone since it was read."""
    of = fleet(provider(axes={"rpd": 100}, line=3))
    (one,) = document(of, ledger([limit("a#1", "rpd", reported=10.0)]))["differences"]
    assert one["change"] == "providers.yaml:3: limits: {rpd: 10}"


def test_a_shared_account_is_told_once_by_its_keys() -> None:
    """The same line three times looks like three faults."""
    shared = [key(f"a#{n}", "x") for n in (1, 2, 3)] + [key("a#4", "y")]
    of = provider(keys=shared, axes={"rpd": 14400}, shared="account")
    (one,) = differences(of, limit("a@x", "rpd", reported=1000.0))
    assert one["message"].startswith("a#1..#3 rpd: declared 14400, reported 1000")
    assert (one["key"], one["keys"]) == ("a#1", ["a#1", "a#2", "a#3"])


def test_keys_that_differ_alike_are_told_together() -> None:
    """Thirty keys of one plan are one mistake in the file."""
    of = provider(keys=5, axes={"rpd": 14400})
    known = [limit(f"a#{n}", "rpd", reported=1000.0) for n in (1, 2, 3, 5)]
    (one,) = differences(of, *known)
    assert one["message"].startswith("a#1..#3, a#5 rpd:")


def test_keys_counted_as_one_are_told_once() -> None:
    """What probe found out about accounts holds here too."""
    of = provider(keys=2, axes={"rpd": 14400})
    (one,) = differences(of, limit("a#1", "rpd", reported=1000.0), shared=[("a#2", "a#1")])
    assert one["keys"] == ["a#1", "a#2"]
