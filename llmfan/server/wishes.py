"""What a caller asks of llmfan itself, by headers of its own."""

from __future__ import annotations

import math
from collections.abc import Mapping

from msgspec import Struct

from llmfan.serving.faults import CallerFault

PRIORITY, MAX_WAIT = "x-llmfan-priority", "x-llmfan-max-wait"


class Wishes(Struct, frozen=True):
    batch: bool
    max_wait: float


def wishes(headers: Mapping[str, str], max_wait: float) -> Wishes:
    """`max_wait` is what holds where the caller says nothing. Raises `CallerFault`."""
    priority = headers.get(PRIORITY)
    if priority is not None:
        priority = priority.strip().lower()
        if priority not in ("interactive", "batch"):
            raise CallerFault(f"{PRIORITY}: expected interactive or batch", param=PRIORITY, code="invalid_header")
    wanted = headers.get(MAX_WAIT)
    return Wishes(priority == "batch", max_wait if wanted is None else _seconds(wanted))


def _seconds(text: str) -> float:
    try:
        value = float(text) if "_" not in text else math.nan
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise CallerFault(f"{MAX_WAIT}: expected a number of seconds, 0 or more", param=MAX_WAIT, code="invalid_header")
    return value
