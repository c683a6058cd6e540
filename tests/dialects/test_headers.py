"""Waits and resets in every format in use."""

from __future__ import annotations

import pytest

from llmfan.dialects.headers import limit_news, reset_seconds, retry_wait
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


def test_limit_news_reads_rows_in_their_own_formats() -> None:
    """Limits learned from headers are only as good as the units they are read in."""
    rows = [
        HeaderRow(name="X-Limit", axis="rpd", role="limit"),
        HeaderRow(name="x-remaining", axis="rpd", role="remaining"),
        HeaderRow(name="x-reset-day", axis="rpd", role="reset", format="go"),
        HeaderRow(name="x-reset-minute", axis="rpm", role="reset", format="epoch_ms"),
        HeaderRow(name="x-reset-at", axis="tpm", role="reset", format="rfc3339"),
        HeaderRow(name="x-cost", axis="tpm", role="cost"),
        HeaderRow(name="x-absent", axis="tpm", role="limit"),
        HeaderRow(name="x-odd", axis="tpm", role="limit"),
    ]
    headers = {
        "x-limit": "1,000", "x-remaining": "999, 999;w=60", "x-reset-day": "1m26.4s",
        "x-reset-minute": str(int((NOW + 20) * 1000)), "x-reset-at": "2026-11-20T12:00:10Z", "x-cost": "12",
        "x-odd": "many",
    }  # fmt: skip
    news = limit_news(Preset(name="T", checked="2026-11-20", limit_headers=rows), headers, NOW)
    assert [(axis, role, round(value, 3)) for axis, role, value in news] == [
        ("rpd", "limit", 1000.0),
        ("rpd", "remaining", 999.0),
        ("rpd", "reset", 86.4),
        ("rpm", "reset", 20.0),
        ("tpm", "reset", 10.0),
        ("tpm", "cost", 12.0),
    ]


def test_a_reset_is_held_to_its_window() -> None:
    """A minute's limit that asks for an hour is a mistake of the server's, and would cost the hour."""
    rows = [HeaderRow(name="x-reset", axis="rpm", role="reset")]
    news = limit_news(Preset(name="T", checked="2026-11-20", limit_headers=rows), {"x-reset": "3600"}, NOW)
    assert news[0][2] <= 63.0
