"""A providers file as it stands, checked value by value but not yet merged with presets, defaults and variables."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Given:
    """What stands in one mapping of the file: the good values, and the line of every known key that was written."""

    line: int
    path: str
    values: dict[str, Any] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)

    def get(self, key: str, default: Any = None) -> Any:
        value = self.values.get(key)
        return default if value is None else value

    def line_of(self, key: str) -> int:
        return self.lines.get(key, self.line)


@dataclass(slots=True)
class Limits:
    """Limits as one level gives them. An axis that is None is lifted; `rest` holds burst, reset and shared."""

    path: str = ""
    unlimited: bool = False
    axes: dict[str, float | None] = field(default_factory=dict)
    rest: dict[str, Any] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class DeclaredKey:
    """One entry of `keys`: `text` is a `$NAME` form, or the key itself."""

    line: int
    path: str
    text: str
    account: str = ""
    label: str = ""
    limits: Limits = field(default_factory=Limits)
