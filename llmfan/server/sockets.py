"""Where the service listens."""

from __future__ import annotations

import errno
import socket

from llmfan.errors import UserError
from llmfan.server.guard import in_address

#: Connections that may wait to be taken.
BACKLOG = 1024


def listeners(host: str, port: int) -> list[socket.socket]:
    """One for each address of the host, all on the same port. What cannot be listened on is the user's to know."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError):
        raise UserError(f"--host {host}: not an address of this machine, nor a name of one") from None
    made: list[socket.socket] = []
    for family, kind, proto, _, address in dict.fromkeys(found):
        try:
            made.append(_listener(family, kind, proto, (address[0], port, *address[2:])))
        except OSError as error:
            if made and error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                continue  # a name with an address of a kind that this machine does not have
            for other in made:
                other.close()
            raise UserError(_why(error, host, port)) from None
        port = made[0].getsockname()[1]
    return made


def _listener(family: int, kind: int, proto: int, address: tuple[object, ...]) -> socket.socket:
    listener = socket.socket(family, kind, proto)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener


def _why(error: OSError, host: str, port: int) -> str:
    place = f"{in_address(host)}:{port}"
    if error.errno == errno.EADDRINUSE:
        return f"{place} is in use already: choose another port with --port, or any free one with --port 0"
    if error.errno == errno.EACCES:
        return f"{place}: this port is reserved for the system: choose one from 1024 on with --port"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"--host {host}: not an address of this machine"
    return f"cannot listen on {place}: {error.strerror or error}"
