"""Whose counter a limit is, and when a day or a month begins somewhere."""

from __future__ import annotations

import datetime as dt
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmfan.limits.axes import MeterShop, is_quota, next_boundary, owner_of
from llmfan.limits.gauge import Gauge
from llmfan.limits.slots import Slots
from llmfan.limits.tokens import TokenWindow
from llmfan.limits.window import Calendar
from llmfan.secret import Secret
from llmfan.settings import AXES, KeySettings, LimitSet, ModelSettings, Preset, Provider

LA = "America/Los_Angeles"


def utc(*parts: int) -> dt.datetime:
    return dt.datetime(*parts, tzinfo=dt.UTC)  # type: ignore[misc, arg-type]


@pytest.mark.parametrize(
    ("now", "zone", "month", "then"),
    [
        (utc(2026, 11, 21, 13), "utc", False, utc(2026, 11, 22)),
        (utc(2026, 11, 21), "utc", False, utc(2026, 11, 22)),
        (utc(2026, 12, 31, 23, 59, 59), "utc", False, utc(2027, 1, 1)),
        (utc(2026, 1, 31, 12), "utc", True, utc(2026, 2, 1)),
        (utc(2026, 12, 5), "utc", True, utc(2027, 1, 1)),
        # The day in Los Angeles begins at 8:00 UTC in winter, at 7:00 in summer.
        (utc(2026, 11, 21, 7, 59), LA, False, utc(2026, 11, 21, 8)),
        (utc(2026, 11, 21, 8), LA, False, utc(2026, 11, 22, 8)),
        (utc(2026, 7, 1, 6, 59), LA, False, utc(2026, 7, 1, 7)),
        # Its months: the last hours of October UTC are still October there, the first of November too.
        (utc(2026, 11, 1, 3), LA, True, utc(2026, 11, 1, 7)),
        (utc(2026, 11, 1, 8), LA, True, utc(2026, 12, 1, 8)),
        # A day of 23 hours (8 March 2026) and one of 25 (1 November 2026).
        (utc(2026, 3, 8, 9), LA, False, utc(2026, 3, 9, 7)),
        (utc(2026, 11, 1, 7, 30), LA, False, utc(2026, 11, 2, 8)),
        # Midnight does not exist on 6 September 2026 in Santiago: the day begins at 1:00 there, 4:00 UTC.
        (utc(2026, 9, 5, 12), "America/Santiago", False, utc(2026, 9, 6, 4)),
    ],
)
def test_the_next_reset_of_a_zone(now: dt.datetime, zone: str, month: bool, then: dt.datetime) -> None:
    """An hour wrong at the change of the clocks is an hour of 429s, or one of waiting for nothing."""
    assert next_boundary(now, zone, month) == then


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(
    now=st.datetimes(dt.datetime(2024, 1, 1), dt.datetime(2030, 1, 1), timezones=st.just(dt.UTC)),
    zone=st.sampled_from(["utc", LA, "Asia/Kolkata", "Pacific/Auckland", "America/Sao_Paulo"]),
    month=st.booleans(),
)
def test_a_reset_is_ahead_and_near(now: dt.datetime, zone: str, month: bool) -> None:
    """A reset that is now, or past, would be asked for again and again without time moving."""
    then = next_boundary(now, zone, month)
    assert dt.timedelta(0) < then - now <= (dt.timedelta(days=31, hours=1) if month else dt.timedelta(hours=25))
    assert next_boundary(then, zone, month) > then


def key(label: str, account: str) -> KeySettings:
    return KeySettings(label=label, account=account, secret=Secret("invented-secret"))


def limits(shared: str = "key", origin: str = "provider", per_model: bool = False, **axes: float) -> LimitSet:
    axes = axes or {"rpm": 5}
    return LimitSet(axes=axes, origin=dict.fromkeys(axes, origin), shared=shared, per_model=per_model)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("made", "same_account", "other_account", "other_model"),
    [
        (limits(), False, False, True),
        (limits("account"), True, False, True),
        (limits("account", per_model=True), True, False, False),
        (limits(per_model=True), False, False, False),
        (limits("account", origin="key"), False, False, True),  # a figure a key was given is that key's own
        (limits("account", origin="model"), True, False, False),  # one a model was given counts that model
    ],
)
def test_who_shares_a_counter(made: LimitSet, same_account: bool, other_account: bool, other_model: bool) -> None:
    """Counted too wide wastes keys, too narrow draws 429s."""
    mine = owner_of("rpm", made, "p", key("p#1", "a"), "m")
    assert (owner_of("rpm", made, "p", key("p#2", "a"), "m") == mine) is same_account
    assert (owner_of("rpm", made, "p", key("p#3", "b"), "m") == mine) is other_account
    assert (owner_of("rpm", made, "p", key("p#1", "a"), "m2") == mine) is other_model
    assert owner_of("rpm", made, "q", key("q#1", "a"), "m") != mine


