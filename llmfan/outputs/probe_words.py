"""What a probe found of a key, in words: its state, until when, which limits it has and what is left of them."""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Mapping, Sequence
from typing import Protocol

from llmfan.outputs.cells import Cell, Part, short_number
from llmfan.outputs.clean import clean
from llmfan.outputs.lines import counted
from llmfan.outputs.states import countdown
from llmfan.settings import AXES
from llmfan.units import DAY, MINUTE

#: By word first, by colour only besides.
STYLES = {
    "ok": "green",
    "rate_limited": "yellow",
    "exhausted": "yellow",
    "unproven": "cyan",
    "missing": "dim",
}
UNKNOWN = "bold red"
#: States of keys that are good and only have to wait.
WAITING = ("rate_limited", "exhausted")
_SLACK_S = 10.0
_ASIDE = re.compile(r"[;,] ")
_ORDER = {axis: at for at, axis in enumerate(AXES)}
_COUNTS = {
    "fixed": "fixed window",
    "sliding": "sliding window",
    "continuous": "continuous refill",
    "": "kind of window not known",
}


class Reported(Protocol):
    """One limit as a provider reports it."""

    @property
    def limit(self) -> float | None: ...
    @property
    def remaining(self) -> float | None: ...
    @property
    def resets_at(self) -> float | None: ...


class Measurement(Protocol):
    """One limit as a measurement found it."""

    @property
    def axis(self) -> str: ...
    @property
    def figure(self) -> float | None: ...
    @property
    def low(self) -> float: ...
    @property
    def high(self) -> float: ...
    @property
    def counts(self) -> str: ...
    @property
    def confidence(self) -> float: ...
    @property
    def sent(self) -> int: ...
    @property
    def refused(self) -> int: ...
    @property
    def why(self) -> str: ...


class Found(Protocol):
    """One key at one model, as the tables read it. `state` is "" until it is known."""

    @property
    def key(self) -> str: ...
    @property
    def provider(self) -> str: ...
    @property
    def model(self) -> str: ...
    @property
    def mask(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def why(self) -> str: ...
    @property
    def doing(self) -> str: ...
    @property
    def until(self) -> float | None: ...
    @property
    def latency_s(self) -> float | None: ...
    @property
    def limits(self) -> Mapping[str, Reported]: ...
    @property
    def measured(self) -> Sequence[Measurement]: ...
    @property
    def account(self) -> str: ...
    @property
    def shares_with(self) -> Sequence[str]: ...
    @property
    def nearest(self) -> Sequence[str]: ...


def label(found: Found) -> Cell:
    """`NAME#2 …x9f3`."""
    mask = clean(found.mask, 12)
    return [(clean(found.key, 60), "bold"), (f" {mask}" if mask else "", "dim")]


def reason(found: Found, limit: int) -> str:
    """Of a key that is not there the variable only: where to get one is said below the table."""
    return clean(aside(found)[0] if found.state == "missing" else found.why, limit)


def aside(found: Found) -> tuple[str, str]:
    """`$NAME is not set; get one at …`: what is said first, and the rest."""
    first, *rest = _ASIDE.split(found.why, maxsplit=1)
    return first, rest[0] if rest else ""


def state(found: Found) -> Part:
    return (found.state, STYLES.get(found.state, UNKNOWN)) if found.state else ("not asked", "dim")


def until(moment: float | None, now: float) -> str:
    """`until 00:00 UTC, in 3 h 12 m`; the date as well where it is more than a day off; "" where nobody said when."""
    if moment is None or not math.isfinite(moment):
        return ""
    if moment <= now:
        return "over by now"
    if moment - now < MINUTE:
        return f"for {countdown(moment - now)}"
    try:
        # Up to the next whole minute: at the time that is named it is over. Midnight and some seconds is midnight.
        then = dt.datetime.fromtimestamp(math.ceil((moment - _SLACK_S) / MINUTE) * MINUTE, dt.UTC)
    except (OverflowError, OSError, ValueError):  # never, as far as anybody can say
        return ""
    clock = f"{then:%H:%M}" if moment - now <= DAY else f"{then:%Y-%m-%d %H:%M}"
    return f"until {clock} UTC, in {countdown(moment - now)}"


def limits(found: Found, now: float, *, resets: bool = False) -> list[str]:
    """`rpm 29/30`, `rpd 998/1,000`: what is left of what. `resets`: with when it is whole again."""
    axes = sorted(found.limits, key=lambda axis: (_ORDER.get(axis, len(_ORDER)), axis))
    said = (_limit(clean(axis.replace("_", " "), 30), found.limits[axis], now, resets) for axis in axes)
    return [each for each in said if each]


def _limit(axis: str, reading: Reported, now: float, resets: bool) -> str:
    limit, left = _figure(reading.limit), _figure(reading.remaining)
    if not limit and not left:
        return ""
    text = f"{axis} {left}/{limit}" if limit and left else f"{axis} {limit}" if limit else f"{axis} {left} left"
    if resets and reading.resets_at is not None and reading.resets_at > now:
        text += f" (resets in {countdown(reading.resets_at - now)})"
    return text


def measured(each: Measurement) -> str:
    """`rpm measured 30, sliding window, 28.9-30.4, confidence 0.95; 63 requests, 2 refused`."""
    axis, spent = clean(each.axis.replace("_", " "), 30), f"{counted(each.sent, 'request')}, {each.refused:,} refused"
    why = f": {clean(each.why)}" if each.why else ""
    if each.figure is None:
        return f"{axis} not measured{why}; {spent}"
    kind = _COUNTS.get(each.counts, clean(each.counts, 40))
    high = _exact(each.high) if math.isfinite(each.high) else "no bound seen"
    bounds = f", {_exact(each.low)}-{high}"
    return f"{axis} measured {_exact(each.figure)}, {kind}{bounds}, confidence {each.confidence:.2f}; {spent}{why}"


def shares(found: Found, most: int = 6) -> str:
    """`with #1, #3`: the labels of keys of the same provider are cut short."""
    return f"with {short_labels(found.shares_with, most, found.provider)}" if found.shares_with else ""


def short_labels(labels: Sequence[str], most: int = 6, provider: str = "") -> str:
    """`NAME#1, #3 and 4 more`: a provider's name is said once, or not at all where it is clear from the context."""
    said, before = [], provider
    for text in labels[:most]:
        name, mark, number = clean(text, 60).rpartition("#")
        said.append(f"#{number}" if mark and name == before else clean(text, 60))
        before = name
    more = len(labels) - len(said)
    return ", ".join(said) + (f" and {more} more" if more > 0 else "")


def _exact(value: float) -> str:
    """`30`, `28.9`, `14,400`."""
    return f"{value:,.1f}".removesuffix(".0") if value < 100 else f"{value:,.0f}"


def _figure(value: float | None) -> str:
    """As in `status`: one figure is read in both."""
    if value is None or not math.isfinite(value):
        return ""
    return short_number(max(0.0, value))
