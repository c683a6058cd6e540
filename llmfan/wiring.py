"""Settings become a built run: lanes, counters, pacers' groups, dialects, and the transport that carries it all."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from random import Random

from msgspec.structs import replace

from llmfan.conduct.speaker import Speaker
from llmfan.dialects import dialect
from llmfan.dialects.classify import classify, from_fault
from llmfan.dialects.reports import ReportReader
from llmfan.inputs.catalogue_files import dialect_name
from llmfan.limits.axes import MeterShop, pacing_axis
from llmfan.limits.gauge import SHORT, Gauge
from llmfan.limits.window import Meter
from llmfan.options import RunOptions
from llmfan.ports import Clock, Endpoint, Transport
from llmfan.records import Failure, Prompt, Report, Target
from llmfan.scheduling.arrivals import arrivals, highest
from llmfan.scheduling.dispatcher import Dispatcher
from llmfan.scheduling.estimate import Estimator
from llmfan.scheduling.failover import Policy
from llmfan.scheduling.jobs import Feed, Job, Supply, Waiting
from llmfan.scheduling.lanes import Group, Lane, ProviderState
from llmfan.scheduling.lengths import besides
from llmfan.scheduling.open_loop import Punctual, Timetable
from llmfan.scheduling.purse import Purse
from llmfan.settings import Fleet, KeySettings, ModelSettings, Preset, Provider

IDLE_S = 30.0
#: A caller's request where the file says no timeout: as long as clients of this form wait by themselves.
CALLER_S = 600.0
#: A limit carries a load with ease that takes no more than this share of it.
EASY = 0.8


class Moments:
    """The run's clock and its place in the day: the wall clock is read once, by a service now and then."""

    def __init__(self, clock: Clock, wall: dt.datetime):
        self.clock, self.started_at = clock, wall
        self.start = clock()

    def wall(self, moment: float, speed: float = 1.0) -> dt.datetime:
        return self.started_at + dt.timedelta(seconds=(moment - self.start) * speed)

    def unix(self, moment: float) -> float:
        return self.started_at.timestamp() + moment - self.start

    def correct(self, wall: dt.datetime, moment: float) -> float:
        """Takes the wall clock's word for what it is now; by how many seconds it was off (this machine slept, or was
        set).
        """
        off = (wall - self.wall(moment)).total_seconds()
        self.started_at += dt.timedelta(seconds=off)
        return off


