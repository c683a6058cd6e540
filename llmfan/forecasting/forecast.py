"""A forecast: the course a batch is expected to take, how far that may be off, and what one more key would gain."""

from __future__ import annotations

import datetime as dt
import math
import statistics
from collections.abc import Iterator, Sequence
from itertools import islice
from random import Random
from typing import Literal

from msgspec import Struct

from llmfan.forecasting.bound import least_duration
from llmfan.forecasting.course import Course, Ran, quota_left, quota_together
from llmfan.forecasting.far_end import FarEnd
from llmfan.forecasting.holds import Holds
from llmfan.forecasting.outlines import Outlines
from llmfan.forecasting.priors import Answers
from llmfan.forecasting.what_if import one_more
from llmfan.options import RunOptions
from llmfan.ports import Archive
from llmfan.records import KnownTarget, Prompt
from llmfan.scheduling.estimate import Estimator
from llmfan.scheduling.lanes import Lane
from llmfan.scheduling.memory import recall
from llmfan.settings import Fleet
from llmfan.wiring import Crew, Moments, build_dispatcher, expect, scopes

How = Literal["played", "bound"]
#: Jobs that may be played over again for the interval, and again for what one more key of each provider would gain.
SPARE_JOBS = 60_000
MOST_REPLAYS, FEWEST_REPLAYS = 8, 3
#: Quantile of Student's t at 95 %, by degrees of freedom: 90 % of the courses lie within so many deviations.
T95 = {2: 2.92, 3: 2.353, 4: 2.132, 5: 2.015, 6: 1.943, 7: 1.895}
#: So many courses' middle is the expected duration, where that many are not too long to be played: the last answer of
#: a short batch may come soon or late.
MIDDLE_OF = 5
#: What is never drawn (a request that fails, a late wake-up): the interval is at least so wide to either side.
UNMODELLED = 0.03


class Gain(Struct, frozen=True):
    """What one more key of a provider, of an account of its own, would make of the duration.

    `how`: `played`, or `read` off the expected course: as many more jobs by each moment as one of its keys has had.
    """

    name: str
    duration: float | None
    how: Literal["played", "read"]


class Forecast(Struct, kw_only=True):
    """`ran` is a course as it may be expected, `duration` the middle of some such (None: it never ends), and `low` to
    `high` holds 90 % of what it may be.

    `how`: `played` (whole courses with other draws), or `bound` (the least time the limits permit, under other draws:
    a large batch is too long to be played over again, and its spread is that of its bound).
    """

    ran: Ran
    duration: float | None
    jobs: int
    deadline: float | None
    ideal: float | None
    low: float | None
    high: float | None
    how: How
    gains: list[Gain]
    lanes: list[Lane]
    answers: list[Answers]
    quota_left: dict[str, dict[str, float]]  # by key
    quota_together: dict[str, dict[str, float]]  # by provider


