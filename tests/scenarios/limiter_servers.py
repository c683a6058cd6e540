"""The limiter at the far end of whole runs: one provider with a limiter of a chosen kind, jitter and habits.

A `LimiterServer` is a `Behaviour`, so it plays on the virtual clock (`world.play`) and over HTTP on loopback
(`Serving`; there with `speed`, which shortens all it does). Requests reach it later than they were sent and not in the
order they were sent in, yet a behaviour must say at the send what will be answered. It does so as follows. What happens
at the server (arrivals, ends of answers, strangers, changes of a limit) waits in a queue until the clock has passed it,
and is then played on the counters for good, in the order of time. A new request is judged on a copy of them, played
forward to its arrival. Only where it would take the place of one that was sent before it, will arrive after it and has
been promised an answer, it is refused in that one's stead.

Times here are seconds since the first request was sent, at the server's own speed.
"""

from __future__ import annotations

import heapq
import itertools
import math
import pickle
import random
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import msgspec

from llmfan.limits.axes import Cost
from llmfan.limits.ideal import Flow, LaneFlow, ideal_duration
from llmfan.settings import HeaderRow, Preset
from llmfan.simulation.fake import always, good
from llmfan.simulation.limiter import (
    Admission,
    Bucket,
    Counter,
    Entry,
    FixedWindow,
    InFlight,
    SlidingCounter,
    SlidingLog,
    admit_all,
)
from llmfan.simulation.script import Script

Kind = Literal["sliding", "fixed", "counter", "bucket", "bucket10", "bucket1"]
KINDS: tuple[Kind, ...] = ("sliding", "fixed", "counter", "bucket", "bucket10", "bucket1")
Hint = Literal["retry-after", "constant", "headers"]
#: When tokens are charged: `ahead`: max_tokens at the door, the unused rest given back at the end; `kept`: never given
#: back; `used`: what it took, at its end, and at the door only that something is left.
Charge = Literal["ahead", "kept", "used"]

#: On the way there at least; on the way back; and how long a refusal takes.
THERE, BACK, REFUSING = 0.05, 0.05, 0.01
#: Delays beyond that: even up to the first, one in so many by an exponential of the last more.
JITTER, SPIKES, SPIKE = 0.3, 0.02, 1.0
#: What `simulation/fake` says a prompt took.
PROMPT_TOKENS = 5
FOOT_IN_THE_DOOR = 1e-6
REFUSED = {"error": {"message": "Rate limit reached.", "type": "requests", "code": "rate_limit_exceeded"}}
#: A preset that reads this server's headers.
PRESET = Preset(
    name="limiter", checked="2026-11-20",
    limit_headers=[
        HeaderRow(name="x-ratelimit-limit-requests", axis="rpm", role="limit"),
        HeaderRow(name="x-ratelimit-remaining-requests", axis="rpm", role="remaining"),
        HeaderRow(name="x-ratelimit-reset-requests", axis="rpm", role="reset"),
    ],
)  # fmt: skip


@dataclass(frozen=True)
class Limit:
    """`figure` `requests` or `tokens` in `window` seconds; or so many `in_flight`."""

    figure: float
    window: float = 60.0
    kind: Kind = "sliding"
    unit: Literal["requests", "tokens", "in_flight"] = "requests"

    @property
    def burst(self) -> float:
        return max(1.0, self.figure / {"bucket": 1, "bucket10": 10}.get(self.kind, self.figure))

    def counter(self, phase: float) -> Counter:
        if self.unit == "in_flight":
            return InFlight(self.figure)
        match self.kind:
            case "sliding":
                return SlidingLog(self.figure, self.window)
            case "fixed":
                return FixedWindow(self.figure, self.window, phase)
            case "counter":
                return SlidingCounter(self.figure, self.window, phase)
        return Bucket(self.figure, self.window, self.burst)

    def flow(self, owner: str, phase: float) -> Flow:
        kind = "bucket" if self.kind.startswith("bucket") else self.kind
        unit = 0 if self.unit == "requests" else 1
        return Flow(owner=owner, unit=unit, limit=self.figure, period=self.window, kind=kind, elapsed=phase,
                    burst=self.burst if kind == "bucket" else None)  # fmt: skip


@dataclass(frozen=True)
class Stranger:
    """Somebody else on the same counters, with so much of the first limit, evenly at random, from `start` to `stop`."""

    share: float
    start: float = 0.0
    stop: float = math.inf


