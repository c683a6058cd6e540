"""A thousand streams at once through `llmfan serve`, judged by what the far end counted."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import aiohttp
import pytest

from tests.beds.far_process import FarProcess, far_process
from tests.beds.serving import Served, entry, served
from tests.beds.upstream import Site

KEYS, CALLS = 16, 1000
#: Concurrency holds a thousand back; the minutes' limit is hardly above what each key's part of them comes to.
LIMITS = {"rpm": 72, "concurrency": 8}
SITE = Site(limits=dict(LIMITS), first=0.05, gap=0.03, chunks=4)
#: How much more memory a call may take that waits or streams.
MOST_KIB_A_CALL = 120


@pytest.fixture
def far() -> Iterator[FarProcess]:
    with far_process({"a": SITE, "b": SITE}) as process:
        yield process


def test_a_thousand_streams_are_answered_once_each_within_every_limit(far: FarProcess, tmp_path: Path) -> None:
    """A lost answer is a user's, a passed limit a blocked key; and a server that swells with its callers falls."""
    with _served(far, tmp_path) as server:
        asyncio.run(_flood(server, 100, "few"))
        before = server.kib("VmHWM")
        said = asyncio.run(_flood(server, CALLS, "many"))
        swell = server.kib("VmHWM") - before
    counts = far.counts()
    assert said == {f"You said: many {n}": 1 for n in range(CALLS)}
    assert {m: n for m, n in counts["answered"].items() if m.startswith("many")} == {
        f"many {n}": 1 for n in range(CALLS)
    }
    assert counts["ends"] == {"answered": CALLS + 100}, "and nothing was refused"
    assert len(counts["most_open"]) == KEYS
    assert max(counts["most_open"].values()) <= LIMITS["concurrency"]
    assert counts["most_in_window"]["rpm"] <= LIMITS["rpm"]
    assert swell < MOST_KIB_A_CALL * CALLS


def test_a_third_that_leaves_in_mid_stream_frees_its_permits(far: FarProcess, tmp_path: Path) -> None:
    """A permit that stays with the dead is one less for the living, until none is left."""
    with _served(far, tmp_path) as server:
        said = asyncio.run(_flood(server, 200, "call", leaving=3))
        assert far.falls_silent()
        again = asyncio.run(_flood(server, 60, "again"))
    assert said == {f"You said: call {n}": 1 for n in range(200) if n % 3}
    assert again == {f"You said: again {n}": 1 for n in range(60)}
    counts = far.counts()
    assert counts["ends"]["answered"] + counts["ends"]["left"] == 260
    assert counts["ends"]["left"] >= 60, "they were cut off, not played to nobody"
    assert max(counts["most_open"].values()) <= LIMITS["concurrency"]


def _served(far: FarProcess, folder: Path) -> AbstractContextManager[Served]:
    half = KEYS // 2
    entries = {
        name: entry(far.base_url(name), [f"key-{name}-{n}-1234" for n in range(half)], limits=LIMITS)
        for name in ("a", "b")
    }
    return served(folder, entries)


async def _flood(server: Served, calls: int, name: str, leaving: int = 0) -> Counter[str]:
    """All at once. Every `leaving`th hangs up when the first text has come. Gives what the others were told."""
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=60)) as session:
        each = (_call(session, server, f"{name} {n}", bool(leaving) and n % leaving == 0) for n in range(calls))
        said = await asyncio.gather(*each)
    return Counter(text for text in said if text is not None)


async def _call(session: aiohttp.ClientSession, server: Served, text: str, leaves: bool) -> str | None:
    body = {"model": "auto", "stream": True, "messages": [{"role": "user", "content": text}]}
    said, ended = "", False
    async with session.post(f"{server.v1}/chat/completions", json=body) as answer:
        assert answer.status == 200, await answer.text()
        async for line in answer.content:
            if not line.startswith(b"data: "):
                continue
            if line.startswith(b"data: [DONE]"):
                ended = True
                continue
            said += "".join(c["delta"].get("content") or "" for c in json.loads(line[6:])["choices"])
            if said and leaves:
                return None  # with the connection, since its answer is not read to the end
    return said if ended else f"torn: {said}"