class Forecaster:
    """Plays one batch over a fleet, and over fleets like it. `wall`: the moment at which it would begin."""

    def __init__(self, fleet: Fleet, outlines: Outlines, options: RunOptions, ledger: Archive, wall: dt.datetime):
        self._fleet, self._outlines, self._options, self._wall = fleet, outlines, options, wall
        neurons = {f"{p.name}/{m.name}": m.neurons for p in fleet.providers for m in p.models if m.neurons is not None}
        self._estimator = Estimator(neurons)
        self._kinds = {p.name: p.preset.limiter.kind for p in fleet.providers}
        self._ledger, known = ledger, ledger.known()
        self._known: dict[str, KnownTarget] = {target.name: target for target in known.targets}
        self._limits = known.limits

    def forecast(self) -> Forecast:
        crew, answers, jobs, ran = self._play(self._fleet, f"{self._options.seed}")
        ideal = self._ideal(crew.lanes, answers, jobs, ran.answered)
        middle = self._middle(ran, jobs)
        if ideal is not None and middle is not None:
            ideal = min(ideal, middle)  # it takes every answer as of the same length
        low, high, how = self._interval(middle, crew.lanes, jobs, ran.answered)
        if low is not None and ideal is not None:
            low = max(low, ideal)
        return Forecast(
            ran=ran, duration=middle, jobs=jobs, deadline=self._options.deadline, ideal=ideal, low=low, high=high,
            how=how, gains=self._gains(ran, middle, jobs), lanes=crew.lanes, answers=answers,
            quota_left=quota_left(crew.lanes, ran.duration), quota_together=quota_together(crew.lanes, ran.duration),
        )  # fmt: skip

    def duration(self) -> float | None:
        """The expected duration alone."""
        _, _, jobs, ran = self._play(self._fleet, f"{self._options.seed}")
        return self._middle(ran, jobs)

    def _play(self, fleet: Fleet, seed: str, doubt: bool = False) -> tuple[Crew, list[Answers], int, Ran]:
        options, crew = self._options, self._crew(fleet)
        count = min(len(self._outlines), options.limit or len(self._outlines)) * options.repeat
        dispatcher = build_dispatcher(
            fleet, crew, options, self._prompts, count, lambda text: None, deadline=options.deadline
        )
        recall(dispatcher, self._ledger.known(), self._ledger.booked, 0.0, self._wall.timestamp(), 1.0)
        expect(dispatcher, count, options.mode)
        answers, speakers = self._answers(crew.lanes, seed, doubt), crew.speakers
        jobs = count * len(scopes(crew.lanes, options.mode))
        course = Course(
            dispatcher, answers, FarEnd(fleet, self._limits, self._wall, crew.lanes),
            lambda job, lane: speakers[lane.number].max_tokens_for(job), Holds(dispatcher, Random(f"{seed} looks")),
        )  # fmt: skip
        return crew, answers, jobs, course.run()

    def _crew(self, fleet: Fleet) -> Crew:
        return Crew(fleet, self._options, Moments(lambda: 0.0, self._wall), {}, {})

    def _prompts(self) -> Iterator[Prompt]:
        return islice(self._outlines, self._options.limit)

    def _answers(self, lanes: Sequence[Lane], seed: str, doubt: bool = False) -> list[Answers]:
        names = dict.fromkeys(lane.target.name for lane in lanes)
        drawn = {name: Answers(name, self._known.get(name), seed, doubt) for name in names}
        return [drawn[lane.target.name] for lane in lanes]

    def _ideal(
        self, lanes: Sequence[Lane], answers: Sequence[Answers], jobs: int, served: Sequence[int]
    ) -> float | None:
        """Paid keys count where they were needed. `served`: jobs by lane number."""
        chars, concurrency = self._outlines.mean_size, self._options.concurrency
        both = [(x, y) for x, y in zip(lanes, answers, strict=True) if not x.target.paid or served[x.number]]
        where = scopes(lanes, self._options.mode)
        counts = {name: jobs // len(where) for name in where if any(name in x.names for x, _ in both)}
        return least_duration(
            [x for x, _ in both], [y for _, y in both], self._estimator, self._kinds, chars, counts, concurrency, 0.0
        )

    # -------------------------------------------------------------- how sure it is, what would change it

    def _middle(self, ran: Ran, jobs: int) -> float | None:
        if ran.finished is None or jobs * MIDDLE_OF > SPARE_JOBS:
            return ran.finished
        more = [self._play(self._fleet, f"{self._options.seed} again {n}")[3].finished for n in range(1, MIDDLE_OF)]
        return statistics.median([ran.finished, *(each for each in more if each is not None)])

    def _interval(
        self, middle: float | None, lanes: Sequence[Lane], jobs: int, served: Sequence[int]
    ) -> tuple[float | None, float | None, How]:
        replays = min(MOST_REPLAYS, SPARE_JOBS // max(1, jobs))
        how: How = "played" if replays >= FEWEST_REPLAYS else "bound"
        seed = self._options.seed
        if middle is None:
            return None, None, how
        if how == "played":
            drawn = [self._play(self._fleet, f"{seed}.{n}", True)[3].finished for n in range(1, replays + 1)]
        else:
            tables = [self._answers(lanes, f"{seed}.{n}", True) for n in range(1, MOST_REPLAYS + 1)]
            drawn = [self._ideal(lanes, each, jobs, served) for each in tables]
        factor = math.exp(_deviation(drawn))
        return min(middle / factor, middle * (1 - UNMODELLED)), max(middle * factor, middle * (1 + UNMODELLED)), how

    def _gains(self, ran: Ran, middle: float | None, jobs: int) -> list[Gain]:
        """Keyless providers have no second key."""
        names = [p.name for p in self._fleet.providers if any(k.secret is not None for k in p.keys)]
        if ran.finished is None or middle is None:
            return [Gain(name, None, "read") for name in names]
        played = jobs * len(names) <= SPARE_JOBS
        found = []
        for name in names:
            sooner: float | None = ran.progress.one_more_key(name)
            if played:
                sooner = self._play(one_more(self._fleet, name), f"{self._options.seed}")[3].finished
            share = None if sooner is None else sooner / max(1e-9, ran.finished)
            found.append(Gain(name, None if share is None else middle * share, "played" if played else "read"))
        return found


def _deviation(durations: Sequence[float | None]) -> float:
    """Of the logarithm: 90 % lie within it to either side."""
    logs = [math.log(d) for d in durations if d]
    return T95[len(logs) - 1] * statistics.stdev(logs) if len(logs) >= FEWEST_REPLAYS else 0.0
