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
            if watch:
                heed(sharing.review(now), now)
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


def mean_rate(*args: object, watch: bool = True, **how: object) -> float:
    return sum(play(*args, watch=watch, seed=s, **how).rate(300, 900) for s in range(6)) / 6  # type: ignore[arg-type]


#: Bursts that repeat are refused by a sliding counter for their own sake; there the limit's own learning spaces them.
KINDS = [(kind, even) for kind in ("sliding", "fixed", "counter", "bucket") for even in (False, True)]
KINDS.remove(("counter", False))


@pytest.mark.parametrize(("kind", "even"), KINDS)
def test_an_account_of_any_kind_ends_at_its_full_rate(kind: str, even: bool) -> None:
    """However long it takes to see it, nothing is lost by looking."""
    assert mean_rate({"x": LIMIT}, PAIR, kind=kind, even=even, learns=True) >= 0.95 * LIMIT


@pytest.mark.parametrize(
    ("kind", "even"),
    # A bucket refills as fast as either key of an even pair sends: each header looks like the key's own count.
    [("sliding", False), ("sliding", True), ("fixed", False), ("fixed", True), ("bucket", False)],
)
def test_headers_join_before_the_second_wave(kind: str, even: bool) -> None:
    """What the server tells needs no 429s: at even spacing hardly one is drawn. Windows that begin at a moment of their
    own fit only until the first has ended; then the 429s speak.
    """
    for seed in range(4):
        course = play({"x": LIMIT}, PAIR, kind=kind, even=even, learns=True, tell=True, seed=seed)
        assert course.joined == [frozenset(PAIR)]
        assert course.waves <= (1 if kind == "sliding" else 6)


@pytest.mark.parametrize("tell", [False, True])
@pytest.mark.parametrize("learns", [False, True])
@pytest.mark.parametrize("even", [False, True])
def test_three_sharers_of_seven_are_found_and_nobody_else(even: bool, learns: bool, tell: bool) -> None:
    """One of the other four in their company would lose its whole rate."""
    for seed in range(3):
        course = play(dict.fromkeys(SEVEN.values(), LIMIT), SEVEN, even=even, learns=learns, tell=tell, seed=seed)
        assert course.sharing.group("a#2") == SHARERS
        assert all(group <= SHARERS for group in course.joined)
        assert course.waves <= 3
        assert course.rate(300, 900) >= 0.95 * 5 * LIMIT


@pytest.mark.parametrize("tell", [False, True])
@pytest.mark.parametrize(("kind", "even"), KINDS)
def test_keys_of_their_own_with_right_limits_are_never_joined(kind: str, even: bool, tell: bool) -> None:
    """Half the rate would be gone for the rest of the run, and of every later one."""
    for seed in range(4):
        for learns in (False, True):
            course = play({"x": LIMIT, "y": LIMIT}, ALONE, kind=kind, even=even, learns=learns, tell=tell, seed=seed)
            assert course.joined == []


@pytest.mark.parametrize("limits", [(30.0, 30.0), (24.0, 36.0), (36.0, 24.0), (20.0, 40.0)])
@pytest.mark.parametrize("even", [False, True])
def test_limits_declared_twice_too_high_cost_little_whether_joined_or_not(
    limits: tuple[float, float], even: bool
) -> None:
    """Two keys of half the limit look like two of one account: together they have as much either way. Uneven ones are
    parted, at the cost of the waves that takes.
    """
    accounts = dict(zip("xy", limits, strict=True))
    alone = mean_rate(accounts, ALONE, even=even, learns=True, watch=False)
    watched = mean_rate(accounts, ALONE, even=even, learns=True)
    assert watched >= 0.9 * alone


@pytest.mark.parametrize("even", [False, True])
def test_one_key_whose_limit_is_half_the_declared_is_not_joined_to_a_whole_one(even: bool) -> None:
    """Its neighbour goes on while it is refused, which an account of both would not let it."""
    for seed in range(4):
        course = play({"x": 30.0, "y": LIMIT}, ALONE, even=even, learns=True, seed=seed)
        assert course.joined == []
        assert course.rate(300, 900) >= 0.95 * 90


