"""Token windows: never past the limit, nothing waits needlessly, and the limit found that the server really has."""

from __future__ import annotations

import heapq
import math
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct

from llmfan.limits.tokens import Reserved, TokenWindow
from llmfan.limits.window import NEVER, SETTLE, guard, learns
from llmfan.records import KnownLimit, Report
from llmfan.simulation.limiter import Bucket, Counter, FixedWindow, SlidingLog

PERIOD, GUARD = 60.0, 0.5
exact = settings(max_examples=150, deadline=None, derandomize=True, database=None)
#: Gaps between wishes to send, what each reserves, what it takes in truth, and how long.
wishes = st.lists(
    st.tuples(st.sampled_from([0.0, 0.1, 3.0, 20.0]), st.integers(1, 60), st.integers(0, 60), st.floats(0.1, 90)),
    min_size=1, max_size=40,
)  # fmt: skip


def window(declared: float | None = 1000, *, precharge: bool = True, learn: str = "down") -> TokenWindow:
    return TokenWindow("tpm", 1, "k", declared, PERIOD, GUARD, precharge=precharge, learn=learn)


def send(tokens: TokenWindow, now: float, amount: float) -> tuple[Reserved, float]:
    """Sends at the first moment allowed."""
    while (at := tokens.ready(now, amount)) > now:
        assert at < NEVER
        now = at
    assert at != SETTLE
    return tokens.take(now, amount), now


def test_it_is_a_learner() -> None:
    """The scheduler asks for the protocol, not for the class."""
    assert learns(window())


@exact
@given(wanted=wishes, precharge=st.booleans(), like=st.floats(0.1, 90))
def test_no_window_holds_more_than_the_limit_and_nothing_waits_for_ever(
    wanted: list[tuple[float, int, int, float]], precharge: bool, like: float
) -> None:
    """Counted as the server counts; each takes what it reserved or less, and no less time than those before it."""
    tokens, now = window(100, precharge=precharge), 0.0
    ends: list[tuple[float, int, Reserved, float]] = []
    charged: list[tuple[float, float]] = []
    for n, (gap, amount, real, took) in enumerate(wanted):
        now += gap
        real = min(real, amount)
        took = took if precharge else like
        while True:
            while ends and ends[0][0] <= now:
                at, _, entry, used = heapq.heappop(ends)
                tokens.settle(entry, used, at)
            ready = tokens.ready(now, amount)
            if ready == now:
                break
            now = ends[0][0] if ready == SETTLE else min(ready, ends[0][0]) if ends else ready
        entry = tokens.take(now, amount)
        heapq.heappush(ends, (now + took, n, entry, real))
        charged.append((now if precharge else now + took, real))
    for end, _ in charged:
        assert sum(used for at, used in charged if end - PERIOD < at <= end) <= 100 + 1e-6


@exact
@given(wanted=wishes, precharge=st.booleans())
def test_an_idle_window_holds_nothing(wanted: list[tuple[float, int, int, float]], precharge: bool) -> None:
    """A leak by settling would shrink the limit for the rest of the run."""
    tokens, now = window(100, precharge=precharge), 0.0
    for gap, amount, real, took in wanted:
        entry, now = send(tokens, now + gap, amount)
        now += took
        tokens.settle(entry, real, now)
    later = now + 2 * PERIOD
    assert tokens.used(later) == 0
    assert tokens.ready(later, 100) == later


def test_only_what_passes_the_declared_limit_is_never_sent() -> None:
    """A prompt of 800 under a limit of 1,000 that was learned as 300 waits for an empty window; it is not given up."""
    tokens = window()
    tokens.remember(KnownLimit(owner="k", axis="tpm", measured=300.0))
    entry, now = send(tokens, 0.0, 100)
    assert tokens.ready(now + 10, 1001) == NEVER
    assert tokens.ready(now + 10, 800) == pytest.approx(now + PERIOD + GUARD)
    tokens.settle(entry, 100, 0.0)
    assert tokens.ready(now + PERIOD + 1, 800) == now + PERIOD + 1


def test_what_was_reserved_too_much_is_given_back_at_once() -> None:
    """A cap of 900 on an answer of 100 would hold up eight others for a minute."""
    tokens = window()
    entry, now = send(tokens, 0.0, 900)
    assert tokens.ready(now + 10, 200) == pytest.approx(now + PERIOD + GUARD)
    tokens.settle(entry, 100, 0.0)
    assert tokens.ready(now + 10, 900) == now + 10


