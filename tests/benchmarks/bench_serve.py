"""What `llmfan serve` adds to a call that has a free permit, and how many calls a second go through it.

    python tests/benchmarks/bench_serve.py [--calls 2000] [--rounds 3] [--seconds 4] [--litellm PATH]

A local server with fixed answers (JSON, and streamed: 44 events) is asked directly with aiohttp and through `serve`,
in turn, one call after the other; then by 64 and by 256 at once. `--litellm` names the program of LiteLLM's proxy
(`pip install 'litellm[proxy]'`): it is then started over the same server and asked the same. Ends with 1 if a target
was missed.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

sys.path[:0] = [str(Path(__file__).parents[2])]

import aiohttp  # noqa: E402
import uvloop  # noqa: E402
from local_server import EVENTS, serving  # noqa: E402
from measuring import verdict  # noqa: E402
from peer_proxy import TOKEN, proxy  # noqa: E402

from tests.beds.serving import entry, served  # noqa: E402

MEDIAN_MS, P99_MS = 1.5, 5.0
CROWDS = (64, 256)
KEYS = [f"sk-bench-{n}" for n in range(8)]
MODEL = "bench-model"
BODY = f'{{"model": "{MODEL}", "messages": [{{"role": "user", "content": "What is six times seven?"}}]}}'.encode()
STREAMED = BODY[:-1] + b', "stream": true, "stream_options": {"include_usage": true}}'


class Way(NamedTuple):
    """One way to the same answer."""

    name: str
    url: str
    cpu: Callable[[], float] | None = None


class Took(NamedTuple):
    """Seconds to the first piece of the body, and to its end."""

    first: float
    whole: float


def main() -> int:
    options = _options()
    held = []
    with tempfile.TemporaryDirectory(prefix="llmfan-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        far = stack.enter_context(serving(folder))
        print(f"{options.calls} calls each way, server: {far.kind}, Python {sys.version.split()[0]}", file=sys.stderr)
        for form, url, body in (("json", far.json_url, BODY), ("streamed", far.sse_url, STREAMED)):
            held += _measure(form, url, body, folder / form, options)
    return 0 if all(held) else 1


def _measure(form: str, url: str, body: bytes, folder: Path, options: argparse.Namespace) -> list[bool]:
    """The peer is started last: what it does beside its calls would be in the others' figures."""
    folder.mkdir()
    direct = Way("direct", url)
    with ExitStack() as stack:
        providers = {"bench": entry(url, KEYS, MODEL, limits="none")}
        server = stack.enter_context(served(folder, providers, "-q"))
        ways = [direct, Way("llmfan serve", server.v1, server.cpu_s)]
        median, late = uvloop.run(_added(form, body, ways[1], direct, options.calls))
        held = [
            verdict(f"{form}: added, median", median, MEDIAN_MS, " ms"),
            verdict(f"{form}: added, p99", late, P99_MS, " ms"),
        ]
        if options.litellm:
            ways.append(Way("LiteLLM proxy", stack.enter_context(proxy(options.litellm, folder, url, MODEL, KEYS))))
            uvloop.run(_added(form, body, ways[2], direct, min(options.calls, 500)))
        uvloop.run(_throughput(form, body, ways, options))
    return held


# -------------------------------------------------------------------- one call after the other


async def _added(form: str, body: bytes, way: Way, direct: Way, calls: int) -> tuple[float, float]:
    """By how many ms the median and p99 differ. A B, A B, …: whatever else the machine does is done to both."""
    found: dict[str, list[Took]] = {direct.name: [], way.name: []}
    async with _session() as session:
        for number in range(-200, calls):
            for each in (direct, way):
                took = await _call(session, each.url, body)
                if number >= 0:
                    found[each.name].append(took)
    print(f"\n| {form}, ms | first p50 | p99 | whole p50 | p90 | p99 | max |\n|{'---|' * 7}")
    for name, took_each in found.items():
        first, whole = ([1000 * t[at] for t in took_each] for at in (0, 1))
        figures = [_q(first, 0.5), _q(first, 0.99), *(_q(whole, q) for q in (0.5, 0.9, 0.99, 1.0))]
        print(f"| {name} | " + " | ".join(f"{f:.2f}" for f in figures) + " |")
    ours, theirs = ([1000 * t.whole for t in found[each.name]] for each in (way, direct))
    pairs = [one - other for one, other in zip(ours, theirs, strict=True)]
    print(f"{form}: {way.name}, call by call: {_q(pairs, 0.5):.2f} ms more in the median, p99 {_q(pairs, 0.99):.2f} ms")
    return _q(ours, 0.5) - _q(theirs, 0.5), _q(ours, 0.99) - _q(theirs, 0.99)


