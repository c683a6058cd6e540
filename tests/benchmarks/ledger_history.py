"""A year of heavy use, written through the ledger's own door with a clock that is moved: keys that never rest."""

from __future__ import annotations

import math
import random
from pathlib import Path

from llmfan.entries import KeyState, Tally
from llmfan.ledgers.opening import open_ledger
from llmfan.ledgers.sqlite import SqliteLedger
from llmfan.records import Booking, Known, KnownLimit, KnownTarget
from llmfan.secret import Secret
from llmfan.settings import Fleet, KeySettings, LimitSet, ModelSettings, Preset, Provider
from llmfan.units import DAY, HOUR, MINUTE

#: 2026-11-21 12:00 UTC.
NOW = 1795262400.0
AXES = {"rpm": 30.0, "tpm": 60_000.0, "rpd": 14_400.0, "tpd": 1_000_000.0}
PER_PROVIDER = 10


def fleet_of(keys: int) -> Fleet:
    return Fleet(file="providers.yaml", providers=[_provider(n) for n in range(math.ceil(keys / PER_PROVIDER))])


def write_year(path: Path, keys: int, *, days: int = 365, hours_a_day: int = 24) -> None:
    """Up to `NOW`: an entry an hour for each key and axis, and one a second or so for the last two hours."""
    fleet, time = fleet_of(keys), [NOW - days * DAY]
    ledger = open_ledger(str(path), fleet, print, wall=lambda: time[0], clock=lambda: time[0])
    assert isinstance(ledger, SqliteLedger)
    labels = [key.label for provider in fleet.providers for key in provider.keys]
    rng = random.Random(1)
    spreads = [_spread(600, rng) for _ in range(50)]
    while time[0] < NOW - 2 * HOUR:
        if time[0] % DAY < hours_a_day * HOUR:
            _busy(ledger, labels, time[0], spreads)
        _settle(ledger)
        time[0] += HOUR
    while time[0] < NOW:
        for second in range(0, 60, 2):  # thirty a minute
            ledger.book(lambda _, at=time[0] + second: _bookings(labels, at, 1))  # type: ignore[misc]
        ledger.tally([_tally(label, time[0], 30, _spread(30, rng)) for label in labels])
        _settle(ledger)
        time[0] += MINUTE
    ledger.keep(_learned(labels))
    ledger.close()


def _busy(ledger: SqliteLedger, labels: list[str], at: float, spreads: list[dict[int, int]]) -> None:
    ledger.book(lambda _: _bookings(labels, at + HOUR - 1, 600))
    rows = [_tally(label, at + HOUR - 1, 600, spreads[n % len(spreads)]) for n, label in enumerate(labels)]
    ledger.tally(rows)


def _settle(ledger: SqliteLedger) -> None:
    """As often as a run asks."""
    for _ in range(30):
        ledger.elsewhere()


def _bookings(labels: list[str], at: float, requests: int) -> list[Booking]:
    amounts = {"rpm": requests, "tpm": requests * 700, "rpd": requests, "tpd": requests * 700}
    return [
        Booking(owner=label, axis=axis, amount=float(n), at=at) for label in labels for axis, n in amounts.items()
    ]  # fmt: skip


def _tally(label: str, at: float, requests: int, latencies: dict[int, int]) -> Tally:
    return Tally(
        key=label, model="model", at=at, sent=requests + 3, ok=requests, refused=2, failed=1, latency_s=requests * 1.7,
        input_tokens=requests * 400, output_tokens=requests * 300, latencies=latencies,
    )  # fmt: skip


def _spread(requests: int, rng: random.Random) -> dict[int, int]:
    """Latencies as those of real servers: a few hundred per cent between the fast and the slow ones."""
    latencies: dict[int, int] = {}
    for _ in range(requests):
        bucket = int(rng.gauss(40, 50))
        latencies[bucket] = latencies.get(bucket, 0) + 1
    return latencies


def _learned(labels: list[str]) -> Known:
    return Known(
        states=[KeyState(key=label, state="ok", at=NOW) for label in labels],
        limits=[
            KnownLimit(owner=label, axis=axis, declared=figure, reported=figure / 2, at=NOW)
            for label in labels
            for axis, figure in AXES.items()
        ],
        targets=[
            KnownTarget(name=f"p{n}/model", n=9, service_s=1.0, service_sigma=0.5, output_tokens=300.0,
                        tokens_per_char=0.25, at=NOW)
            for n in range(len(labels) // PER_PROVIDER)
        ],
    )  # fmt: skip


def _provider(number: int) -> Provider:
    name = f"p{number}"
    keys = [
        KeySettings(label=f"{name}#{n}", account=f"{name}#{n}", secret=Secret(f"secret-of-{name}-number-{n}"))
        for n in range(1, PER_PROVIDER + 1)
    ]
    limits = LimitSet(axes=AXES, origin=dict.fromkeys(AXES, "provider"))
    return Provider(
        name=name, preset=Preset(name=name, checked="2026-11-20"), preset_name=name, api="openai",
        base_url=f"https://{name}.example/v1", keys=keys, models=[ModelSettings(name="model")],
        limits={(key.label, "model"): limits for key in keys},
    )  # fmt: skip
