"""Jobs waiting to be sent: one feed for all (or one for each provider, model or key), and those that came back."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from llmfan.errors import UserError
from llmfan.ports import Caller
from llmfan.records import Failure, Message, Prompt, Target
from llmfan.scheduling.lengths import length_of

if TYPE_CHECKING:
    from llmfan.scheduling.open_loop import Timetable


class Job:
    """One prompt to be answered once, and how far it has come.

    `only` restricts it (a provider, `provider/model` or a key's label; "" is anywhere); `banned` and `avoid` hold names
    of the same kind: never again, and not while there is another. `pinned` keeps a conversation on one model.
    """

    __slots__ = (
        "ambiguous",
        "answers",
        "avoid",
        "banned",
        "batch",
        "caller",
        "chars",
        "cost",
        "failures",
        "finish_reason",
        "gone",
        "input_tokens",
        "last",
        "latency",
        "only",
        "output_tokens",
        "pinned",
        "planned",
        "prompt",
        "reasoning",
        "refusers",
        "repeat",
        "retry",
        "sent",
        "started",
        "target",
        "tool_calls",
        "ttfo",
        "ttft",
        "usage_source",
        "warmup",
    )  # fmt: skip

    def __init__(self, prompt: Prompt, repeat: int = 0, only: str = ""):
        self.prompt, self.repeat, self.only = prompt, repeat, only
        self.banned: frozenset[str] = frozenset()
        self.avoid: frozenset[str] = frozenset()
        self.pinned = ""
        self.refusers: frozenset[str] = frozenset()
        self.sent = self.failures = self.ambiguous = 0
        self.retry = 0.0
        self.planned: float | None = None  # the moment it was meant to arrive, under --rate
        self.last: Failure | None = None
        self.target: Target | None = None  # where it was sent last
        self.chars = -1
        self.warmup = False
        self.caller: Caller | None = None  # who waits for it, in a fleet that is kept running
        self.batch = False  # behind all that somebody waits for
        self.gone = False  # nobody waits for it any more
        self.cost: float | None = None  # of all that was paid for, a conversation that began again included
        self.restart()

    def restart(self) -> None:
        """Forgets the answers of a conversation: it begins again on another model."""
        self.answers: list[str] = []
        self.reasoning: list[str] = []
        self.finish_reason: str | None = None
        self.tool_calls: Any = None
        self.started: float | None = None
        self.ttft: float | None = None
        self.ttfo: float | None = None
        self.latency = 0.0
        self.input_tokens = self.output_tokens = 0
        self.usage_source = "server"
        self.pinned = ""

    @property
    def turn(self) -> int:
        return len(self.answers)

    def messages(self) -> list[Message]:
        """What the next request says: the prompt, and the answers so far with the turns between them."""
        if not self.answers:
            return self.prompt.messages
        said = list(self.prompt.messages)
        for answer, turn in zip(self.answers, self.prompt.turns, strict=False):
            said += [{"role": "assistant", "content": answer}, turn]
        return said

    def size(self) -> int:
        """Characters of the next request, for token estimates."""
        if self.answers:
            return length_of(self.messages(), self.prompt.params)
        if self.chars < 0:
            self.chars = length_of(self.prompt.messages, self.prompt.params)
        return self.chars

    @property
    def place(self) -> tuple[Any, ...]:
        """Jobs with the same place may go to the same lanes."""
        return (self.only, self.banned, self.avoid, self.pinned, self.ambiguous > 0, self.batch)


class Supply(Protocol):
    """Jobs not sent yet. `first` and `take` say which lane asks.

    `look_again`: the moment from which it may have one for a lane that has just been given none; `now` if it has some,
    but not for that lane, and time alone changes nothing; inf if nothing is to come. `peek` is the next, due or not.
    """

    @property
    def empty(self) -> bool: ...

    @property
    def fault(self) -> str | None: ...

    def peek(self) -> Job | None: ...

    def first(self, lane: int, now: float) -> Job | None: ...

    def look_again(self, now: float) -> float: ...

    def take(self, job: Job | None = None, lane: int = -1) -> Job: ...


class Feed:
    """Jobs not sent yet, read one ahead from an iterator that reads the prompt set as it goes."""

    def __init__(self, jobs: Iterator[Job]):
        self._jobs = jobs
        self._head: Job | None = None
        self.empty = False
        self.fault: str | None = None

    def peek(self) -> Job | None:
        if self._head is None and not self.empty:
            try:
                self._head = next(self._jobs, None)
            except UserError as error:  # the prompt set was changed while it is being read
                self.fault = str(error)
            self.empty = self._head is None
        return self._head

    def first(self, lane: int, now: float) -> Job | None:
        """The job this lane should take: whoever asks gets the next."""
        return self.peek()

    def look_again(self, now: float) -> float:
        return math.inf if self.peek() is None else now

    def take(self, job: Job | None = None, lane: int = -1) -> Job:
        head = self.peek()
        assert head is not None
        self._head = None
        return head


class Waiting:
    """All jobs that wait: `feeds` by restriction, and `back` by place. `table`: when they arrive, in an open loop."""

    def __init__(self, feeds: Mapping[str, Supply], unsent: int = 0, table: Timetable | None = None):
        self.feeds: dict[str, Supply] = dict(feeds)
        self.table = table
        self.back: dict[tuple[Any, ...], deque[Job]] = {}
        self._unsent, self._back = unsent, 0

    @property
    def left(self) -> int:
        """How many wait, as far as is known; exact once the end has been read."""
        if self._unsent > len(self.feeds):
            return self._unsent + self._back
        return self._back + sum(not feed.empty for feed in self.feeds.values())

    def put_back(self, job: Job) -> None:
        self._back += 1
        self.back.setdefault(job.place, deque()).append(job)

    def first(
        self, allowed: Callable[[Job], bool], names: tuple[str, ...], lane: int = -1, now: float = 0.0
    ) -> tuple[Job, bool] | None:
        """The first job a lane called `names` may serve, and whether it is one that came back. Those go first."""
        for place, jobs in self.back.items():
            only = place[0]
            if (not only or only in names) and allowed(jobs[0]):
                return jobs[0], True
        for name in names:
            feed = self.feeds.get(name)
            if feed is not None and (job := feed.first(lane, now)) is not None and allowed(job):
                return job, False
        return None

    def look_again(self, names: tuple[str, ...], now: float) -> float:
        """As of a supply, for a lane called `names`."""
        return min((feed.look_again(now) for name in names if (feed := self.feeds.get(name))), default=math.inf)

    @property
    def offers(self) -> bool:
        """Whether it is worth asking: False only in an open loop, while nothing that has arrived waits."""
        table = self.table
        return table is None or self._back > 0 or table.due > 0 or table.next == math.inf

    def pop(self, place: tuple[Any, ...]) -> deque[Job]:
        """All jobs that came back to a place."""
        jobs = self.back.pop(place)
        self._back -= len(jobs)
        return jobs

    def remove(self, job: Job, came_back: bool, lane: int = -1) -> None:
        if not came_back:
            self._unsent -= 1
            self.feeds[job.only].take(job, lane)
            if self.table is not None:
                self.table.took(job)
            return
        self._back -= 1
        jobs = self.back[job.place]
        jobs.popleft()
        if not jobs:
            del self.back[job.place]

    @property
    def fault(self) -> str | None:
        """Why a feed ended before its end."""
        return next((feed.fault for feed in self.feeds.values() if feed.fault), None)

    @property
    def empty(self) -> bool:
        return not self.back and all(feed.peek() is None for feed in self.feeds.values())
