"""Makes documents of a report, of runs that never were: realistic ones, and the worst that could come."""

from __future__ import annotations

from random import Random
from typing import Any

from llmfan.measures.intervals import wilson
from llmfan.measures.metrics import DISTRIBUTIONS, TOTALS
from llmfan.outputs.html.page import (
    Allowance,
    Example,
    FailureKind,
    Histogram,
    KeyUse,
    Page,
    Row,
    RunPage,
    Timeline,
)

FLEET = {"ash": 0.4, "birch": 0.9, "cedar": 1.6, "dogwood": 2.4, "elm": 0.7, "fir": 5.0}
BIDI = "\u202e\u2066right to left\u2069"
HOSTILE = f"<script>alert(1)</script></script><!-- \x1b[31mred\x07 {BIDI} =cmd()|' /C calc'!A0 \x00 \ud800 & \"quoted\""
LONG_WORD = "Donaudampfschiff" * 30


def page(*runs: RunPage, title: str = "quickstart") -> Page:
    definitions = [{"name": m.name, "unit": m.unit, "title": m.title, "formula": m.formula} for m in TOTALS]
    return Page(title=title, made_at="2026-11-21 20:57 UTC", version="0.1.0", runs=[*runs], definitions=definitions)


def run(
    *,
    seed: int = 1,
    results: int = 1200,
    rows: int = 200,
    fleet: dict[str, float] = FLEET,
    graded: bool = True,
    priced: bool = True,
    said: str = "",
) -> RunPage:
    """A run of two keys a provider; `said` stands in everything that somebody else says."""
    rng = Random(seed)
    each = max(1, results // len(fleet))
    providers = [
        entry(n + said, median, each, rng, graded=graded, priced=priced and i % 3 < 2)
        for i, (n, median) in enumerate(fleet.items())
    ]
    names = [p["name"] for p in providers]
    keys = [{**p, "name": f"{p['name']}#{k}"} for p in providers for k in (1, 2)]
    return RunPage(
        name="runs/20261121-205725-quickstart",
        verdict=f"1,188 of 1,200 prompts answered in 5 m 12 s; one of two gates did not hold.{said}",
        summary=summary(providers, keys, each * len(names), rng, graded, priced),
        header=header(),
        histograms=[histogram(m, n, median, each) for m in ("latency_s", "ttft_s", "wait_s") for n, median in
                    zip(names, fleet.values(), strict=True)],
        timeline=timeline(names, rng),
        keys=[key_use(k["name"], rng) for k in keys],
        failures=[failure(kind, names[0], said) for kind in ("rate_limited", "timeout", "server_error")],
        rows=[row(i, names[i % len(names)], rng, said) for i in range(rows)],
        results=each * len(names),
        notes=["Of 1,200 results the 200 slowest, wrong and failed are shown with their texts." + said],
    )  # fmt: skip


def empty_run() -> RunPage:
    """Nothing was answered, and nothing is known."""
    undefined: dict[str, Any] = {m.name: None for m in TOTALS} | {"jobs": 0, "ok": 0, "failed": 0, "attempts": 0}
    return RunPage(
        name="runs/empty", verdict="No prompt was answered.", header={}, histograms=[], timeline=None, keys=[],
        summary={"totals": undefined, "providers": [], "models": [], "keys": [], "gates": []},
        failures=[], rows=[], results=0,
    )  # fmt: skip


def header() -> dict[str, Any]:
    return {
        "prompts": {"path": "samples/quickstart.jsonl", "size": 4309, "sha256": "03f3e0effd0b1c9f" * 4},
        "shaping": {"--mode": "providers"},
        "versions": {"llmfan": "0.1.0", "python": "3.12.3"},
        "simulated": True,
        "started_at": "2026-11-21T20:57:25.730Z",
        "ended_at": "2026-11-21T21:02:37.204Z",
    }


def entry(name: str, median: float, n: int, rng: Random, *, graded: bool, priced: bool) -> dict[str, Any]:
    failed, refused = rng.randint(0, 3), rng.randint(0, n // 6)
    ok = n - min(n, failed)
    right = round(ok * rng.uniform(0.6, 0.97)) if graded else 0
    low, high = wilson(right, ok) or (None, None)
    cost = ok * rng.uniform(0.00005, 0.002) if priced else None
    totals = {
        "jobs": n, "ok": ok, "failed": n - ok, "failed_rate": (n - ok) / n, "attempts": n + refused,
        "rate_limited": refused, "rate_limited_rate": refused / (n + refused), "duration_s": 312.0,
        "requests_per_s": ok / 312, "input_tokens": ok * 40, "output_tokens": ok * 220,
        "output_tokens_per_s": ok * 220 / 312, "estimated_token_counts": 12, "cost_usd": cost,
        "cost_unknown": 0 if priced else ok, "cost_per_right_usd": cost / right if cost and right else None,
        "right": right, "wrong": ok - right if graded else 0, "ungraded": 0,
        "accuracy": right / ok if graded and ok else None,
        "accuracy_low": low if graded else None, "accuracy_high": high if graded else None,
    }  # fmt: skip
    scale = {"latency_s": 1, "ttft_s": 0.3, "ttfo_s": 0.4, "tpot_s": 0.01, "itl_s": 0.01, "wait_s": 2, "retry_s": 0.05}
    return {
        "name": name,
        "totals": totals,
        **{m.name: quantiles(median * scale.get(m.name, 3), ok) for m in DISTRIBUTIONS},
        "errors": {},
        "problems": {},
    }


def quantiles(median: float, n: int) -> dict[str, Any]:
    steps = {"mean": 1.1, "p50": 1, "p90": 1.8, "p95": 2.2, "p99": 3.4, "max": 5}
    return {"n": n, **{name: median * factor if n else None for name, factor in steps.items()}}


def summary(
    providers: list[dict[str, Any]], keys: list[dict[str, Any]], jobs: int, rng: Random, graded: bool, priced: bool
) -> dict[str, Any]:
    whole = entry("all", 1.4, jobs, rng, graded=graded, priced=priced)
    lost = {"learning_s": 3.0, "retries_s": 11.0, "stragglers_s": 22.0, "client_s": 0.0}
    whole["totals"] |= {"ideal_duration_s": 276.0, "efficiency": 0.885, "unsent": 0, "lost": lost}
    first, second = providers[0]["name"], providers[-1]["name"]
    pair = {"a": first, "b": second, "n": 190, "a_right": 150, "b_right": 171, "difference": 0.11}
    return {
        **whole,
        "simulated": True,
        "providers": providers,
        "models": [{**p, "name": f"{p['name']}/model-8b"} for p in providers],
        "keys": keys,
        "gates": [
            {"expr": "failed_rate > 1%", "value": 0.0081, "held": True, "why": "0.81 % of 1,200"},
            {"expr": f"latency_p95[{first}] > 2s", "value": 2.31, "held": False, "why": "2.31 s is over 2 s"},
        ],
        "client": {"limited": True, "why": "the event loop was 0.2 s late one time in a hundred"},
        "paired_accuracy": [{**pair, "low": 0.04, "high": 0.18}],
        "out": {f"{second}#2": "the day's quota is spent"},
    }


def histogram(metric: str, provider: str, median: float, n: int) -> Histogram:
    shape = [1, 4, 12, 22, 24, 16, 9, 6, 3, 2, 0, 1]
    scale = median * {"latency_s": 1, "ttft_s": 0.3}.get(metric, 2)
    bins = [(scale * (0.4 + i * 0.16), scale * (0.56 + i * 0.16), n * part // 100) for i, part in enumerate(shape)]
    return Histogram(metric=metric, provider=provider, bins=[b for b in bins if b[2]] or [(scale, scale * 1.1, n)])


def timeline(names: list[str], rng: Random, steps: int = 104, step_s: float = 3.0) -> Timeline:
    def counts(most: int) -> dict[str, list[int]]:
        return {name: [rng.randint(0, most) for _ in range(steps)] for name in names}

    ok = counts(6)
    tokens = {name: [220 * n for n in line] for name, line in ok.items()}
    return Timeline(step_s=step_s, steps=steps, ok=ok, rate_limited=counts(1), failed=counts(1), tokens=tokens)


def key_use(key: str, rng: Random) -> KeyUse:
    minute, day = rng.randint(40, 156), rng.randint(10, 900)
    return KeyUse(
        key=key, provider=key.partition("#")[0], serving_s=rng.uniform(50, 400), failing_s=rng.uniform(0, 9),
        busy_s=rng.uniform(50, 312), attempts=120, rate_limited=rng.randint(0, 9),
        allowances=[
            Allowance(axis="rpm", limit=30, period_s=60, used=minute, allowed=156),
            Allowance(axis="tpd", limit=1e6, period_s=86400, used=day * 1000, allowed=1e6),
            Allowance(axis="concurrency", limit=4, period_s=None, used=3, allowed=None),
        ],
    )  # fmt: skip


def failure(kind: str, provider: str, said: str) -> FailureKind:
    message = f'{{"error": {{"message": "Limit reached for requests, try again in 2.1s"}}}}{said}'
    example = Example(
        id=f"q-17{said}", provider=provider, model="model-8b", key=f"{provider}#1", message=message,
        http_status=429, at_s=31.5,
    )  # fmt: skip
    return FailureKind(kind=kind, jobs=3, attempts=71, examples=[example, example])


def row(i: int, provider: str, rng: Random, said: str) -> Row:
    why = ("failed", "wrong", "slow", "sample")[i % 4]
    failed = why == "failed"
    latency = None if failed else rng.lognormvariate(0.5, 0.6)
    return Row(
        id=f"prompt-{i:04d}{said}", index=i, repeat=0, why=why, status="failed" if failed else "ok", provider=provider,
        model="model-8b", key=f"{provider}#1", prompt=f"What is {i} times {i + 1}?\nAnswer with a number.{said}",
        text=None if failed else f"It is {i * (i + 1)}.\n\tLine two, {'an answer that goes on, ' * 16}{said}",
        expect=str(i * (i + 1)), score=None if failed else float(why != "wrong"),
        error=f"timeout: no byte for 30 s{said}" if failed else None, wait_s=rng.uniform(0, 9), retry_s=0.0,
        ttft_s=None if latency is None else latency * 0.3, latency_s=latency,
        total_s=None if latency is None else latency + 3,
        output_tokens=None if failed else 220, cost_usd=None if i % 3 == 2 or failed else 0.00042, attempts=1 + i % 3,
        cut=i % 5 == 0,
    )  # fmt: skip