def test_what_is_charged_at_the_end_counts_from_the_end() -> None:
    """Counted from its start, a long answer would leave our window while the server's still holds it."""
    tokens = window(precharge=False)
    entry, _ = send(tokens, 0.0, 900)
    assert tokens.ready(50.0, 200) == SETTLE
    tokens.settle(entry, 950, 50.0)
    assert tokens.ready(70.0, 200) == pytest.approx(50 + PERIOD + GUARD)
    assert tokens.used(70.0) == 950


def test_an_answer_that_takes_long_may_be_asked_for_before_there_is_room() -> None:
    """It is charged when it ends: to wait for the room first would lose its service time in every window."""
    tokens, now = window(precharge=False), 0.0
    for n in range(20):
        entry = tokens.take(30.0 * n, 100)
        tokens.settle(entry, 100, 30.0 * n + 20)
    now = 595.0  # the last two ended at 560 and 590
    held = [tokens.take(now, 350), tokens.take(now, 350)]
    early = tokens.ready(now, 150)
    assert early == pytest.approx(560 + PERIOD + GUARD - 20)
    assert len(held) == 2


class Course(Struct):
    """How a batch went: seconds, requests, refusals, requests' worth of tokens past the limit at worst."""

    span: float
    jobs: int
    refused: int
    passed: float
    tokens: TokenWindow


MEAN_PROMPT, MEAN_ANSWER, CAP = 200.0, 600.0, 1200.0


class Bench:
    """One key, answers lognormal, a server that charges ahead or at the end; arrivals late by up to 0.35 s."""

    def __init__(self, kind: str, *, precharge: bool, true: float = 60000.0, declared: float | None = 60000.0,
                 windows: float = 9.6, service: float = 2.0, tell: bool = False, hints: bool = False, seed: int = 0,
                 stranger: float = 0.0, learn: str = "down"):  # fmt: skip
        self.rng = rng = Random(f"{kind} {precharge} {seed}")
        phase = rng.random() * PERIOD
        self.server: Counter = {
            "sliding": lambda: SlidingLog(true, PERIOD),
            "fixed": lambda: FixedWindow(true, PERIOD, phase),
            "bucket": lambda: Bucket(true, PERIOD),
        }[kind]()
        self.precharge, self.service, self.tell, self.hints = precharge, service, tell, hints
        self.tokens = TokenWindow("tpm", 1, "k", declared, PERIOD, guard(PERIOD), precharge=precharge, learn=learn)
        self.events: list[tuple[float, int, str, tuple[object, ...]]] = []
        self.count = self.refused = self.flying = self.done = 0
        self.passed = 0.0
        self.woken = math.inf
        self.todo: list[tuple[float, float]] = []
        total = 0.0
        while total < windows * true:
            prompt = rng.uniform(0.5, 1.5) * MEAN_PROMPT
            answer = min(CAP, rng.lognormvariate(math.log(MEAN_ANSWER) - 0.125, 0.5))
            self.todo.append((prompt, answer))
            total += prompt + answer
        self.jobs = len(self.todo)
        at = 0.0
        while stranger and at < 30 * PERIOD:
            at += rng.expovariate(stranger * true / PERIOD / 800)
            self.push(at, "other")
        self.push(0.0, "wake")

    def push(self, at: float, what: str, *rest: object) -> None:
        self.count += 1
        heapq.heappush(self.events, (at, self.count, what, rest))

    def play(self) -> Course:
        now = 0.0
        while self.done < self.jobs:
            now, _, what, rest = heapq.heappop(self.events)
            assert now < 100 * PERIOD, "it does not end"
            getattr(self, what)(now, *rest)
            self.depart(now)
        return Course(now, self.jobs, self.refused, self.passed / (MEAN_PROMPT + MEAN_ANSWER), self.tokens)

    def wake(self, now: float) -> None:
        self.woken = math.inf

    def other(self, now: float) -> None:
        self.server.admit(now, 800)

    def depart(self, now: float) -> None:
        while self.todo:
            prompt, answer = self.todo[-1]
            amount = prompt + (CAP if self.precharge else 1.25 * MEAN_ANSWER)
            at = self.tokens.ready(now, amount)
            if at == SETTLE:
                assert self.flying, "waits for something in flight, and nothing is"
                return
            if at > now:
                if at < self.woken:
                    self.woken = at
                    self.push(at, "wake")
                return
            self.todo.pop()
            self.flying += 1
            way = 0.05 + 0.3 * self.rng.random()
            self.push(now + way, "arrive", self.tokens.take(now, amount), prompt, answer)

    def arrive(self, now: float, entry: Reserved, prompt: float, answer: float) -> None:
        ahead = prompt + (CAP if self.precharge else 0.0)
        seen = self.server.admit(now, ahead)
        report = Report(axis="tpm", limit=seen.limit, remaining=seen.remaining, resets_in=seen.reset)
        if not seen.ok:
            self.push(now + 0.06, "refuse", entry, prompt, answer, seen.retry_after, report)
            return
        mark = self.server.look(now, 0.0).remaining
        assert mark >= 0
        took = self.service * self.rng.lognormvariate(-0.125, 0.5)
        self.push(now + took, "charge", now, ahead, prompt + answer)
        self.push(now + took + 0.05, "answer", entry, prompt + answer, report)

    def charge(self, now: float, since: float, ahead: float, real: float) -> None:
        server = self.server
        if real >= ahead:
            before = server.look(now, 0.0).remaining
            server.take(now, real - ahead)
            self.passed = max(self.passed, real - ahead - before)
        elif isinstance(server, SlidingLog):
            entry = next((e for e in server._log if e[0] == since and e[1] >= ahead - 1e-6), [since, 0.0])
            server.give_back(now, entry, ahead - real)
        else:
            server.give_back(now, [math.floor((since + getattr(server, "_phase", 0.0) + 1e-6) / PERIOD), 0.0],
                             ahead - real)  # fmt: skip

    def answer(self, now: float, entry: Reserved, real: float, report: Report) -> None:
        self.flying -= 1
        self.done += 1
        if self.tell:
            self.tokens.told(entry, report, now)
        self.tokens.accepted(entry, now)
        self.tokens.settle(entry, real, now)

    def refuse(self, now: float, entry: Reserved, prompt: float, answer: float, wait: float, report: Report) -> None:
        self.flying -= 1
        self.refused += 1
        self.todo.append((prompt, answer))
        if self.tell:
            self.tokens.told(entry, report, now)
        self.tokens.refused(entry, now, wait if self.hints else None)
        self.tokens.settle(entry, 0.0, now)


