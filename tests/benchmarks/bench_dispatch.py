"""CPU of decisions and limits alone, without asyncio: microseconds a prompt, and what more waiting jobs cost.

python tests/benchmarks/bench_dispatch.py [KEYS] [JOBS]
"""

from __future__ import annotations

import heapq
import sys
import time
from pathlib import Path
from types import SimpleNamespace

sys.path[:0] = [str(Path(__file__).parents[2])]

from llmfan.options import RunOptions  # noqa: E402
from llmfan.records import Prompt, Usage  # noqa: E402
from llmfan.scheduling.dispatcher import Claim  # noqa: E402
from llmfan.settings import Fleet  # noqa: E402
from llmfan.wiring import Crew, Moments, build_dispatcher  # noqa: E402
from tests.scenarios.world import MIDNIGHT, provider  # noqa: E402

SERVICE_S = 2.0


def drive(keys: int, jobs: int, waiting: int) -> float:
    """CPU seconds for `jobs` prompts over `keys` keys, `waiting` of them in the prompt set; time is made up."""
    per = max(1, keys // 8)
    providers = [
        provider(f"p{n}", per, axes={"rpm": 600.0, "rpd": 100_000_000.0, "tpm": 6_000_000.0}, priority=n % 3)
        for n in range(keys // per)
    ]
    state = SimpleNamespace(now=1.0)
    moments = Moments(lambda: state.now, MIDNIGHT)
    options = RunOptions(concurrency=100_000)
    crew = Crew(Fleet(file="bench", providers=providers), options, moments, {}, {})
    prompt = Prompt(id="p", index=0, messages=[{"role": "user", "content": "What is six times seven?"}])
    dispatcher = build_dispatcher(
        Fleet(file="bench", providers=providers), crew, options, lambda: (prompt for _ in range(waiting)), waiting,
        lambda text: None,
    )  # fmt: skip
    usage = Usage(12, 60)
    due: list[tuple[float, int, Claim]] = []
    number = done = 0
    permits = [(0.0, n, group) for n, group in enumerate(dispatcher.groups)]
    heapq.heapify(permits)
    began = time.process_time()
    while done < jobs:
        while permits and permits[0][0] <= state.now:  # the pacers, as a heap
            dispatcher.grant(heapq.heappop(permits)[2])
        for claim in dispatcher.match(state.now):
            number += 1
            heapq.heappush(due, (state.now + SERVICE_S, number, claim))
            spec = claim.lane.group.pace.spec()
            assert spec is not None
            heapq.heappush(permits, (state.now + 1.0 / spec[1], number, claim.lane.group))
        upcoming = [permits[0][0] if permits else state.now + 1.0, dispatcher.next_wake()]
        state.now = max(state.now, min([*upcoming, *(item[0] for item in due[:1])])) + 1e-6
        while due and due[0][0] <= state.now:
            dispatcher.settle_answer(heapq.heappop(due)[2], usage, state.now)
            done += 1
    return time.process_time() - began


if __name__ == "__main__":
    keys = int(sys.argv[1]) if len(sys.argv) > 1 else 32
    jobs = int(sys.argv[2]) if len(sys.argv) > 2 else 20_000
    for waiting in (jobs + 1000, 1_000_000):
        cpu = drive(keys, jobs, waiting)
        print(f"{keys} keys, {waiting:,} in the prompt set: {cpu / jobs * 1e6:.1f} us of CPU a prompt")
