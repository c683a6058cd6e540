"""Where in the providers file a limit of some provider stands. The file is read as text: only its lines are wanted."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence


class Block:
    """The lines of one provider: from its name to the next line that is indented no further."""

    def __init__(self, lines: Sequence[str], first: int):
        self._lines = list(_block(lines, first)) if 0 < first <= len(lines) else []

    def figure(self, axis: str, declared: float, within: str = "") -> int:
        """The line that gives `axis` this figure, after the one that names `within`; 0 if there is none."""
        pattern = re.compile(rf"(?<![\w]){re.escape(axis)}[\"']?\s*:\s*([\d._eE+-]+)")
        inside = not within
        for number, text in self._lines:
            inside = inside or within in text
            for match in pattern.finditer(text) if inside else ():
                if _value(match[1]) == declared:
                    return number
        return 0

    def limits(self) -> int:
        """The line of the provider's own `limits:`, which stands as deep as its other settings; 0 if it has none."""
        inner = [(number, text) for number, text in self._lines[1:] if text.strip() and not _comment(text)]
        depth = min((_indent(text) for _, text in inner), default=0)
        for number, text in inner:
            if _indent(text) == depth and re.match(r"[\"']?limits[\"']?\s*:", text.strip()):
                return number
        first = self._lines[0] if self._lines else (0, "")  # a provider in one line
        return first[0] if re.search(r"[{,\s\"']limits[\"']?\s*:", first[1]) else 0


def _block(lines: Sequence[str], first: int) -> Iterator[tuple[int, str]]:
    depth = _indent(lines[first - 1])
    yield first, lines[first - 1]
    for number, text in enumerate(lines[first:], first + 1):
        if text.strip() and not _comment(text) and _indent(text) <= depth:
            return
        if not _comment(text):
            yield number, text


def _indent(text: str) -> int:
    return len(text) - len(text.lstrip(" "))


def _comment(text: str) -> bool:
    return text.lstrip().startswith("#")


def _value(text: str) -> float | None:
    try:
        return float(text.replace("_", "").rstrip("."))
    except ValueError:
        return None