def mean(kind: str, **how: object) -> tuple[float, float, float]:
    """(span over the fluid bound, refusals a request, worst passing) over six seeds."""
    runs = [Bench(kind, seed=seed, **how).play() for seed in range(6)]  # type: ignore[arg-type]
    windows = float(how.get("windows", 9.6))  # type: ignore[arg-type]
    bound = ((windows - 1 if kind == "bucket" else math.ceil(windows) - 1) * PERIOD) + 2.1
    return (
        sum(run.span for run in runs) / len(runs) / bound,
        sum(run.refused / run.jobs for run in runs) / len(runs),
        max(run.passed for run in runs),
    )


@pytest.mark.parametrize("precharge", [True, False])
@pytest.mark.parametrize("kind", ["sliding", "fixed", "bucket"])
def test_a_limit_declared_rightly_is_used_and_not_passed(kind: str, precharge: bool) -> None:
    """What a reservation takes too much is wasted, what it takes too little is a 429."""
    ratio, refused, passed = mean(kind, precharge=precharge)
    assert ratio <= (1.08 if kind == "sliding" else 1.12)
    assert refused <= 0.005
    assert passed <= 2.5  # estimates of single answers are off by more than a whole one


@pytest.mark.parametrize("precharge", [True, False])
@pytest.mark.parametrize("kind", ["sliding", "fixed", "bucket"])
def test_headers_of_a_right_limit_do_no_harm(kind: str, precharge: bool) -> None:
    """They tell of the past; what is on the way looks like a stranger's."""
    plain, _, _ = mean(kind, precharge=precharge)
    told, refused, _ = mean(kind, precharge=precharge, tell=True)
    assert told <= 1.02 * plain
    assert refused <= 0.005


