"""A far end for `llmfan probe` over real HTTP: 8 providers in their own dialects, and 32 keys of every fate.

Each provider has an origin of its own, so that a request to any other provider's address shows. What was asked, by
which key and when, is written down; the keys are invented.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.loopback.probe_dialects import DIALECTS, Asked

#: Seconds each answer of a provider takes.
DELAYS = {
    "groq": 0.25, "mistral": 0.25, "openai": 0.3, "openrouter": 0.35, "cloudflare": 0.4, "gemini": 0.5, "cohere": 0.6,
    "deepseek": 0.8,
}  # fmt: skip
#: Path of a provider's key check, its models list, and (the end of) its completions; its base URL's path.
PATHS = {
    "groq": ("", "/openai/v1/models", "/openai/v1/chat/completions", "/openai/v1"),
    "openrouter": ("/api/v1/key", "/api/v1/models", "/api/v1/chat/completions", "/api/v1"),
    "mistral": ("", "/v1/models", "/v1/chat/completions", "/v1"),
    "cloudflare": (
        "/client/v4/accounts/0123456789abcdef0123456789abcdef/tokens/verify",
        "/client/v4/accounts/0123456789abcdef0123456789abcdef/ai/models/search",
        "/client/v4/accounts/0123456789abcdef0123456789abcdef/ai/v1/chat/completions",
        "",
    ),
    "gemini": ("", "/v1beta/models", ":generateContent", "/v1beta"),
    "cohere": ("", "/v1/models", "/compatibility/v1/chat/completions", "/compatibility/v1"),
    "deepseek": ("/user/balance", "/models", "/chat/completions", ""),
    "openai": ("", "/v1/models", "/v1/chat/completions", "/v1"),
}
MODELS = {
    "groq": "openai/gpt-oss-20b", "openrouter": "openai/gpt-oss-20b:free", "mistral": "mistral-small-latest",
    "cloudflare": "@cf/openai/gpt-oss-20b", "gemini": "gemini-3.1-flash-lite", "cohere": "command-a-03-2025",
    "deepseek": "deepseek-v4-flash", "openai": "gpt-4o-mini", "typo": "command-a-03-2052",
    "github-models": "openai/gpt-4o",
}  # fmt: skip


@dataclass(frozen=True)
class Key:
    """`fate`: how its provider answers it. `account`: whose requests count together; `used`: what it had sent today."""

    label: str
    fate: str
    account: str = ""
    used: int = 0
    most: tuple[int, int, int] = (0, 1, 1)  # checks, lists, completions that it takes to prove what there is to prove

    @property
    def provider(self) -> str:
        return self.label.partition("#")[0]

    @property
    def variable(self) -> str:
        return self.label.upper().replace("#", "_KEY_").replace("-", "_")

    @property
    def secret(self) -> str:
        return f"canary-{self.provider}-{hashlib.sha256(self.label.encode()).hexdigest()[:24]}"


#: The three of org-a report what is left of one day. Those of org-b and org-c have limits as high, and what they report
#: lies as close by; whether they are others can only be seen by asking one of them again.
KEYS = [
    Key("groq#1", "thinking", "org-a", most=(0, 1, 2)),
    Key("groq#2", "ok", "org-a", most=(0, 1, 2)),
    Key("groq#3", "ok", "org-a", most=(0, 1, 2)),
    Key("groq#4", "ok", "org-b", most=(0, 1, 2)),
    Key("groq#5", "ok", "org-c", used=3, most=(0, 1, 2)),
    Key("groq#6", "exhausted"),
    Key("openrouter#1", "thinking", most=(1, 0, 1)),
    Key("openrouter#2", "invalid", most=(1, 0, 0)),
    Key("openrouter#3", "exhausted", most=(1, 0, 1)),
    Key("openrouter#4", "no_credit", most=(1, 0, 1)),
    Key("mistral#1", "ok"),
    Key("mistral#2", "rate_limited"),
    Key("cloudflare#1", "unverifiable", "cf", most=(1, 1, 1)),
    Key("cloudflare#2", "invalid", "cf", most=(1, 0, 0)),
    Key("cloudflare#3", "forbidden", "cf", most=(1, 0, 1)),
    Key("gemini#1", "thinking"),
    Key("gemini#2", "invalid", most=(0, 1, 0)),
    Key("gemini#3", "exhausted"),
    Key("gemini#4", "forbidden"),
    Key("cohere#1", "ok"),
    Key("cohere#2", "exhausted"),
    Key("deepseek#1", "ok", most=(1, 0, 1)),
    Key("deepseek#2", "no_credit", most=(1, 0, 0)),
    Key("openai#1", "ok"),
    Key("openai#2", "no_credit"),
    Key("openai#3", "forbidden"),
    Key("openai#4", "missing", most=(0, 0, 0)),
    Key("typo#1", "no_model"),
    Key("dead#1", "unreachable"),
    Key("hanging#1", "unreachable"),
    Key("nowhere#1", "unreachable"),
    Key("github-models#1", "retired", most=(0, 0, 0)),
]
_STATES = {"thinking": "ok", "unverifiable": "ok"}
#: What a probe has to say of each.
EXPECTED = {key.label: _STATES.get(key.fate, key.fate) for key in KEYS}
TOGETHER = ["groq#1", "groq#2", "groq#3"]


@dataclass(frozen=True)
class Seen:
    """One request: by which key, for what, and from when to when."""

    provider: str
    label: str
    kind: str
    path: str
    opened: float
    closed: float
    body: Any


class ProbeFleet:
    """`with ProbeFleet() as far:` serves until the block ends."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.most_at_once: Counter[str] = Counter()
        self.opened: dict[str, float] = {}  # by provider, when its first request came
        self._at_once: Counter[str] = Counter()
        self._used = Counter({key.account or key.label: key.used for key in KEYS})
        self._by_secret = {key.secret: key for key in KEYS}
        self._ports: dict[str, int] = {}
        self._over = asyncio.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._runners: list[web.AppRunner] = []

    def __enter__(self) -> ProbeFleet:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._open(), self._loop).result(10)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(20)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def write_fleet(self, folder: Path, only: Iterable[str] = ()) -> tuple[Path, dict[str, str]]:
        """(the providers file, the environment); `only`: the labels of the keys that are in it."""
        keys = [key for key in KEYS if not only or key.label in set(only)]
        names = dict.fromkeys(key.provider for key in keys)
        entries = {name: self._entry(name, [k for k in keys if k.provider == name]) for name in names}
        path = folder / "providers.yaml"
        path.write_text(json.dumps({"version": 1, "providers": entries}))
        return path, {key.variable: key.secret for key in keys if key.fate != "missing"}

    def asked(self, label: str) -> Counter[str]:
        """How often which kind of request came with a key."""
        return Counter(seen.kind for seen in self.seen if seen.label == label)

    def _entry(self, name: str, keys: list[Key]) -> dict[str, Any]:
        entry: dict[str, Any] = {"model": MODELS.get(name, "m"), "keys": [f"${key.variable}" for key in keys]}
        if name == "dead":
            return entry | {"base_url": f"http://127.0.0.1:{_closed_port()}/v1"}
        if name == "hanging":
            return entry | {"base_url": f"http://127.0.0.1:{self._ports[name]}/v1", "timeout": 2}
        if name == "nowhere":
            return entry | {"base_url": "https://llmfan-nowhere.invalid/v1"}
        if name == "github-models":
            return entry
        served = "cohere" if name == "typo" else name
        entry |= {"preset": served, "base_url": f"http://127.0.0.1:{self._ports[served]}{PATHS[served][3]}"}
        if name == "cloudflare":
            return entry | {"account_id": "0123456789abcdef0123456789abcdef"}
        return entry | {"limits": {"shared": "key"}}  # the file says nothing of who shares with whom

    # ---------------------------------------------------------- serving

    async def _open(self) -> None:
        for name in (*DIALECTS, "hanging"):
            app = web.Application()
            app.router.add_route("*", "/{path:.*}", partial(self._handle, name))
            runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            self._ports[name] = runner.addresses[0][1]
            self._runners.append(runner)

    async def _pause(self, seconds: float) -> None:
        """No longer than the far end is there."""
        try:
            await asyncio.wait_for(self._over.wait(), seconds)
        except TimeoutError:
            pass

    async def _close(self) -> None:
        self._over.set()
        await asyncio.gather(*(runner.cleanup() for runner in self._runners))

    async def _handle(self, provider: str, request: web.Request) -> web.StreamResponse:
        opened = time.monotonic()
        self.opened.setdefault(provider, opened)
        given = request.headers.get("authorization", request.headers.get("x-goog-api-key", ""))
        key = self._by_secret.get(given.rpartition(" ")[2])
        account = (key.account or key.label) if key else ""
        self._at_once[account] += 1
        self.most_at_once[account] = max(self.most_at_once[account], self._at_once[account])
        raw = await request.read()
        body = json.loads(raw) if raw else None
        kind = _kind(provider, request)
        try:
            answer = self._answer(provider, kind, key, body)
            await self._pause(DELAYS.get(provider, 60.0))
            return answer
        finally:
            self._at_once[account] -= 1
            closed = time.monotonic()
            self.seen.append(Seen(provider, key.label if key else "", kind, request.path_qs, opened, closed, body))

    def _answer(self, provider: str, kind: str, key: Key | None, body: Any) -> web.Response:
        if provider not in DIALECTS or kind == "other":
            return web.json_response({"error": {"message": "not here"}}, status=404)
        account = (key.account or key.label) if key else ""
        fate = key.fate if key else "invalid"
        if kind == "completion" and fate in ("ok", "thinking", "unverifiable"):
            self._used[account] += 1
        model = MODELS[key.provider] if key else ""
        stream = isinstance(body, dict) and bool(body.get("stream"))
        asked = Asked(kind, fate, key.secret if key else "", model, self._used[account], stream)
        status, headers, answer = DIALECTS[provider](asked)
        if isinstance(answer, str):
            return web.Response(text=answer, status=status, headers=headers, content_type="text/event-stream")
        return web.json_response(answer, status=status, headers=headers)


def _kind(provider: str, request: web.Request) -> str:
    check, listing, completion, _ = PATHS.get(provider, ("", "", "/chat/completions", ""))
    path = request.path
    if request.method == "POST" and path.endswith(completion):
        return "completion"
    if request.method != "GET":
        return "other"
    return "check" if path == check else "list" if path == listing else "other"


def _closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
