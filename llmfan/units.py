"""Words for time: `90s`, `10m`, `2h` in, `5 m 12 s` out. Durations are float seconds everywhere inside."""

from __future__ import annotations

import math
import re

SECOND, MINUTE, HOUR, DAY, MONTH = 1.0, 60.0, 3600.0, 86400.0, 30 * 86400.0

_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|us|µs|ns|d|h|m|s)(?![a-z])")
_FACTOR = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": MINUTE, "h": HOUR, "d": DAY}


def seconds(text: str) -> float | None:
    """A duration such as `90s`, `1h30m`, `2m59.56s`, `825ms` or a plain number of seconds; None if it is none."""
    text = text.strip()
    try:
        value = float(text)
    except ValueError:
        parts = _PART.findall(text)
        if not parts or _PART.sub("", text).strip():
            return None
        return sum(float(n) * _FACTOR[u] for n, u in parts)
    return value if 0 <= value < float("inf") else None


def spell(duration: float | None) -> str:
    """`0.84 s`, `12 s`, `5 m 12 s`, `3 h 20 m`, `2 d 4 h`; `—` for an undefined one."""
    if duration is None:
        return "—"
    if duration < 1:
        return f"{duration:.2f} s"
    if duration < 10:
        return f"{duration:.1f} s"
    whole = round(duration)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} m {whole % 60:02d} s"
    if whole < 2 * 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} m"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def dollars(value: float) -> str:
    """`$1.2300`, `$0.000018`: four decimals, and two digits of what is less."""
    return f"${value:.4f}" if value >= 0.01 or value == 0 else f"${value:.{1 - math.floor(math.log10(value))}f}"
