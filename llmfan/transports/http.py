"""The network, over aiohttp: the only door to its client. Every failure comes back as a value in the reply.

Redirects are not followed: aiohttp would hand `x-api-key` and the body to another host. Nothing of aiohttp's own
exceptions is passed on: their `repr` holds the request's headers, and so the key.
"""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import ssl
import urllib.request
from collections.abc import Mapping
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from llmfan.ports import Clock, Endpoint, StreamReader
from llmfan.records import Reply
from llmfan.transports.timing import Line, Turns, Watch, stamping

MAX_BODY, MAX_ERROR_BODY = 64 << 20, 64 << 10
CONNECT_S = 15.0
#: How often deadlines are looked at: a request may overstay by so much.
SWEEP_S = 0.025
#: How often one request may meet a kept connection that turns out closed; after how many of them a server gets no
#: kept connections any more.
STALE_TRIES, STALE_LIMIT = 5, 3
#: What a proxy is spoken to in.
_PROXIES = ("http://", "https://")
_LOCAL = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS}


class HttpTransport:
    """One pool for the run, as large as the run's concurrency and no larger."""

    def __init__(self, concurrency: int, clock: Clock):
        self._clock = clock
        self._turns = Turns()
        self._by_task: dict[asyncio.Task[Any] | None, Watch] = {}
        connector = aiohttp.TCPConnector(limit=concurrency, ttl_dns_cache=300, keepalive_timeout=60)
        line: Any = partial(Line, clock, loop=asyncio.get_running_loop())
        connector._factory = line  # there is no public way
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S),
            headers={"Accept": "*/*", "Accept-Encoding": "identity"},
            auto_decompress=True,
            read_bufsize=1 << 18,
            request_class=stamping(self._by_task, clock),
        )
        self._loop = asyncio.get_running_loop()
        self._urls: dict[str, URL] = {}
        self._watches: set[Watch] = set()
        self._sweeping = False
        self._timeouts: dict[float, aiohttp.ClientTimeout] = {}
        self._stale: dict[str, int] = {}
        self._headers: dict[Endpoint, CIMultiDict[str]] = {}

    async def send(self, endpoint: Endpoint, body: bytes, reader: StreamReader | None) -> Reply:
        reply = await self._send(endpoint, body, reader)
        await self._turns.take()
        return reply

    async def _send(self, endpoint: Endpoint, body: bytes, reader: StreamReader | None) -> Reply:
        """Sends and reads to the end. A cancelled task stays cancelled; a passed deadline is a reply like any other."""
        watch = Watch(self._clock(), endpoint.timeout, endpoint.idle_timeout)
        self._watches.add(watch)
        self._by_task[watch.task] = watch
        if not self._sweeping:
            self._sweeping = True
            self._loop.call_later(SWEEP_S, self._sweep)
        url = self._url(endpoint.url if reader is None else endpoint.stream_url)
        try:
            if endpoint.proxy is not None and not endpoint.proxy.startswith(_PROXIES):
                return self._failed(watch, "proxy", "connect", _unspoken(url, endpoint.proxy))
            return await self._exchange_fresh(url, endpoint, body, reader, watch)
        except asyncio.CancelledError:
            if not watch.expired:
                raise
            task = asyncio.current_task()
            if task is not None and task.uncancel() > 0:
                raise  # someone else wants it gone as well
            return self._failed(watch, "timeout", watch.phase, watch.why)
        except TimeoutError:  # aiohttp's connect timeouts are TimeoutErrors too
            within = min(CONNECT_S, 0.9 * endpoint.timeout)
            return self._failed(watch, "connect_timeout", "connect", f"no connection within {within:g} s")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return self._failed(watch, *_fault(error, watch.phase))
        finally:
            self._watches.discard(watch)
            del self._by_task[watch.task]

    def _sweep(self) -> None:
        now = self._clock()
        for watch in list(self._watches):
            watch.look(now)
        self._sweeping = bool(self._watches)
        if self._sweeping:
            self._loop.call_later(SWEEP_S, self._sweep)

    async def close(self) -> None:
        await self._session.close()

    async def _exchange_fresh(
        self, url: URL, endpoint: Endpoint, body: bytes, reader: StreamReader | None, watch: Watch
    ) -> Reply:
        """Some servers close a kept connection without a word. Where that shows before anything was written, the
        request goes out again at once; a server that does it over and over gets a connection for each request.
        """
        for _ in range(STALE_TRIES):
            try:
                return await self._exchange(url, endpoint, body, reader, watch)
            except aiohttp.ClientOSError as error:
                if not isinstance(error.__cause__, aiohttp.ClientConnectionResetError) or watch.answered:
                    raise
                self._stale[url.authority] = self._stale.get(url.authority, 0) + 1
                if self._stale[url.authority] == STALE_LIMIT:
                    self._headers.clear()
        return await self._exchange(url, endpoint, body, reader, watch)

    async def _exchange(
        self, url: URL, endpoint: Endpoint, body: bytes, reader: StreamReader | None, watch: Watch
    ) -> Reply:
        async with self._session.request(
            endpoint.method,
            url,
            data=body or None,
            headers=self._headers_of(endpoint),
            proxy=endpoint.proxy,
            allow_redirects=False,
            timeout=self._timeout_of(endpoint),
        ) as response:
            status, headers = response.status, response.headers
            streamed = reader is not None and status == 200 and _is_stream(headers.get("Content-Type", ""))
            content, clock = response.content, self._clock
            watch.answered = True
            if streamed:
                assert reader is not None
                ended = None
                while data := await content.readany():
                    ended = watch.received(clock())
                    reader.feed(data, ended)
                return Reply(sent=watch.sent, ended=ended or clock(), status=status, headers=headers, streamed=True)
            parts, size, cap = [], 0, MAX_BODY if status == 200 else MAX_ERROR_BODY
            ended = None
            while data := await content.readany():
                ended = watch.received(clock())
                parts.append(data)
                size += len(data)
                if size > cap:
                    response.close()
                    if status == 200:
                        return self._failed(watch, "too_large", "body", f"the answer is over {cap >> 20} MiB")
                    break
            whole = parts[0] if len(parts) == 1 else b"".join(parts)
            return Reply(sent=watch.sent, ended=ended or clock(), status=status, headers=headers, body=whole)

    def _url(self, text: str) -> URL:
        url = self._urls.get(text)
        if url is None:
            url = self._urls[text] = URL(text)
        return url

    def _timeout_of(self, endpoint: Endpoint) -> aiohttp.ClientTimeout:
        """Short timeouts too must tell a connection that is not made from an answer that does not come."""
        timeout = self._timeouts.get(endpoint.timeout)
        if timeout is None:
            timeout = aiohttp.ClientTimeout(total=None, sock_connect=min(CONNECT_S, 0.9 * endpoint.timeout))
            self._timeouts[endpoint.timeout] = timeout
        return timeout

    def _headers_of(self, endpoint: Endpoint) -> CIMultiDict[str]:
        """In aiohttp's own form, made once. Answers are small: compressing them would only delay a stream."""
        headers = self._headers.get(endpoint)
        if headers is None:
            headers = CIMultiDict(endpoint.headers)
            if self._stale.get(self._url(endpoint.url).authority, 0) >= STALE_LIMIT:
                headers["Connection"] = "close"
            self._headers[endpoint] = headers
        return headers

    def _failed(self, watch: Watch, fault: str, phase: str, detail: str) -> Reply:
        return Reply(sent=watch.started, ended=self._clock(), fault=fault, phase=phase, detail=detail)


