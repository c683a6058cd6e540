"""Keys of one account: joined within three waves of 429s, and nobody joined to their loss."""

from __future__ import annotations

import heapq
import itertools
import math
from random import Random

import pytest
from msgspec import Struct

from llmfan.limits.sharing import News, Sharing
from llmfan.limits.window import NEVER, WindowLog, guard
from llmfan.simulation.limiter import Bucket, Counter, FixedWindow, SlidingCounter, SlidingLog

LIMIT, PERIOD = 60.0, 60.0


class Pool:
    """What keys that are believed to be of one account hold: a window log, spaced evenly or in a burst.

    `learns`: the limit becomes what was accepted, and grows by a twentieth each clean window.
    """

    def __init__(self, limit: float, even: bool, learns: bool):
        self.limit, self.even, self.learns = limit, even, learns
        self.log = WindowLog("rpm", 0, "k", limit, PERIOD, guard(PERIOD))
        self.next = self.hold = self.cut_at = -math.inf
        self.grew = 0.0

    def ready(self, now: float) -> float:
        return max(self.log.ready(now, 1), self.next, self.hold)

    def take(self, now: float) -> None:
        if self.learns and now - self.grew > 1.2 * PERIOD and self.log.limit < self.limit:
            self.log.limit = min(self.limit, max(self.log.limit + 1, self.log.limit * 1.05))
            self.grew = now
        self.log.take(now, 1)
        gap = (PERIOD + guard(PERIOD)) / self.log.limit if self.even else 5.0 / self.limit
        self.next = max(self.next, now - gap) + gap

    def refused(self, left: float, now: float) -> bool:
        """One wave teaches once; True if it was one."""
        if left <= self.cut_at:
            return False
        self.cut_at, self.hold, self.grew = now, now + 2.0, now
        if self.learns:
            self.log.limit = max(1.0, min(self.log.limit, self.log.used(now) - 1))
        return True

    @classmethod
    def merged(cls, pools: list[Pool], now: float) -> Pool:
        one = cls(max(pool.limit for pool in pools), pools[0].even, pools[0].learns)
        for entry in sorted((e for pool in pools for e in pool.log._log), key=lambda e: e.at):
            one.log.recall(entry.at, now, 1)
        one.cut_at, one.grew = now, now
        return one


class Course(Struct):
    answers: list[float]
    refusals: int
    waves: int  # of the key that had most, until the last join
    joined: list[frozenset[str]]
    parted: int
    sharing: Sharing

    def rate(self, begin: float, end: float) -> float:
        """Answers a window."""
        return sum(begin < at <= end for at in self.answers) / (end - begin) * PERIOD


def play(accounts: dict[str, float], keys: dict[str, str], *, declared: float = LIMIT, kind: str = "sliding",
         even: bool = False, learns: bool = False, tell: bool = False, span: float = 900.0, seed: int = 0,
         weights: dict[str, float] | None = None, cuts: tuple[tuple[float, str, float], ...] = (),
         watch: bool = True) -> Course:  # fmt: skip
    """Keys that send all they believe they may, against the servers of their accounts (name: true limit)."""
    rng = Random(f"{kind} {even} {learns} {seed} {sorted(keys.items())}")
    servers = {name: server(kind, limit, rng) for name, limit in accounts.items()}
    sharing = Sharing(keys, PERIOD, guard(PERIOD))
    pools = {key: Pool(declared, even, learns) for key in keys}
    waves = dict.fromkeys(keys, 0)
    course = Course([], 0, 0, [], 0, sharing)
    order = itertools.count()
    events: list[tuple[float, int, str, tuple[object, ...]]] = []

    def push(at: float, what: str, *rest: object) -> None:
        heapq.heappush(events, (at, next(order), what, rest))

    def heed(news: News, now: float) -> None:
        if news.join:
            group = sharing.group(news.join[0][0])
            one = Pool.merged(list({id(pools[key]): pools[key] for key in group}.values()), now)
            pools.update(dict.fromkeys(group, one))
            course.joined.append(group)
            course.waves = max(waves[key] for key in group)
        course.parted += bool(news.part)
        for key in dict.fromkeys(key for pair in news.part for key in pair):
            pools[key] = Pool(declared, even, learns)
            for at in sharing.moments(key, now - PERIOD):
                pools[key].log.recall(at, now, 1)
            pools[key].cut_at = now

    for at, name, limit in cuts:
        push(at, "cut", name, limit)
    for key in keys:
        push(rng.random() * 0.05, "send", key)
    while events and events[0][0] < span:
        now, _, what, rest = heapq.heappop(events)
        if what == "send":
            (key,) = rest
            pool = pools[str(key)]
            at = pool.ready(now)
            if at > now:
                assert at < NEVER
                push(at + rng.random() * 0.02, "send", key)
                continue
            if weights is not None and rng.random() > weights[str(key)]:
                push(now + 0.3, "send", key)  # somebody else's turn
                continue
            pool.take(now)
            sharing.sent(str(key), now)
            late = 0.05 + 0.3 * rng.random() + (rng.expovariate(1.0) if rng.random() < 0.02 else 0.0)
            push(now + late, "arrive", key, now)
            push(now + 1e-3, "send", key)
        elif what == "cut":
            servers[str(rest[0])].limit = float(str(rest[1]))
        elif what == "arrive":
            seen = servers[keys[str(rest[0])]].admit(now, 1)
            told = (seen.limit, math.floor(seen.remaining + 1e-9)) if tell else None
            push(now + (rng.lognormvariate(0.6, 0.5) if seen.ok else 0.06), "back", *rest, seen.ok, told)
        else:
            key, left, ok, told = rest
            key, left = str(key), float(str(left))
            if watch and isinstance(told, tuple):
                heed(sharing.told(key, left, now, told[0], told[1]), now)
            if ok:
                course.answers.append(now)
                continue
            course.refusals += 1
            if pools[key].refused(left, now):
                waves[key] += 1
            if watch:
                heed(sharing.refused(key, left, now, declared), now)
            if watch:
                heed(sharing.review(now), now)
    return course


