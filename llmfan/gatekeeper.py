"""`--abort-if` while a run goes: a broken endpoint is noticed after a few prompts, not after the whole set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from llmfan.measures.accumulate import Accumulator
from llmfan.measures.gates import MINIMUM_SAMPLE, Gate, judge, sample, trips

#: Seconds between two looks; figures of fifty keys are not added up for nothing.
EVERY_S = 1.0


class Gatekeeper:
    """Looks at the gates now and then."""

    def __init__(self, gates: Sequence[Gate], accumulator: Accumulator):
        self._gates, self._accumulator = gates, accumulator
        self._next, self._seen = 0.0, -1
        self._tripped: dict[str, dict[str, Any]] = {}  # by expression, as in the summary's `gates`

    def look(self, now: float) -> str:
        """Why the run has to stop, or "". Cheap where nothing has ended since the last look."""
        seen = self._accumulator.done + self._accumulator.attempts
        if not self._gates or now < self._next or seen == self._seen:
            return ""
        self._next, self._seen = now + EVERY_S, seen
        for gate in self._gates:
            entry = self._entry(gate.name)
            if trips(gate, entry):
                (self._tripped[gate.expr],) = judge([gate], _whole(gate.name, entry))
        return "; ".join(f"--abort-if {expr}: {verdict['why']}" for expr, verdict in self._tripped.items())

    def verdicts(self, summary: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Of each gate: why it stopped the run, or that it did not. Too few observations are no reason to stop."""
        found = []
        for gate in self._gates:
            (verdict,) = judge([gate], summary)
            entry = gate.entry(summary) or {}
            if (count := sample(gate, entry)) < MINIMUM_SAMPLE:
                why = f"{count} observations, and fewer than {MINIMUM_SAMPLE} stop no run"
                verdict |= {"held": True, "why": why}
            found.append(self._tripped.get(gate.expr, verdict))
        return found

    def _entry(self, name: str) -> dict[str, Any]:
        """The figures so far of a provider, a model (`provider/model`) or a key; "" is all of them."""
        tally = self._accumulator.merged(lambda ident: name in ("", ident[0], f"{ident[0]}/{ident[1]}", ident[2]))
        return {"name": name, "totals": tally.totals(), **tally.distributions()}


def _whole(name: str, entry: dict[str, Any]) -> dict[str, Any]:
    """A summary in which a gate finds its entry."""
    return {**entry, "providers": [entry], "models": [], "keys": []}
