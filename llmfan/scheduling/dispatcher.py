"""Who sends what, now: one synchronous step looks at lanes and jobs, decides and reserves. Nothing here awaits.

Permit first, then claim: a job is never held up behind a slow key. Every ready lane pulls its next job; among several
that are ready the higher priority goes first, then the least recently used. A prompt never sleeps; only keys do.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from random import Random

from llmfan.limits.axes import FREE, PLAIN, Cost, earliest, is_quota
from llmfan.limits.window import NEVER, SETTLE, Meter
from llmfan.records import Failure, Report, Usage
from llmfan.scheduling import lessons
from llmfan.scheduling.accounts import Accounts, Again
from llmfan.scheduling.board import Board
from llmfan.scheduling.claim import Claim
from llmfan.scheduling.courtesy import ROOM, Courtesy
from llmfan.scheduling.estimate import Estimator, dollars
from llmfan.scheduling.failover import Policy, charge, eligible, eligible_for, is_exhausted, too_large
from llmfan.scheduling.finish import Finish
from llmfan.scheduling.jobs import Job, Waiting
from llmfan.scheduling.lanes import Group, Lane, ProviderState, Standing
from llmfan.scheduling.open_loop import Timetable
from llmfan.scheduling.pairs import Pairs, part
from llmfan.scheduling.purse import Purse
from llmfan.scheduling.rests import Rests
from llmfan.scheduling.stickiness import Shelf
from llmfan.scheduling.stranded import CUT_OFF, Stranded

#: Seconds without a send after this machine ran out of sockets.
PAUSE_S = 0.25
#: A refusal with this status is about what calls in flight may cost, not about how many there are.
MONEY = 402


class Dispatcher:
    """`match` gives what may be sent now; `settle_*` takes back what a claim held and says if its job has ended."""

    def __init__(
        self,
        lanes: Sequence[Lane],
        waiting: Waiting,
        estimator: Estimator,
        *,
        concurrency: int,
        policy: Policy,
        purse: Purse,
        rng: Random,
        max_tokens: Callable[[Job, Lane], int],
        say: Callable[[str], None] = lambda text: None,
        speed: float = 1.0,
        deadline: float | None = None,
        hedge: bool = False,
        again: Again | None = None,
        sticky: str | None = None,
    ):
        self.lanes, self.waiting, self.estimator = lanes, waiting, estimator
        self.policy, self.purse, self.rng = policy, purse, rng
        self.providers: list[ProviderState] = list(dict.fromkeys(lane.provider for lane in lanes))
        self._set_concurrency(concurrency)
        self.groups: list[Group] = list(dict.fromkeys(lane.group for lane in lanes))
        self.in_flight = 0
        self.stopped = False
        self.last_claim = -math.inf  # when the last job left the queue
        self.changed = False  # a lane went out, came back or rests for long: stranded jobs have to be looked for
        self.ended: list[tuple[Job, Failure]] = []  # jobs no lane will ever take
        self.unbooked: list[tuple[Meter, float]] = []  # spent, and not in the ledger yet
        self.most_tokens, self._say = max_tokens, say
        self._used = len(lanes)
        self._told_fewer = False
        self._paused, self._paused_until = False, 0.0
        self._rests = Rests(rng, say, speed)
        self._rests.patient = "" in waiting.feeds
        self._stranded = Stranded(lanes, waiting, self.ended, self._free_could)
        self._board = Board(lanes)
        self.finish = Finish(
            lanes, slots=lambda: self.concurrency - self.in_flight, jobs=waiting.left,
            tail="" in waiting.feeds and waiting.table is None, deadline=deadline, hedge=hedge,
        )  # fmt: skip
        hedges = self.finish.hedges
        self.pairs = None if hedges is None else Pairs(self.finish, hedges, self._copy, self._could_send)
        self.accounts = Accounts(lanes, again, say) if again is not None else None
        self._deadline_look = -math.inf if deadline is not None else math.inf
        if sticky is not None and "" in waiting.feeds:
            waiting.feeds[""] = Shelf(waiting.feeds[""], sticky, self.finish.takes, speed)
        self.courtesy = Courtesy(speed)
        self._held_by: dict[Meter, dict[Lane, None]] = {}  # lanes that wait for a limit's moment

    # -------------------------------------------------------------- deciding

    def match(self, now: float) -> list[Claim]:
        """All claims that can be made at `now`."""
        claims: list[Claim] = []
        waiting, table = self.waiting, self.waiting.table
        if table is not None and not self.stopped and table.look(now):
            self._board.wake_idle()
        if self.changed and not self.stopped:
            self.changed = self._stranded.look(now)
            self._board.wake_idle()
        self._paused = now < self._paused_until
        if self._paused:
            return []
        self._board.wake_due(now)
        if now >= self._deadline_look and self._asks_deadline():
            self._deadline_look = self.finish.next_look(now)
            self._board.wake_idle()
        if self.accounts is not None and self.accounts.review(now):
            self.look_again()
        while self.in_flight < self.concurrency and not self.stopped and waiting.offers:
            lane = self._board.next_ready()
            if lane is None:
                break
            claim = self._try(lane, now)
            if claim is not None:
                claims.append(claim)
        if table is not None:
            self._keep_time(table, now)
        if self.pairs is not None:
            claims += self.pairs.look(now, self.stopped or waiting.left > 0, bool(claims))
        return claims

    def _keep_time(self, table: Timetable, now: float) -> None:
        """Open loop: lanes that are ready stay so until the next arrival; where all is quiet, they wait for it."""
        table.filled(self.in_flight >= self.concurrency)
        if self.in_flight or self.waiting.offers or self.stopped:
            return
        self._board.wake_idle()
        while (lane := self._board.next_ready()) is not None:
            self._wait(lane, table.next, "its next prompt")

    def next_wake(self) -> float:
        """The moment at which a lane that waits for one may be ready, or a prompt arrives; inf if none does."""
        if self._paused:
            return self._paused_until
        at = self._board.next_wake()
        if self.waiting.table is not None and self.in_flight < self.concurrency and not self.stopped:
            at = min(at, self.waiting.table.next)
        if self.pairs is not None and not self.stopped:
            at = min(at, self.pairs.look_at)
        return min(at, self._deadline_look) if self._asks_deadline() else at

    def _asks_deadline(self) -> bool:
        """Whether time alone may open paid keys: a deadline stands, and prompts wait."""
        return self.finish.deadline is not None and not self.stopped and self.waiting.left > 0

    def grant(self, group: Group) -> None:
        """The pacer lets one request of a group leave."""
        group.permit = True
        for lane in group.lanes:
            if lane.standing is Standing.PARKED:
                self._board.ready(lane)

    def _try(self, lane: Lane, now: float) -> Claim | None:
        """One lane's turn: claim a job, or say what it waits for."""
        provider, group = lane.provider, lane.group
        if lane.out:
            lane.standing = Standing.OUT
            return None
        if lane.rest_until > now:
            self._wait(lane, lane.rest_until, lane.rest_why, quota=lane.rest_kind == "exhausted")
            return None
        if provider.circuit.open_until > now:
            self._wait(lane, provider.circuit.open_until, provider.circuit.why)
            return None
        if not provider.room(now, self._part):
            self._board.park(lane, "a first answer" if not provider.proven else "a free slot")
            return None
        if group.probing and group.in_flight:
            self._board.park(lane, "a trial request")
            return None
        most = group.pace.most_in_flight()
        if most is not None and group.in_flight >= most:
            self._board.park(lane, "a limit not known yet")
            return None
        if group.paced and not group.permit:
            self._board.pace(lane, "the pace of its limit")
            return None
        return self._take(lane, now)

    def _take(self, lane: Lane, now: float) -> Claim | None:
        """The first job this lane may serve, if every limit has room for it now: reserved in the same step."""
        while True:
            found = self.waiting.first(lambda job: self._may(lane, job, now), lane.names, lane.number, now)
            if found is None:
                later = self.waiting.look_again(lane.names, now)
                if now < later < math.inf:
                    self._wait(lane, later, "its next prompt")
                else:
                    self._board.idle(lane)
                return None
            job, came_back = found
            again = self.finish.better_wait(
                lane, self.waiting.left, now, partial(eligible_for, job) if came_back else None
            )
            if again is not None:
                self._wait(lane, again, "a faster key")
                return None
            if job.ambiguous > self.policy.max_ambiguous:
                self.waiting.remove(job, came_back, lane.number)
                self.ended.append((job, CUT_OFF))
                continue
            cost = self.cost_of(job, lane)
            at, meter = earliest(lane.meters, cost, now)
            if at == NEVER and meter is not None:
                self.waiting.remove(job, came_back, lane.number)
                self._too_large(job, lane, meter, cost)
                continue
            worst = self.worst_of(job, lane)
            if at == SETTLE:
                self._board.park(lane, "a request in flight to end")
                return None
            if not self.purse.lets(worst, lane.target.name):
                self._board.park(lane, "a request in flight to end", anywhere=True)
                return None
            if at > now:
                assert meter is not None
                self._wait(lane, at, meter.axis, is_quota(meter.axis), meter)
                return None
            if job.batch and (free := self.courtesy.until(lane, cost, now)) > now:
                self._wait(lane, free, ROOM)
                return None
            self.waiting.remove(job, came_back, lane.number)
            return self._claim(job, lane, cost, worst, now)

    def cost_of(self, job: Job, lane: Lane) -> Cost:
        """What a request for this job is expected to take of the lane's limits."""
        return self.estimator.cost(job, lane, self.most_tokens(job, lane)) if lane.counts_tokens else PLAIN

    def worst_of(self, job: Job, lane: Lane) -> float:
        """USD that it may cost at most."""
        return 0.0 if lane.price is None else self.estimator.worst(job, lane, self.most_tokens(job, lane))

    def _claim(self, job: Job, lane: Lane, cost: Cost, worst: float, now: float) -> Claim:
        entries = [m.take(now, cost[m.unit]) for m in lane.meters]
        self.unbooked += [(m, cost[m.unit]) for m in lane.booked if m.limit < math.inf and cost[m.unit]]
        lane.group.permit = False
        lane.group.in_flight += 1
        lane.group.last_send = self.last_claim = now
        if lane.provider.in_flight == 0:
            lane.provider.last_heard = now
        lane.provider.in_flight += 1
        lane.in_flight += 1
        self.in_flight += 1
        self.purse.reserve(worst, lane.target.name)
        self._used += 1
        lane.last_used = self._used
        lane.spent = False
        self._board.ready(lane)
        claim = Claim(job, lane, cost, worst, entries, now)
        self.finish.took(claim, now)
        if self.accounts is not None:
            self.accounts.sent(claim)
        return claim

    def _may(self, lane: Lane, job: Job, now: float) -> bool:
        """Whether this lane is a right place for this job now."""
        if job.last is None and not (job.banned or job.ambiguous or job.pinned or lane.target.paid or lane.out):
            return not job.only or job.only in lane.names  # nothing bars it yet
        if not eligible(lane, job):
            return False
        # Waiting for a minute's limit is no reason to pay, unless the deadline would be missed by it.
        if lane.target.paid and not self.finish.misses(self.waiting.left, now) and self._free_could(job, now):
            return False
        # What was sent once and never answered goes where answers come from, as long as there is such a place.
        return not job.ambiguous or lane.provider.proven or not self._better_place(lane, job, now)

    def _free_could(self, job: Job, now: float) -> bool:
        """Whether a free key can serve it in this run, one that it keeps away from for now included."""
        return any(not o.target.paid and o.able(now) and eligible(o, job, avoided=True) for o in self.lanes)

    def _better_place(self, lane: Lane, job: Job, now: float) -> bool:
        return any(
            o is not lane and eligible(o, job) and o.able(now) and (o.provider.proven or o.provider.in_flight)
            for o in self.lanes
            if lane.target.paid or not o.target.paid  # a paid one waits for the free ones: they must not wait for it
        )

    def _set_concurrency(self, most: int) -> None:
        """`_part`: in flight for a provider that has not answered yet; all together at most half of what there is."""
        self.concurrency = most
        self._part = most if len(self.providers) == 1 else max(1, most // (2 * len(self.providers)))

    def _too_large(self, job: Job, lane: Lane, meter: Meter, cost: Cost) -> None:
        """Refused before it is sent, with its reason; others may be larger."""
        job.banned |= {lane.place}
        job.last = too_large(lane, meter, cost)
        self._return(job)

    def _could_send(self, lane: Lane, cost: Cost, now: float) -> bool:
        paced = lane.group.paced and not lane.group.permit
        return not paced and SETTLE < earliest(lane.meters, cost, now)[0] <= now

    def _copy(self, job: Job, lane: Lane, now: float) -> Claim | None:
        """A second claim of a job that is in flight elsewhere, if this lane may send at once."""
        cost = self.cost_of(job, lane)
        worst = self.worst_of(job, lane)
        if self.in_flight >= self.concurrency or not self._could_send(lane, cost, now):
            return None
        return self._claim(job, lane, cost, worst, now) if self.purse.lets(worst, lane.target.name) else None

    # -------------------------------------------------------------- settling

    def settle_answer(self, claim: Claim, usage: Usage, now: float, reports: Iterable[Report] = ()) -> float | None:
        """Frees what the claim held, at what it really cost. Gives the cost in USD, None where no price is known."""
        lane = claim.lane
        spent = dollars(lane.price, usage.input_tokens, usage.output_tokens, usage.cached_tokens)
        if reports:  # first: what a header tells is older than the answer's end
            self._told(claim, reports, now)
        self.purse.heard(lane.target.name)  # before it is freed: others may leave then
        if lane.counts_tokens:
            neurons = usage.neurons
            if neurons is None:
                neurons = self.estimator.neurons(lane.target.name, usage.input_tokens, usage.output_tokens)
            self._free(claim, lane.cost(usage.input_tokens, usage.output_tokens, neurons), now, spent or 0.0)
            if usage.source == "server":
                self.estimator.counted(claim.job, lane, self.most_tokens(claim.job, lane), usage)
        else:
            self._free(claim, claim.cost, now, 0.0)
        lessons.answered(claim.meters, claim.learners, claim.entries, now)
        provider = lane.provider
        if not provider.proven:
            provider.proven = provider.answered = True
            self.changed = True  # what was sent once already may come here now
        provider.slowest = max(provider.slowest, now - claim.sent)
        self.finish.answered(claim, now - claim.sent, usage.output_tokens)
        lane.group.probing = False
        for cooldown in lane.cooldowns:
            cooldown.answered(claim.sent)
        if provider.circuit.answered():  # who waits for it to open again need not
            self._board.wake([waits for waits in provider.lanes if waits.standing is Standing.TIMED])
            self.changed = True
        return spent

    def settle_failure(self, claim: Claim, failure: Failure, now: float) -> bool:
        """Frees the claim and applies the scope's consequence. True: the job has ended; False: it waits again."""
        lane, job = claim.lane, claim.job
        # A refusal before processing costs no tokens; what may have been processed keeps what it reserved.
        kept = claim.cost if failure.ambiguous else (claim.cost[0], 0.0, 0.0, 0.0, 0.0, 0.0)
        if failure.reports:
            self._told(claim, failure.reports, now)
        self._free(claim, kept, now, claim.worst if failure.ambiguous else 0.0)
        if failure.kind == "rate_limited" and failure.http_status != MONEY and not is_exhausted(failure):
            if self.accounts is not None and self.accounts.refused(claim, failure, now):
                self.look_again()
            hold = lessons.refused(claim.meters, claim.learners, claim.entries, failure, now)
            self._rests.hold(lane, claim.sent, failure, hold, now)
        else:
            lessons.failed(claim.meters, claim.learners, claim.entries, failure, now)
            self._rests.apply(lane, claim.sent, failure, now)
        if failure.free and failure.scope == "request":
            self._fewer(failure, now)
        self.changed = True  # who waits for a better place has to look again
        self.finish.failed()
        ended = charge(job, failure, lane, self.policy)
        if claim.dropped or claim.twin is not None:  # the other of the pair goes on alone, or has answered
            part(claim)
            return False
        if ended:
            return True
        self._return(job)
        return False

    def _told(self, claim: Claim, reports: Iterable[Report], now: float) -> None:
        paced = claim.lane.group.paced
        lessons.told(claim.meters, claim.entries, reports, now)
        if claim.lane.group.paced and not paced:
            self.changed = True  # it needs a pacer from now on
        if self.accounts is not None and self.accounts.told(claim, reports, now):
            self.look_again()

    def look_again(self) -> None:
        """Lanes pass other limits from now on, or others left room: each has to look again what it waits for."""
        self._board.wake([lane for lane in self.lanes if lane.standing in (Standing.TIMED, Standing.PARKED)])
        self.changed = True

    def _fewer(self, failure: Failure, now: float) -> None:
        """This machine cannot hold so many requests: no provider is punished for that, and nothing spins."""
        self._paused_until = now + PAUSE_S
        fewer = max(1, self.in_flight)
        if fewer < self.concurrency:
            self._set_concurrency(fewer)
            if not self._told_fewer:
                self._told_fewer = True
                self._say(f"fewer requests at once from here on: {failure.message}")

    def go_on(self, job: Job) -> None:
        """A conversation's next turn waits, on the model that answered the last."""
        self._return(job)

    def give_up(self) -> bool:
        """Nobody ever answered: what was tried and failed ends so."""
        return self._stranded.give_up()

    def release(self, claim: Claim, now: float, *, left: bool = True) -> None:
        """Gives a claim back as if it had not been made (the run was stopped): its job waits again, for --resume.

        What had left may be billed all the same. What never left (`left` False) costs nothing.
        """
        if left:
            cost, spent = self.estimator.so_far(claim.job, claim.lane, claim.cost), claim.worst if claim.stamp else 0.0
            self._free(claim, cost, now, spent)
            lessons.lost(claim.meters, claim.learners, claim.entries, now)
        else:
            self._free(claim, FREE, now, 0.0)
            lessons.withdrawn(claim.meters, claim.learners, claim.entries)
            self.grant(claim.lane.group)
        if claim.dropped or claim.twin is not None:
            part(claim)
        else:
            self._return(claim.job)

    def _free(self, claim: Claim, cost: Cost, now: float, spent: float) -> None:
        claim.settled = True
        lane, provider = claim.lane, claim.lane.provider
        for meter, entry in zip(claim.meters, claim.entries, strict=True):
            meter.settle(entry, cost[meter.unit], now)
        self.unbooked += [
            (m, -1.0 if m.axis == "concurrency" else cost[m.unit] - claim.cost[m.unit])
            for m in claim.booked
            if m.limit < math.inf and (m.axis == "concurrency" or cost[m.unit] != claim.cost[m.unit])
        ]  # what it took after all, as against what was reserved
        self.finish.ended(claim)
        lane.in_flight -= 1
        lane.group.in_flight -= 1
        provider.in_flight -= 1
        provider.last_heard = now
        self.in_flight -= 1
        self.purse.settle(claim.worst, spent, lane.target.name)
        if self._board.parked:
            mine, purse = self._board.parked.get(provider.name), self._board.parked.get("")
            self._board.wake(
                [p for parked in (mine, purse) for p in parked or () if p.group.permit or not p.group.paced]
            )
        for meter in claim.meters:
            if held := self._held_by.get(meter):  # given back, or learned: others may go sooner
                self._board.wake([p for p in held if p.standing is Standing.TIMED and p.held_by is meter])
                held.clear()

    # -------------------------------------------------------------- jobs that came back, lanes that wait

    def keep_running(self, longest_rest: float, out_for: str) -> None:
        """There is no end in sight: nobody is given up for good, and nobody rests for long. Seconds."""
        self._rests.patient, self._rests.out_for = True, out_for
        for provider in self.providers:
            provider.circuit.cap = longest_rest

    def readmit(self, lanes: Iterable[Lane]) -> None:
        """Those that were out are asked again."""
        for lane in lanes:
            lane.out, lane.fault = "", None
            self._board.ready(lane)
        self.changed = True

    def submit(self, job: Job, now: float) -> None:
        """A call comes in, where the fleet is kept running. One that somebody waits for goes ahead of batches."""
        if not job.batch:
            self.courtesy.called(now)
        self._return(job)
        if self.waiting.back[job.place][0] is job:
            self.look_at_queue()

    def look_at_queue(self) -> None:
        """Another job is the first now: lanes that wait for what the one before needs may take it at once."""
        held = [x for x in self.lanes if x.standing is Standing.TIMED and (x.waits_for == ROOM or _by_size(x))]
        self._board.wake(held)
        self.changed = True

    def _return(self, job: Job) -> None:
        if job.gone:
            return
        self.waiting.put_back(job)
        self.changed = True

    def _wait(self, lane: Lane, until: float, why: str, quota: bool = False, meter: Meter | None = None) -> None:
        lane.held_by = meter
        if meter is not None:
            self._held_by.setdefault(meter, {})[lane] = None
        if quota and not lane.spent:
            self.changed = True  # who waits for a better place has to look again
        lane.spent = quota
        self._board.wait(lane, until, why)


def _by_size(lane: Lane) -> bool:
    """It waits for a limit of which a smaller job may need less."""
    return lane.held_by is not None and lane.held_by.unit > 0
