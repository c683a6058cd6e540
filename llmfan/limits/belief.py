"""What is believed of one request limit: its figure, how the server counts, how far apart requests leave.

`Belief` holds the state and lets it grow when stretches pass without a refusal; `verdicts` is what refusals and probes
teach; `gauge` is what the scheduler asks.
"""

from __future__ import annotations

import math
from random import Random

from llmfan.limits.evidence import SendLog, Sent
from llmfan.limits.window import guard
from llmfan.records import KnownLimit
from llmfan.settings import AXES
from llmfan.units import MINUTE

START_PER_MINUTE = 10.0
#: A burst is spread over so many seconds, at most this share of its window: a wrong guess is seen after few refusals.
RAMP_S, RAMP_SHARE = 5.0, 1 / 12
#: A long batch spreads it further, the last of it (where a late arrival costs a refusal in each window) most.
LONG, LONG_WINDOWS, TAIL, TAIL_SHARE = 1.4, 4.0, 3.0, 0.85
#: One of a window or a few spreads it less: there is no time to make up for it.
MIDDLING = 0.85
#: Until a window's worth has passed, sends at most double in this time: a small bucket is then met by few.
#: A batch of no more windows than this has no time for it.
FIRST_S, FIRST_SHARE, FEW = 1.0, 1 / 60, 0.6
#: Beyond the highest count that was ever clean: one at a time, about as long as a 429 takes.
STEP_S, STEP_SHARE = 0.3, 0.5
#: What is known to refill as it goes is asked for this much less than its rate.
SURE = 1.012
#: Nothing heard of a probe for so many times the way of a 429 (or so long, where none is known): it passed.
PATIENCE, PATIENCE_S, PATIENCE_LEAST_S = 2.5, 1.0, 0.5
#: Early looks into a window that ought to be full may cost this many refusals a send.
LOOKS = 0.0045
#: A stretch with more 429s a send than this confirms nothing; one less used than this neither.
CLEAN, USED = 0.01, 0.8
#: So much of a limit within a quarter of a window shows that it may be used up at once.
CROWD = 0.45
#: A measured rate is a little too low rather than too high: a remembered limit is rounded up from this fraction on.
UP = 0.25
#: A lowered limit is tried so much higher after a while; windows until then (never declared, learning upwards, else).
RISE = 1.15
TRY_OPEN, TRY_UP, TRY_DOWN, TRY_MOST, TRY_AGAIN = 2.0, 6.0, 12.0, 16.0, 2.0