@dataclass
class Arrival:
    """One request as the server saw it. `tokens`: what it cost or would have; `ends`: when its answer was back."""

    account: str
    key: str
    sent: float
    at: float
    ends: float
    tokens: float
    refused: bool = False


@dataclass(order=True)
class Event:
    """Something that happens to the counters of one account: `amounts` to take, at an `end` perhaps to give back."""

    at: float
    order: int
    what: str = field(compare=False)  # promised, counted, stranger, end, limit
    amounts: list[float] = field(compare=False)
    of: int = field(compare=False, default=-1)


class Verdict(NamedTuple):
    """`wait` of a refused request: how long until it would pass. `seen`: each counter's figures."""

    ok: bool
    wait: float
    seen: Sequence[Admission]


@dataclass
class Door:
    """The counters of one account, and what each request holds of them."""

    limits: Sequence[Limit]
    counters: list[Counter]
    held: dict[int, list[Entry]] = field(default_factory=dict)
    strangers: int = 0

    def foresee(self, queue: Sequence[Event], new: Event) -> Verdict:
        """The verdict on a request, on a copy of the counters."""
        trial: Door = pickle.loads(pickle.dumps(self))
        events = sorted(queue)
        last = max([event.at for event in events if event.what == "promised"], default=new.at)
        for event in events:
            if event.at <= new.at:
                trial.play(event)
        verdict = trial.judge(new.at, new.amounts)
        asked_at = new.at
        if verdict.ok:
            asked_at = last
            trial.play(new)
            seen = trial.judge(new.at, [0.0] * len(new.amounts)).seen
            kept = [trial.play(event) for event in events if new.at < event.at <= last]
            verdict = Verdict(all(kept), 0.0, seen)
        return verdict if verdict.ok else verdict._replace(wait=trial.free_at(asked_at, new.amounts) - new.at)

    def free_at(self, moment: float, amounts: Sequence[float]) -> float:
        """A counter may give the end of its window, and find then that the next one is not free yet: asked again."""
        for _ in range(3):
            seen = self.judge(moment, amounts)
            if seen.ok:
                break
            moment += seen.wait
        return moment

    def judge(self, at: float, amounts: Sequence[float]) -> Verdict:
        seen = [counter.look(at, amount) for counter, amount in zip(self.counters, amounts, strict=True)]
        return Verdict(all(one.ok for one in seen), max(one.retry_after for one in seen), seen)

    def play(self, event: Event) -> bool:
        """False if the counters would refuse what was promised an answer."""
        pairs = list(zip(self.counters, event.amounts, strict=True))
        ok = event.what != "promised" or self.judge(event.at, event.amounts).ok
        match event.what:
            case "promised":
                self.held[event.of] = [counter.take(event.at, amount) for counter, amount in pairs]
            case "counted":
                for counter, amount in pairs:
                    counter.take(event.at, amount)
            case "stranger":
                self.strangers += isinstance(admit_all(event.at, pairs), list)
            case "end":
                for (counter, amount), entry in zip(pairs, self.held.pop(event.of), strict=True):
                    if amount > 0:
                        counter.take(event.at, amount)
                    elif amount < 0:
                        counter.give_back(event.at, entry, -amount)
            case "limit":
                for (counter, factor), limit in zip(pairs, self.limits, strict=True):
                    counter.look(event.at, 0.0)  # what has flowed in until now did so at the old rate
                    counter.limit = limit.figure * factor
        return ok


