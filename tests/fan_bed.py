"""What the tests of the Python API share: a fleet of loopback sites, and a wait for what happens soon."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import llmfan
from tests.beds.upstream import Site, Upstream


def providers_file(folder: Path, far: Upstream, entries: Mapping[str, Mapping[str, Any]] | None = None) -> Path:
    """Every site with one model `m` and no key, but for what `entries` says. JSON is YAML."""
    written = {
        name: {"base_url": far.base_url(name), "keys": "none", "model": "m", **(entries or {}).get(name, {})}
        for name in far.sites
    }
    path = folder / "providers.yaml"
    path.write_text(json.dumps({"version": 1, "providers": written}))
    return path


@asynccontextmanager
async def fan_of(
    folder: Path, sites: Mapping[str, Site], entries: Mapping[str, Mapping[str, Any]] | None = None, **settings: Any
) -> AsyncIterator[tuple[llmfan.Fan, Upstream]]:
    async with Upstream(sites) as far:
        file = providers_file(folder, far, entries)
        async with llmfan.Fan(file, env={}, state=folder / "ledger.db", **settings) as fan:
            yield fan, far


async def soon(holds: Callable[[], bool], within: float = 3.0) -> None:
    """Returns as soon as it holds; fails if it does not in time."""
    end = time.monotonic() + within
    while not holds():
        assert time.monotonic() < end, "it never came about"
        await asyncio.sleep(0.002)
