"""What a far end does with one request: a script that can be played over HTTP or in memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from msgspec import Struct, field

EVENT_STREAM = "text/event-stream"
#: A delay that outlasts any timeout: the far end keeps silent.
FOREVER = 1e9


class Script(Struct, frozen=True):
    """Status, headers, and what is written when: pairs of (seconds since the request arrived, bytes).

    Status and headers leave with the first write, so an empty first write sends them ahead of any body. `abort` means
    that the connection is reset after the last write instead of being ended.
    """

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    writes: list[tuple[float, bytes]] = field(default_factory=list)
    abort: bool = False


class Plays(Protocol):
    """Anything that can stand in for a provider."""

    def handle(self, now: float, path: str, headers: Mapping[str, str], body: bytes) -> Script: ...
