"""Requests to one provider: key checks, models lists, completions of one token; and what is known of its hosts.

Nothing here decides on a key. A host that cannot be reached is asked once and not by every key; requests of one
account leave as far apart as its limit a second wants it, so that a probe draws no refusal by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from msgspec import Struct

from llmfan.dialects import dialect
from llmfan.dialects.classify import classify, from_fault
from llmfan.dialects.reports import ReportReader
from llmfan.inputs.catalogue_files import dialect_name
from llmfan.inputs.location import ACCOUNT
from llmfan.ports import Clock, Endpoint, Transport
from llmfan.probing.verdict import for_probe, is_of_the_way
from llmfan.records import Answer, Call, Failure, Reply, Report
from llmfan.settings import KeySettings, LimitSet, ModelSettings, Provider

PROMPT = "Hi"
IDLE_S = 30.0
#: Requests a second are kept to with so much to spare.
SPARE = 1.05
#: Request settings of the user's that would make one token dear, or impossible.
_LEFT_OUT = {
    "max_tokens", "max_completion_tokens", "max_output_tokens", "maxOutputTokens", "n", "thinking", "stream",
    "stream_options", "temperature",
}  # fmt: skip


class Host(Struct):
    """What keys have found out about one origin. `finder`: whose request it was."""

    answered: bool = False
    failure: Failure | None = None
    finder: str = ""


class Wire:
    """`wall` gives Unix time. Endpoints are kept: a transport may know them by their identity."""

    def __init__(
        self,
        provider: Provider,
        transport: Transport,
        timeout: float,
        *,
        clock: Clock,
        wall: Callable[[], float],
        env: Mapping[str, str],
    ):
        self.provider, self.preset = provider, for_probe(provider.preset)
        self._transport, self._timeout = transport, timeout
        self._clock, self._wall, self._env = clock, wall, env
        self._dialect = dialect(dialect_name(provider.api), self.preset)
        self._reader = ReportReader(self.preset)
        self._endpoints: dict[tuple[str, str, str], Endpoint] = {}
        self._hosts: dict[str, Host] = {}
        self._gaps = _gaps(provider)
        self._due: dict[str, float] = {}

    # -------------------------------------------------------------- sending

    async def get(self, url: str, key: KeySettings | None) -> Reply:
        """Asks an address that costs nothing, without a key if none is given."""
        return await self._send(self._endpoint("GET", url, key), b"", key)

    async def ask(self, key: KeySettings, model: ModelSettings, cap: int, *, paced: bool = True) -> Reply:
        """One completion of at most `cap` tokens. The temperature is left out: some models take none.

        Not `paced`: at once, for who wants to know how much is too much.
        """
        url = self.address(model)
        params: dict[str, Any] = {name: value for name, value in model.params.items() if name not in _LEFT_OUT}
        message = {"role": "user", "content": PROMPT}
        call = Call(model=model.name, messages=[message], max_tokens=cap, params=params, stream=False)
        return await self._send(self._endpoint("POST", url, key), self._dialect.body(call), key, paced=paced)

    def address(self, model: ModelSettings) -> str:
        return self._dialect.address(self.provider.base_url, model.name)[0]

    async def _send(self, endpoint: Endpoint, body: bytes, key: KeySettings | None, *, paced: bool = True) -> Reply:
        if paced and key is not None:
            await self._turn(key.account)
        reply = await self._transport.send(endpoint, body, None)
        self._note(endpoint.url, reply, "" if key is None else key.label)
        return reply

    async def _turn(self, account: str) -> None:
        now = self._clock()
        due = max(now, self._due.get(account, now))
        self._due[account] = due + self._gaps.get(account, 0.0)
        if due > now:
            await asyncio.sleep(due - now)

    def _endpoint(self, method: str, url: str, key: KeySettings | None) -> Endpoint:
        ident = (method, url, "" if key is None else key.label)
        if ident not in self._endpoints:
            headers = self._dialect.headers(None if key is None else key.secret)
            headers.update(self.provider.headers)
            self._endpoints[ident] = Endpoint(
                url, url, headers, self._timeout, min(IDLE_S, self._timeout), self._proxy(url), method
            )
        return self._endpoints[ident]

    def _proxy(self, url: str) -> str | None:
        if not any(name.lower() in ("http_proxy", "https_proxy") for name in self._env):
            return None
        from llmfan.transports.http import proxy_for

        return proxy_for(url, self._env)

    # -------------------------------------------------------------- reading

    def refusal(self, reply: Reply) -> Failure | None:
        """Why a reply is none; None for a status of 200, whatever it holds."""
        if reply.fault:
            return from_fault(reply.fault, reply.phase, reply.detail)
        if reply.status == 200:
            return None
        return classify(reply.status, reply.headers, reply.body, self.preset, self._wall())

    def outcome(self, reply: Reply) -> Answer | Failure:
        return self.refusal(reply) or self._dialect.whole(reply.body, reply.headers)

    def reports(self, reply: Reply, outcome: Answer | Failure) -> tuple[Report, ...]:
        """What a reply tells of limits; a refusal's own are in it, with those of its body."""
        if isinstance(outcome, Failure) and outcome.reports:
            return outcome.reports
        return self._reader.read(reply.headers, self._wall(), reply.status != 200) if reply.status else ()

    # ---------------------------------------------------------------- hosts

    def host(self, url: str) -> Host:
        return self._hosts.setdefault(_origin(url), Host())

    def is_own(self, url: str) -> bool:
        """Whether an address lies where the completions go: what keeps it from answering then holds for them too."""
        return _origin(url) == _origin(self.provider.base_url)

    def is_moved(self) -> bool:
        """Whether the address is the user's own word, rather than the catalogue's."""
        usual = self.provider.preset.base_url.replace(ACCOUNT, self.provider.account_id or ACCOUNT)
        return self.provider.base_url.rstrip("/") != usual.rstrip("/")

    def _note(self, url: str, reply: Reply, label: str) -> None:
        host, failure = self.host(url), self.refusal(reply) if reply.fault else None
        if failure is None:
            host.answered = True
            host.failure = None
        elif host.failure is None and is_of_the_way(failure, reply.fault, host.answered):
            host.failure, host.finder = failure, label


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _gaps(provider: Provider) -> dict[str, float]:
    """By account: the least time between two of its requests."""
    gaps: dict[str, float] = {}
    for key in provider.keys:
        own = (limits for (label, _), limits in provider.limits.items() if label == key.label)
        gaps[key.account] = max(gaps.get(key.account, 0.0), _gap(own))
    return gaps


def _gap(limits: Iterable[LimitSet]) -> float:
    return max((SPARE / each.axes["rps"] for each in limits if each.axes.get("rps")), default=0.0)