async def _call(session: aiohttp.ClientSession, url: str, body: bytes) -> Took:
    began = time.perf_counter()
    first, tail = 0.0, b""
    async with session.post(f"{url}/chat/completions", data=body, headers=_HEADERS) as answer:
        async for piece in answer.content.iter_any():
            first = first or time.perf_counter()
            tail = (tail + piece)[-20:]
        ended = time.perf_counter()
        if answer.status != 200 or not tail.rstrip().endswith((b"}", b"data: [DONE]")):
            sys.exit(f"{url}: {answer.status} …{tail.decode(errors='replace')}")
    return Took(first - began, ended - began)


# -------------------------------------------------------------------- many at once


async def _throughput(form: str, body: bytes, ways: list[Way], options: argparse.Namespace) -> None:
    found: dict[tuple[str, int], list[float]] = {}
    spent: dict[str, list[float]] = {}
    for _ in range(options.rounds):
        for crowd in CROWDS:
            for way in ways:
                before = way.cpu() if way.cpu else 0.0
                calls, seconds = await _crowd(way.url, body, crowd, options.seconds)
                found.setdefault((way.name, crowd), []).append(calls / seconds)
                if way.cpu:
                    spent.setdefault(way.name, []).append((way.cpu() - before) / (calls + crowd))
    rates = {key: statistics.median(values) for key, values in found.items()}
    print(f"\n| {form}, calls a second | {' | '.join(f'{c} at once | of direct' for c in CROWDS)} |\n|{'---|' * 5}")
    for way in ways:
        cells = [f"{rates[way.name, c]:.0f} | {rates[way.name, c] / rates['direct', c]:.2f}" for c in CROWDS]
        print(f"| {way.name} | {' | '.join(cells)} |")
    for name, costs in spent.items():
        print(f"{form}: CPU of {name}: {1e6 * statistics.median(costs):.0f} µs a call")
    if len(ways) > 2:
        over = ", ".join(f"{rates[ways[1].name, c] / rates[ways[2].name, c]:.1f} × at {c}" for c in CROWDS)
        print(f"{form}: {ways[1].name} over {ways[2].name}: {over}")


async def _crowd(url: str, body: bytes, crowd: int, seconds: float) -> tuple[int, float]:
    """Calls that ended, and in how many seconds; each asks again as soon as it is answered."""
    done = 0
    async with _session() as session:
        await asyncio.gather(*(_call(session, url, body) for _ in range(crowd)))  # connections are made

        async def ask() -> None:
            nonlocal done
            while time.perf_counter() < until:
                await _call(session, url, body)
                done += 1

        began = time.perf_counter()
        until = began + seconds
        await asyncio.gather(*(ask() for _ in range(crowd)))
        return done, time.perf_counter() - began


# -------------------------------------------------------------------- parts

_HEADERS = {"Content-Type": "application/json", "Authorization": f"Bearer {TOKEN}"}


def _session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=60),
        cookie_jar=aiohttp.DummyCookieJar(),
    )  # fmt: skip


def _q(values: Iterable[float], q: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--litellm", metavar="PATH")
    return parser.parse_args()


if __name__ == "__main__":
    assert EVENTS == 44
    os.environ.pop("LLMFAN_PROVIDERS", None)
    gc.freeze()
    sys.exit(main())