def test_uneven_neighbours_of_one_account_are_joined_too() -> None:
    """One of them does four fifths of the work."""
    for seed in range(4):
        course = play({"x": LIMIT}, PAIR, even=True, learns=True, seed=seed, weights={"a#1": 1.0, "a#2": 0.2})
        assert course.joined == [frozenset(PAIR)]
        assert course.waves <= 3


def test_a_false_join_is_undone_in_time() -> None:
    """Five keys cut to a fifth for a minute look like five of one account; they must not stay so."""
    keys = {f"a#{n}": f"own {n}" for n in range(5)}
    accounts = dict.fromkeys(keys.values(), LIMIT / 5)
    restored = tuple((90.0, name, LIMIT) for name in accounts)
    course = play(accounts, keys, learns=True, span=2400.0, cuts=restored, seed=1)
    assert course.joined != []
    assert course.parted == 1
    assert course.rate(300, 900) <= 1.1 * LIMIT
    assert course.rate(1800, 2400) >= 0.9 * 5 * LIMIT


# --- one sign at a time ---


def fed(period: float = PERIOD, **sends: list[float]) -> Sharing:
    sharing = Sharing(sends, period, guard(period), since_first=period > 3600)
    for owner, moments in sends.items():
        for at in moments:
            sharing.sent(owner, at)
    return sharing


def spread(begin: float, end: float, n: int) -> list[float]:
    return [begin + (end - begin) * k / n for k in range(n)]


def full_account() -> Sharing:
    """Two keys that sent 30 each of 60 by second 20."""
    return fed(a=spread(0, 20, 30), b=spread(0.3, 20.3, 30))


def refuse(sharing: Sharing, owner: str, at: float, limit: float = 60) -> News:
    sharing.sent(owner, at)
    return sharing.refused(owner, at, at + 0.1, limit)


def test_the_second_refusal_of_each_joins() -> None:
    """Neither one wave nor one key's alone says enough."""
    sharing = full_account()
    assert refuse(sharing, "a", 21) == News()
    assert refuse(sharing, "a", 23) == News()
    assert refuse(sharing, "b", 22) == News()
    assert refuse(sharing, "b", 25) == News(join=(("a", "b"),))
    assert sharing.group("b") == {"a", "b"}


def test_echoes_of_one_wave_are_one_refusal() -> None:
    """Ten that were on the way when the first was refused say the same once."""
    sharing = full_account()
    for n in range(10):
        for owner in ("a", "b"):
            sharing.sent(owner, 21 + n / 100)
    for n in range(10):
        for owner in ("a", "b"):
            assert sharing.refused(owner, 21 + n / 100, 21.5 + n / 100, 60) == News()
    assert len(sharing.moments("a", 0)) == 29  # those refused are not counted; what left at 0 is out


def test_a_refusal_with_room_left_for_all_says_they_do_not_share() -> None:
    """A was refused while both together had sent 36 of 60: whatever follows, it is its own limit."""
    sharing = fed(a=spread(0, 6, 18), b=spread(0.1, 6.1, 18))
    refuse(sharing, "a", 7)
    for at in spread(8, 24, 24):
        sharing.sent("b", at)
    for n in range(4):
        assert refuse(sharing, "a", 25 + 4 * n) == News()
        assert refuse(sharing, "b", 27 + 4 * n) == News()


def test_a_joined_pair_that_is_refused_far_below_the_limit_twice_is_parted_for_good() -> None:
    """It was two keys of half the limit, one of which has sent nearly all."""
    sharing = fed(a=[], b=[])
    sharing.adopt([("a", "b")], 0.0)
    for at in spread(0, 10, 30):
        sharing.sent("a", at)
    assert refuse(sharing, "a", 11) == News()
    assert refuse(sharing, "a", 14) == News(part=(("a", "b"),))
    for at in spread(15, 30, 30):
        sharing.sent("b", at)
    assert all(refuse(sharing, owner, 31 + 3 * n) == News() for n in range(4) for owner in ("a", "b"))


def tell(sharing: Sharing, owner: str, at: float, used: float, limit: float = 60) -> News:
    sharing.sent(owner, at)
    return sharing.told(owner, at, at + 2, limit, limit - used)