class LimiterServer:
    """One provider. `account` says whose counters a key draws on; `cuts`: (moment, factor) of the limits from then on.

    `service` and `answer` are means (seconds, tokens) of lognormals with `sigma` and `answer_sigma`.
    """

    def __init__(
        self,
        *limits: Limit,
        seed: object = 0,
        service: float = 2.0,
        sigma: float = 0.5,
        hints: Sequence[Hint] = (),
        count_refused: bool = False,
        account: Callable[[str], str] = lambda key: key,
        stranger: Stranger | None = None,
        cuts: Sequence[tuple[float, float]] = (),
        charge: Charge = "used",
        answer: float = 3.0,
        answer_sigma: float = 0.0,
        jitter: bool = True,
        speed: float = 1.0,
    ):
        self.limits, self.seed, self.service, self.sigma = limits, seed, service, sigma
        self.hints, self.count_refused, self.account = hints, count_refused, account
        self.stranger, self.cuts, self.charge = stranger, cuts, charge
        self.answer, self.answer_sigma, self.jitter, self.speed = answer, answer_sigma, jitter, speed
        self.arrivals: list[Arrival] = []
        self._rng = random.Random(f"{seed}")
        self._origin: float | None = None
        self._doors: dict[str, Door] = {}
        self._queues: dict[str, list[Event]] = {}
        self._others: dict[str, tuple[random.Random, float]] = {}
        self._order = itertools.count()

    # ------------------------------------------------------------ what a run asks

    def __call__(self, now: float, key: str, body: bytes) -> Script:
        self._origin = now if self._origin is None else self._origin
        sent, account = (now - self._origin) * self.speed, self.account(key)
        delay, service, output, asked = self._dice(body)
        door, queue = self._open(account), self._queues[account]
        while queue and queue[0].at <= sent:
            door.play(heapq.heappop(queue))
        at, real = sent + delay, float(PROMPT_TOKENS + output)
        self._let_strangers_come(account, at)
        ahead = FOOT_IN_THE_DOOR if self.charge == "used" else float(PROMPT_TOKENS + (asked or output))
        amounts = [ahead if limit.unit == "tokens" else 1.0 for limit in self.limits]
        verdict = door.foresee(queue, Event(at, next(self._order), "promised", amounts))
        taking = (service if verdict.ok else REFUSING) + BACK
        tokens = ahead if self.charge == "kept" else real
        self.arrivals.append(Arrival(account, key, sent, at, at + taking, tokens, not verdict.ok))
        if verdict.ok:
            self._admit(account, at, at + service, amounts, tokens)
            script = good(taking, output_tokens=output)(now, key, body)
        else:
            self._refuse(account, at)
            script = always(429, REFUSED, latency=taking)(now, key, body)
        writes = [((delay + due) / self.speed, data) for due, data in script.writes]
        return Script(script.status, {**script.headers, **self._hinted(verdict)}, writes)

    def _dice(self, body: bytes) -> tuple[float, float, int, int]:
        """Delay, service time, tokens of the answer, and max_tokens: always as many throws, whatever becomes of it."""
        rng = self._rng
        even, spiked, spike = rng.random(), rng.random(), rng.expovariate(1 / SPIKE)
        delay = THERE + (even * JITTER + spike * (spiked < SPIKES) if self.jitter else 0.0)
        service = self.service * math.exp(rng.gauss(0.0, 1.0) * self.sigma - self.sigma**2 / 2)
        output = self.answer * math.exp(rng.gauss(0.0, 1.0) * self.answer_sigma - self.answer_sigma**2 / 2)
        asked = int(msgspec.json.decode(body, type=dict[str, Any]).get("max_tokens") or 0) if body else 0
        return delay, service, max(1, min(round(output), asked or round(output))), asked

    def _open(self, account: str) -> Door:
        if account not in self._doors:
            phases = self.phases(account)
            counters = [limit.counter(phase) for limit, phase in zip(self.limits, phases, strict=True)]
            self._doors[account] = Door(self.limits, counters)
            cuts = [Event(at, next(self._order), "limit", [factor] * len(counters)) for at, factor in self.cuts]
            self._queues[account] = cuts
            heapq.heapify(cuts)
            self._others[account] = (random.Random(f"{self.seed} stranger {account}"), 0.0)
        return self._doors[account]

    def phases(self, account: str) -> list[float]:
        """How much of each limit's window has passed at the start."""
        rng = random.Random(f"{self.seed} phase {account}")
        return [rng.random() * limit.window if limit.kind in ("fixed", "counter") else 0.0 for limit in self.limits]

    def _let_strangers_come(self, account: str, until: float) -> None:
        if self.stranger is None:
            return
        rng, at = self._others[account]
        first = self.limits[0]
        at = max(at, self.stranger.start)
        while at < min(until, self.stranger.stop):
            at += rng.expovariate(self.stranger.share * first.figure / first.window)
            amounts = [1.0 if limit.unit == "requests" else 0.0 for limit in self.limits]
            if at < self.stranger.stop:
                heapq.heappush(self._queues[account], Event(at, next(self._order), "stranger", amounts))
        self._others[account] = (rng, at)

    def _admit(self, account: str, at: float, done: float, amounts: list[float], tokens: float) -> None:
        n, queue = len(self.arrivals), self._queues[account]
        late = {"requests": 0.0, "in_flight": -1.0}
        rest = [late.get(limit.unit, tokens - amount) for limit, amount in zip(self.limits, amounts, strict=True)]
        heapq.heappush(queue, Event(at, next(self._order), "promised", amounts, n))
        heapq.heappush(queue, Event(done, next(self._order), "end", rest, n))

    def _refuse(self, account: str, at: float) -> None:
        """A refused request counts as one where it counts; it took no tokens and no slot."""
        if self.count_refused:
            amounts = [float(limit.unit == "requests") for limit in self.limits]
            heapq.heappush(self._queues[account], Event(at, next(self._order), "counted", amounts))

    def _hinted(self, verdict: Verdict) -> dict[str, str]:
        headers, first = {}, verdict.seen[0]
        if "headers" in self.hints:
            headers["x-ratelimit-limit-requests"] = f"{first.limit:.0f}"
            headers["x-ratelimit-remaining-requests"] = f"{math.floor(first.remaining + 1e-6)}"
            headers["x-ratelimit-reset-requests"] = f"{first.reset / self.speed:.3f}"
        if not verdict.ok and "retry-after" in self.hints and verdict.wait < math.inf:
            headers["retry-after"] = f"{verdict.wait / self.speed:.3f}"
        if not verdict.ok and "constant" in self.hints:
            headers["retry-after"] = f"{1 / self.speed:g}"
        return headers

    # ------------------------------------------------------------ what a test asks

    @property
    def answers(self) -> int:
        return sum(not one.refused for one in self.arrivals)

    @property
    def refusals(self) -> int:
        return len(self.arrivals) - self.answers

    @property
    def refusals_per_answer(self) -> float:
        return self.refusals / max(1, self.answers)

    @property
    def makespan(self) -> float:
        """When the last answer was back."""
        return max((one.ends for one in self.arrivals if not one.refused), default=0.0)

    @property
    def strangers(self) -> int:
        """How many of others were let in so far."""
        return sum(door.strangers for door in self._doors.values())

    def by_key(self) -> dict[str, list[Arrival]]:
        """Each key's requests in the order they came in."""
        found: dict[str, list[Arrival]] = {}
        for one in sorted(self.arrivals, key=lambda one: one.at):
            found.setdefault(one.key, []).append(one)
        return found

    def rate(self, start: float, stop: float) -> float:
        """Requests let in per second."""
        return sum(start <= one.at < stop and not one.refused for one in self.arrivals) / (stop - start)

    def passing(self, limit: Limit) -> float:
        """By how much a sliding limit was ever passed: by requests let in, by tokens when they were charged."""
        worst = 0.0
        for account in self._doors:
            own = [one for one in self.arrivals if one.account == account and not one.refused]
            late = limit.unit == "tokens" and self.charge == "used"
            moments = [one.ends - BACK if late else one.at for one in own]
            amounts = [one.tokens if limit.unit == "tokens" else 1.0 for one in own]
            log = sorted(zip(moments, amounts, strict=True))
            worst = max(worst, most_in_any(log, limit.window) - limit.figure)
        return worst

    def lanes(self) -> list[LaneFlow]:
        """The true limits of each account that was seen."""
        return [self._lane(account) for account in self._doors]

    def _lane(self, account: str) -> LaneFlow:
        owner = f"{id(self)} {account}"
        flows = [(n, one, phase) for n, (one, phase) in enumerate(zip(self.limits, self.phases(account), strict=True))]
        return LaneFlow(
            flows=tuple(one.flow(f"{owner} {n}", phase) for n, one, phase in flows if one.unit != "in_flight"),
            service=THERE + self.service + BACK,
            in_flight=tuple((owner, one.figure) for one in self.limits if one.unit == "in_flight"),
        )


def true_ideal(jobs: int, *servers: LimiterServer, concurrency: float = 64) -> float:
    """The least time under the true limits, once the run is over: by the accounts that were used and, where tokens
    count, by what the answers took. Jitter, strangers and cuts are not in it.
    """
    took = [one.tokens for server in servers for one in server.arrivals if not one.refused]
    mean: Cost = (1.0, statistics.fmean(took), 0.0, 0.0, 0.0, 0.0)
    least: Cost = (1.0, min(took), 0.0, 0.0, 0.0, 0.0)
    lanes = [lane for server in servers for lane in server.lanes()]
    found = ideal_duration(jobs, mean, lanes, concurrency, least=least)
    assert found is not None
    return found


def most_in_any(log: Sequence[tuple[float, float]], window: float) -> float:
    """The largest sum in one half-open stretch of a window's length."""
    most = total = 0.0
    start = 0
    for at, amount in log:
        total += amount
        while log[start][0] <= at - window + 1e-6:
            total -= log[start][1]
            start += 1
        most = max(most, total)
    return most
