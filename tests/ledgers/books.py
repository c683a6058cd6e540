"""Small fleets and ledgers on a clock that a test moves."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from pathlib import Path

from llmfan.entries import Elsewhere
from llmfan.ledgers.opening import open_ledger
from llmfan.ledgers.sqlite import SqliteLedger
from llmfan.records import Booking
from llmfan.secret import Secret
from llmfan.settings import Fleet, KeySettings, LimitSet, ModelSettings, Preset, Provider

#: 2026-11-21 12:00 UTC.
NOON = 1795262400.0


class Time:
    """Both clocks of a ledger; a test moves them together or sets the one on the wall."""

    def __init__(self, wall: float = NOON):
        self.now, self.monotonic = wall, 5000.0

    def wall(self) -> float:
        return self.now

    def clock(self) -> float:
        return self.monotonic

    def passes(self, seconds: float) -> None:
        self.now += seconds
        self.monotonic += seconds


class Said(list[str]):
    """What the user was told."""

    def __call__(self, text: str) -> None:
        self.append(text)


def key(label: str, secret: str | None = None, *, account: str = "", missing: str = "") -> KeySettings:
    return KeySettings(
        label=label, account=account or label, secret=Secret(secret) if secret else None, missing=missing
    )


def provider(
    name: str, keys: Iterable[KeySettings], *, url: str = "", models: Iterable[str] = ("m",), **limits: object
) -> Provider:
    keys, models = list(keys), list(models)
    made = LimitSet(axes={"rpm": 30.0}, origin={"rpm": "provider"}, **limits)  # type: ignore[arg-type]
    return Provider(
        name=name, preset=Preset(name=name, checked="2026-11-20"), preset_name=name, api="openai",
        base_url=url or f"https://api.{name}.example/v1", keys=keys, models=[ModelSettings(name=m) for m in models],
        limits={(each.label, model): made for each in keys for model in models},
    )  # fmt: skip


def fleet(*providers: Provider) -> Fleet:
    return Fleet(file="providers.yaml", providers=list(providers))


def plain_fleet(keys: int = 2) -> Fleet:
    return fleet(provider("p", [key(f"p#{n}", f"secret-of-key-{n}") for n in range(1, keys + 1)]))


def opened(path: Path, of: Fleet | None = None, time: Time | None = None, said: Said | None = None) -> SqliteLedger:
    """A ledger in a file; a test that gets none in a file fails here."""
    time = time or Time()
    say: Callable[[str], None] = _unexpected if said is None else said
    ledger = open_ledger(str(path), of or plain_fleet(), say, time.wall, time.clock)
    assert isinstance(ledger, SqliteLedger)
    return ledger


def spend(
    ledger: SqliteLedger, owner: str = "p#1", axis: str = "rpm", amount: float = 1.0, at: float = NOON
) -> Elsewhere:
    """Books so much; gives what the ledger told of the others."""
    told: list[Elsewhere] = []

    def decide(elsewhere: Elsewhere) -> list[Booking]:
        told.append(elsewhere)
        return [Booking(owner=owner, axis=axis, amount=amount, at=at)]

    ledger.book(decide)
    assert len(told) == 1
    return told[0]


def sums(bookings: Iterable[Booking]) -> dict[tuple[str, str], float]:
    found: dict[tuple[str, str], float] = {}
    for each in bookings:
        found[each.owner, each.axis] = found.get((each.owner, each.axis), 0.0) + each.amount
    return found


def rows(path: Path, query: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(path)
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def _unexpected(text: str) -> None:
    raise AssertionError(f"nobody expected to be told: {text}")
