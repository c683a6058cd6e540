"""On what terms a fleet is served: where, for whom, and within which bounds."""

from __future__ import annotations

from msgspec import Struct

from llmfan.secret import Secret

HOST, PORT = "127.0.0.1", 8765
#: As long as callers of this form wait by themselves.
MAX_WAIT_S = 600.0
#: When the service is to end: for the calls in flight and in the queue; then for callers to take what is answered.
DRAIN_S, TAKEN_S = 30.0, 5.0
CONNECTIONS = 4096
#: Of one body; and of the memory that all take which are held at once, some times their sizes.
MAX_BODY, MAX_BODIES = 32 << 20, 512 << 20


class Patience(Struct, frozen=True, kw_only=True):
    """Seconds. `head`: for a whole head; `idle`: between two requests; `stuck`: while a caller takes nothing of its
    answer; `body`: for a whole body; `piece`: for 10 KiB of it; `sweep`: how often connections are looked at.
    """

    head: float = 10.0
    idle: float = 60.0
    stuck: float = 60.0
    body: float = 30.0
    piece: float = 10.0
    sweep: float = 1.0


class Terms(Struct, frozen=True, kw_only=True):
    """Times are seconds, sizes bytes. `port` 0: any free one."""

    host: str = HOST
    port: int = PORT
    token: Secret | None = None
    max_wait: float = MAX_WAIT_S
    max_body: int = MAX_BODY
    drain: float = DRAIN_S
    taken: float = TAKEN_S
    connections: int = CONNECTIONS
    max_bodies: int = MAX_BODIES
    patience: Patience = Patience()