class Crew:
    """All lanes of a fleet, and how to speak to each (by lane number)."""

    def __init__(
        self, fleet: Fleet, options: RunOptions, moments: Moments, base_urls: Mapping[str, str], env: Mapping[str, str]
    ):
        self.lanes: list[Lane] = []
        self.speakers: dict[int, Speaker] = {}
        self._options, self._moments, self._env = options, moments, env
        rng = Random(f"{options.seed} limits")
        self.shop = MeterShop(lambda moment: moments.wall(moment, options.speed), rng, options.speed)
        self._groups: dict[int, Group] = {}
        for provider in fleet.providers:
            state = ProviderState(provider.name, provider.concurrency, options.speed)
            for key in provider.keys:
                if key.missing:
                    continue
                for model in provider.models:
                    self._add(provider, state, key, model, base_urls.get(provider.name, provider.base_url))

    def _add(self, provider: Provider, state: ProviderState, key: KeySettings, model: ModelSettings, base: str) -> None:
        number = len(self.lanes)
        target = Target(
            provider=provider.name, model=model.name, key=key.label, account=key.account,
            priority=provider.priority, paid=provider.paid,
        )  # fmt: skip
        meters = self.shop.meters(provider, key, model.name)
        group = self._group(meters, pacing_axis(provider.limits[key.label, model.name]))
        params = {**provider.params, **model.params, **self._options.params}
        lane = Lane(
            number, target, state, group, meters, model.price, provider.preset.limiter.precharge, besides(params)
        )
        self.lanes.append(lane)
        self.speakers[number] = self._speaker(provider, key, model, base)

    def _group(self, meters: list[Meter], axis: str | None) -> Group:
        """Targets whose tightest request limit is one and the same gauge leave through one pacer."""
        pace = next(m for m in meters if isinstance(m, Gauge) and (m.axis == axis or axis is None))
        return self._groups.setdefault(id(pace), Group(f"{pace.owner} {pace.axis}", pace))

    def _speaker(self, provider: Provider, key: KeySettings, model: ModelSettings, base: str) -> Speaker:
        options, preset = self._options, provider.preset
        speaks = dialect(dialect_name(provider.api), preset)
        url, stream_url = speaks.address(base, model.name)
        headers = speaks.headers(key.secret)
        headers.update(provider.headers)
        stream = options.stream if options.stream is not None else provider.stream
        own = CALLER_S if options.callers and not provider.timed else provider.timeout
        timeout = options.timeout or own
        wall = self._moments.wall
        clock = self._moments.clock

        def judge(status: int, answer_headers: Mapping[str, str], body: bytes) -> Failure:
            failure = classify(status, answer_headers, body, preset, wall(clock()).timestamp())
            if 300 <= status < 400:
                return _redirected(failure, url, answer_headers)
            return failure if options.speed == 1 else _at_speed(failure, options.speed)

        reader = ReportReader(preset)

        def reports(answer_headers: Mapping[str, str], refused: bool) -> tuple[Report, ...]:
            return reader.read(answer_headers, wall(clock()).timestamp(), refused)

        return Speaker(
            dialect=speaks,
            endpoint=Endpoint(url, stream_url, headers, timeout, min(IDLE_S, timeout), self._proxy(url)),
            classify=judge,
            read_reports=reports,
            without_usage=lambda: dialect(dialect_name(provider.api), _unasked(preset)),
            from_fault=from_fault,
            model=model.name,
            max_tokens=model.max_tokens or provider.max_tokens,
            temperature=provider.temperature,
            params={**provider.params, **model.params},
            stream=True if stream is None else stream,
            capped=_capped(options, provider, model),
            forced_max_tokens=options.max_tokens,
            forced_temperature=options.temperature,
            forced_params=options.params,
        )

    def _proxy(self, url: str) -> str | None:
        if not any(name.lower() in ("http_proxy", "https_proxy") for name in self._env):
            return None
        from llmfan.transports.http import proxy_for

        return proxy_for(url, self._env)


def _capped(options: RunOptions, provider: Provider, model: ModelSettings) -> bool:
    """Callers set their own caps, but where the file says one, or a bound on the cost needs one."""
    return not options.callers or provider.capped or model.max_tokens is not None or options.max_cost is not None


def _unasked(preset: Preset) -> Preset:
    return replace(preset, fields=replace(preset.fields, ask_usage=False))


def _at_speed(failure: Failure, speed: float) -> Failure:
    """A simulated server's own waits are as fast as its clock; those the catalogue supposes are real seconds."""
    if failure.wait is None or not failure.latest or any(r.resets_in == failure.wait for r in failure.reports):
        return failure
    return replace(failure, wait=failure.wait / speed)


def _redirected(failure: Failure, url: str, headers: Mapping[str, str]) -> Failure:
    to = headers.get("Location", "an address it does not name")
    return Failure(
        kind="bad_response", scope="provider", http_status=failure.http_status, permanent=True,
        message=f"{url} redirects to {to}; redirects are not followed, so correct base_url",
    )  # fmt: skip


def scopes(lanes: Iterable[Lane], mode: str) -> list[str]:
    """Where each prompt goes once: "" anywhere, or every provider, model or key by name."""
    lanes = list(lanes)
    match mode:
        case "providers":
            return list(dict.fromkeys(lane.target.provider for lane in lanes))
        case "models":
            return list(dict.fromkeys(lane.target.name for lane in lanes))
        case "keys":
            return list(dict.fromkeys(lane.target.key for lane in lanes))
    return [""]


