"""`--sticky`: prompts that begin alike go to one key, as long as that costs hardly any time.

Providers keep the beginning of recent prompts and charge less for it, or answer sooner, when it comes again; what they
keep belongs to an account, often to one machine behind it. Spread over many keys, the same beginning is paid for once
on each of them. Sticking is cheaper where the common beginning is long (most caches start at about a thousand tokens: a
long system message, a document with many questions) and comes again within minutes. With short prompts, or with
nothing in common, it only costs the freedom to send a job where it is answered soonest.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from hashlib import blake2b

from msgspec import Struct

from llmfan.scheduling.jobs import Job, Supply

#: Without a system message, `prefix` looks at so many characters: about the thousand tokens where caches start.
PREFIX_CHARS = 4096
#: A job is left to its own key if that can take it within so many seconds.
PATIENCE_S = 2.0
#: Beginnings that are remembered; the one not seen for longest is forgotten first.
MARKS = 10_000
#: A beginning that so many keys have seen is at home everywhere.
HOMES = 8
#: Jobs looked at ahead, so that a lane that leaves one alone finds another.
AHEAD = 64
#: Between two looks of a lane, at least.
LOOK_S = 0.1


def mark_of(job: Job, rule: str) -> int | None:
    """What a job has in common with others. None: nothing that a provider could have kept.

    `rule`: `user` (the field of that name in its parameters or metadata), a number of characters it begins with, or
    `prefix`: its system message, or where there is none as many characters as caches need.
    """
    if rule == "user":
        user = _user(job)
        return None if user is None else _hash(user)
    system, first = _beginning(job)
    whole = system or first[:PREFIX_CHARS]
    text = whole if rule == "prefix" else (system + first)[: int(rule)]
    return _hash(text) if text.strip() else None


class _Held(Struct):
    """A job on the shelf. `since`: when it was first left to its own key."""

    mark: int | None
    since: float | None = None


class Shelf:
    """The next jobs of a feed, handed to lanes by what they have in common with jobs those lanes have had.

    `takes` says how many jobs a lane can take within `PATIENCE_S`; no more than that are left to it.
    """

    def __init__(self, feed: Supply, rule: str, takes: Callable[[int, float], float], speed: float = 1.0):
        self._feed, self._rule, self._takes = feed, rule, takes
        self._patience = PATIENCE_S / speed
        self._held: dict[Job, _Held] = {}
        self._homes: OrderedDict[int, set[int]] = OrderedDict()

    def first(self, lane: int, now: float) -> Job | None:
        """The job a lane should take: one that is at home there, else one that is at home nowhere, else what others
        cannot take in time. None: what is left has a better place.
        """
        self._fill(now)
        homeless: Job | None = None
        spilled: Job | None = None
        left_to: dict[int, float] = {}
        for job, held in self._held.items():
            homes = self._homes.get(held.mark) if held.mark is not None else None
            if homes is None or len(homes) >= HOMES:
                homeless = homeless or job
            elif lane in homes:
                return job
            elif homeless is None and spilled is None and not self._is_left(held, homes, left_to, now):
                spilled = job
        return homeless or spilled

    def take(self, job: Job | None = None, lane: int = -1) -> Job:
        """A lane takes a job; what begins like it is at home there from now on."""
        if job is None:
            job = next(iter(self._held)) if self._held else self._hold()
        held = self._held.pop(job)
        if held.mark is None or lane < 0:
            return job
        homes = self._homes.setdefault(held.mark, set())
        homes.add(lane)
        self._homes.move_to_end(held.mark)
        if len(self._homes) > MARKS:
            self._homes.popitem(last=False)
        return job

    def look_again(self, now: float) -> float:
        """When a job that is left to another lane may be taken by any, or another one arrives."""
        more = self._feed.look_again(now)
        if not self._held:
            return more
        waits = [held.since + self._patience for held in self._held.values() if held.since is not None]
        return min(max(now + LOOK_S, min(waits, default=now + self._patience)), more if more > now else math.inf)

    def peek(self) -> Job | None:
        """The oldest one, whoever it is for."""
        return next(iter(self._held), None) or self._feed.peek()

    @property
    def empty(self) -> bool:
        return not self._held and self._feed.empty

    @property
    def fault(self) -> str | None:
        return self._feed.fault

    def _is_left(self, held: _Held, homes: set[int], left_to: dict[int, float], now: float) -> bool:
        """Whether a job is left to one of its homes: it has waited no longer than that, and one has room for it."""
        if held.since is not None and now >= held.since + self._patience:
            return False
        for home in homes:
            room = left_to.get(home)
            if room is None:
                room = left_to[home] = self._takes(home, now)
            if room >= 1.0:
                left_to[home] = room - 1.0
                held.since = now if held.since is None else held.since
                return True
        return False

    def _fill(self, now: float) -> None:
        while len(self._held) < AHEAD and self._feed.first(-1, now) is not None:
            self._hold()

    def _hold(self) -> Job:
        job = self._feed.take()
        self._held[job] = _Held(mark_of(job, self._rule))
        return job


def _user(job: Job) -> str | None:
    for place in (job.prompt.params, job.prompt.metadata):
        if isinstance(place, dict) and isinstance(user := place.get("user"), str | int):
            return str(user)
    return None


def _beginning(job: Job) -> tuple[str, str]:
    """What the system says, and the first thing said after it."""
    system: list[str] = []
    for message in job.prompt.messages:
        content = message.get("content")
        parts = content if isinstance(content, list) else [{"text": content}]
        text = "".join(str(part["text"]) for part in parts if isinstance(part, dict) and part.get("text"))
        if message.get("role") not in ("system", "developer"):
            return "\n".join(system), text
        system.append(text)
    return "\n".join(system), ""


def _hash(text: str) -> int:
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")