def allow_sockets(concurrency: int) -> None:
    """Raises this process's own limit on open files as far as the system lets it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = concurrency * 2 + 100  # a simulated far end holds the other half
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _is_stream(content_type: str) -> bool:
    kind = content_type.partition(";")[0].strip().lower()
    return kind not in ("application/json", "text/html")


def _fault(error: Exception, phase: str) -> tuple[str, str, str]:
    """(fault, phase, detail) of an exception of aiohttp's or the system's. The detail never holds a header or a key."""
    number = getattr(error, "os_error", error)
    code = getattr(number, "errno", None)
    text = getattr(number, "strerror", None) or type(error).__name__
    if code in _LOCAL:
        return "local", "connect", f"this machine: {text}"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "dns", "connect", "the host name does not resolve"
    if isinstance(error, (aiohttp.ClientConnectorCertificateError, aiohttp.ClientSSLError, ssl.SSLError)):
        reason = getattr(getattr(error, "certificate_error", error), "verify_message", None) or text
        return "tls", "connect", f"TLS: {reason}"
    if isinstance(error, (aiohttp.ClientProxyConnectionError, aiohttp.ClientHttpProxyError)):
        return "proxy", "connect", f"the proxy: {text}"
    if isinstance(error, aiohttp.ClientConnectorError):
        where = f"{error.host}:{error.port}"
        return "refused", "connect", where if code in (None, errno.ECONNREFUSED) else f"{where}: {os.strerror(code)}"
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "disconnected", phase, "the server closed the connection without an answer"
    if isinstance(error, aiohttp.ClientPayloadError):
        return "payload", "body", "the answer was cut off"
    if isinstance(error, aiohttp.ClientOSError):
        return "reset", phase, str(text)
    if isinstance(error, aiohttp.ClientResponseError):
        return "malformed", phase, "the answer is not HTTP"  # aiohttp itself calls this status 400
    return "malformed", phase, type(error).__name__


def _unspoken(url: URL, proxy: str) -> str:
    kind = "a socks" if proxy.lower().startswith("socks") else f"a {proxy.partition(':')[0]}"
    return f"{url.scheme.upper()}_PROXY names {kind} proxy, which llmfan does not speak"


def proxy_for(url: str, env: Mapping[str, str]) -> str | None:
    """The proxy HTTPS_PROXY and NO_PROXY ask for; looked up once a provider, since each look costs more than a send.

    One without a scheme is spoken to in plain HTTP, as other programs take it.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    wanted = env.get(f"{parts.scheme}_proxy") or env.get(f"{parts.scheme.upper()}_PROXY")
    if not wanted or host in ("localhost", "127.0.0.1", "::1"):
        return None
    no: dict[str, Any] = {"no": env.get("no_proxy") or env.get("NO_PROXY") or ""}
    if urllib.request.proxy_bypass_environment(host, no):  # type: ignore[attr-defined]
        return None
    scheme, mark, rest = wanted.partition("://")
    return f"{scheme.lower()}://{rest}" if mark else f"http://{wanted}"
