"""A journal for calls whose answers go to their callers alone: nothing of them is kept."""

from __future__ import annotations

from collections.abc import Callable

from llmfan.outputs.journal import InFlightNote
from llmfan.records import AttemptLine, ResultLine


class Unwritten:
    broken: OSError | None = None

    def sent(self, note: InFlightNote, mark: Callable[[], str]) -> int:
        return 0

    def ended(self, slot: int, attempt: AttemptLine, result: ResultLine | None) -> bool:
        return True

    def result(self, result: ResultLine) -> None: ...

    async def keep_synced(self) -> None: ...
