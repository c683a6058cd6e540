"""Rests: how long a scope that was refused is left alone, and the circuit of a provider that is down.

Two clocks are kept apart: a wait (never shortened by a later, shorter hint) and a lesson (one wave of refusals, judged
by when its requests were sent, teaches once).
"""

from __future__ import annotations

import math
from random import Random

BACKOFF_S, BACKOFF_CAP_S = 1.0, 60.0
HINT_FLOOR_S = 0.1
CIRCUIT_S, CIRCUIT_CAP_S = 2.0, 300.0
#: Failures in a row that open a circuit; a connection that is refused opens it at once.
PATIENCE = 3


class Cooldown:
    """The rest of one scope (a key, an account, a model, a provider)."""

    def __init__(self, speed: float = 1.0) -> None:
        self.until = -math.inf
        self.steps = 0
        self._cut_at = -math.inf
        self._speed = speed

    def refused(self, now: float, sent: float, wait: float | None, rng: Random) -> bool:
        """Notes a refusal; True if it is a new wave rather than an echo of one already acted on."""
        fresh = sent > self._cut_at
        if fresh:
            self._cut_at = now
            self.steps += 1
        if wait is not None and fresh:
            # A server that says `Retry-After: 0` and refuses again would be asked as fast as the network allows.
            wait = max(wait, min(BACKOFF_CAP_S, HINT_FLOOR_S * 2.0 ** min(self.steps - 1, 10)) / self._speed)
        elif fresh:
            ceiling = min(BACKOFF_CAP_S, BACKOFF_S * 2.0 ** min(self.steps - 1, 10)) / self._speed
            wait = max(0.1 * ceiling, rng.uniform(0.0, ceiling))  # full jitter, hardly ever nothing
        if wait is not None:
            self.until = max(self.until, now + wait)
        return fresh

    def answered(self, sent: float) -> None:
        if sent > self._cut_at:
            self.steps = 0


class Circuit:
    """closed → open after failures in a row → half-open (one trial) → closed, or open for twice as long."""

    def __init__(self, speed: float = 1.0) -> None:
        self.open_until = -math.inf
        self.failures = 0
        self.cap = CIRCUIT_CAP_S  # the longest rest
        self.why = ""
        self._opened = 0
        self._opened_at = -math.inf
        self._speed = speed

    @property
    def openings(self) -> int:
        """How often it has opened since the last whole answer."""
        return self._opened

    @property
    def tripped(self) -> bool:
        """Open or half-open: nothing has been answered since it opened."""
        return self._opened > 0

    def failed(self, now: float, sent: float, why: str, rng: Random, *, at_once: bool = False) -> bool:
        """Notes a failure of the provider; True if the circuit opened on it."""
        if sent <= self._opened_at:
            return False  # sent before it opened: an echo
        self.failures += 1
        self.why = why
        if not (at_once or self.tripped or self.failures >= PATIENCE):
            return False
        middle = min(self.cap / 1.25, CIRCUIT_S * 2.0 ** min(self._opened, 10))
        rest = middle * rng.uniform(0.75, 1.25) / self._speed
        self._opened += 1
        self._opened_at = now
        self.open_until = now + rest
        return True

    def answered(self) -> bool:
        """A whole answer closes it; True if it was not closed."""
        was = self.tripped
        self.failures = self._opened = 0
        self.open_until = -math.inf
        return was

    def __repr__(self) -> str:
        return f"<Circuit {'tripped' if self.tripped else 'closed'}, {self.failures} failures>"
