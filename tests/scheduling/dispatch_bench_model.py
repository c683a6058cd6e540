"""How long a batch takes under several ways of spreading it: a simulation of the judgement alone, on exact limits.

    python tests/scheduling/dispatch_bench_model.py [SEEDS]

No learning of limits, no refusals, no jitter: what is left is who gets which job. Service times are learned from the
answers as they come, as in a run, unless they are `known` from an earlier one.
"""

from __future__ import annotations

import heapq
import math
import sys
from collections import deque
from pathlib import Path
from random import Random
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[2])]

from llmfan.limits.axes import PLAIN  # noqa: E402
from llmfan.limits.slots import Slots  # noqa: E402
from llmfan.limits.window import SETTLE, Entry, Meter, WindowLog  # noqa: E402
from llmfan.records import KnownTarget, Target  # noqa: E402
from llmfan.scheduling.hedging import Hedges, Late, Offer  # noqa: E402
from llmfan.scheduling.pulse import Pulses  # noqa: E402
from llmfan.scheduling.reach import Reach, reach_of  # noqa: E402
from llmfan.scheduling.tail import Tail  # noqa: E402

#: (provider, keys, requests a minute, seconds an answer takes, slots a key or None)
Row = tuple[str, int, float, float, int | None]

FLEETS: dict[str, tuple[list[Row], int]] = {
    "four alike": ([("a", 4, 60, 2, None)], 600),
    "unlike limits": ([("a", 1, 5, 2, None), ("b", 1, 15, 2, None), ("c", 1, 30, 2, None), ("d", 1, 60, 2, None)], 400),
    "fast and slow": ([("a", 1, 30, 2, None), ("b", 1, 20, 90, None)], 100),
    "slots": ([("a", 1, 30, 2, None), ("b", 1, 1000, 20, 2)], 150),
    "32 keys": (
        [
            ("a", 7, 30, 0.2, None), ("b", 7, 30, 0.5, None), ("c", 7, 20, 8, None), ("d", 1, 60, 2, None),
            ("e", 1, 30, 1, None), ("f", 1, 15, 90, None), ("g", 1, 300, 5, 4), ("h", 7, 5, 25, None),
        ],
        2000,
    ),
    "32 keys, many slow": (
        [
            ("a", 7, 30, 90, None), ("b", 7, 30, 0.2, None), ("c", 7, 20, 45, None), ("d", 1, 60, 1, None),
            ("e", 1, 30, 4, None), ("f", 1, 15, 20, None), ("g", 1, 300, 10, 8), ("h", 7, 5, 60, 2),
        ],
        6000,
    ),
}  # fmt: skip
POLICIES = ("round-robin", "power of two", "pull", "finish-aware", "finish-aware + hedge")


class Lane:
    """A key: its counters, and the mean seconds of its answers."""

    def __init__(self, number: int, provider: str, rpm: float, service: float, slots: int | None):
        self.number, self.mean = number, service
        self.target = Target(provider=provider, model="m", key=f"{provider}#{number}")
        self.meters: list[Meter] = [WindowLog("rpm", 0, self.target.key, rpm, 60.0, 0.0)]
        if slots is not None:
            self.meters.append(Slots(self.target.key, slots))
        self.last_used = number - 10**9
        self.looks = 0.0  # it leaves the jobs to others until then

    def ready(self, now: float) -> float:
        """The moment of its next departure; inf while all slots are taken."""
        ready = [meter.ready(now, 1.0) for meter in self.meters]
        return math.inf if SETTLE in ready else max(now, *ready)


class Claim:
    """A request in flight."""

    def __init__(self, job: int, lane: Lane, entries: list[Entry], sent: float):
        self.job, self.lane, self.entries, self.sent = job, lane, entries, sent
        self.twin: Claim | None = None


