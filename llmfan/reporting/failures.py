"""Failures by kind, each with a few examples that differ."""

from __future__ import annotations

import re
from collections import Counter

from llmfan.outputs.html.page import Example, FailureKind
from llmfan.reporting.lines import Attempt, Result

EXAMPLES = 3
#: The longest message of an example.
SAID = 500
_NUMBER = re.compile(r"[0-9a-f]*[0-9][0-9a-f]*", re.IGNORECASE)


class Failures:
    """Takes results and attempts. Only results have messages: an attempt is an example where no job ended so."""

    def __init__(self) -> None:
        self._jobs: Counter[str] = Counter()
        self._attempts: Counter[str] = Counter()
        self._said: dict[str, dict[str, Example]] = {}
        self._met: dict[str, dict[str, Example]] = {}

    def result(self, line: Result) -> None:
        if line.status == "ok":
            return
        kind = line.error.kind if line.error else "unknown"
        self._jobs[kind] += 1
        found = self._said.setdefault(kind, {})
        if len(found) < EXAMPLES:
            message = line.error.message if line.error else ""
            found.setdefault(_alike(message), _example(line, message, line.error.http_status if line.error else None))

    def attempt(self, line: Attempt) -> None:
        if line.outcome == "ok" or line.hedge:
            return
        self._attempts[line.outcome] += 1
        found = self._met.setdefault(line.outcome, {})
        if len(found) < EXAMPLES:
            example = _example(line, "", line.http_status, line.sent_s)
            found.setdefault(f"{line.provider} {line.http_status}", example)

    def kinds(self) -> list[FailureKind]:
        """Those that cost the most jobs first."""
        names = sorted({*self._jobs, *self._attempts}, key=lambda k: (-self._jobs[k], -self._attempts[k], k))
        return [
            FailureKind(
                kind=kind, jobs=self._jobs[kind], attempts=self._attempts[kind],
                examples=[*(self._said.get(kind) or self._met.get(kind) or {}).values()],
            )
            for kind in names
        ]  # fmt: skip


def _example(line: Result | Attempt, message: str, status: int | None, at: float | None = None) -> Example:
    return Example(
        id=line.id[:200], provider=line.provider or "", model=line.model or "", key=line.key or "",
        message=message[:SAID], http_status=status, at_s=at,
    )  # fmt: skip


def _alike(message: str) -> str:
    """Messages that differ in their numbers and request ids alone are one."""
    return _NUMBER.sub("#", message[:SAID])
