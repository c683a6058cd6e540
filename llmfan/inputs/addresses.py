"""Base URLs: what one may look like, and on which kind of network it lies.

A key over plain http can be read by everyone on the way, so it goes to loopback and private addresses only; and nothing
at all goes to link-local ones, where clouds keep their machines' own credentials.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Iterable
from typing import Any, Literal
from urllib.parse import urlsplit

#: `socket.getaddrinfo`, or a test's own.
Resolve = Callable[[str, int], Iterable[Any]]
#: Where an address lies. `unknown`: a name that was not, or cannot be, resolved.
Place = Literal["loopback", "private", "public", "refused", "unknown"]

_PRIVATE = [ipaddress.ip_network(n) for n in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")]
_METADATA = ipaddress.ip_address("fd00:ec2::254")  # link-local in all but its number


def check_base_url(text: str) -> str:
    """The address without its trailing slash. ValueError says what is wrong with it, and never quotes it."""
    if not text.isprintable() or any(c.isspace() for c in text):
        raise ValueError("holds a space, a line break or a control character")
    try:
        parts = urlsplit(text)
        port = parts.port
        host = _ascii(parts.hostname or "", "[" in text)
    except (ValueError, UnicodeError):
        raise ValueError("not an address: check the host and the port") from None
    if parts.scheme not in ("http", "https"):
        raise ValueError("expected an address that begins with https:// or http://")
    if not host or port == 0:
        raise ValueError("not an address: check the host and the port")
    if parts.username is not None or parts.password is not None:
        raise ValueError("a name or a password cannot stand in an address: credentials belong under keys")
    if "?" in text or "#" in text:
        raise ValueError("expected an address without ? and #: credentials belong under keys, fields under params")
    stripped = text.rstrip("/")
    if parts.path.rstrip("/").endswith("/chat/completions"):
        raise ValueError("leave out /chat/completions at the end: llmfan adds it")
    return stripped


def _ascii(host: str, bracketed: bool) -> str:
    """The name as it is looked up. The codec is slow to load, and plain names need none."""
    plain = bracketed or (host.isascii() and all(0 < len(label) < 64 for label in host.rstrip(".").split(".")))
    return host.encode("ascii" if plain else "idna").decode()


def over_preset(given: str, preset_url: str) -> str:
    """A user's address over a preset's: one without a path is an origin, under which the preset's path stays."""
    return given if urlsplit(given).path else given + urlsplit(preset_url).path.rstrip("/")


def place_of(url: str, resolve: Resolve | None = None) -> Place:
    """Where a checked base URL lies; a name is resolved if `resolve` is given, and its worst address counts."""
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".")
    if host == "localhost" or host.endswith(".localhost"):
        return "loopback"
    literal = _literal(host)
    if literal is not None:
        return _place(literal)
    if resolve is None:
        return "unknown"
    try:
        found = {_place(ipaddress.ip_address(row[4][0].partition("%")[0])) for row in resolve(host, parts.port or 80)}
    except (OSError, UnicodeError, ValueError):
        return "unknown"
    worst: tuple[Place, ...] = ("refused", "public", "private", "loopback")
    return next((place for place in worst if place in found), "unknown")


def _literal(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        pass
    try:
        # 127.1, 0x7f000001 and 2130706433 are loopback to every client, though not to `ipaddress`.
        return ipaddress.IPv4Address(socket.inet_aton(host))
    except (OSError, UnicodeError):
        return None


def _place(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> Place:
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    if address.is_link_local or address == _METADATA or address.is_multicast:
        return "refused"
    if address.is_loopback or address.is_unspecified:
        return "loopback"
    return "private" if any(address in network for network in _PRIVATE) else "public"
