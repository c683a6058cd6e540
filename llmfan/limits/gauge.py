"""Everything that is known of one request limit of one owner: what is declared, told, and seen in 429s."""

from __future__ import annotations

import math

from llmfan.limits.belief import START_PER_MINUTE
from llmfan.limits.evidence import LOST, TAKEN, Sent
from llmfan.limits.verdicts import Verdicts
from llmfan.limits.window import Entry
from llmfan.records import Report

START_IN_FLIGHT = 2.0
#: Up to so many windows, a window's worth at once gains more than even spacing.
SHORT = 20.0
#: How late a wake-up may be without costing anything.
LATE_S = 0.005
#: What a single request is sent for although the log is full.
LOOKING = ("ghost", "shape", "rise", "begun")
#: When, as shares of the window: after a refusal; after its first send; after the last look.
GHOST_SHARE, LOOK_AT, LOOK_AGAIN = 0.05, 0.4, 0.3
#: Limits and evidence that are small.
SMALL, PROOF = 10, 50


class Gauge(Verdicts):
    """One request limit. `ready` holds, counts and probes; a pacer that asks `spec` spaces departures evenly."""

    unit = 0

    def expect(self, jobs: float) -> None:
        """How many requests are still to come here: few leave as bursts, many evenly spaced (which nobody refuses)."""
        self._jobs = self._carried + jobs
        if not self.kind and math.isfinite(self.limit) and self._carried < self.limit:
            self._paced = jobs > SHORT * self.limit and not self._open

    def ready(self, now: float, amount: float) -> float:
        """When the next may leave, by hold, log and probe; a probe nobody hears of is taken to have passed."""
        if self._probe is not None:
            heard = self._probe.at + self._patience_s
            if now < heard:
                return heard
            self._probe_passed(self._probe, now)
        if self.hold > now:
            return self.hold
        if self._sure or self._asking == "quick" or math.isinf(self.limit):
            return self._within(now)
        free = self._free(now)
        return free if free <= now or self._asking else min(free, max(now, self._look_at(now, free)))

    def _within(self, now: float) -> float:
        """What refills as it goes may take more in its first window than its limit. Where few requests speak for that,
        or the limit is so small that one more is much, no window holds more than what is declared or told.
        """
        live, most = self._log.live, self._ceiling
        if len(live) < most or (most > SMALL and self._carried > PROOF):
            return now
        return max(now, live[len(live) - max(1, int(most))].at + self.period)

    def _look_at(self, now: float, free: float) -> float:
        """When to send one although the log is full, because its fate would tell something."""
        live = self._log.live
        whole = live[0].at > self._since and now - live[-1].at > self._patience_s
        if whole and not self._paced and not self._refusals:
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
        without = len(self._log.live) - self._log.ghosts
        if self._counts is None and self._log.ghosts and without < max(1, int(self.limit + 1e-9)):
            return "ghost"
        if self._paced:
            return "shape" if self.kind else ""
        if self._may_rise():
            return "rise"
        return "begun" if self._may_look() else ""

    def spec(self) -> tuple[float, float] | None:
        """(burst, departures a second) for the pacer; None: nothing to pace."""
        if math.isinf(self.limit):
            return None
        gap = self._gap()
        if self.burst is not None and not self._paced and not self._refusals_ever:
            return max(1.0, min(self.burst, self.limit)), self.limit / self.period
        if self._paced and self.limit > 20 and self._strikes < 2 and not self._spread:
            return 2.0, 1 / gap
        return 1.0 + LATE_S / gap, 1 / gap

    def most_in_flight(self) -> float | None:
        """A limit nobody declared starts with two in flight, and grows as its pace does; None: no cap."""
        if self._open and self.reported is None:
            return max(1.0, START_IN_FLIGHT * self.limit / START_PER_MINUTE)
        return None

    def take(self, now: float, amount: float) -> Entry:
        sent = Sent(now, amount)
        if self._asking:
            self._probe = sent
        elif not self._sure and math.isfinite(self.limit) and self._free(now) > now + 1e-6:
            self._asking = self._wonder()
            self._probe = sent if self._asking else None
        self._expire(now)
        self._log.add(sent)
        self._since = min(self._since, now)
        self._sends += 1
        self._carried += 1
        return sent

    def settle(self, entry: Entry, amount: float, now: float) -> None:
        """A request that left has left."""

    def used(self, now: float) -> float:
        self._expire(now)
        return float(len(self._log.live))

    def next_free(self, now: float) -> float:
        """When the first of the places that are taken comes free; inf if none is."""
        self._expire(now)
        return self._log.live[0].at + self.period + self.margin if self._log.live else math.inf

    def over(self, now: float) -> bool:
        return not self._sure and not self._asking and self.used(now) > self.limit

    def withdrawn(self, entry: Entry) -> None:
        assert isinstance(entry, Sent)
        self._log.drop(entry)
        self._sends -= 1
        self._carried -= 1
        if entry is self._probe:
            self._probe = None
            self._asking = "" if self._asking in LOOKING else self._asking

    @property
    def to_come(self) -> float:
        """How many requests it still expects to carry."""
        return max(0.0, self._jobs - self._carried)

    @property
    def crowd(self) -> float:
        """The most that were taken close together: no less than what a server that refills holds at once."""
        return min(self.limit, 2.0 * max(1, self._crowd))

    def comes_free(self, now: float) -> list[float]:
        """When each of the places that are taken comes free again."""
        span = self.period + self.margin
        return [sent.at + span for sent in self._log.live]

    def returning(self, now: float, parts: int) -> list[tuple[float, float]]:
        """(moment, how many) of the places that are taken come free, in at most so many parts, the first first."""
        self._expire(now)
        live, span = self._log.live, self.period + self.margin
        size = max(1, -(-len(live) // parts))
        ends = range(size - 1, len(live) + size - 1, size)
        return [(live[min(n, len(live) - 1)].at + span, float(min(size, len(live) - n + size - 1))) for n in ends]

    def recall(self, at: float, now: float, amount: float) -> None:
        if at > now - self.period - self.margin:
            for _ in range(max(1, round(amount))):
                self._log.add(Sent(at, 1.0, TAKEN))

    def accepted(self, entry: Entry, now: float) -> None:
        """An answer came, of whatever kind, that was not a 429."""
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
        """A 429 that this limit caused. One wave teaches once: what left before the lesson is its echo."""
        assert isinstance(entry, Sent)
        self._log.refuse(entry, self._counts is False)
        self._carried -= 1
        self._refusals_ever += 1
        self._refused_at = now
        self._heard_in(now - entry.at)
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
        """It ended otherwise, which says nothing; it may count at the server. A probe is sent again."""
        assert isinstance(entry, Sent)
        entry.fate = LOST
        if entry is self._probe:
            self._probe = None
            self._asking = "" if self._asking in LOOKING else self._asking

    def told(self, entry: Entry, report: Report, now: float) -> None:
        """The server's own word about this limit, which wins over what is declared."""
        if report.limit is not None and report.limit > 0 and report.limit != self.reported:
            self.reported = report.limit
            self._of_its_axis()
            if self.learn == "off":
                return
            if report.limit < self.limit or self.learn == "up" or self._open:
                self._lo = self._best = report.limit
                self._hi, self._ceiling = math.inf, report.limit
                self._set(now, report.limit)
        if report.remaining is None or self.learn == "off" or self._paced or math.isinf(self.limit):
            return
        if now - entry.at < self.period / 2:
            self._compare(entry.at, report.limit or self.limit, report.remaining, now)
