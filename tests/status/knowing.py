"""A fleet put together by hand, and a ledger that knows what a test wants it to."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from llmfan.entries import KeyState, Tally
from llmfan.ledgers.memory import MemoryLedger
from llmfan.records import Booking, Known, KnownLimit
from llmfan.secret import Secret
from llmfan.settings import Fleet, KeySettings, LimitSet, ModelSettings, Preset, Provider
from llmfan.status.document import status_document
from llmfan.status.past import read_past

NOON = dt.datetime(2026, 11, 21, 12, 0, tzinfo=dt.UTC)


def provider(
    name: str = "a",
    keys: int | Sequence[KeySettings] = 1,
    axes: Mapping[str, float] | None = None,
    *,
    models: Sequence[str] = ("m",),
    origin: str = "provider",
    line: int = 3,
    retired: str = "",
    by_model: Mapping[str, Mapping[str, float]] | None = None,
    **more: Any,
) -> Provider:
    """`by_model`: limits of a model where they are not `axes`. `more`: fields of every limit set."""
    found = [key(f"{name}#{n}") for n in range(1, keys + 1)] if isinstance(keys, int) else list(keys)
    limits = {}
    for each in found:
        for model in models:
            own = dict((by_model or {}).get(model, axes or {}))
            limits[each.label, model] = LimitSet(axes=own, origin=dict.fromkeys(own, origin), **more)
    return Provider(
        name=name, preset=Preset(name=name, checked="", retired=retired), preset_name=name, api="openai",
        base_url="https://a.example/v1", keys=found, models=[ModelSettings(name=m) for m in models], limits=limits,
        line=line,
    )  # fmt: skip


def key(label: str, account: str = "", missing: str = "") -> KeySettings:
    secret = None if missing else Secret(f"sk-secret-{label}-tail")
    return KeySettings(label=label, account=account or label, secret=secret, missing=missing)


def fleet(*providers: Provider) -> Fleet:
    return Fleet(file="providers.yaml", providers=list(providers))


def limit(owner: str, axis: str, *, at: float | None = None, **more: Any) -> KnownLimit:
    when = dt.datetime(2026, 11, 19, 8, tzinfo=dt.UTC).timestamp() if at is None else at
    return KnownLimit(owner=owner, axis=axis, at=when, **more)


def ledger(
    limits: Iterable[KnownLimit] = (),
    states: Iterable[KeyState] = (),
    shared: Iterable[tuple[str, str]] = (),
    booked: Iterable[tuple[str, str, float, dt.datetime]] = (),
    tallies: Iterable[Tally] = (),
) -> MemoryLedger:
    found = MemoryLedger()
    found.keep(Known(limits=list(limits), states=list(states), shared=list(shared)))
    bookings = [Booking(owner=o, axis=axis, amount=n, at=at.timestamp()) for o, axis, n, at in booked]
    found.book(lambda _: bookings)
    found.tally(tallies)
    return found


def tally(label: str, at: dt.datetime, sent: int = 10, **more: Any) -> Tally:
    """Every request answered in a second, for 30 tokens, if nothing else is said."""
    given = {"model": "m", "ok": sent, "latency_s": float(sent), "latencies": {0: sent}, "input_tokens": 10 * sent}
    given["output_tokens"] = 20 * sent
    return Tally(key=label, at=at.timestamp(), sent=sent, **{**given, **more})


def document(of: Fleet, archive: MemoryLedger | None = None, now: dt.datetime = NOON, **more: Any) -> dict[str, Any]:
    return status_document(of, read_past(archive or ledger(), of, now), now, **more)


def the_key(found: Mapping[str, Any], label: str = "a#1") -> dict[str, Any]:
    keys = {each["key"]: each for entry in found["quota_status"].values() for each in entry["keys"]}
    one: dict[str, Any] = keys[label]
    return one
