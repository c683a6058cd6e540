"""When a run stops before its end."""

from __future__ import annotations

from msgspec import Struct


class Bounds(Struct, frozen=True, kw_only=True):
    """When to stop before the end. Seconds."""

    max_duration: float | None = None
    max_stall: float = 600.0
    grace: float = 30.0
    gate_grace: float = 5.0  # after --abort-if: what is in flight is part of what went wrong
    wait: bool = False  # sleep through spent quotas
