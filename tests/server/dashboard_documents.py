"""Documents as the dashboard is sent them: a small fleet in every state there is, and its last ten minutes."""

from __future__ import annotations

import datetime as dt
from random import Random
from typing import Any

from llmfan.entries import KeyState
from llmfan.settings import Fleet
from tests.status.knowing import document, fleet, key, ledger, limit, provider, tally

NOON = dt.datetime(2026, 11, 21, 12, 0, tzinfo=dt.UTC)
HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)</script>\u202egnp.exe\x1b[31m\n" + "w" * 300


def document_of(
    *, now: dt.datetime = NOON, total: int | None = None, done: int = 412, said: str = "", resting: bool = True,
    seed: int = 1, keys: int = 0,
) -> dict[str, Any]:  # fmt: skip
    """`total`: of a run. `said`: in whatever strangers name. `resting`: ash#2 is in cooldown. `keys`: so many more."""
    found = _status(now, said, resting, keys)
    lanes = _lanes(found, Random(seed), said)
    ok, failed = done - min(done, 9), min(done, 9)
    return {
        "at": now.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z", "what": "serve" if total is None else "run",
        "simulated": True, "speed": 1.0, "uptime_s": 754.2, "status": found,
        "folder": None if total is None else "results/a run's",
        "now": {
            "in_flight": sum(lane["in_flight"] for lane in lanes),
            "waiting": {"interactive": 3, "batch": 118} if total is None else {"batch": total - done},
            "done": done, "total": total, "ok": ok, "failed": failed, "rate_limited": 14, "attempts": done + 31,
            "attempts_failed": 17, "ended_per_s": 3.6,
            "input_tokens": 51_300, "output_tokens": 48_211, "cost_usd": None, "requests_per_s": 3.42,
            "output_tokens_per_s": 611.4, "latency_p50_s": 0.84, "latency_p95_s": 2.9, "ttft_p50_s": None,
        },
        "minutes": {"bucket_s": 10, "rows": _rows(Random(seed))},
        "keys": lanes, "failures": _failures(now, said),
    }  # fmt: skip


def _status(now: dt.datetime, said: str, resting: bool, more: int) -> dict[str, Any]:
    at = now.timestamp()
    wrong = f"401 {said or 'Incorrect API key provided: sk-…k3vA'}"
    states = [
        KeyState(key="birch#1", model="birch-large", state="exhausted", why="the day's quota", until=at + 11520, at=at),
        KeyState(key="cedar#1", model="m", state="invalid", why=wrong, at=at),
    ]
    if resting:
        states.append(KeyState(key="ash#2", state="rate_limited", why="429 Rate limit reached", until=at + 12, at=at))
    used = {"ash#1": {"rpm": 28, "tpm": 3100, "rpd": 312}, "ash#2": {"rpm": 12, "tpm": 4100, "rpd": 950}}
    used["dogwood#1"] = {"rpm": 7}
    booked = [(label, axis, float(amount), now) for label, own in used.items() for axis, amount in own.items()]
    known = [limit("ash#2", "rpd", reported=1000.0), limit("dogwood#1", "rpm", measured=28.4, confidence=0.8)]
    archive = ledger(known, states, booked=booked, tallies=[tally("ash#1", now), tally("ash#2", now)])
    return document(_fleet(said, more), archive, now)


def _fleet(said: str, more: int) -> Fleet:
    names = ["birch-large", "birch-small"]
    return fleet(
        provider("ash", 2, {"rpm": 30, "tpm": 6000, "rpd": 14400}),
        provider("birch", 1, {"rpm": 60, "rpd": 250, "concurrency": 8, "tokens_per_month": 1e9}, models=names),
        provider("cedar", 1, {"rps": 1}),
        provider("dogwood", 1, {}),
        provider(said or "elm", [key(said or "elm#1", missing="ELM_API_KEY")], {"rpm": 5}),
        provider(said + "x" if said else "fir", [key(said + "x" if said else "fir#1")], {}, models=[said or "m"]),
        *(provider(f"grove{n}", 1, {"rpm": 30, "rpd": 1000}) for n in range(more)),
    )


def _lanes(status: dict[str, Any], rng: Random, said: str) -> list[dict[str, Any]]:
    lanes = []
    for name, entry in status["quota_status"].items():
        for each in entry["keys"]:
            for own in each.get("models", [each]):
                ready = each["state"] == "ready"
                if each["state"] == "missing":
                    continue
                busy = each["key"] in ("ash#1", "ash#2", "birch#1")
                lanes.append({
                    "key": each["key"], "provider": name, "model": own.get("model", entry["models"][0]),
                    "state": "waits" if each["key"] == "ash#1" else own["state"],
                    "why": "rpm" if ready and busy else said,
                    "back_in_s": 4.2 if ready and busy else own["available_in_s"],
                    "in_flight": rng.randrange(5) if ready else 0,
                    "ok": rng.randrange(2000) if busy else 0, "failed": rng.randrange(4) if busy else 0,
                    "rate_limited": rng.randrange(3), "latency_p50_s": round(rng.uniform(0.3, 2), 3) if busy else None,
                })  # fmt: skip
    return lanes


def _rows(rng: Random) -> list[dict[str, Any]]:
    rows = []
    for ago in range(600, 0, -10):
        idle = 250 < ago <= 300
        ok = 0 if idle else rng.randrange(24, 40)
        rows.append({
            "ago_s": float(ago), "ok": ok, "failed": rng.randrange(3) if ago % 70 == 0 else 0,
            "rate_limited": rng.randrange(2, 9) if 90 < ago < 150 else 0, "output_tokens": ok * 110,
            "latency_p50_s": None if idle else round(rng.uniform(0.6, 0.9), 3),
            "latency_p95_s": None if idle else round(rng.uniform(1.6, 3.1), 3), "ttft_p50_s": None,
        })  # fmt: skip
    return rows


def _failures(now: dt.datetime, said: str) -> list[dict[str, Any]]:
    refused = (
        "Rate limit reached for model in organization on requests per minute (RPM): Limit 30, Used 30, Requested 1."
    )
    kinds = [
        ("server_error", 503, "upstream connect error or disconnect before headers"),
        ("timeout", None, ""),
        (
            "rate_limited",
            429,
            f"{refused} Please try again in 1.8 s. Visit the console to raise the limits of your plan.",
        ),
    ]
    return [
        {
            "at": (now - dt.timedelta(seconds=17 * n)).strftime("%Y-%m-%dT%H:%M:%S.000Z"), "id": f"job-{n}",
            "provider": "ash", "model": said or "m", "key": said or f"ash#{n % 2 + 1}",
            "kind": kinds[n % 3][0], "http_status": kinds[n % 3][1], "message": said or kinds[n % 3][2],
        }
        for n in range(4)
    ]  # fmt: skip