def build_dispatcher(
    fleet: Fleet,
    crew: Crew,
    options: RunOptions,
    prompts: Callable[[], Iterator[Prompt]],
    jobs_per_scope: int,
    say: Callable[[str], None],
    done: Callable[[str, int, str], bool] | None = None,
    tries: Callable[[str, int, str], tuple[int, int]] | None = None,
    finished: int = 0,
    deadline: float | None = None,
) -> Dispatcher:
    """`prompts()` starts reading the prompt set anew; `done`, `tries` and `finished` (how many) tell what a resumed run
    has already. `deadline` is a moment of the run's clock.
    """

    def jobs(scope: str) -> Iterator[Job]:
        for repeat in range(options.repeat):
            for prompt in prompts():
                if done is None or not done(prompt.id, repeat, scope):
                    job = Job(prompt, repeat, scope)
                    if tries is not None:
                        job.sent, job.ambiguous = tries(prompt.id, repeat, scope)
                    yield job

    where = scopes(crew.lanes, options.mode)
    feeds, table = _feeds({scope: Feed(jobs(scope)) for scope in where}, options, jobs_per_scope)
    waiting = Waiting(feeds, jobs_per_scope * len(where) - finished, table)
    dispatcher = dispatcher_of(fleet, crew, options, waiting, say, deadline)
    expect(dispatcher, jobs_per_scope, options.mode)
    return dispatcher


def dispatcher_of(
    fleet: Fleet,
    crew: Crew,
    options: RunOptions,
    waiting: Waiting,
    say: Callable[[str], None],
    deadline: float | None = None,
) -> Dispatcher:
    """Over whatever waits: a run's prompts, or the calls of a fleet that is kept running."""
    neurons = {f"{p.name}/{m.name}": m.neurons for p in fleet.providers for m in p.models if m.neurons is not None}
    return Dispatcher(
        crew.lanes,
        waiting,
        Estimator(neurons),
        concurrency=options.concurrency,
        policy=Policy(options.max_attempts, options.max_ambiguous),
        purse=Purse(options.max_cost),
        rng=Random(f"{options.seed} scheduling"),
        max_tokens=lambda job, lane: crew.speakers[lane.number].max_tokens_for(job),
        say=say,
        speed=options.speed,
        deadline=deadline,
        hedge=options.hedge,
        sticky=options.sticky,
        again=crew.shop.again if any(p.learn != "off" for p in fleet.providers) else None,
    )


def _feeds(feeds: dict[str, Feed], options: RunOptions, jobs: int) -> tuple[Mapping[str, Supply], Timetable | None]:
    """With `--rate`: every feed keeps to one timetable. What is not left to do takes no arrival."""
    if (rate := options.rate) is None:
        return feeds, None
    table = Timetable(lambda: arrivals(rate, Random(f"{options.seed} arrivals")), jobs, highest(rate))
    return {scope: Punctual(feed, table) for scope, feed in feeds.items()}, table


def expect(dispatcher: Dispatcher, jobs_per_scope: int, mode: str) -> None:
    """Tells each limit how much of the batch it will carry: what fits into a window may leave at once.

    In an open loop that a limit carries with ease, no prompt is kept for even spacing: it is for long queues.
    """
    paces = [group.pace for group in dispatcher.groups if group.lanes]
    whole = sum(pace.limit / pace.period for pace in paces)
    table = dispatcher.waiting.table
    for pace in paces:
        own = pace.limit / pace.period
        spread = mode == "spread" and whole > 0 and not math.isinf(whole)
        jobs = jobs_per_scope * pace.limit / pace.period / whole if spread else jobs_per_scope
        if table is not None:
            share = max(own / whole, 1.0 / len(paces)) if spread else 1.0  # keys take turns as long as all can
            jobs = min(jobs, SHORT * pace.limit) if table.most * share <= EASY * own else jobs
        pace.expect(jobs)


def network(options: RunOptions, clock: Clock) -> Transport:
    """The real network; its library is imported only for a run that sends."""
    from llmfan.transports.http import HttpTransport, allow_sockets

    allow_sockets(options.concurrency)
    return HttpTransport(options.concurrency, clock)
