"""Small fleets put together by hand, in whatever state a test wants to look at."""

from __future__ import annotations

import datetime as dt
import io
from random import Random
from typing import Any

from rich.console import Console

from llmfan.limits.gauge import Gauge
from llmfan.limits.window import Meter
from llmfan.measures.accumulate import Accumulator
from llmfan.outputs.view import RunView
from llmfan.records import AttemptLine, ErrorInfo, Prompt, ResultLine, ResultUsage, Target
from llmfan.scheduling.dispatcher import Dispatcher
from llmfan.scheduling.estimate import Estimator
from llmfan.scheduling.failover import Policy
from llmfan.scheduling.jobs import Feed, Job, Waiting
from llmfan.scheduling.lanes import Group, Lane, ProviderState, Standing
from llmfan.scheduling.purse import Purse

START = 1000.0
NOON = dt.datetime(2026, 11, 21, 12, 3, 10)
#: What nothing may bring to a terminal: clear screen, clipboard, C1, direction overrides, new lines, zero width.
NASTY = "a\x1b[2Jb\x1b]52;c;eA==\x07c\x9b31md\u202ee\u2066f\ng\rh\u200bi\u2028j\x7f"
RAW = "\x1b\x07\x9b\u202e\u2066\r\u200b\u2028\x7f"


def lanes_of(
    keys: dict[str, int],
    *,
    rpm: float | None = 30.0,
    models: int = 1,
    meters: list[Meter] | None = None,
    speed: float = 1,
) -> list[Lane]:
    """Provider → number of its keys; each key's requests are a group of their own."""
    lanes: list[Lane] = []
    for name, count in keys.items():
        provider = ProviderState(name, None, speed)
        for k in range(1, count + 1):
            for m in range(1, models + 1):
                target = Target(provider=name, model=f"m{m}", key=f"{name}#{k}", account=f"{name}{k}")
                group = Group(f"{name}#{k}", Gauge("rpm", f"{name}#{k}", rpm, 60.0 / speed, speed=speed, rng=Random(1)))
                lanes.append(Lane(len(lanes), target, provider, group, list(meters or []), None))
    return lanes


def view_of(lanes: list[Lane], *, total: int = 100, concurrency: int = 64, **more: Any) -> RunView:
    jobs = (Job(Prompt(id=str(i), index=i, messages=[])) for i in range(total))
    dispatcher = Dispatcher(
        lanes, Waiting({"": Feed(jobs)}), Estimator({}), concurrency=concurrency, policy=Policy(), purse=Purse(),
        rng=Random(1), max_tokens=lambda job, lane: 100,
    )  # fmt: skip
    return RunView(dispatcher, Accumulator(), total=total, started=START, **more)


def answered(view: RunView, lane: Lane, times: int = 1, *, latency: float = 1.5, tokens: int = 100) -> None:
    for _ in range(times):
        view.accumulator.attempt(_attempt(lane, "ok", latency))
        view.accumulator.result(_result(lane, latency, tokens))


def attempt_lost(view: RunView, lane: Lane, kind: str, times: int = 1) -> None:
    for _ in range(times):
        view.accumulator.attempt(_attempt(lane, kind, 0.1))


def failed(view: RunView, lane: Lane, kind: str, message: str) -> None:
    attempt_lost(view, lane, kind)
    line = _result(lane, 0.1, 0)
    line.status, line.error = "failed", ErrorInfo(kind, message)
    view.accumulator.result(line)


def in_flight(view: RunView, lane: Lane, count: int) -> None:
    lane.in_flight += count
    lane.provider.in_flight += count
    view.dispatcher.in_flight += count


def timed(lane: Lane, until: float, why: str) -> None:
    lane.standing, lane.wakes, lane.waits_for = Standing.TIMED, until, why


def terminal(width: int, height: int, file: io.StringIO | None = None) -> tuple[Console, io.StringIO]:
    file = file or io.StringIO()
    console = Console(
        file=file, width=width, height=height, force_terminal=True, force_interactive=True, color_system="256",
        legacy_windows=False, _environ={"TERM": "xterm-256color"},
    )  # fmt: skip
    return console, file


def _attempt(lane: Lane, outcome: str, latency: float) -> AttemptLine:
    return AttemptLine(
        id="1", attempt=1, provider=lane.target.provider, model=lane.target.model, key=lane.target.key, started_at="",
        ttft_s=latency / 3, latency_s=latency, http_status=200, outcome=outcome, billed="no", retry_after_s=None,
        input_tokens=1, output_tokens=1, usage_source="server", ttfo_s=None, sent_s=0.0, repeat=0, turn=0, itl_ms=[],
    )  # fmt: skip


def _result(lane: Lane, latency: float, tokens: int) -> ResultLine:
    return ResultLine(
        id="1", index=0, repeat=0, status="ok", provider=lane.target.provider, model=lane.target.model,
        key=lane.target.key, text="", reasoning=None, finish_reason=None, usage=ResultUsage(10, tokens, "server"),
        cost_usd=None, wait_s=0.5, retry_s=0.0, ttft_s=latency / 3, ttfo_s=None, latency_s=latency, total_s=latency,
        attempts=1, error=None, expect=None, score=None, metadata=None, simulated=False,
    )  # fmt: skip
