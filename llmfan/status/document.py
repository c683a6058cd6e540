"""The fleet as `llmfan status --json` tells it: how each key is, what its limits are, what is used of them.

Of a provider: `success_rate` and `avg_latency_s` are of the last 24 hours, or of all time where nothing was sent in
them. `max_daily` is the day's requests in force, summed over the counters its keys draw on; null where any of them has
none. `utilization` is how full the fullest kind of limit is, from 0 to 1: of a day or a month, or of the window now,
each kind summed over those counters. Keys that are not set count only where none is.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Generator, Iterable, Sequence
from typing import Any, NamedTuple

from llmfan.entries import KeyState
from llmfan.settings import Fleet, KeySettings, Provider
from llmfan.status.differences import Target, differences
from llmfan.status.figures import Figures, figures_of, moment, plain, tightest
from llmfan.status.owners import Owners
from llmfan.status.past import Past
from llmfan.status.rates import Record, rates_of, records_of
from llmfan.status.standing import READY, Standing, available_in, best, held, standing_of
from llmfan.status.windows import Almanac

_NEVER = Record()
#: A closed provider needs no model in the file: its keys have this one then.
_NAMELESS = ""


class KeyNow(NamedTuple):
    """One key. `models`, `figures` and `standings` go together; `standing` is its best model's."""

    key: KeySettings
    models: list[str]
    figures: list[dict[str, Figures]]
    standings: list[Standing]
    standing: Standing
    record: Record


def status_document(
    fleet: Fleet,
    past: Past,
    now: dt.datetime,
    *,
    providers: Sequence[str] = (),
    keys: Sequence[str] = (),
    lines: Sequence[str] = (),
) -> dict[str, Any]:
    """`providers`, `keys`: only these, all where none is named. `lines`: the providers file's, for what to change."""
    steps = status_steps(fleet, past, now, providers=providers, keys=keys, lines=lines)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            document: dict[str, Any] = end.value
            return document


def status_steps(
    fleet: Fleet,
    past: Past,
    now: dt.datetime,
    *,
    providers: Sequence[str] = (),
    keys: Sequence[str] = (),
    lines: Sequence[str] = (),
) -> Generator[None, None, dict[str, Any]]:
    """The same, key by key: who serves calls as well has no ten milliseconds to spare at once."""
    almanac = Almanac(now)
    owners = Owners(fleet, past.known, past.bookings, almanac.now, past.counted)
    yield
    records = records_of(past.tallies, almanac, _resets(fleet))
    states: dict[str, list[KeyState]] = {}
    for state in past.known.states:
        states.setdefault(state.key, []).append(state)
    yield
    found: list[tuple[Provider, list[KeyNow]]] = []
    for provider in fleet.providers:
        of_key: list[KeyNow] = []
        for key in provider.keys:
            if _wanted(provider, key, providers, keys):
                of_key.append(_key_now(provider, key, owners, states.get(key.label, []), records, almanac))
                yield
        if of_key:
            found.append((provider, of_key))
    return (yield from _document(found, fleet, past, almanac, lines))


def _wanted(provider: Provider, key: KeySettings, providers: Sequence[str], keys: Sequence[str]) -> bool:
    if not providers and not keys:
        return True
    return provider.name in providers or key.label in keys


def _resets(fleet: Fleet) -> Any:
    """When the days of a key begin; of a model it no longer has, as those of its first one."""
    exact = {at: limits.reset for p in fleet.providers for at, limits in p.limits.items()}
    first = {k.label: _reset(p, k, next(iter(_names(p)))) for p in fleet.providers for k in p.keys}
    return lambda key, model: exact.get((key, model)) or first.get(key, "utc")


def _reset(provider: Provider, key: KeySettings, model: str) -> str:
    limits = provider.limits.get((key.label, model))
    return "utc" if limits is None else limits.reset


def _names(provider: Provider) -> list[str]:
    """Its models; there is always one, so that a key of it has a standing."""
    return [model.name for model in provider.models] or [_NAMELESS]


def _key_now(
    provider: Provider,
    key: KeySettings,
    owners: Owners,
    states: Sequence[KeyState],
    records: dict[str, Record],
    almanac: Almanac,
) -> KeyNow:
    models = _names(provider)
    figures = [figures_of(provider, key, model, owners, almanac) if provider.models else {} for model in models]
    standings = [
        held(
            standing_of(
                provider, key, model, states, [(f.axis, f.resets_at) for f in own.values() if f.spent], almanac
            ),
            [f.resets_at for f in own.values() if f.full],
            almanac.now,
        )
        for model, own in zip(models, figures, strict=True)
    ]
    return KeyNow(key, models, figures, standings, best(standings), records.get(key.label, _NEVER))


# ---------------------------------------------------------------- the document