@pytest.mark.parametrize("precharge", [True, False])
@pytest.mark.parametrize("kind", ["sliding", "fixed", "bucket"])
def test_a_limit_declared_too_high_is_found(kind: str, precharge: bool) -> None:
    """The file says 60,000, the server gives 36,000, and tells nothing."""
    ratio, refused, _ = mean(kind, precharge=precharge, true=36000.0, windows=15.6)
    assert ratio <= 1.25
    assert refused <= 0.025


@pytest.mark.parametrize("precharge", [True, False])
@pytest.mark.parametrize("kind", ["sliding", "fixed", "bucket"])
def test_a_limit_that_is_told_is_found_at_once(kind: str, precharge: bool) -> None:
    """A header costs nothing to believe."""
    ratio, refused, _ = mean(kind, precharge=precharge, true=36000.0, windows=15.6, tell=True)
    assert ratio <= 1.15
    assert refused <= 0.005


@pytest.mark.parametrize("precharge", [True, False])
def test_a_stranger_on_the_key_costs_few_refusals(precharge: bool) -> None:
    """A quarter of it is gone, with and without headers."""
    for tell in (False, True):
        ratio, refused, _ = mean("sliding", precharge=precharge, stranger=0.25, tell=tell)
        assert ratio <= 1.8  # 1.33 of it is the stranger's
        assert refused <= 0.03


def test_a_limit_never_declared_is_learned_from_refusals() -> None:
    """Unknown is not zero, and not infinite for ever."""
    run = Bench("sliding", precharge=True, declared=None, windows=6.0).play()
    assert 0.5 * 60000 <= run.tokens.limit <= 1.3 * 60000
    assert run.span <= 8 * PERIOD


def test_a_wave_of_refusals_teaches_once() -> None:
    """Thirty 429s of one moment are one fact."""
    tokens = window()
    entries = [tokens.take(0.001 * n, 20) for n in range(30)]
    for entry in entries[20:]:
        tokens.refused(entry, 0.5, None)
        tokens.settle(entry, 0, 0.0)
    assert tokens.limit == 400
    assert tokens.ready(0.6, 20) >= tokens.hold > 0.6


def test_a_full_window_refused_is_a_matter_of_timing() -> None:
    """A late arrival must not cost a part of the limit for minutes."""
    tokens = window()
    entries = [tokens.take(0.001 * n, 50) for n in range(20)]
    tokens.refused(entries[-1], 0.5, None)
    assert tokens.limit == 1000
    assert tokens.margin > GUARD


def test_a_hint_holds_and_does_not_keep_it_from_learning() -> None:
    """`Retry-After: 40` says when to come back and nothing about the limit."""
    tokens = window()
    first, second = tokens.take(0.0, 200), tokens.take(1.0, 200)
    tokens.refused(second, 1.5, 40.0)
    tokens.settle(second, 0, 0.0)
    assert tokens.limit == 200
    assert tokens.ready(2.0, 50) >= 41.5
    tokens.refused(first, 3.0, 60.0)  # an echo: it prolongs the rest and teaches nothing
    assert tokens.limit == 200
    assert tokens.ready(4.0, 50) >= 63.0


def full_windows(tokens: TokenWindow, now: float, n: int, size: float = 50) -> float:
    """So many windows, full of requests that are all answered at once."""
    until = now + n * (PERIOD + GUARD) * 1.02
    while True:
        entry, now = send(tokens, now, size)
        if now > until:
            return now
        tokens.accepted(entry, now)
        tokens.settle(entry, size, now)


def test_a_limit_that_was_cut_comes_back_by_clean_full_windows_up_to_what_is_declared() -> None:
    """The server's bad minute must not throttle the rest of the night."""
    tokens = window()
    entries = [tokens.take(0.001 * n, 50) for n in range(5)]
    tokens.refused(entries[-1], 0.5, None)
    tokens.settle(entries[-1], 0, 0.0)
    assert tokens.limit == 200
    now = full_windows(tokens, 61.0, 2)
    assert 200 < tokens.limit < 400
    full_windows(tokens, now, 8)
    assert tokens.limit == 1000


def test_a_window_that_is_not_used_teaches_nothing() -> None:
    """One request an hour without refusal does not show that more are allowed."""
    tokens = window()
    entries = [tokens.take(0.001 * n, 50) for n in range(5)]
    tokens.refused(entries[-1], 0.5, None)
    for n in range(1, 20):
        entry, now = send(tokens, n * 100.0, 20)
        tokens.accepted(entry, now)
        tokens.settle(entry, 20, now)
    assert tokens.limit == 200


