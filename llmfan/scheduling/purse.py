"""`--max-cost`: what may still be spent, counting what is in flight at its reserved size."""

from __future__ import annotations

import math


class Purse:
    """USD. A claim whose worst case does not fit waits for those in flight; if none is, the bound is reached."""

    def __init__(self, limit: float | None = None):
        self.limit = math.inf if limit is None else limit
        self.spent = self.reserved = 0.0
        self.refused = False  # something did not fit since the last settlement

    def covers(self, cost: float) -> bool:
        if cost <= 0 or self.spent + self.reserved + cost <= self.limit:
            return True
        self.refused = True
        return False

    def reserve(self, cost: float) -> None:
        self.reserved += cost

    def settle(self, reserved: float, spent: float) -> None:
        self.reserved -= reserved
        self.spent += spent
        self.refused = False
