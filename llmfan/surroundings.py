"""What a run stands in: the event loop, the signals, and the wall clock in words."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable

from llmfan.conduct.run import Run
from llmfan.wiring import Moments


def catch_signals(run: Run) -> None:
    """Signals belong to the top: the first drains, the second leaves at once. SIGHUP counts as SIGTERM."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        meant = signal.SIGTERM if number == signal.SIGHUP else number
        loop.add_signal_handler(number, run.interrupted, int(meant))


def spelled_moment(moments: Moments) -> Callable[[float], str]:
    return lambda moment: "at " + moments.wall(moment).strftime("%Y-%m-%d %H:%M:%S UTC")


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    if os.environ.get("LLMFAN_LOOP") == "asyncio":
        return None
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
