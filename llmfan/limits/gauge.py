"""Everything that is known of one request limit of one owner: what is declared, told, and seen in 429s.

A 429 is evidence, not only a delay: how many were in the window when it left, whether a single probe passes soon
after, and how many were taken between two refusals tell how the server counts and where its limit is.
"""

from __future__ import annotations

import math
import random

from llmfan.limits.evidence import LOST, REFUSED, TAKEN, SendLog, Sent
from llmfan.limits.window import Entry, guard
from llmfan.records import KnownLimit, Report
from llmfan.units import MINUTE

START_PER_MINUTE, START_IN_FLIGHT = 10.0, 2.0
#: Up to so many windows, a window's worth at once gains more than even spacing.
SHORT = 20.0
RAMP_S, RAMP_SHARE = 5.0, 1 / 12
#: A server that refused nothing yet is sent no more than doubles in this time: a small bucket is met by few.
FIRST_S, FIRST_SHARE = 1.0, 1 / 60
#: How late a wake-up may be without costing anything.
LONG, TAIL = 1.4, 3.0
RISE = 1.15
SLACK = 0.05
SURE = 1.012
DOUBT, DOUBT_KNOWN = 2.0, 6.0
STRICT = 3
LATE_S = 0.005
#: Beyond the highest count that was ever clean: one at a time, about as long as a 429 takes.
STEP_S, STEP_SHARE = 0.3, 0.5
#: A 429 that came later than this met requests that had left after it.
SLOW_S = 1.0
#: Nothing heard of a probe for so many times the way of a 429 (or so long, where none is known): it passed.
PATIENCE, PATIENCE_S = 2.5, 1.0
#: A stretch with more 429s a send than this confirms nothing.
CLEAN = 0.01
#: Early looks into a window that ought to be full may cost so much.
LOOKS = 0.0045
LOOKING = ("ghost", "shape", "rise", "begun")
GHOST_SHARE = 0.05
LOOK_AT, LOOK_AGAIN = 0.4, 0.3


