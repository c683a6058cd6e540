"""Tokens in a window, for one owner: what is reserved, what was charged and when, and the limit as it really is.

A provider that charges ahead counts a request when it comes and gives the rest back; one that charges what was used
counts it when its answer ends. The log says of each request what the server's own does.
"""

from __future__ import annotations

import math
from collections import deque

from llmfan.limits.window import NEVER, SETTLE, Entry
from llmfan.records import KnownLimit, Report
from llmfan.settings import AXES

EPSILON = 1e-9
#: Of the limit, in our own count when a request left: the limit is right, it only came too early.
FULL = 0.95
FLOOR = 0.1
GUARD_SHARE = 0.05
#: The first step up after a refusal; it doubles with each clean window, for a limit that was cut may come back whole.
STEP, STEP_MOST, STEP_PROVEN = 0.05, 1.0, 0.4
PATIENCE_MOST = 16.0
#: A rest nobody timed: this share of the window, doubled for each refusal in a row, up to half of it.
REST_SHARE, REST_MOST = 1 / 30, 0.5
#: What headers tell may differ from our count by so much of the limit, and by one request, before it means anything.
SLACK = 0.05
#: So many reports in a row have to tell of somebody else: one alone may only have met requests on the way.
AGREE = 3
#: A window's worth leaves over so long at least: a wrong guess is then seen after few refusals.
RAMP_S, RAMP_SHARE = 3.0, 1 / 20
#: Of so many last answers, the one that ended sooner than three in four is how soon a request is charged.
SERVICES = 16


class Reserved(Entry):
    """`at`: from when its amount counts; `sent`: when it left; `asked`: what it reserved; `beside`: what the server had
    counted of ours then.
    """

    __slots__ = ("asked", "beside", "sent")

    def __init__(self, at: float, amount: float, beside: float):
        super().__init__(at, amount)
        self.sent, self.asked, self.beside = at, amount, beside


