"""The pacer of a run without its event loop: when the next request of a limit group may leave."""

from __future__ import annotations

from llmfan.pacing.departures import TINY
from llmfan.scheduling.lanes import Group


class Permits:
    """The same leaky bucket as the run's own pacer, asked for moments instead of slept on."""

    def __init__(self, group: Group):
        self.group = group
        self._spec: tuple[float, float] | None = None
        self._level = self._at = 0.0

    def next(self, now: float) -> float | None:
        """The moment of the next departure, which is taken; None while nothing paces the group.

        Asked when the last permit has been used: one that was held counts from then on.
        """
        spec = self.group.pace.spec()
        if spec is None:
            return None
        if self._spec is not None:
            self._used(now, *self._spec)
        burst, rate = spec
        if spec != self._spec:  # a bucket that is replaced holds what a full one would since the last departure
            self._level = 0.0 if self._spec is None else max(0.0, burst - (now - self._at) * rate)
            self._spec = spec
        wait = max(0.0, (self._level + 1.0 - burst) / rate)
        self._at = now + wait
        self._level += 1.0 - wait * rate
        return self._at

    def _used(self, now: float, burst: float, rate: float) -> None:
        """What leaked while the permit was held is put back, as far as there is room for it."""
        leaked = (now - self._at) * rate
        self._level = max(0.0, self._level - leaked)
        back = min(1.0, leaked) - TINY
        if self._level + back <= burst:
            self._level += back
        self._at = now
