"""The words of the status table: how a key is, when it is back, how full its limits are. All of it clean text."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any
from zoneinfo import ZoneInfo

from rich.text import Text

from llmfan.limits.axes import is_quota
from llmfan.outputs.cells import bar, short_number
from llmfan.outputs.clean import clean
from llmfan.units import HOUR, spell

UNDEFINED = "—"
Entry = Mapping[str, Any]
STYLES = {"ready": "green", "cooldown": "yellow", "exhausted": "magenta", "invalid": "bold red", "missing": "dim"}
#: States that the ledger knows by a closer word, which stands at the beginning of `why`.
_CLOSER = ("forbidden", "no_credit", "no_model", "retired", "unreachable", "rate_limited", "unproven")
#: From here on the hour at which a wait is over is told as well.
_LONG = HOUR
BAR, SHORT_BAR = 8, 5
#: The state with its reason, on a screen that has no column for reasons.
_SHORT = 22


def state(key: Entry, long: bool, *, reason: bool = False) -> Text:
    """`exhausted 3 h 12 m`; if `long`, `exhausted, back in 3 h 12 m, at 00:00 Los Angeles`."""
    word, said = parted(key)
    wait = key["available_in_s"]
    text = word.replace("_", " ")
    if key["state"] != "ready" and wait is not None:
        text += f", back in {spell(float(round(wait)))}{clock(key)}" if long else f" {spell(float(round(wait)))}"
    elif reason and said and word == "invalid":  # other words say enough
        text = clean(f"{text}: {said.partition(':')[0]}", _SHORT)
    return Text(text, STYLES.get(key["state"], ""))


def why(key: Entry, room: int) -> Text:
    """What is wrong, in the server's own words as far as there is room for them."""
    _, reason = parted(key)
    return Text(clean(reason, room), "dim" if key["state"] == "ready" else STYLES.get(key["state"], ""))


def parted(key: Entry) -> tuple[str, str]:
    """(how it is, in the closest word there is; the reason)."""
    word, _, reason = key["why"].partition(": ")
    if word in _CLOSER:
        return word, reason
    return key["state"], "" if key["why"] in ("ok", key["state"]) else reason if word == key["state"] else key["why"]


def clock(key: Entry) -> str:
    """`, at 00:00 Los Angeles`: where its days begin, for a wait that is long enough to look at a clock."""
    if key["until"] is None or (key["available_in_s"] or 0) < _LONG:
        return ""
    zone = key["day_begins"]
    tz = ZoneInfo(zone) if zone not in ("utc", "rolling") else dt.UTC
    place = "UTC" if tz is dt.UTC else zone.rpartition("/")[2].replace("_", " ")
    return f", at {dt.datetime.fromisoformat(key['until']).astimezone(tz):%H:%M} {place}"


def fullest(key: Entry) -> tuple[str, Entry] | None:
    """The quota of which most is used; where there is none, the fullest limit. (A minute's comes back by itself.)"""
    there = {} if key["state"] == "missing" else key["limits"]
    known = {axis: limit for axis, limit in there.items() if share(limit) is not None}
    quotas = {axis: limit for axis, limit in known.items() if is_quota(axis)}
    return max((quotas or known).items(), key=lambda item: share(item[1]) or 0.0, default=None)


def share(limit: Entry) -> float | None:
    if limit["used"] is None or not limit["in_force"]:
        return None
    return min(1.0, float(limit["used"] / limit["in_force"]))


def filled(limit: Entry, width: int = BAR) -> Text:
    """`━━━╸────`."""
    part = share(limit)
    text = Text()
    if part is not None:
        for piece, style in bar(part, width, "magenta" if part >= 0.95 else "yellow" if part >= 0.8 else "cyan"):
            text.append(piece, style)
    return text


def axis(name: str, short: bool = False) -> str:
    """`requests_per_month` → `requests/month`, or `req/month`."""
    text = name.replace("_per_", "/")
    return text.replace("requests", "req").replace("tokens", "tok") if short else text


def figure(value: float | None) -> str:
    return UNDEFINED if value is None else short_number(value)


def percent(value: float | None) -> str:
    """One decimal where a whole per cent would round a failure away."""
    if value is None:
        return UNDEFINED
    whole = round(value * 100)
    return f"{min(value * 100, 99.9):.1f} %" if whole == 100 and value < 1 else f"{whole} %"


def time(value: float | None) -> str:
    return spell(value)


def wait(seconds: float | None) -> str:
    return UNDEFINED if seconds is None else spell(float(round(seconds)))
