"""A year of heavy use, written through the ledger's own door with a clock that is moved."""

from __future__ import annotations

import random
from pathlib import Path

from llmfan.entries import KeyState, Tally
from llmfan.inputs.config import load_fleet
from llmfan.ledgers.opening import open_ledger
from llmfan.ledgers.sqlite import SqliteLedger
from llmfan.records import Booking, Known, KnownLimit, KnownTarget
from llmfan.settings import Fleet
from llmfan.units import DAY, HOUR, MINUTE

AXES = {"rpm": 30.0, "tpm": 60_000.0, "rpd": 14_400.0, "tpd": 10_000_000.0}
PER_PROVIDER = 10


def write_fleet(folder: Path, keys: int) -> tuple[Path, dict[str, str]]:
    """A providers file, and the variables it names."""
    lines, env = ["version: 1", "providers:"], {}
    limits = ", ".join(f"{axis}: {figure:.0f}" for axis, figure in AXES.items())
    for n in range(keys // PER_PROVIDER):
        lines += [f"  p{n}:", f"    base_url: https://p{n}.example/v1", "    model: m", "    keys:"]
        for k in range(PER_PROVIDER):
            env[f"BENCH_{n}_{k}"] = f"a-key-that-opens-nothing-{n}-{k}"
            lines.append(f"      - $BENCH_{n}_{k}")
        lines.append(f"    limits: {{{limits}}}")
    path = folder / "fleet.yaml"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path, env


def write_year(path: Path, fleet: Fleet, until: float, *, days: int = 365, hours_a_day: int = 24) -> None:
    """An entry an hour for each key and axis, and one every two seconds for the last two hours."""
    time = [until - days * DAY]
    ledger = open_ledger(str(path), fleet, print, wall=lambda: time[0], clock=lambda: time[0])
    assert isinstance(ledger, SqliteLedger)
    labels = [key.label for provider in fleet.providers for key in provider.keys]
    rng = random.Random(1)
    spreads = [_spread(600, rng) for _ in range(50)]
    while time[0] < until - 2 * HOUR:
        if (until - time[0]) % DAY <= hours_a_day * HOUR:
            at = time[0] + HOUR - 1
            ledger.book(lambda _, at=at: _bookings(labels, at, 600))  # type: ignore[misc]
            rows = [_tally(label, at, 600, spreads[n % len(spreads)]) for n, label in enumerate(labels)]
            ledger.tally(rows)
        _settle(ledger, 8)
        time[0] += HOUR
    while time[0] < until:
        for second in range(0, 60, 2):  # thirty a minute
            ledger.book(lambda _, at=time[0] + second: _bookings(labels, at, 1))  # type: ignore[misc]
        ledger.tally([_tally(label, time[0], 30, _spread(30, rng)) for label in labels])
        _settle(ledger, 30)
        time[0] += MINUTE
    ledger.keep(_learned(fleet, until))
    ledger.close()


def read_fleet(path: Path, env: dict[str, str]) -> Fleet:
    return load_fleet(path, env)


def _settle(ledger: SqliteLedger, times: int) -> None:
    """As often as a run asks."""
    for _ in range(times):
        ledger.elsewhere()


def _bookings(labels: list[str], at: float, requests: int) -> list[Booking]:
    amounts = {"rpm": requests, "tpm": requests * 700, "rpd": requests, "tpd": requests * 700}
    return [
        Booking(owner=label, axis=axis, amount=float(n), at=at) for label in labels for axis, n in amounts.items()
    ]  # fmt: skip


def _tally(label: str, at: float, requests: int, latencies: dict[int, int]) -> Tally:
    return Tally(
        key=label, model="m", at=at, sent=requests + 3, ok=requests, refused=2, failed=1, latency_s=requests * 1.7,
        input_tokens=requests * 400, output_tokens=requests * 300, latencies=latencies,
    )  # fmt: skip


def _spread(requests: int, rng: random.Random) -> dict[int, int]:
    """Latencies as those of real servers: a few hundred per cent between the fast and the slow ones."""
    latencies: dict[int, int] = {}
    for _ in range(requests):
        bucket = int(rng.gauss(40, 50))
        latencies[bucket] = latencies.get(bucket, 0) + 1
    return latencies


def _learned(fleet: Fleet, at: float) -> Known:
    labels = [key.label for provider in fleet.providers for key in provider.keys]
    return Known(
        states=[KeyState(key=label, state="ok", at=at) for label in labels],
        limits=[
            KnownLimit(owner=label, axis=axis, declared=figure, reported=figure / 2, at=at)
            for label in labels
            for axis, figure in AXES.items()
        ],
        targets=[
            KnownTarget(name=f"{provider.name}/m", n=9, service_s=1.0, service_sigma=0.5, output_tokens=300.0,
                        tokens_per_char=0.25, at=at)
            for provider in fleet.providers
        ],
    )  # fmt: skip