class TokenWindow:
    """At most `limit` tokens in any window of `period` seconds. `margin`: how much later than it left one may arrive.

    A request larger than what the limit was learned to be waits for an empty window; only what is larger than the
    declared or reported limit is never let through.
    """

    def __init__(
        self, axis: str, unit: int, owner: str, declared: float | None, period: float, margin: float, *,
        precharge: bool = True, learn: str = "down",
    ):  # fmt: skip
        self.axis, self.unit, self.owner, self.period = axis, unit, owner, period
        self.declared, self.learn, self.precharge = declared, learn, precharge
        self.reported: float | None = None
        self.limit = self._most = math.inf if declared is None else declared
        self.margin = self._margin0 = margin
        self.hold = -math.inf  # nothing leaves before
        self.kind = ""
        self._second = period / AXES[axis][1]
        self._log: deque[Reserved] = deque()  # what has been charged, by `at`
        self._charged = self._pending = 0.0
        self._flying = 0
        self._typical = 0.0  # tokens of a request, as they turned out
        self._next = -math.inf  # when the next may leave, for its distance from the last
        self._services: deque[float] = deque(maxlen=SERVICES)
        self._now = -math.inf
        self._ghost, self._ghost_until = 0.0, -math.inf  # somebody else's tokens
        self._more: deque[float] = deque(maxlen=AGREE)
        self._told_at = -math.inf
        self._cut_at = self._since = -math.inf
        self._bound = False  # it held somebody back since the limit last changed
        self._strikes = self._clean = 0
        self._row = 0  # refusals since the last answer
        self._step, self._patience = STEP, 1.0
        self._learned = False

    def ready(self, now: float, amount: float) -> float:
        if amount > self._most + EPSILON:
            return NEVER
        self._expire(now)
        most = max(self.limit, amount)
        # What was reserved before any answer was known may be too little by far.
        pending = max(self._pending, self._flying * self._typical)
        if pending + amount > most + EPSILON:
            self._bound = True
            return SETTLE
        over = self._charged + amount + self._ghost - most
        at = self._room(now, over, 0.0)
        if pending:
            # It is charged with its answer: until then what has been charged longest may have gone.
            lead = sorted(self._services)[SERVICES // 4] if len(self._services) == SERVICES else 0.0
            at = max(at, self._room(now, over + pending, lead))
        self._bound = self._bound or at > now
        return max(at, self.hold, self._next)

    def take(self, now: float, amount: float) -> Reserved:
        self._expire(now)
        if self._since == -math.inf:
            self._since = now
        gap = self._gap(amount)
        self._next = max(self._next, now - gap) + gap
        entry = Reserved(now, amount, self._charged)
        if self.precharge:
            self._charge(entry)
        else:
            self._flying += 1
            self._pending += amount
        return entry

    def settle(self, entry: Entry, amount: float, now: float) -> None:
        """What it really took; 0 for one that was refused. `now`: when it ended."""
        assert isinstance(entry, Reserved)
        if amount > 0:
            self._typical += 0.1 * (amount - self._typical) if self._typical else amount
        if self.precharge:
            if entry.at > -math.inf:  # else it has left the window, and weighs nothing any more
                self._charged += amount - entry.amount
                entry.amount = amount
            return
        self._flying -= 1
        self._pending = self._pending - entry.amount if self._flying else 0.0
        if amount > 0:
            entry.at = max(now, self._now)
            entry.amount = amount
            self._services.append(entry.at - entry.sent)
            self._charge(entry)

    def returning(self, now: float, parts: int) -> list[tuple[float, float]]:
        """(moment, how much) of what is taken comes free, in at most so many parts and what is in flight, last."""
        self._expire(now)
        log, span = list(self._log), self.period + self.margin
        size = max(1, -(-len(log) // parts))
        cuts = [log[n : n + size] for n in range(0, len(log), size)]
        ends = [(cut[-1].at + span, sum(entry.amount for entry in cut)) for cut in cuts]
        return [*ends, (now + span, self._pending)] if self._pending else ends

    def used(self, now: float) -> float:
        self._expire(now)
        return self._charged + self._pending

    def next_free(self, now: float) -> float:
        """When the first of what was charged is no more; inf if nothing was."""
        self._expire(now)
        span = self.period + self.margin
        return next((entry.at + span for entry in self._log if entry.amount > 0), math.inf)

    def over(self, now: float) -> bool:
        return self.used(now) > self.limit + 1e-9

    def withdrawn(self, entry: Entry) -> None:
        """`settle` has given back what it reserved."""

    def recall(self, at: float, now: float, amount: float) -> None:
        if amount > 0 and at > now - self.period - self.margin:
            self._charge(Reserved(at, amount, 0.0))

    def accepted(self, entry: Entry, now: float) -> None:
        assert isinstance(entry, Reserved)
        if entry.sent <= self._cut_at:
            return
        self._row = 0
        wait = self._patience * (self.period + self.margin)
        if self.learn == "off" or not self._bound or now - self._since < wait:
            return
        self._since, self._bound, self._strikes = now, False, 0
        self._clean += 1
        self.margin = max(self._margin0, 0.8 * self.margin)
        most = math.inf if self.learn == "up" else self._most
        if self.limit < most:
            self.limit = min(most, self.limit * (1.0 + self._step))
            self._step = min(STEP_MOST, 2.0 * self._step)
            self._patience = 1.0 if self._step >= STEP_PROVEN else self._patience
            self._learned = True
            if self.learn == "up":
                self._most = max(self._most, self.limit)

    def refused(self, entry: Entry, now: float, hint: float | None) -> None:
        assert isinstance(entry, Reserved)
        if hint is not None:
            self.hold = max(self.hold, now + hint + 0.2 * self.margin)
        if entry.sent <= self._cut_at:
            return
        self._row += 1
        if hint is None:
            rest = self.period * min(REST_MOST, REST_SHARE * 2.0 ** min(self._row - 1, 10))
            self.hold = max(self.hold, now + rest)
        climbing = self._cut_at > -math.inf and self._step > STEP
        self._cut_at, self._since, self._bound, self._step = now, now, False, STEP
        if self.learn != "off":
            self._patience = min(PATIENCE_MOST, 2.0 * self._patience) if climbing else self._patience
            self._learn(entry)

    def lost(self, entry: Entry, now: float) -> None:
        """It keeps what it reserved; that is all there is to do."""

    def told(self, entry: Entry, report: Report, now: float) -> None:
        """Best before the answer is settled: a header is older than the end."""
        assert isinstance(entry, Reserved)
        if self.learn == "off":
            return
        if report.limit is not None and report.limit > 0 and report.limit != self.reported:
            self._told_limit(report.limit, now)
        if report.remaining is not None and entry.sent > self._told_at and math.isfinite(self.limit):
            self._told_at = entry.sent
            self._expire(now)
            used = (self.reported or self.limit) - report.remaining
            self._look_for_strangers(entry, used, now + min(report.resets_in or self.period, self.period))

    def known(self, at: float) -> KnownLimit:
        learned = self._learned and math.isfinite(self.limit)
        return KnownLimit(
            owner=self.owner, axis=self.axis, declared=self.declared, reported=self.reported,
            measured=self.limit if learned else None, kind=self.kind, guard_s=self.margin / self._second,
            confidence=1.0 - 0.5 ** (1 + self._clean) if learned else 0.0, at=at,
        )  # fmt: skip

    def remember(self, known: KnownLimit) -> None:
        """A limit told once counts as told until it is told anew."""
        if known.reported is not None:
            self._told_limit(known.reported, -math.inf)
        if known.measured is not None and known.measured > 0:
            self._learned = True
            self._most = max(self._most, known.measured) if self.learn == "up" else self._most
            self.limit = min(self._most, known.measured)
            self._patience = PATIENCE_MOST / 4  # it was found; it is doubted in time, not at once
        self.kind = "paced" if known.kind == "paced" else self.kind
        if known.guard_s is not None:
            self.margin = min(GUARD_SHARE * self.period, max(self._margin0, known.guard_s * self._second))

    def _gap(self, amount: float) -> float:
        """Evenly spaced once the server objected to a full window twice; till then only spread a little."""
        ramp = min(RAMP_S * self._second, RAMP_SHARE * self.period)
        return (self._typical or amount) / self.limit * (self.period + self.margin if self.kind else ramp)

    def _charge(self, entry: Reserved) -> None:
        self._log.append(entry)
        self._charged += entry.amount

    def _expire(self, now: float) -> None:
        self._now = max(self._now, now)
        log, edge = self._log, now - self.period - self.margin
        while log and log[0].at <= edge:
            entry = log.popleft()
            self._charged -= entry.amount
            entry.at = -math.inf
        if not log:
            self._charged = 0.0
        if now >= self._ghost_until:
            self._ghost = 0.0

    def _room(self, now: float, over: float, lead: float) -> float:
        """When so much of what was charged will have left the window, `lead` seconds from then."""
        if over <= EPSILON:
            return now
        span, ghost = self.period + self.margin, self._ghost
        for entry in self._log:
            if ghost and self._ghost_until < entry.at + span:
                over, ghost = over - ghost, 0.0
                if over <= EPSILON:
                    return max(now, self._ghost_until - lead)
            over -= entry.amount
            if over <= EPSILON:
                return max(now, entry.at + span - lead)
        return max(now, self._ghost_until - lead) if ghost else now + span

    def _learn(self, entry: Reserved) -> None:
        """What was in the window when it left is what the server takes, unless that is the limit anyway."""
        taken = entry.beside + self._ghost
        self._strikes += 1
        self.kind = "paced" if self._strikes > 1 else self.kind
        if taken + entry.asked >= FULL * self.limit and math.isfinite(self.limit):
            self.margin = min(GUARD_SHARE * self.period, 2.0 * self.margin)
            if self._strikes == 1:
                return
            taken = max(taken, 0.9 * self.limit)
        most = self._most if math.isfinite(self._most) else 0.0
        self.limit = max(1.0, FLOOR * most, min(self.limit, taken))
        self._learned = True
        self._clean = 0

    def _told_limit(self, limit: float, now: float) -> None:
        """The server's word wins over the file's and over what was measured; upwards only where that may be."""
        self.reported = limit
        most = limit if self.declared is None or self.learn == "up" else min(self.declared, limit)
        self.limit = self._most = most
        self._since, self._bound, self._strikes, self._learned = now, False, 0, False

    def _look_for_strangers(self, entry: Reserved, used: float, until: float) -> None:
        more = used - max(self._charged + self._pending, entry.beside + entry.asked)
        self._more.append(more if more > SLACK * self.limit + entry.asked else 0.0)
        self._ghost = min(self._more) if len(self._more) == AGREE else 0.0
        self._ghost_until = until