def fleet(rows: list[Row]) -> list[Lane]:
    lanes: list[Lane] = []
    for provider, keys, rpm, service, slots in rows:
        lanes += [Lane(len(lanes) + i, provider, rpm, service, slots) for i in range(keys)]
    return lanes


def ideal(rows: list[Row], jobs: int) -> float:
    """Exact for fixed service times: the N-th of all answers, were every key to send as early as it may."""
    lanes = fleet(rows)
    heap = [(lane.mean, lane.number, 0.0) for lane in lanes]
    heapq.heapify(heap)
    slots: dict[int, deque[float]] = {lane.number: deque() for lane in lanes}
    caps = [slots for _, keys, _, _, slots in rows for _ in range(keys)]
    for _ in range(jobs - 1):
        at, number, sent = heapq.heappop(heap)
        lane, out = lanes[number], slots[number]
        lane.meters[0].take(sent, 1.0)
        out.append(at)
        cap = caps[number]
        next_at = lane.meters[0].ready(sent, 1.0)
        if cap is not None and len(out) >= cap:
            next_at = max(next_at, out[-cap])
        heapq.heappush(heap, (next_at + lane.mean, number, next_at))
    return heap[0][0]


class Batch:
    """One batch under one policy."""

    def __init__(self, rows: list[Row], jobs: int, policy: str, sigma: float, rng: Random, known: bool = False):
        self.lanes, self.policy, self.sigma, self.rng = fleet(rows), policy, sigma, rng
        self.now = 0.0
        self.events: list[tuple[float, int, Claim | None]] = [(0.0, 0, None)]
        self.number = self.sends = self.timer = 0
        self.done = [False] * jobs
        self.shared: deque[int] = deque()
        self.own: list[deque[int]] = [deque() for _ in self.lanes]
        self._deal(jobs)
        means = {lane.target.name: lane.mean for lane in self.lanes} if known else {}
        self.pulses: Pulses[Claim] = Pulses(
            KnownTarget(name=n, n=50, service_s=s * math.exp(-sigma**2 / 2), service_sigma=sigma, output_tokens=100.0,
                        tokens_per_char=0.25) for n, s in means.items()
        )  # fmt: skip
        self.hedges: Hedges[Claim] = Hedges(jobs)
        self.tail = Tail(
            self.lanes, service=lambda lane, now: self.pulses.service(lane.target, now), reach=self._reach,
            slots=lambda: math.inf, version=self.pulses.version,
        )  # fmt: skip

    def _deal(self, jobs: int) -> None:
        """Policies that push bind every job to a key at once."""
        for job in range(jobs):
            if self.policy == "round-robin":
                self.own[job % len(self.own)].append(job)
            elif self.policy == "power of two":
                one, two = self.rng.sample(range(len(self.own)), 2)
                self.own[one if len(self.own[one]) <= len(self.own[two]) else two].append(job)
            else:
                self.shared.append(job)

    def _reach(self, lane: Any, service: float, now: float, left: int) -> Reach | None:
        return reach_of(lane.meters, service, PLAIN, now, left, out=self.pulses.moments(lane.number))

    def run(self) -> float:
        """The moment of the last answer."""
        last, open_ = 0.0, len(self.done)
        while open_ > 0:
            at, number, claim = heapq.heappop(self.events)
            if claim is None and number != self.timer:
                continue  # another moment was asked for since
            self.now = at
            if claim is not None and self._settle(claim):
                last, open_ = self.now, open_ - 1
            wakes = self._pull()
            if self.policy.endswith("hedge") and not self.shared:
                wakes = min(wakes, self._hedge())
            if wakes < math.inf:
                self._push(wakes, None)
                self.timer = self.number
        return last

    def _settle(self, claim: Claim) -> bool:
        """True if it was the first answer to its job."""
        lane = claim.lane
        if self.done[claim.job]:
            return False  # dropped when its twin won
        self._drop(claim)
        self.pulses.answered(lane.target, self.now - claim.sent, 100)
        self.hedges.answered()
        if (twin := claim.twin) is not None:
            self._drop(twin)
            self.hedges.lost(10, 0, None, twin.sent < claim.sent)
        self.done[claim.job] = True
        return True

    def _drop(self, claim: Claim) -> None:
        self.pulses.ended(claim.lane.number, claim.lane.target, claim)
        for meter, entry in zip(claim.lane.meters, claim.entries, strict=True):
            meter.settle(entry, 1.0, self.now)

    def _pull(self) -> float:
        """Every ready lane takes jobs, least recently used first. Gives the next moment at which one may."""
        wakes = math.inf
        order = [(lane.last_used, lane.number) for lane in self.lanes]
        heapq.heapify(order)
        while order:
            _, number = heapq.heappop(order)
            lane = self.lanes[number]
            queue = self.own[number] or self.shared
            if not queue:
                continue
            at = max(lane.looks, lane.ready(self.now))
            if at <= self.now and self.policy.startswith("finish-aware"):
                lane.looks = at = self.tail.better_wait(lane, len(queue), self.now) or at
            if at > self.now:
                wakes = min(wakes, at)
                continue
            self._send(lane, queue.popleft())
            heapq.heappush(order, (lane.last_used, number))
        return wakes

    def _send(self, lane: Lane, job: int) -> Claim:
        claim = Claim(job, lane, [meter.take(self.now, 1.0) for meter in lane.meters], self.now)
        self.sends += 1
        lane.last_used = self.sends
        self.pulses.left(lane.number, lane.target, claim, self.now)
        self.tail.took(lane, self.now)
        mu = math.log(lane.mean) - self.sigma**2 / 2
        self._push(self.now + (self.rng.lognormvariate(mu, self.sigma) if self.sigma else lane.mean), claim)
        return claim

    def _hedge(self) -> float:
        """Sends what is worth sending again; gives the moment to look again."""
        while True:
            late = [Late(c, n, at, self.pulses.of(self.lanes[n].target)) for n, c, at in self.pulses.flights()]
            services = [
                (lane, s) for lane in self.lanes if (s := self.pulses.service(lane.target, self.now)) is not None
            ]
            free = [Offer(lane.number, lane.target, s) for lane, s in services if lane.ready(self.now) <= self.now]
            chosen = self.hedges.choose(late, free, self.now, lambda claim, lane: True)
            for claim, number in chosen:
                copy = self._send(self.lanes[number], claim.job)
                copy.twin, claim.twin = claim, copy
                self.hedges.sent(claim, copy)
            if not chosen:
                return self.hedges.next_look(late, [s for _, s in services], self.now)

    def _push(self, at: float, claim: Claim | None) -> None:
        self.number += 1
        heapq.heappush(self.events, (at, self.number, claim))


def ratios(name: str, policy: str, sigma: float, seeds: int, known: bool = False) -> tuple[float, float]:
    """(makespan / ideal, extra sends), means over seeds."""
    rows, jobs = FLEETS[name]
    best = ideal(rows, jobs)
    spans = extra = 0.0
    for seed in range(seeds):
        batch = Batch(rows, jobs, policy, sigma, Random(f"{name} {seed}"), known)
        spans += batch.run() / best / seeds
        extra += (batch.sends - jobs) / seeds
    return spans, extra


if __name__ == "__main__":
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 12
    for name, (rows, jobs) in FLEETS.items():
        print(f"\n{name}: {jobs} jobs, ideal {ideal(rows, jobs):.0f} s")
        for policy in POLICIES:
            fixed, _ = ratios(name, policy, 0.0, 1)
            told, _ = ratios(name, policy, 0.0, 1, known=True)
            varied, extra = ratios(name, policy, 0.6, seeds)
            print(f"  {policy:22} fixed {fixed:.3f}  known {told:.3f}  lognormal {varied:.3f}  extra {extra:.1f}")