class Gauge:
    """One request limit. `ready` holds, counts and probes; a pacer that asks `spec` spaces departures evenly."""

    unit = 0

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
        rng: random.Random,
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
        self._counts: bool | None = None  # whether the server counts what it refuses
        self._log = SendLog()
        self._fresh = -math.inf  # what left before does not count any more, whatever its age
        self._jobs = 0.0
        self._carried = self._refusals_ever = 0
        self._cut_at = -math.inf  # refusals of what left before teach nothing
        self._first = 0.0  # when the refused one left that began the question
        self._asking = ""  # what the one probe is to find out: "quick", "window" or "look"
        self._probe: Sent | None = None
        self._refused_at = -math.inf
        self._way = math.inf  # seconds a 429 takes
        self._spread = 0.0  # seconds more between two, where it takes one at a time
        self._misses = self._strikes = self._run = 0
        self._lo, self._hi = 0.0, math.inf
        self._best = 0.0  # the highest limit that a full clean window has confirmed
        self._since, self._sends, self._refusals = 0.0, 0, 0
        self._patience = 2.0 if open_ else 6.0 if learn == "up" else 12.0
        self._struck_at = self._stepped = -math.inf
        self._look: Sent | None = None  # the look that passed
        self._mark: float | None = None  # a refusal since which the spacing has been the same
        self._learned = False
        self._roomiest = 0.0
        self._clean_at = self._looked = -math.inf

    # --- when the next may leave ---

    def expect(self, jobs: float) -> None:
        self._jobs = self._carried + jobs
        if not self.kind and math.isfinite(self.limit) and self._carried < self.limit:
            self._paced = jobs > SHORT * self.limit and not self._open

    def ready(self, now: float, amount: float) -> float:
        if self._probe is not None:
            heard = self._probe.at + self._patience_s
            if now < heard:
                return heard
            self._probe_passed(self._probe, now)
        if self.hold > now:
            return self.hold
        if self._sure or self._asking == "quick" or math.isinf(self.limit):
            return now
        free = self._free(now)
        return free if free <= now or self._asking else min(free, max(now, self._look_at(now, free)))

    def _look_at(self, now: float, free: float) -> float:
        """When to send one although the log is full, because its fate would tell something."""
        live = self._log.live
        if not self._paced and live[0].at > self._since and not self._refusals and now - live[-1].at > self._patience_s:
            self._lo, self._best = max(self._lo, self.limit), max(self._best, self.limit)
        what = self._wonder()
        if what == "ghost":
            return self._refused_at + GHOST_SHARE * self.period
        if what == "shape":
            return -math.inf
        if what == "rise":
            return live[-1].at + self._patience_s
        if what == "begun":
            looked = max(now, live[0].at + LOOK_AT * self.period, self._looked + LOOK_AGAIN * self.period)
            return looked if looked < free - self.margin - 0.1 * self.period else math.inf
        return math.inf

    def _wonder(self) -> str:
        """What is not known, now that the log is full: do refused ones hold a place (ghost), is there a window at all
        (shape), is the limit higher (rise), has the server's window begun anew (begun)?"""
        if self._counts is None and self._log.ghosts:
            if len(self._log.live) - self._log.ghosts < max(1, int(self.limit + 1e-9)):
                return "ghost"
        if self._paced:
            return "shape" if self.kind else ""
        if self._may_rise():
            return "rise"
        return "begun" if self._may_look() else ""

    def spec(self) -> tuple[float, float] | None:
        if math.isinf(self.limit):
            return None
        gap = self._gap()
        if self._paced and self.limit > 20 and self._strikes < 2 and not self._spread:
            return 2.0, 1 / gap
        return 1.0 + LATE_S / gap, 1 / gap

    def most_in_flight(self) -> float | None:
        if self._open and self.reported is None:
            return max(1.0, START_IN_FLIGHT * self.limit / START_PER_MINUTE)
        return None

    def take(self, now: float, amount: float) -> Entry:
        sent = Sent(now, amount)
        if self._asking:
            self._probe = sent
        elif not self._sure and math.isfinite(self.limit) and self._free(now) > now + 1e-6:
            self._asking, self._probe = self._wonder() or "begun", sent
        self._expire(now)
        self._log.add(sent)
        self._sends += 1
        self._carried += 1
        return sent

    def settle(self, entry: Entry, amount: float, now: float) -> None:
        """A request that left has left."""

    def used(self, now: float) -> float:
        self._expire(now)
        return float(len(self._log.live))

    def recall(self, at: float, now: float, amount: float) -> None:
        if at > now - self.period - self.margin:
            for _ in range(max(1, round(amount))):
                self._log.add(Sent(at, 1.0, TAKEN))

    # --- what came back ---

    def accepted(self, entry: Entry, now: float) -> None:
        assert isinstance(entry, Sent)
        entry.fate = TAKEN
        if entry is self._probe:
            self._probe_passed(entry, now)
        if entry.at > self._cut_at:
            self._run = 0
        if self._asking or self.learn == "off" or math.isinf(self.limit):
            return
        lowered = self._paced and self.limit < 0.95 * self._best
        stretch = 0.25 if lowered else 1.0
        if now - self._since >= stretch * (self.period + self.margin) and self._sends >= stretch * min(10, self.limit):
            self._window_was_clean(now, lowered)

    def refused(self, entry: Entry, now: float, hint: float | None) -> None:
        assert isinstance(entry, Sent)
        self._log.refuse(entry, self._counts is False)
        self._carried -= 1
        self._refusals_ever += 1
        self._refused_at = now
        way = min(now - entry.at, 2 * PATIENCE_S * self._second)
        self._way = way if math.isinf(self._way) else 0.8 * self._way + 0.2 * way
        told = None if hint is None else now + hint + 0.2 * self.margin
        if entry is self._probe and self._asking in LOOKING:
            self._look_failed(now)
            return
        if entry is self._probe:
            self._probe_failed(now, told)
            return
        if entry is self._look:  # refused after all, late
            self._look, self._fresh, self._looked = None, -math.inf, now
            self._log.revive(now - self.period - self.margin)
            return
        if self._asking in LOOKING:  # refused beside it: what it says is void
            self._asking, self._probe = "", None
        if entry.at > self._cut_at and not self._asking:
            self._cut_at, self._first = now, entry.at
            self._refusals += 1
            self._refused_anew(entry, now, told)

    def lost(self, entry: Entry, now: float) -> None:
        assert isinstance(entry, Sent)
        entry.fate = LOST
        if entry is self._probe:
            self._probe = None
            self._asking = "" if self._asking in LOOKING else self._asking

    def told(self, entry: Entry, report: Report, now: float) -> None:
        if report.limit is not None and report.limit > 0 and report.limit != self.reported:
            self.reported = report.limit
            if report.limit < self.limit or self.learn == "up" or self._open:
                self._lo = self._best = report.limit
                self._hi, self._ceiling = math.inf, report.limit
                self._set(now, report.limit)
        if report.remaining is not None and not self._paced and math.isfinite(self.limit):
            if now - entry.at < self.period / 2:
                self._compare(entry.at, report.limit or self.limit, report.remaining, now)

    def _compare(self, at: float, limit: float, remaining: float, now: float) -> None:
        self._roomiest = max(self._roomiest, remaining)
        if self._roomiest < 0.5 * limit and self._carried < 0.25 * limit and not self.kind:
            self._refills = True
            self._pace(now, at, True)
            self._spread = 0.0
            return
        slack = SLACK * limit + 1
        if limit - remaining <= len(self._log.live) + slack:
            return
        own = self._log.taken(at - self.period - self.margin, at + self._second)
        for _ in range(int(limit - remaining - own - slack)):
            self._log.insert(Sent(at, 1.0, TAKEN))

    # --- memory ---

    def known(self, at: float) -> KnownLimit:
        kind = self.kind
        if self._paced and self._best and not self._refills:
            kind = ""
        elif self._full:
            kind = "window"
        figure = self.limit
        margin = self.margin + self._spread * self.limit if self._spread else self._margin0
        return KnownLimit(
            owner=self.owner,
            axis=self.axis,
            declared=self.declared,
            reported=self.reported,
            measured=round(figure, 1) if self._learned and math.isfinite(self.limit) else None,
            kind=kind,
            guard_s=margin / self._second,
            confidence=0.5,
            at=at,
        )

    def remember(self, known: KnownLimit) -> None:
        if known.measured is not None:
            figure = known.measured if known.kind == "paced" else float(round(known.measured))
            self.limit, self._learned = min(self._ceiling, figure), True
        elif known.reported is not None:
            self.limit = min(self._ceiling, known.reported)
        if self._learned:
            self._hi = self.limit * 1.05
        self._best = self._lo = self.limit
        if known.kind:
            self.kind, self._paced = known.kind, known.kind == "paced"
            self._refills = self._sure = self._paced
        if known.guard_s is not None and self._paced:
            self._spread = max(0.0, known.guard_s * self._second - self._margin0) / self.limit

    # --- inside ---

    @property
    def _patience_s(self) -> float:
        return PATIENCE_S * self._second if math.isinf(self._way) else max(PATIENCE * self._way, 0.5 * self._second)

    def _free(self, now: float) -> float:
        """When the window log has room."""
        self._expire(now)
        live, most = self._log.live, max(1, int(self.limit + 1e-9))
        return now if len(live) < most else live[len(live) - most].at + self.period + self.margin

    def _may_look(self) -> bool:
        """The last wave may ask once whether its window has begun already: on fixed windows it mostly has."""
        if self._asking or self._jobs - self._carried > self.limit or self.learn == "off":
            return False
        return self._refusals_ever + 1 <= max(1.0, LOOKS * self._carried)

    def _may_rise(self) -> bool:
        return self.learn == "up" and math.isinf(self._hi) and self.limit < self._ceiling

    def _gap(self) -> float:
        if self._refills and not self._spread:
            return self.period * SURE / self.limit
        if self._paced:
            return (self.period + self.margin) / (self.limit - 1 if self.limit > 20 else self.limit) + self._spread
        slow = LONG if self._look is not None or self._jobs > 4 * self.limit else 1.0
        if slow > 1 and 0.85 * self.limit <= self._carried < self.limit:
            slow *= TAIL
        if slow > 1 and not self.kind and self.limit <= self._carried < 2 * self.limit:
            slow = LONG * LONG
        gap = min(RAMP_S * self._second, self.period * RAMP_SHARE) * slow / self.limit
        if self._best < self.limit and self._lo <= len(self._log.live):
            if self._lo > 0:
                return max(gap, min(STEP_S * self._second, STEP_SHARE * self.period / self._lo))
            first = min(FIRST_S * self._second, FIRST_SHARE * self.period)
            return max(gap, first / 2.0 ** ((self._sends + 2).bit_length() - 1))
        return gap

    def _expire(self, now: float) -> None:
        edge = now - self.period - self.margin
        self._log.expire(max(edge, self._fresh), edge - self.period)

    def _set(self, now: float, value: float) -> None:
        before, self.limit = self.limit, max(1.0, min(self._ceiling, value))
        self._since, self._sends, self._refusals = now, 0, 0
        self._mark = None
        self._learned = self._learned or self.limit != before

    def _count(self, until: float, extra: float = 0.0) -> int:
        """Sends not refused in the window that ended when one left."""
        return self._log.taken(max(until - self.period, self._fresh), until + extra)

    def _refused_anew(self, entry: Sent, now: float, told: float | None) -> None:
        n = self._count(entry.at)
        if now - entry.at > SLOW_S * self._second:
            n = max(n, self._count(now - 0.2 * self._second))
        if math.isinf(self.limit):
            self._set(now, float(max(1, n)))
            self._paced = True
        gap = self.period / self.limit
        near = n >= 0.95 * self.limit - 1
        if self.learn == "off":
            self.hold = told or now + max(self._second, gap)
        elif self._paced:
            self._spacing_failed(entry.at, now, gap, told)
        elif 0 < self._lo < self.limit - 0.5 and n >= 0.95 * self._lo - 1 and now - self._stepped > self.period / 3:
            self._stepped = now
            self._hi = n + 1.0
            self._set(now, max(self._lo, float(n)))
            self.hold = told or now + max(self._second, gap)
            if not self.kind:
                self._asking, self._probe = "quick", None
        elif near and self._run > 1 and self._counts is not None:
            self._pace(now, entry.at, False)
            self.hold = told or now + 2 * gap
        elif near:
            self._too_early(now, gap, told)
        else:
            self._asking, self._probe = "quick", None
            self.hold = told or now + max(self._second, 2 * gap)

    def _pace(self, now: float, at: float, sure: bool) -> None:
        self._paced, self._sure, self.kind = True, sure, "paced"
        if self._fresh <= at - self.period and self._count(at) <= STRICT:
            self._spread = min(0.28 * self._second, 0.35 * self.period / self.limit)
        self._set(now, self.limit)
        self._mark = at

    def _probe_passed(self, probe: Sent, now: float) -> None:
        kind, self._asking, self._probe, self._misses = self._asking, "", None, 0
        if kind == "ghost":
            self._counts = False
            self._log.lay()
        elif kind == "shape":
            self._sure = True
        elif kind == "rise":
            self._lo = self._best = max(self._best, self.limit)
            self._set(now, self.limit * 2.0)
        elif kind == "begun":
            self._lo = self._best = max(self._best, self.limit)
            self._look, self._fresh = probe, probe.at - 1e-9
            self._expire(now)
        if kind == "quick":
            self._quick_passed(probe, now)

    def _look_failed(self, now: float) -> None:
        kind, self._asking, self._probe, self._looked = self._asking, "", None, now
        if kind == "ghost":
            self._counts = True
        elif kind == "shape":
            self._paced, self.kind = False, "window"
        elif kind == "rise":
            self._lo, self._hi = self.limit, self.limit + 1.0

    def _quick_passed(self, probe: Sent, now: float) -> None:
        n = self._count(self._first, max(0.0, self._cut_at - self._first))
        begin = max(self._fresh, self._first - self.period)
        expired = self._log.taken(begin - self.margin, probe.at - self.period + self.margin)
        if probe.at - self._first > 0.15 * self.period + 4 * self.period / self.limit:
            if self._look is None:
                self._window_is(now, n)
            if expired == 0:
                self._look, self._fresh = None, self._first
            return
        if not self._best and not self._learned and expired == 0 and 0.35 * self.limit < n < 0.9 * self.limit:
            oldest = self._log.oldest(begin)
            took = self._first - (self._first if oldest is None else oldest)
            self._set(now, n * (1 - took / self.period))
            self._hi, self._full = self.limit * 1.05, True
        if 0 < self._lo < self.limit and not self._open:
            self._set(now, self._lo)
        if self._open or self.learn == "up":
            self._hi = math.inf
        self._refills = expired == 0
        self._full = self._full or (self._refills and self._best > 0)
        self._pace(now, self._first, expired == 0)

    def _may_return(self) -> None:
        """It was more, and may be again soon."""
        if self.limit < 0.95 * self._best:
            self._patience = min(self._patience, 0.25 if self._paced else 1.0)

    def _window_is(self, now: float, n: int) -> None:
        self.kind = "window"
        if self._learned and abs(n - self.limit) >= 2:  # not the same from window to window: somebody else uses it
            self._patience = 1.0
        if n < 0.95 * self.limit - 1:
            self._hi, self._lo = n + 1.0, min(self._lo, n)
            self._set(now, float(max(1, n)))
            self._may_return()

    def _probe_failed(self, now: float, told: float | None) -> None:
        kind, self._probe = self._asking, None
        self._misses += 1
        gap = self.period / self.limit
        n = self._count(self._first, max(0.0, self._cut_at - self._first))
        if self._look is not None:  # the window had begun, but some of it was used
            self._look, self._asking, self._fresh, wait = None, "", -math.inf, 0.0
            self._log.revive(now - self.period - self.margin)
        elif kind == "quick" and told is not None and told - now < 0.1 * self.period and self._misses < 3:
            wait = 2 * gap * self._misses  # it says soon, and was asked too soon
            self.hold = max(told, now + wait)
            return
        elif kind == "quick":
            oldest = self._log.oldest(max(self._fresh, self._first - self.period))
            wait = max(gap, (now if oldest is None else oldest) + self.period + self.margin - now)
            if n < 0.2 * self.limit:
                self._refills = True
                self._pace(now, self._first, True)
                self._asking, wait = "", 2 * gap
            else:
                self._window_is(now, n)
                self._asking = "window"
        else:
            wait = min(4.0, 0.125 * 2**self._misses) * self.period * (0.75 + 0.5 * self._rng.random())
        self.hold = told or now + wait

    def _spacing_failed(self, at: float, now: float, gap: float, told: float | None) -> None:
        self._run += 1
        self._strikes += 1
        self.hold = max(told or 0.0, now + 2 * gap)
        if self._run > 2:
            self._shut(now, told)
            return
        if 0 < self._lo < self.limit - 0.5:
            self._hi = self._lo * 1.05 if self.limit < 1.2 * self._lo else self.limit
            self._set(now, self._lo)
            return
        if self._mark is None or (not self._refills and self._count(at) >= 0.95 * max(self._best, self.limit)):
            self._mark = at  # else our own count explains it: what was sent before it was paced
            return
        since = max(self._mark, at - 2 * self.period)
        span, taken = at - since, self._log.taken(since, at)
        pace, most = self.period / self._gap(), self.period * (taken + (DOUBT_KNOWN if self._best else DOUBT)) / max(span, gap)
        if most < (0.7 if self._spread else 0.95) * pace:
            self._measured(now, at, self.period * (taken + 0.5) / span / pace * 0.97, span)
        elif self._spread and self._refusals > max(3, 0.03 * self._sends):
            self._spread *= 1.15
            self._set(now, self.limit)
        elif span > 20 * gap and self._strikes > 1 and not self._spread:
            self._measured(now, at, min(0.98, self.period * (taken + 0.5) / span / pace * 0.97), span)

    def _measured(self, now: float, at: float, share: float, span: float) -> None:
        """A refill limit is empty at each refusal: what it took between two of them is what it refills."""
        gap = self.period / self.limit
        self._set(now, self.limit * max(0.5, share))
        self._mark = at
        if self._open or self.learn == "up":
            self._best = min(self._best, self.limit)
        self._may_return()
        self._lo, self._hi = 0.0, self.limit * (1.06 if span > 15 * gap else 1.2)

    def _shut(self, now: float, told: float | None) -> None:
        """Refused three times in a row, however slowly asked: a window that is full, or worse. One probe at a time."""
        self._asking, self._probe, self._run = "window", None, 0
        if self._count(self._cut_at) >= 0.95 * self.limit:
            self._paced, self._sure, self._refills, self.kind = False, False, False, ""

    def _too_early(self, now: float, gap: float, told: float | None) -> None:
        self._run += 1
        if now > self._struck_at + self.period / 2:
            self._strikes, self._struck_at = self._strikes + 1, now
            self.margin = min(0.02 * self.period + self._margin0, self.margin * 1.5)
            self._log.revive(now - self.period - self.margin)
            if self._strikes >= 4:
                self._set(now, self.limit - max(1.0, 0.02 * self.limit))
        self.hold = told or now + min(4 * self.period, max(self._second, gap / 2) * 2 ** (self._run - 1))

    def _window_was_clean(self, now: float, lowered: bool) -> None:
        if now - self._clean_at < 0.1 * self.period:
            return
        self._clean_at = now
        if self._refusals > CLEAN * self._sends:
            self._since, self._sends, self._refusals = now, 0, 0  # the next stretch is judged by itself
            return
        if lowered and now - self._since > self._patience * self.period:
            self._patience = min(2.0, self._patience * 2)
            self._lo, self._hi = self.limit, math.inf
            self._set(now, self._best)
            return
        if self._log.taken(now - self.period, now) < 0.8 * self.limit:
            return
        self._lo, self._strikes = max(self._lo, self.limit), 0
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
            self._patience = min(2.0 if was else 16.0, self._patience * 2)
            self._hi = math.inf
            self._set(now, self._best if was else self.limit * RISE)