@exact
@given(steps=st.lists(st.tuples(st.sampled_from(["ok", "no", "lost"]), st.integers(1, 100), st.floats(0, 40)),
                      max_size=60), learn=st.sampled_from(["down", "up", "off"]), precharge=st.booleans())  # fmt: skip
def test_the_limit_stays_between_a_tenth_and_what_is_declared(
    steps: list[tuple[str, int, float]], learn: str, precharge: bool
) -> None:
    """Below it would crawl for ever; above is what `learn: up` is for; `off` means off."""
    tokens, now = window(learn=learn, precharge=precharge), 0.0
    for what, amount, gap in steps:
        entry, now = send(tokens, now + gap, amount)
        if what == "ok":
            tokens.accepted(entry, now + 0.1)
        elif what == "no":
            tokens.refused(entry, now + 0.1, None)
        else:
            tokens.lost(entry, now + 0.1)
        tokens.settle(entry, 0 if what == "no" else amount, now + 0.1)
        now += 0.1
        assert tokens.limit >= 100
        assert learn == "up" or tokens.limit <= 1000
        assert learn != "off" or tokens.limit == 1000


def test_what_the_server_tells_wins_at_once_and_upwards_only_where_that_may_be() -> None:
    """`learn: down` makes the declared limit a ceiling."""
    for learn, told, most in (("down", 500, 500), ("down", 3000, 1000), ("up", 3000, 3000), ("off", 500, 1000)):
        tokens = window(learn=learn)
        entry, now = send(tokens, 0.0, 10)
        tokens.told(entry, Report(axis="tpm", limit=told, remaining=told - 10), now + 1)
        assert tokens.limit == most
        assert tokens.ready(now + 2, most + 1) == NEVER


def test_the_same_figure_told_again_does_not_undo_what_was_measured() -> None:
    """A server that prints 1,000 and gives 200 would be believed again with every answer."""
    tokens = window()
    for n in range(5):
        entry, now = send(tokens, 2.0 * n, 50)
        tokens.told(entry, Report(axis="tpm", limit=1000), now)
    tokens.refused(entry, now + 0.1, None)
    assert tokens.limit == 200
    entry, now = send(tokens, now + 10, 10)
    tokens.told(entry, Report(axis="tpm", limit=1000), now)
    assert tokens.limit == 200


def test_somebody_elses_tokens_are_counted_till_the_window_ends() -> None:
    """Three reports in a row tell of 600 that are not ours."""
    tokens, now = window(), 0.0
    for n in range(3):
        entry, now = send(tokens, 2.0 * n, 10)
        tokens.told(entry, Report(axis="tpm", limit=1000, remaining=400 - 10 * (n + 1), resets_in=30.0), now + 1)
        tokens.settle(entry, 10, 0.0)
        assert (tokens.ready(now + 1.5, 500) > now + 1.5) == (n == 2)
    assert tokens.ready(now + 5, 500) == pytest.approx(now + 31)
    assert tokens.ready(now + 5, 300) == now + 5
    assert tokens.ready(now + 32, 900) == now + 32


def test_what_was_learned_is_there_at_the_next_start() -> None:
    """Else every run pays for the same lesson."""
    first = Bench("sliding", precharge=True, true=36000.0, windows=6.0).play()
    known = first.tokens.known(1e9)
    assert (known.owner, known.axis, known.declared, known.at) == ("k", "tpm", 60000, 1e9)
    assert known.measured is not None
    assert 0 < known.confidence < 1
    bench = Bench("sliding", precharge=True, true=36000.0, windows=9.6)
    bench.tokens.remember(known)
    second = bench.play()
    assert second.refused <= 0.6 * first.refused + 4
    assert second.tokens.limit <= 40000
    assert second.tokens.kind == known.kind == "paced"


def test_nothing_learned_is_not_written_down_as_measured() -> None:
    """A figure nobody tested is no measurement."""
    known = window().known(0.0)
    assert (known.measured, known.confidence, known.guard_s) == (None, 0.0, GUARD)


def test_what_an_earlier_process_sent_still_counts() -> None:
    """A run taken up again at once would pass the limit."""
    tokens = window()
    tokens.recall(-100.0, 0.0, 500)
    tokens.recall(-30.0, 0.0, 900)
    assert tokens.ready(0.0, 200) == pytest.approx(30 + GUARD)
