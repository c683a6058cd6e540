"""What is wrong with a request: its caller's fault, told in the form callers know."""

from __future__ import annotations

import json
from typing import Any

#: How much of a caller's own words is told back.
SHOWN = 60


class CallerFault(Exception):
    """A request that cannot be taken. `param` is the field at fault ("" for the request as a whole)."""

    def __init__(self, message: str, *, param: str = "", code: str = "", status: int = 400):
        super().__init__(message)
        self.message, self.param, self.code, self.status = message, param, code, status


def shown(value: Any) -> str:
    """A value as a message quotes it: ASCII only, one line, and short."""
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list" if value else "an empty list"
    if isinstance(value, str):
        return json.dumps(value) if len(value) <= SHOWN else json.dumps(value[:SHOWN])[:-1] + '…"'
    text = json.dumps(value)
    return text if len(text) <= SHOWN else text[:SHOWN] + "…"
