"""A far end on the virtual clock, told by path, and a probe of it: durations are exact, and nothing is waited for."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from msgspec import Struct
from msgspec.structs import replace

from llmfan.inputs.config import load_fleet
from llmfan.ledgers.memory import MemoryLedger
from llmfan.probing.clerk import Clerk
from llmfan.probing.findings import Finding
from llmfan.probing.prober import ProbeOptions, Prober
from llmfan.runfile import redactor
from llmfan.settings import Fleet
from llmfan.simulation.loop import run_virtual
from llmfan.simulation.script import FOREVER, Script
from llmfan.transports.virtual import VirtualTransport

#: 2026-11-20 12:00:00 UTC.
NOON = 1_795_176_000.0


class Seen(Struct, frozen=True):
    """One request: what it was for (`check`, `list`, `ask`), by which key, and when."""

    what: str
    key: str
    at: float
    body: dict[str, Any]


#: (what was asked, the key, the body) → the answer.
Answers = Callable[[str, str, dict[str, Any]], Script]


class Far:
    """One provider's far end. What it was asked is in `seen`."""

    def __init__(self, answers: Answers):
        self._answers = answers
        self.seen: list[Seen] = []
        self.flying: list[tuple[float, float]] = []

    def handle(self, now: float, path: str, headers: Mapping[str, str], body: bytes) -> Script:
        given = {name.lower(): value for name, value in headers.items()}
        key = given.get("authorization", given.get("x-goog-api-key", "")).rpartition(" ")[2]
        asked = json.loads(body) if body else {}
        what = "ask" if body else "list" if "models" in path else "check"
        self.seen.append(Seen(what, key, now, asked))
        script = self._answers(what, key, asked)
        self.flying.append((now, now + sum(at for at, _ in script.writes[-1:])))
        return script

    def asked(self, what: str) -> list[Seen]:
        return [seen for seen in self.seen if seen.what == what]

    def at_once(self) -> int:
        """The most requests that were under way at one time."""
        return max(sum(begun <= at < ended for begun, ended in self.flying) for at, _ in self.flying)


def says(status: int, body: Any = None, latency: float = 0.1, **headers: str) -> Script:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return Script(status, {"content-type": "application/json", **sent}, [(latency, raw)])


def refuses(status: int, message: str, code: str = "", latency: float = 0.1, **headers: str) -> Script:
    return says(status, {"error": {"message": message, "code": code}}, latency, **headers)


def answers(latency: float = 0.1, content: str | None = "Hello", finish: str = "length", **headers: str) -> Script:
    choice = {"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": finish}
    usage = {"prompt_tokens": 8, "completion_tokens": 1}
    return says(200, {"choices": [choice], "usage": usage}, latency, **headers)


def lists(*names: str) -> Script:
    return says(200, {"data": [{"id": name} for name in names]})


def silent() -> Script:
    return Script(200, {}, [(FOREVER, b"")])


def reported(left: int, limit: int = 1000, axis: str = "day") -> dict[str, str]:
    return {f"x_ratelimit_limit_requests_{axis}": str(limit), f"x_ratelimit_remaining_requests_{axis}": str(left)}


def fleet_of(folder: Path, env: Mapping[str, str] | None = None, **entries: Mapping[str, Any]) -> Fleet:
    """Providers whose addresses lie in the virtual network; each entry gets a model and one key where it names none."""
    whole = {}
    for name, entry in entries.items():
        plain = {} if "preset" in entry else {"base_url": "http://127.0.0.1:9/v1"}
        model = {} if "models" in entry else {"model": "m"}
        whole[name] = {"keys": [f"key-of-{name}"], **model, **plain, **entry}
    path = folder / "providers.yaml"
    path.write_text(json.dumps({"version": 1, "providers": whole}))
    fleet = load_fleet(str(path), env or {}, every=True)
    moved = [
        replace(p, base_url=VirtualTransport.base_url(p.name) + urlsplit(p.base_url).path) for p in fleet.providers
    ]
    return replace(fleet, providers=moved)


class Probed(Struct):
    findings: list[Finding]
    took: float
    prober: Prober
    ledger: MemoryLedger

    def __getitem__(self, label: str) -> Finding:
        (found,) = [finding for finding in self.findings if finding.key == label]
        return found

    @property
    def states(self) -> dict[str, str]:
        return {finding.key: finding.state for finding in self.findings}


def probe(fleet: Fleet, far: Mapping[str, Any], options: ProbeOptions | None = None, further: Any = None) -> Probed:
    """`far`: by provider; one that is not in it refuses connections. `further(prober, clock)` goes on afterwards."""

    async def main() -> Probed:
        clock = asyncio.get_running_loop().time
        begun = clock()

        def wall() -> float:
            return NOON + clock() - begun

        ledger = MemoryLedger()
        prober = Prober(
            fleet, VirtualTransport(far, clock), options or ProbeOptions(),
            clock=clock, wall=wall, env={}, redact=redactor(fleet), clerk=Clerk(ledger, fleet, wall),
        )  # fmt: skip
        await prober.run()
        if further is not None:
            await further(prober, clock)
        return Probed(prober.findings, clock() - begun, prober, ledger)

    return run_virtual(main)