def test_two_providers_with_an_account_of_one_name_share_nothing() -> None:
    """`team-a` at one provider is not `team-a` at another."""
    made = limits("account")
    assert owner_of("rpm", made, "p", key("p#1", "a"), "m") != owner_of("rpm", made, "q", key("q#1", "a"), "m")


def shop_for(made: LimitSet, speed: float = 1.0) -> tuple[MeterShop, Provider]:
    keys = [key("p#1", "a"), key("p#2", "a")]
    provider = Provider(
        name="p", preset=Preset(name="p", checked="2026-11-20"), preset_name="p", api="openai", base_url="http://x",
        keys=keys, models=[ModelSettings(name="m")], limits={(k.label, "m"): made for k in keys},
    )  # fmt: skip
    return MeterShop(lambda now: utc(2026, 11, 21, 12) + dt.timedelta(seconds=now * speed), Random(1), speed), provider


def test_the_same_limit_of_the_same_owner_is_one_counter() -> None:
    """Two counters for one limit are twice the limit."""
    shop, provider = shop_for(limits("account", rpm=5, tpm=100, concurrency=2, rpd=50))
    one, two = (shop.meters(provider, k, "m") for k in provider.keys)
    assert [id(m) for m in one] == [id(m) for m in two]
    assert [type(m) for m in one] == [Gauge, TokenWindow, Slots, Calendar]


def test_each_axis_counts_its_own_unit() -> None:
    """Tokens counted as requests would never bind."""
    shop, provider = shop_for(limits(rpm=5, tpm=100, itpm=50, otpm=50, neurons_per_day=10, usd_per_day=1))
    assert [m.unit for m in shop.meters(provider, provider.keys[0], "m")] == [0, 1, 2, 3, 4, 5, 0]  # the last: at once


def test_a_rate_that_nobody_gave_has_a_gauge_that_learns_it() -> None:
    """A target without one could never be slowed down."""
    shop, provider = shop_for(limits(tpm=100))
    gauges = [m for m in shop.meters(provider, provider.keys[0], "m") if isinstance(m, Gauge)]
    assert [(m.axis, m.declared) for m in gauges] == [("rpm", None)]


@pytest.mark.parametrize("speed", [1.0, 30.0])
def test_a_faster_clock_makes_every_window_and_day_that_much_shorter(speed: float) -> None:
    """All figures of a simulated run are scaled alike, or its limits are not those of the file."""
    shop, provider = shop_for(limits(rpm=5, rpd=2), speed)
    minute, day, _ = shop.meters(provider, provider.keys[0], "m")
    for _ in range(5):
        minute.take(0.0, 1)
    assert 60 / speed < minute.ready(0.0, 1) <= 60.51 / speed
    day.take(0.0, 2)
    assert day.ready(0.0, 1) == pytest.approx(12 * 3600 / speed)


def test_a_rolling_day_is_a_window_and_not_a_date() -> None:
    """`reset: rolling`: what was sent at noon comes back at noon."""
    made = LimitSet(axes={"rpd": 2}, origin={"rpd": "provider"}, reset="rolling")
    shop, provider = shop_for(made)
    day = shop.meters(provider, provider.keys[0], "m")[0]
    day.take(0.0, 1)
    day.take(100.0, 1)
    assert 86400 <= day.ready(200.0, 1) <= 86401


def test_what_is_a_quota_and_what_a_pace() -> None:
    """A pace is waited for, a spent quota ends the run."""
    assert {axis for axis in AXES if is_quota(axis)} == {
        "rpd", "requests_per_month", "tpd", "tokens_per_month", "neurons_per_day", "usd_per_day", "usd_per_month",
    }  # fmt: skip
