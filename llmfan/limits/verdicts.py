"""What refusals and probes teach of a request limit.

A 429 is evidence, not only a delay. How many were in the window when it left, whether one probe passes soon after, and
how many were taken between two refusals tell how the server counts and where its limit is:

- the count is what the limit says: a late arrival (the window is widened), or it counts continuously;
- the count is below it, and a probe soon after is refused: a window, and the count is its limit;
- the count is below it, and the probe passes: it refills as it goes, so requests are spaced evenly from now on.
"""

from __future__ import annotations

import math

from llmfan.limits.belief import Belief
from llmfan.limits.evidence import TAKEN, Sent

#: Counts this near to the limit are explained by it.
NEAR = 0.95
#: A 429 that came later than this met requests that had left after it.
SLOW_S = 1.0
#: The measured rate must be below the present one by so many requests, more where a full window was once taken.
DOUBT, DOUBT_KNOWN = 2.0, 6.0
#: Refused at no more than so many: it takes one at a time, and wants so much more between two.
STRICT, SPREAD_S, SPREAD_SHARE = 3, 0.28, 0.35
#: So many hints in a row may turn out to be too short.
HINTS = 3
#: A server's count may be above ours by so much before it means that somebody else uses the key.
SLACK = 0.05


class Verdicts(Belief):
    """A belief that learns from refusals. All hold times end in `hold`: nothing leaves before."""

    def _refused_anew(self, entry: Sent, now: float, told: float | None) -> None:
        """The first refusal of a wave. `told`: until when the server wants to be left alone; a hint says no more."""
        n = self._count(entry.at)
        if now - entry.at > SLOW_S * self._second:
            n = max(n, self._count(now - 0.2 * self._second))
        if math.isinf(self.limit):
            self._set(now, float(max(1, n)))
            self._paced = True
        gap = self.period / self.limit
        near = n >= NEAR * self.limit - 1
        self._saw_crowd(entry.at)
        if self.learn == "off":
            self._asking, self._probe = "window", None
            self.hold = told or now + max(self._second, gap)
        elif self._paced:
            self._spacing_failed(entry.at, now, gap, told)
        elif 0 < self._lo < self.limit - 0.5 and n >= NEAR * self._lo - 1 and now - self._stepped > self.period / 3:
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

    def _too_early(self, now: float, gap: float, told: float | None) -> None:
        self._run += 1
        if now > self._struck_at + self.period / 2:
            self._strikes, self._struck_at = self._strikes + 1, now
            self.margin = min(0.02 * self.period + self._margin0, self.margin * 1.5)
            self._log.revive(now - self.period - self.margin)
            if self._strikes >= 4:
                self._set(now, self.limit - max(1.0, 0.02 * self.limit))
        self.hold = told or now + min(4 * self.period, max(self._second, gap / 2) * 2 ** min(self._run - 1, 8))

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
        if self._mark is None or (not self._refills and self._count(at) >= NEAR * max(self._best, self.limit)):
            self._mark = at  # else our own count explains it: what was sent before it was paced
            return
        since = max(self._mark, at - 2 * self.period)
        span, taken = at - since, self._log.taken(since, at)
        pace, doubt = self.period / self._gap(), DOUBT_KNOWN if self._best else DOUBT
        most = self.period * (taken + doubt) / max(span, gap)
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
        if self._count(self._cut_at) >= NEAR * self.limit:
            self._paced, self._sure, self._refills, self.kind = False, False, False, ""

    def _pace(self, now: float, at: float, sure: bool) -> None:
        self._paced, self._sure, self.kind = True, sure, "paced"
        if self._fresh <= at - self.period and self._count(at) <= STRICT:
            self._spread = min(SPREAD_S * self._second, SPREAD_SHARE * self.period / self.limit)
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

    def _quick_passed(self, probe: Sent, now: float) -> None:
        """One went through after a refusal: soon, so it refills as it goes; or late, so a window has passed."""
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

    def _window_is(self, now: float, n: int) -> None:
        self.kind = "window"
        if self._learned and abs(n - self.limit) >= 2:  # not the same from window to window: somebody else uses it
            self._patience = 1.0
        if n < NEAR * self.limit - 1:
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
            wait = min(4.0, 0.125 * 2 ** min(self._misses, 8)) * self.period
            if n < 0.2 * self.limit:  # far too few for such a window: what refuses may be a much shorter one
                wait = min(wait, self._second * 2 ** min(self._misses, 8))
            wait *= 0.75 + 0.5 * self._rng.random()
        if told is not None and self._misses > HINTS:  # its hints were wrong before
            wait = max(wait, told - now)
            told = None
        self.hold = told or now + wait

    def _look_failed(self, now: float) -> None:
        kind, self._asking, self._probe, self._looked = self._asking, "", None, now
        if kind == "ghost":
            self._counts = True
        elif kind == "shape":
            self._paced, self.kind = False, "window"
        elif kind == "rise":
            self._lo, self._hi = self.limit, self.limit + 1.0

    def _compare(self, at: float, limit: float, remaining: float, now: float) -> None:
        """The server's count beside ours. Little room from the start: a small bucket, or a busy key: spaced evenly.

        Else what it counts above ours is somebody else's. A header tells of the past, and of requests that overtook
        others, so only a clear difference counts.
        """
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