def test_two_headers_at_unlike_counts_join() -> None:
    """A remainder that falls by what the neighbour sends."""
    sharing = fed(a=[], b=[])
    found = []
    for n in range(10):
        found.append(tell(sharing, "a", 2.0 * n, 2 * n + 1))
        found.append(tell(sharing, "b", 2.0 * n + 1, 2 * n + 2))
    assert [news for news in found if news != News()] == [News(join=(("a", "b"),))]


def test_headers_that_know_nothing_of_the_neighbour_part() -> None:
    """What an earlier run believed is wrong, and the server says so."""
    sharing = fed(a=[], b=[])
    sharing.adopt([("a", "b")], 0.0)
    found = []
    for n in range(10):
        found.append(tell(sharing, "a", 2.0 * n, n + 1))
        found.append(tell(sharing, "b", 2.0 * n + 1, n + 1))
    assert [news for news in found if news != News()] == [News(part=(("a", "b"),))]


def test_what_headers_prove_no_refusal_parts() -> None:
    """Somebody else on the account: it is refused early, and is one account all the same."""
    sharing = fed(a=[], b=[])
    for n in range(5):
        tell(sharing, "a", 2.0 * n, 2 * n + 1)
        tell(sharing, "b", 2.0 * n + 1, 2 * n + 2)
    assert sharing.group("a") == {"a", "b"}
    assert all(refuse(sharing, "a", 12 + 3 * n) == News() for n in range(5))


def test_a_stranger_on_one_key_joins_nobody() -> None:
    """Its header tells of more than its own, and not of what the neighbour sent."""
    sharing = fed(a=[], b=[])
    for n in range(12):
        assert tell(sharing, "a", 2.0 * n, 4 * n + 5) == News()
        assert tell(sharing, "b", 2.0 * n + 1, n + 1) == News()


def test_a_days_quota_counts_from_the_first_header() -> None:
    """What yesterday evening's run used is in no log of ours."""
    sharing = fed(86400.0, a=[], b=[])
    found = []
    for n in range(12):
        found.append(tell(sharing, "a", 2.0 * n, 500 + 2 * n, 1000))
        found.append(tell(sharing, "b", 2.0 * n + 1, 501 + 2 * n, 1000))
    assert [news.join for news in found if news != News()] == [(("a", "b"),)]
    apart = fed(86400.0, a=[], b=[])
    for n in range(12):
        assert tell(apart, "a", 2.0 * n, 500 + n, 1000) == News()
        assert tell(apart, "b", 2.0 * n + 1, 700 + n, 1000) == News()


def test_what_an_earlier_run_found_holds_and_is_tried_apart_in_time() -> None:
    """Keys may have been moved since."""
    sharing = fed(a=[], b=[], c=[])
    assert sharing.adopt([("a", "b"), ("b", "a"), ("a", "gone")], 0.0) == News(join=(("a", "b"),))
    assert sharing.review(19 * PERIOD) == News()
    assert sharing.review(20 * PERIOD) == News(part=(("a", "b"),))
    assert sharing.review(21 * PERIOD) == News()


def test_a_pair_proven_by_refusals_anew_is_doubted_later() -> None:
    """Each trial costs a wave of 429s."""
    sharing = fed(a=[], b=[])
    sharing.adopt([("a", "b")], 0.0)
    sharing.review(20 * PERIOD)
    begin = 20 * PERIOD + 1
    for at in spread(begin, begin + 20, 30):
        sharing.sent("a", at)
        sharing.sent("b", at + 0.1)
    for n in range(2):
        refuse(sharing, "a", begin + 21 + 4 * n)
        news = refuse(sharing, "b", begin + 23 + 4 * n)
    assert news == News(join=(("a", "b"),))
    assert sharing.review(begin + 70 * PERIOD) == News()
    assert sharing.review(begin + 81 * PERIOD) == News(part=(("a", "b"),))


def test_the_logs_do_not_grow_with_the_run() -> None:
    """A million sends to a key are not kept."""
    sharing = fed(a=[])
    for n in range(20_000):
        sharing.sent("a", n * 0.5)
    assert len(sharing.moments("a", -math.inf)) < 1200


def test_what_is_told_of_an_earlier_process_late_is_put_in_its_place() -> None:
    """A count by halving needs an order."""
    sharing = fed(a=[5.0, 1.0, 3.0])
    assert sharing.moments("a", 0.0) == [1.0, 3.0, 5.0]
