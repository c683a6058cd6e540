"""Who may ask: nobody by way of a web page of another origin, and nobody without the token where there is one.

A page anywhere on the web can make its reader's browser send requests to loopback. It cannot forge `Host`, `Origin` or
`Sec-Fetch-Site`, and without a preflight, which is never granted here, it cannot send JSON.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import ipaddress

from aiohttp import web
from msgspec import Struct, field

from llmfan.secret import Secret

HEALTH = "/healthz"
_CHALLENGE_PAGE, _CHALLENGE = 'Basic realm="llmfan", charset="UTF-8"', 'Bearer realm="llmfan"'


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def in_address(host: str) -> str:
    """As it stands in a URL: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host else host


class Turned(Struct, frozen=True):
    """Why a request is not served."""

    status: int
    message: str
    code: str
    headers: dict[str, str] = field(default_factory=dict)


class Guard:
    """`refusal` is asked first, for every request. `port` is known once the server listens."""

    def __init__(self, host: str, port: int, token: Secret | None):
        self._token = None if token is None else token.reveal().encode()
        self._hosts = _names(host, port) if is_loopback(host) else None  # None: any, since the token is demanded
        self._way_out = (
            f"use http://{'127.0.0.1' if host == 'localhost' else in_address(host)}:{port}; or, to be reached by other "
            "names (from a container, from other machines), start llmfan serve with --host ADDRESS and a token"
        )

    def refusal(self, request: web.Request) -> Turned | None:
        headers = request.headers
        hosts = headers.getall("Host", ())
        if len(hosts) != 1 or (self._hosts is not None and hosts[0].lower() not in self._hosts):
            return Turned(403, f"this name in Host is not served here: {self._way_out}", "host_not_allowed")
        if ("Sec-Fetch-Site" in headers or "Origin" in headers) and _foreign(request, hosts[0].lower()):
            return Turned(403, "requests from web pages of other origins are not served", "origin_not_allowed")
        if self._token is not None and request.path != HEALTH and not self._shown(headers.get("Authorization", "")):
            page = request.path == "/"
            challenge = {"WWW-Authenticate": _CHALLENGE_PAGE if page else _CHALLENGE}
            return Turned(401, "the token is missing or wrong", "invalid_api_key", challenge)
        if request.method == "POST" and not _is_json(headers.get("Content-Type", "")):
            return Turned(
                415, "the body has to be JSON, with the header content-type: application/json", "unsupported_media_type"
            )
        return None

    def _shown(self, authorization: str) -> bool:
        """Whether the token is shown: as a bearer, or as the password that a browser asks for."""
        assert self._token is not None
        scheme, _, given = authorization.partition(" ")
        shown = given.strip().encode("utf-8", "surrogateescape")
        if scheme.lower() == "basic":
            try:
                shown = base64.b64decode(shown, validate=True).partition(b":")[2]
            except binascii.Error:
                shown = b""
        elif scheme.lower() != "bearer":
            shown = b""
        return hmac.compare_digest(shown, self._token)


def _names(host: str, port: int) -> frozenset[str]:
    names = {"localhost", "127.0.0.1", "[::1]", in_address(host).lower()}
    with_port = {f"{name}:{port}" for name in names}
    return frozenset(with_port | names if port == 80 else with_port)


def _foreign(request: web.Request, host: str) -> bool:
    """A link to the page itself may be followed from anywhere: the one who follows it sees no more than there is."""
    headers = request.headers
    origins = headers.getall("Origin", ())
    if origins and (len(origins) > 1 or origins[0].lower() not in (f"http://{host}", f"https://{host}")):
        return True
    site = headers.get("Sec-Fetch-Site", "none").lower()
    if site in ("none", "same-origin"):
        return False
    followed = headers.get("Sec-Fetch-Mode") == "navigate" and headers.get("Sec-Fetch-Dest") == "document"
    return not (followed and request.method == "GET" and request.path == "/")


def _is_json(content_type: str) -> bool:
    kind = content_type.partition(";")[0].strip().lower()
    return kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))