def _document(
    found: Sequence[tuple[Provider, list[KeyNow]]], fleet: Fleet, past: Past, almanac: Almanac, lines: Sequence[str]
) -> Generator[None, None, dict[str, Any]]:
    targets = (
        Target(provider, each.key.label, model, figures)
        for provider, keys in found
        for each in keys
        for model, figures in zip(each.models, each.figures, strict=True)
    )
    quota = {}
    for provider, keys in found:
        quota[provider.name] = yield from _provider(provider, keys, almanac)
    return {
        "total_providers": len(quota),
        "available_providers": sum(entry["available"] for entry in quota.values()),
        "failed_providers": [name for name, entry in quota.items() if _failed(entry)],
        "differences": differences(targets, fleet, lines),
        "quota_status": quota,
        "at": moment(almanac.now),
        "known": not past.nothing,
    }


def _failed(entry: dict[str, Any]) -> bool:
    """A key is there, none can be used, and no waiting is known to help."""
    return entry["api_key_available"] and not entry["available"] and entry["available_in_s"] is None


def _provider(provider: Provider, keys: Sequence[KeyNow], almanac: Almanac) -> Generator[None, None, dict[str, Any]]:
    of_key = []
    for each in keys:
        of_key.append(_key(provider, each, almanac))
        yield
    there = [each for each in keys if not each.key.missing] or keys
    standing = best(each.standing for each in there)
    success_rate, avg_latency_s = rates_of([each.record.lately() for each in keys])
    return {
        "calls_today": sum(each.record.today.sent for each in keys),
        "max_daily": _max_daily(there),
        "tokens_today": sum(each.record.today.tokens for each in keys),
        "api_key_available": any(not each.key.missing for each in keys),
        "available": standing.state == "ready",
        "success_rate": success_rate,
        "avg_latency_s": avg_latency_s,
        "utilization": _utilization(there),
        "state": standing.state,
        "why": standing.why,
        "available_in_s": available_in((each.standing for each in there), almanac.now),
        "models": [model.name for model in provider.models],
        "signup": provider.preset.signup,
        "keys": of_key,
    }


def _max_daily(keys: Iterable[KeyNow]) -> float | None:
    owners: dict[str, float] = {}
    for each in keys:
        for figures in each.figures:
            rpd = figures.get("rpd")
            if rpd is None or rpd.in_force is None:
                return None
            owners[rpd.owner] = rpd.in_force
    return plain(sum(owners.values())) if owners else None


def _utilization(keys: Iterable[KeyNow]) -> float | None:
    sums: dict[str, dict[str, Figures]] = {}
    for each in keys:
        for target in each.figures:
            for axis, figures in target.items():
                if figures.share is not None:
                    sums.setdefault(axis, {})[figures.owner] = figures
    shares = [_fill(list(owners.values())) for owners in sums.values()]
    return round(max(shares), 4) if shares else None


def _fill(owners: Sequence[Figures]) -> float:
    limit = sum(figures.in_force or 0.0 for figures in owners)
    return min(1.0, sum(figures.used or 0.0 for figures in owners) / limit) if limit > 0 else 1.0


def _key(provider: Provider, now: KeyNow, almanac: Almanac) -> dict[str, Any]:
    key, record = now.key, now.record
    limits = {axis: figures.document(almanac.now) for axis, figures in tightest(now.figures).items()}
    return {
        "key": key.label, "mask": key.secret.mask if key.secret is not None else "",
        **_stands(now.standing, now.standings, almanac.now), "limits": limits,
        "account": key.account,
        "shares_with": list(dict.fromkeys(other for entry in limits.values() for other in entry["shared_with"])),
        "day_begins": _reset(provider, key, now.models[0]),
        "calls_today": record.today.sent, "tokens_today": record.today.tokens,
        "calls_month": record.month.sent, "tokens_month": record.month.tokens,
        "last_hour": record.hour.document(), "last_day": record.day.document(), "all": record.all.document(),
        **({"models": _models(now, almanac)} if len(now.models) > 1 else {}),
    }  # fmt: skip


def _models(now: KeyNow, almanac: Almanac) -> list[dict[str, Any]]:
    """Each model of a key that has several: its own state, and the limits that count for it."""
    return [
        {
            "model": model, **_stands(standing, [standing], almanac.now),
            "limits": {axis: figures.document(almanac.now) for axis, figures in own.items()},
        }
        for model, own, standing in zip(now.models, now.figures, now.standings, strict=True)
    ]  # fmt: skip


def _stands(standing: Standing, standings: Iterable[Standing], now: float) -> dict[str, Any]:
    until = None if standing.state == READY.state or standing.until is None else moment(standing.until)
    return {
        "state": standing.state, "why": standing.why, "available_in_s": available_in(standings, now), "until": until,
    }  # fmt: skip
