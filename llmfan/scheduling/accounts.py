"""Keys that turn out to draw on one account are counted as one: their lanes pass the same limits and the same pacer."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

from llmfan.limits.gauge import Gauge
from llmfan.limits.sharing import News, Sharing
from llmfan.limits.window import Meter
from llmfan.records import Failure, Report
from llmfan.scheduling.claim import Claim
from llmfan.scheduling.lanes import Group, Lane

#: A gauge like another, fresh, of so much.
Again = Callable[[Gauge, float], Gauge]
#: Seconds between two looks whether keys share an account after all.
REVIEW_S = 1.0


class Accounts:
    """Watches the keys of each provider. `again` makes a gauge like another; `say` tells the user what was found."""

    def __init__(self, lanes: Sequence[Lane], again: Again, say: Callable[[str], None]):
        self._again, self._say, self._review_at = again, say, 0.0
        self._members: dict[str, Group] = {}  # the pacing group of each owner by itself
        self._home: dict[str, list[Lane]] = {}
        self._meters: dict[Lane, tuple[Meter, ...]] = {}
        self._watch: dict[str, Sharing] = {}
        self.joined: dict[str, str] = {}  # owner → the first of those it is counted with (itself, once parted)
        for lane in lanes:
            self._members.setdefault(lane.owner, lane.group)
            self._home.setdefault(lane.owner, []).append(lane)
            self._meters[lane] = lane.meters
        self._pair_up(lanes)

    def _pair_up(self, lanes: Sequence[Lane]) -> None:
        """One `Sharing` for the keys of a provider whose limits are of one axis, and of one model where those count."""
        kin: dict[tuple[str, str, str], dict[str, Gauge]] = {}
        for lane in lanes:
            pace = lane.group.pace
            if pace.declared is not None:
                ident = (lane.target.provider, pace.axis, lane.owner.partition("/")[2])
                kin.setdefault(ident, {})[lane.owner] = pace
        for gauges in kin.values():
            if len(gauges) > 1:
                any_one = next(iter(gauges.values()))
                sharing = Sharing(gauges, any_one.period, any_one.margin)
                self._watch.update(dict.fromkeys(gauges, sharing))

    # ---------------------------------------------------------- what is seen

    def adopt(self, pairs: Iterable[tuple[str, str]], now: float) -> None:
        """What an earlier run or a probe found, unless the file gives these keys accounts of their own."""
        for pair in pairs:
            sharing = self._watch.get(pair[0])
            if sharing is not None and self._watch.get(pair[1]) is sharing and not self._named_apart(pair):
                self._apply(sharing, sharing.adopt([pair], now), now)

    def _named_apart(self, pair: tuple[str, str]) -> bool:
        first, second = (self._home[owner][0].target for owner in pair)
        named = all(target.account not in ("default", target.key) for target in (first, second))
        return named and first.account != second.account

    def sent(self, claim: Claim) -> None:
        sharing = self._watch.get(claim.lane.owner)
        if sharing is not None:
            sharing.sent(claim.lane.owner, claim.sent)

    def refused(self, claim: Claim, failure: Failure, now: float) -> bool:
        """A 429. True: from now on it is counted otherwise."""
        sharing = self._watch.get(claim.lane.owner)
        limit = _believed(claim.lane.group.pace)
        if sharing is None or limit is None or failure.axis not in ("", "requests", claim.lane.group.pace.axis):
            return False
        return self._apply(sharing, sharing.refused(claim.lane.owner, claim.sent, now, limit), now)

    def told(self, claim: Claim, reports: Iterable[Report], now: float) -> bool:
        sharing = self._watch.get(claim.lane.owner)
        changed = False
        for report in reports if sharing is not None else ():
            mine = report.axis in ("requests", claim.lane.group.pace.axis)
            if sharing is not None and mine and report.limit is not None and report.remaining is not None:
                news = sharing.told(claim.lane.owner, claim.sent, now, report.limit, report.remaining)
                changed = self._apply(sharing, news, now) or changed
        return changed

    def review(self, now: float) -> bool:
        """Every `REVIEW_S`, however often it is asked: what refusals alone joined is tried apart after a while."""
        changed = False
        if now < self._review_at:
            return changed
        self._review_at = now + REVIEW_S
        for sharing in dict.fromkeys(self._watch.values()):
            changed = self._apply(sharing, sharing.review(now), now) or changed
        return changed

    # ---------------------------------------------------------- what follows

    def _apply(self, sharing: Sharing, news: News, now: float) -> bool:
        if not (news.join or news.part):
            return False
        for first in dict.fromkeys(pair[0] for pair in news.join):
            self._join(sharing, first, now)
        for first in dict.fromkeys(pair[0] for pair in news.part):
            self._part(sharing, [first, *(pair[1] for pair in news.part if pair[0] == first)], now)
        return True

    def _join(self, sharing: Sharing, first: str, now: float) -> None:
        owners = sorted(sharing.group(first), key=list(self._members).index)
        lead = self._members[owners[0]]
        paces = [self._members[owner].pace for owner in owners]
        gauge = self._fresh(sharing, owners, max(_believed(pace) or 0.0 for pace in paces), now)
        gauge.hold = max(pace.hold for pace in paces)
        names = ", ".join(owners)
        self._say(f"{names} draw on one account: counted as one from here on (say so with account: in the file)")
        counters = {m.axis: m for lane in self._home[owners[0]] for m in self._meters[lane] if m is not lead.pace}
        told: set[Meter] = set()
        for owner in owners:
            self.joined[owner] = owners[0]
            for lane in self._home[owner]:
                lane.use(self._shared(meter, counters, gauge, told, now) for meter in self._meters[lane])
                _move(lane, lead)
        lead.pace = gauge

    def _part(self, sharing: Sharing, owners: list[str], now: float) -> None:
        self._say(f"{', '.join(owners)} turn out to have accounts of their own")
        for owner in owners:
            self.joined[owner] = owner
            group, believed = self._members[owner], _believed(self._members[owner].pace) or 1.0
            group.pace = self._fresh(sharing, [owner], believed, now)
            for lane in self._home[owner]:
                lane.use(group.pace if _is_pace(m, group.pace) else m for m in self._meters[lane])
                _move(lane, group)

    def _fresh(self, sharing: Sharing, owners: Sequence[str], limit: float, now: float) -> Gauge:
        """A gauge that knows what these owners have sent."""
        gauge = self._again(self._members[owners[0]].pace, limit)
        since = now - gauge.period - gauge.margin
        for at in sorted(at for owner in owners for at in sharing.moments(owner, since)):
            gauge.recall(at, now, 1.0)
        gauge.expect(sum(self._members[owner].pace.to_come for owner in owners))
        return gauge

    def counters(self, lane: Lane) -> Iterable[tuple[Meter, Meter]]:
        """(what was made for a lane, what it passes now) of each of its limits."""
        return zip(self._meters[lane], lane.meters, strict=True)

    @staticmethod
    def _shared(meter: Meter, counters: dict[str, Meter], gauge: Gauge, told: set[Meter], now: float) -> Meter:
        """The counter that takes this one's place: of the same limit of the first owner, told what this one has."""
        if _is_pace(meter, gauge):
            return gauge
        first = counters.get(meter.axis)
        if first is None or first is meter or first.limit != meter.limit or meter.limit == math.inf:
            return meter
        if meter not in told:
            told.add(meter)
            first.recall(now, now, meter.used(now))
        return first


def _is_pace(meter: Meter, pace: Gauge) -> bool:
    """Whether it is the limit that paces, rather than another one of requests."""
    return isinstance(meter, Gauge) and meter.axis == pace.axis


def _believed(pace: Gauge) -> float | None:
    """The limit before any refusal."""
    return pace.reported if pace.reported is not None else pace.declared


def _move(lane: Lane, group: Group) -> None:
    """From its pacer to another's, with what it has in flight."""
    if lane.group is group:
        return
    lane.group.lanes.remove(lane)
    lane.group.in_flight -= lane.in_flight
    lane.group = group
    group.lanes.append(lane)
    group.in_flight += lane.in_flight
