"""What a caller asks of llmfan itself, by headers of its own."""

from __future__ import annotations

import re
from collections.abc import Mapping

from msgspec import Struct

from llmfan.serving.faults import CallerFault
from llmfan.units import DAY, seconds

PRIORITY, MAX_WAIT = "x-llmfan-priority", "x-llmfan-max-wait"
#: Seconds that anybody may wait: a week, in which every quota but a month's comes back.
LONGEST_S = 7 * DAY
_TIME = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})? ?(ms|s|m|h|d)?")


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
    text = text.strip()
    value = seconds(text) if _TIME.fullmatch(text) else None
    if value is None or value > LONGEST_S:
        wanted = f"seconds, from 0 to {LONGEST_S:.0f} (a week), or a time such as 30s or 2m"
        raise CallerFault(f"{MAX_WAIT}: expected {wanted}", param=MAX_WAIT, code="invalid_header")
    return value