def server(kind: str, limit: float, rng: Random) -> Counter:
    phase = rng.random() * PERIOD
    match kind:
        case "sliding":
            return SlidingLog(limit, PERIOD)
        case "fixed":
            return FixedWindow(limit, PERIOD, phase)
        case "counter":
            return SlidingCounter(limit, PERIOD, phase)
    return Bucket(limit, PERIOD)


PAIR = {"a#1": "x", "a#2": "x"}
ALONE = {"a#1": "x", "a#2": "y"}
SEVEN = {f"a#{n}": "x" if n in (2, 3, 6) else f"own {n}" for n in range(1, 8)}
SHARERS = frozenset(("a#2", "a#3", "a#6"))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("learns", [False, True])
@pytest.mark.parametrize("even", [False, True])
def test_two_keys_of_one_account_are_joined_within_three_waves_and_run_as_one(
    even: bool, learns: bool, seed: int
) -> None:
    """Apart they would send twice what the account takes, and be refused every other time."""
    course = play({"x": LIMIT}, PAIR, even=even, learns=learns, seed=seed)
    assert course.joined == [frozenset(PAIR)]
    assert course.waves <= 3
    assert course.parted == 0
    assert course.rate(300, 900) >= 0.95 * LIMIT
    assert course.refusals <= 80  # a burst's worth, before anything is known


if __name__ == "__main__":
    for name, accounts, keys in (("pair", {"x": LIMIT}, PAIR), ("seven", dict.fromkeys(SEVEN.values(), LIMIT), SEVEN),
        ("alone right", {"x": 60.0, "y": 60.0}, ALONE), ("alone half", {"x": 30.0, "y": 30.0}, ALONE), ("one half", {"x": 30.0, "y": 60.0}, ALONE), ("4/6", {"x": 24.0, "y": 36.0}, ALONE), ("8/2 pair weights", {"x": LIMIT}, PAIR)):
        for kind in ("sliding", "fixed", "counter", "bucket"):
            for even in (False, True):
                for learns in (False, True):
                    for tell in (False, True):
                        cs = [play(accounts, keys, kind=kind, even=even, learns=learns, tell=tell, seed=s, weights={"a#1": 1.0, "a#2": .2} if "weights" in name else None) for s in range(6)]
                        un = [play(accounts, keys, kind=kind, even=even, learns=learns, tell=tell, seed=s, watch=False, weights={"a#1": 1.0, "a#2": .2} if "weights" in name else None) for s in range(2)]
                        print(name, kind, "even" if even else "burst", "learns" if learns else "stubborn", "told" if tell else "mute",
                            [tuple(sorted(len(g) for g in c.joined)) for c in cs], "waves", [c.waves for c in cs], "parted", sum(c.parted for c in cs), "rate %.1f (%.1f)" % (sum(c.rate(300, 900) for c in cs) / 6, un[0].rate(300, 900)), "429", [c.refusals for c in cs], un[0].refusals)
