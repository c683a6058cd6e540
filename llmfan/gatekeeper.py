"""`--abort-if` while a run goes: a broken endpoint is noticed after a few prompts, not after the whole set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llmfan.measures.accumulate import Accumulator
from llmfan.measures.gates import Gate, judge, trips

#: Seconds between two looks; figures of fifty keys are not added up for nothing.
EVERY_S = 1.0


class Gatekeeper:
    """Looks at the gates now and then; `tripped` holds those that did not hold, as in the summary's `gates`."""

    def __init__(self, gates: Sequence[Gate], accumulator: Accumulator):
        self._gates, self._accumulator = gates, accumulator
        self._next, self._seen = 0.0, -1
        self.tripped: list[dict[str, Any]] = []

    def look(self, now: float) -> str:
        """Why the run has to stop, or "". Cheap where nothing has ended since the last look."""
        seen = self._accumulator.done + self._accumulator.attempts
        if not self._gates or now < self._next or seen == self._seen:
            return ""
        self._next, self._seen = now + EVERY_S, seen
        for gate in self._gates:
            entry = self._entry(gate.name)
            if trips(gate, entry):
                self.tripped = judge([gate], _whole(gate.name, entry))
                return f"--abort-if {gate.expr}: {self.tripped[0]['why']}"
        return ""

    def _entry(self, name: str) -> dict[str, Any]:
        """The figures so far of a provider, a model (`provider/model`) or a key; "" is all of them."""
        tally = self._accumulator.merged(lambda ident: name in ("", ident[0], f"{ident[0]}/{ident[1]}", ident[2]))
        return {"name": name, "totals": tally.totals(), **tally.distributions()}


def _whole(name: str, entry: dict[str, Any]) -> dict[str, Any]:
    """A summary in which a gate finds its entry."""
    return {**entry, "providers": [entry], "models": [], "keys": []}