class Belief:
    """The state of a gauge. Moments are seconds of the run's clock, `period` and `margin` are too."""

    def __init__(
        self,
        axis: str,
        owner: str,
        declared: float | None,
        period: float,
        *,
        speed: float = 1.0,
        learn: str = "down",
        burst: int | None = None,
        rng: Random,
        open_: bool = False,
    ):
        self.axis, self.owner, self.declared, self.learn, self.burst = axis, owner, declared, learn, burst
        self._second, self._rng, self._open = 1.0 / speed, rng, open_
        self.period, self.limit = period, math.inf if declared is None else declared
        if open_:
            self.period, self.limit = MINUTE / speed, START_PER_MINUTE
        elif declared is None:
            self.period = self._second
        self._ceiling = declared if declared is not None and learn != "up" else math.inf
        self._margin0 = self.margin = guard(self.period, speed)
        self.reported: float | None = None
        self.kind = ""
        self.hold = -math.inf  # nothing leaves before
        self._refills = self._full = False
        self._paced = self._sure = False  # sure: it refills as it goes, so no window of it is ever full
        self._haunted = 0  # probes refused for what it counts
        self._counts: bool | None = None  # whether the server counts what it refuses
        self._log = SendLog()
        self._fresh = -math.inf  # what left before does not count any more, whatever its age
        self._jobs = 0.0
        self._carried = self._refusals_ever = 0
        self._cut_at = -math.inf  # refusals of what left before teach nothing
        self._first = 0.0  # when the refused one left that began the question
        self._asking = ""  # what the one probe is to find out: "quick", "window", or one of the gauge's LOOKING
        self._probe: Sent | None = None
        self._refused_at = -math.inf
        self._way = math.inf  # seconds a 429 takes
        self._spread = 0.0  # seconds more between two, where it takes one at a time
        self._misses = self._strikes = self._run = 0
        self._lo, self._hi = 0.0, math.inf
        self._best = 0.0  # the highest limit that a full clean window has confirmed
        self._since, self._sends, self._refusals = 0.0, 0, 0
        self._patience = TRY_OPEN if open_ else TRY_UP if learn == "up" else TRY_DOWN  # windows
        self._struck_at = self._stepped = -math.inf
        self._look: Sent | None = None  # the look that passed
        self._mark: float | None = None  # a refusal since which the spacing has been the same
        self._learned = False
        self._roomiest = 0.0
        self._crowd = 0  # the most that were taken in a quarter of a window
        self._clean_at = self._looked = -math.inf
        self.sharers = 0  # other processes that send here

    def known(self, at: float) -> KnownLimit:
        """What the next run should start from; `at` is Unix time.

        What is paced and yet was used up at once before (a bucket as large as its window, or one that counts
        continuously) is left open: its first burst passes, and soon after it is found out again. A figure that is on
        trial is not told; the one below it is.
        """
        on_trial = 0 < self._lo < self.limit and self._hi > self.limit + 1
        figure = self._lo if on_trial else self.limit
        kind = self.kind
        if self._paced and kind and not self._spread and self._crowd >= CROWD * figure:
            kind = ""
        margin = self.margin + self._spread * self.limit if self._spread else self._margin0
        return KnownLimit(
            owner=self.owner,
            axis=self.axis,
            declared=self.declared,
            reported=self.reported,
            measured=round(figure * self._windows, 1) if self._learned and math.isfinite(figure) else None,
            kind=kind,
            guard_s=margin / self._second,
            confidence=0.9 if self._best >= self.limit else 0.5 if self._learned or kind else 0.0,
            at=at,
        )

    def remember(self, known: KnownLimit) -> None:
        """Starts from what an earlier run learned. Called before `expect`."""
        self._of_its_axis()
        if known.measured is not None:
            whole = float(math.ceil(known.measured - UP))
            self.limit, self._learned = min(self._ceiling, known.measured if known.kind == "paced" else whole), True
            self._patience = max(self._patience, TRY_DOWN)
        elif known.reported is not None:
            self.limit = min(self._ceiling, known.reported)
        if self._learned:
            self._hi = self.limit * 1.05
        self._best = self._lo = self.limit
        self._since = math.inf  # until the first leaves
        if known.kind:
            self.kind, self._paced = known.kind, known.kind == "paced"
            self._refills = self._sure = self._paced
        if known.guard_s is not None and self._paced:
            self._spread = max(0.0, known.guard_s * self._second - self._margin0) / self.limit

    def _of_its_axis(self) -> None:
        """What is told or remembered is a figure of the axis; a rate that nobody declared is watched by the second."""
        period = AXES[self.axis][1] * self._second
        if self.declared is None and self.period != period:
            self.limit *= period / self.period
            self.period, self._lo, self._hi = period, 0.0, math.inf
            self._margin0 = self.margin = guard(period, 1.0 / self._second)

    @property
    def _windows(self) -> float:
        """How many of its own windows the axis's has: one, but for a rate that is watched by the second."""
        return AXES[self.axis][1] * self._second / self.period if self.declared is None else 1.0

    def _gap(self) -> float:
        """Seconds between two departures. What is spaced evenly is spaced wider for each other process."""
        return self._own_gap() * (1 + self.sharers if self._paced or self._refills else 1)

    def _own_gap(self) -> float:
        if self._refills and not self._spread:
            return self.period * SURE / self.limit
        if self._paced:
            return (self.period + self.margin) / (self.limit - 1 if self.limit > 20 else self.limit) + self._spread
        slow = LONG if self._look is not None or self._jobs > LONG_WINDOWS * self.limit else 1.0
        if slow == 1 and self._jobs > FEW * self.limit:
            slow = MIDDLING
        if slow > 1 and TAIL_SHARE * self.limit <= self._carried < self.limit:
            slow *= TAIL
        if slow > 1 and not self.kind and self.limit <= self._carried < 2 * self.limit:
            slow = LONG * LONG
        gap = min(RAMP_S * self._second, self.period * RAMP_SHARE) * slow / self.limit
        if self._best < self.limit and self._lo <= len(self._log.live):
            if self._lo > 0:
                return max(gap, min(STEP_S * self._second, STEP_SHARE * self.period / self._lo))
            if self._jobs <= FEW * self.limit:
                return gap * FEW
            first = min(FIRST_S * self._second, FIRST_SHARE * self.period)
            return max(gap, first / 2.0 ** ((self._sends + 2).bit_length() - 1))
        return gap

    def _may_rise(self) -> bool:
        """Whether a limit higher than every one that was tried is worth a refusal."""
        return self.learn == "up" and math.isinf(self._hi) and self.limit < self._ceiling

    def _may_look(self) -> bool:
        """The last wave may ask once whether its window has begun already: on fixed windows it mostly has."""
        if self._asking or self._jobs - self._carried > self.limit or self.learn == "off":
            return False
        return self._refusals_ever + 1 <= LOOKS * self._carried

    @property
    def _patience_s(self) -> float:
        return (
            PATIENCE_S * self._second
            if math.isinf(self._way)
            else max(PATIENCE * self._way, PATIENCE_LEAST_S * self._second)
        )

    def _heard_in(self, way: float) -> None:
        """A 429 took so long. One that was held up on its way says little of the next."""
        way = min(way, 2 * self._second)
        self._way = way if math.isinf(self._way) else 0.8 * self._way + 0.2 * way

    def _free(self, now: float) -> float:
        """When the window log has room."""
        self._expire(now)
        live, most = self._log.live, max(1, int(self.limit + 1e-9))
        return now if len(live) < most else live[len(live) - most].at + self.period + self.margin

    def _expire(self, now: float) -> None:
        edge = now - self.period - self.margin
        self._log.expire(max(edge, self._fresh), edge - self.period)

    def _count(self, until: float, extra: float = 0.0) -> int:
        """Sends not refused in the window that ended when one left."""
        return self._log.taken(max(until - self.period, self._fresh), until + extra)

    def _saw_crowd(self, until: float) -> None:
        self._crowd = max(self._crowd, self._log.taken(until - self.period / 4, until))

    def _set(self, now: float, value: float) -> None:
        """Believes in another figure (or in the same one anew): a stretch begins."""
        self._saw_crowd(now)
        before, self.limit = self.limit, max(1.0, min(self._ceiling, value))
        self._since, self._sends, self._refusals = now, 0, 0
        self._mark = None
        self._learned = self._learned or self.limit != before

    def _may_return(self) -> None:
        """It was more, and may be again soon."""
        if self.limit < 0.95 * self._best:
            self._patience = min(self._patience, 0.25 if self._paced else 1.0)

    def _window_was_clean(self, now: float, lowered: bool) -> None:
        """A stretch has passed. `lowered`: an even spacing that was faster once, which is tried again soon."""
        if now - self._clean_at < 0.1 * self.period:
            return
        self._clean_at = now
        if self._refusals > CLEAN * self._sends:
            self._since, self._sends, self._refusals = now, 0, 0  # the next stretch is judged by itself
            return
        if lowered and now - self._since > self._patience * self.period:
            self._patience = min(TRY_AGAIN, self._patience * 2)
            self._lo, self._hi = self.limit, math.inf
            self._set(now, self._best)
            return
        if self._log.taken(now - self.period, now) < USED * self.limit:
            return
        self._lo, self._strikes = max(self._lo, self.limit), 0
        begin = self._log.oldest(now - self.period) or now
        self._saw_crowd(begin + self.period / 4)
        if not self._paced or not self._learned:
            self._best = max(self._best, self.limit)
        self.margin = max(self._margin0, self.margin * 0.8)
        if math.isinf(self._hi):
            up = 2.0 if self._open and self.reported is None else 1.5 if self.learn == "up" else RISE
            self._set(now, self.limit * up)
        elif self._hi > 1.06 * self._lo:
            self._set(now, math.sqrt(self._lo * self._hi))
        elif now - self._since > self._patience * self.period:
            was = self._best > 1.05 * self.limit
            self._patience = min(TRY_AGAIN if was else TRY_MOST, self._patience * 2)
            self._hi = math.inf
            self._set(now, self._best if was else self.limit * RISE)
