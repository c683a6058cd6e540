"""How fast a limit group lets requests leave: declared, or learned from what is accepted and refused.

A declared limit is a ceiling. A wave of 429s cuts the pace once and clean windows bring it back. A limit that was
never declared starts at 10 a minute and doubles each clean window until the first refusal; on a server of one's own it
is unlimited until something is refused, and is then learned by the second.
"""

from __future__ import annotations

from llmfan.limits.window import guard
from llmfan.units import MINUTE

START_PER_MINUTE = 10.0
START_IN_FLIGHT = 2
CUT, CUT_DECLARED = 0.7, 0.85
GROWTH, RECOVERY = 1.1, 1.1
FLOOR_SHARE = 0.1
#: A declared limit that was cut is tried a little higher after so much of its window without a refusal.
RECOVERY_SHARE = 0.25
#: `learn: up` tries a higher limit only after a stretch in which this share of the known one was used.
FULL = 0.9
#: A burst holds at most so many, and is spread over this share of its window (at most RAMP_S): a wrong guess is then
#: seen after few refusals.
BURST_CAP = 30
#: How late a wake-up may be without costing anything.
LATE_S = 0.005
RAMP_S, RAMP_SHARE = 5.0, 1 / 12


class Pace:
    """`hat` requests a `period`, or None while nothing holds the group back.

    `short`: the batch fits into one window, so it leaves as a burst; else departures are evenly spaced, which no
    kind of server-side window refuses.
    """

    def __init__(
        self,
        limit: float | None,
        period: float,
        *,
        speed: float = 1.0,
        open_: bool = False,
        burst: int | None = None,
        learn: str = "down",
    ):
        self.ceiling, self.period, self.burst, self.learn = limit, period, burst, learn
        self.declared = limit
        self.learned = limit is None
        self.hat = limit
        self.short = False
        self._open = open_
        self._speed = speed
        self._margin = guard(period, speed)
        self._refused = False
        self._since = 0.0
        self._sends = 0
        if open_:
            self.period = MINUTE / speed
            self._margin = guard(self.period, speed)
            self.hat = START_PER_MINUTE
        elif limit is None:
            self.period = 1.0 / speed
            self._margin = guard(self.period, speed)

    def spec(self) -> tuple[float, float] | None:
        """(burst, departures a second) for the pacer; None: nothing to pace."""
        if self.hat is None:
            return None
        if self.short and not self._refused and not self.learned:
            return 1.0, self.hat / min(RAMP_S / self._speed, self.period * RAMP_SHARE)
        rate = self.hat / (self.period + self._margin)
        # One at a time is refused by nobody, but loses every late wake-up for ever: a few milliseconds are made up for.
        even = 1.0 + rate * LATE_S
        return even, rate

    def window(self) -> float | None:
        """How many may leave at once without a doubt; None without a limit.

        A documented minute is often enforced in slices, so a larger batch is spaced evenly however big the figure is.
        """
        if self.learned or self.hat is None:
            return None
        return min(self.hat, self.burst or BURST_CAP)

    def most_in_flight(self) -> float | None:
        """A limit nobody declared starts with two in flight, and grows as its pace does; None: no cap."""
        return max(1.0, START_IN_FLIGHT * self.hat / START_PER_MINUTE) if self._open and self.hat is not None else None

    def sent(self) -> None:
        self._sends += 1

    def answered(self, now: float) -> bool:
        """Notes a success; True when the pace changed (a clean, well used window has passed)."""
        if self.hat is None or self.learn == "off":
            return False
        clean = self.period * (1.0 if self.ceiling is None else RECOVERY_SHARE)
        if now - self._since < clean or (self.learned and self._sends < 0.5 * self.hat):
            return False
        sends, before = self._sends, self.hat
        self._since, self._sends = now, 0
        if self.ceiling is not None:
            if self.learn == "up" and self.hat >= self.ceiling and sends >= FULL * self.hat * RECOVERY_SHARE:
                self.ceiling *= RECOVERY
            self.hat = min(self.ceiling, self.hat * RECOVERY)
        else:
            self.hat *= GROWTH if self._refused else 2.0
        return self.hat != before

    def refused(self, now: float, accepted: int) -> bool:
        """One wave of refusals: one cut. `accepted`: what the server took in the last `period`."""
        if self.learn == "off" and not self.learned:
            return False
        if self.hat is None:
            self.hat = max(1.0, accepted * CUT)
        elif self.ceiling is not None:
            if self.declared is not None:
                self.ceiling = max(self.declared, self.ceiling / RECOVERY)
            self.hat = max(self.ceiling * FLOOR_SHARE, self.hat * CUT_DECLARED)
        else:
            self.hat = max(1.0, self.hat * CUT)
        self._refused, self._since, self._sends = True, now, 0
        return True
