"""Waits and resets in every format in use."""

from __future__ import annotations

import pytest

from llmfan.dialects.headers import costs_told, leading_number, reset_seconds, retry_wait
from llmfan.settings import HeaderRow, Preset

NOW = 1_795_176_000.0  # 2026-11-20 12:00:00 UTC


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({"retry-after-ms": "1500", "retry-after": "60"}, 1.5),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "7.66"}, 7.66),
        ({"retry-after": " 7 "}, 7.0),
        ({"retry-after": "2m59.56s"}, 179.56),
        ({"retry-after": "-5"}, 0.0),
        ({"retry-after-ms": "-5"}, 0.0),
        ({"retry-after": "99999999"}, 86400.0),
        ({"retry-after": "Fri, 20 Nov 2026 12:00:30 GMT"}, 30.0),
        ({"retry-after": "Sun, 22 Nov 2026 12:00:00 GMT"}, 2 * 86400.0),
        ({"retry-after": "Fri, 20 Nov 2026 11:00:00 GMT"}, 0.0),
        ({"retry-after": "2026-11-20T12:01:00Z"}, 60.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after-ms": "x", "retry-after": "3"}, 3.0),
        ({}, None),
    ],
)
def test_retry_after_is_read_in_every_form(headers: dict[str, str], wait: float | None) -> None:
    """Too short a rest is another 429; too long a one is an idle key."""
    assert retry_wait(headers, NOW) == pytest.approx(wait)


@pytest.mark.parametrize(
    ("text", "wait"),
    [
        ("2m59.56s", 179.56),
        ("6m 11.52s", 371.52),
        ("825ms", 0.825),
        ("7.66s", 7.66),
        ("1.984999999s", 1.984999999),
        ("6m0s", 360.0),
        ("1h23m45.6s", 5025.6),
        ("1m26.4s", 86.4),
        ("24h0m0s", 86400.0),
        ("5s", 5.0),
        ("1.s", 1.0),
        ("1d2h", 93600.0),
        ("250ms30us", 0.25003),
        ("-3s", None),
        ("²s", None),
        ("s", None),
        ("9" * 1_000_000 + "s", None),
        ("33011.3828", 33011.3828),
        ("0", 0.0),
        ("-3", 0.0),
        (str(int((NOW + 90) * 1000)), 90.0),
        (str(int(NOW + 90)), 90.0),
        (str(int(NOW - 90)), 0.0),
        ("2026-11-20T12:00:45Z", 45.0),
        ("2026-11-20T12:00:45.500+00:00", 45.5),
        ("2026-11-20T13:00:45+01:00", 45.0),
        ("Fri, 20 Nov 2026 12:00:45 GMT", 45.0),
        ("tomorrow", None),
        ("", None),
        ("2026-99-99T00:00:00Z", None),
    ],
)
def test_a_reset_is_told_by_its_size_and_shape(text: str, wait: float | None) -> None:
    """Epoch milliseconds read as seconds would bench a key for ever."""
    assert reset_seconds(text, NOW) == pytest.approx(wait)


def test_a_moment_says_nothing_without_a_clock() -> None:
    """A wait reckoned from no clock at all would be nonsense that looks sound."""
    assert reset_seconds("2026-11-20T12:00:45Z", None) is None
    assert reset_seconds("1795176000", None) is None
    assert reset_seconds("7.66s", None) == 7.66


def test_what_a_call_cost_is_read_from_cost_rows_alone() -> None:
    """A limit taken for a cost would book a day's allowance for one call."""
    rows = [HeaderRow(name="X-Cost", axis="tpm", role="cost"), HeaderRow(name="x-limit", axis="tpm", role="limit")]
    told = Preset(name="T", checked="2026-11-20", limit_headers=rows)
    assert costs_told(told, {"x-cost": "12.5", "x-limit": "1000"}, None) == [("tpm", "cost", 12.5)]
    assert costs_told(told, {"x-cost": "much"}, None) == []


@pytest.mark.parametrize(
    ("text", "number"),
    [("1,000", 1000.0), ("100, 100;w=60", 100.0), ("100;w=60", 100.0), (" 7 ", 7.0), ("-1", -1.0), ("1e3", 1000.0),
     ("many", None), ("", None), ("nan", None), ("9" * 1_000_000, None)],
)  # fmt: skip
def test_the_number_a_header_begins_with_is_read(text: str, number: float | None) -> None:
    """Servers put thousands separators and policies beside their figures."""
    assert leading_number(text) == number
