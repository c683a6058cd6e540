"""`--max-cost`: what may still be spent, counting what is in flight at its reserved size."""

from __future__ import annotations

import math
from collections import Counter

#: What adding up many small sums may be off by, as a share.
ROUNDING = 1e-9


class Purse:
    """USD. A claim whose worst case does not fit waits for those in flight; if none is, the bound is reached.

    What a model's requests really take is told by its first answer: until then one of them at a time.
    """

    def __init__(self, limit: float | None = None):
        self.limit = math.inf if limit is None else limit
        self.spent = self.reserved = 0.0
        self.refused = False  # something did not fit since the last settlement
        self.asked = 0.0  # what did not fit last
        self._heard: set[str] = set()  # models that have answered
        self._out: Counter[str] = Counter()  # what is in flight and costs something, by model

    @property
    def passed(self) -> bool:
        """A server billed more than could be foreseen: the bound has not been kept."""
        return self.spent > self.limit * (1.0 + ROUNDING)

    def covers(self, cost: float) -> bool:
        if cost <= 0 or self.spent + self.reserved + cost <= self.limit:
            return True
        self.refused, self.asked = True, cost
        return False

    def words(self) -> str:
        """Why the run has to end, or what went wrong with the bound; "" where nothing did."""
        if self.passed:
            return f"--max-cost {self.limit:g} USD was passed: {self.spent:.4g} USD were billed, unforeseeably"
        if not self.refused:
            return ""
        return (
            f"--max-cost {self.limit:g} USD would be passed: {self.spent:.4g} USD are spent, and the next prompt may "
            f"cost up to {self.asked:.4g} (lower --max-tokens, or raise the bound)"
        )

    def lets(self, cost: float, model: str) -> bool:
        """Whether a request to a model may leave now."""
        if cost > 0 and self.limit < math.inf and self._out[model] and model not in self._heard:
            return False
        return self.covers(cost)

    def reserve(self, cost: float, model: str = "") -> None:
        self.reserved += cost
        self._out[model] += cost > 0

    def heard(self, model: str) -> None:
        """It has answered: what its requests take is known."""
        self._heard.add(model)

    def settle(self, reserved: float, spent: float, model: str = "") -> None:
        self.reserved -= reserved
        self._out[model] -= reserved > 0
        self.spent += spent
        self.refused = False
