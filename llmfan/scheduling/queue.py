"""Calls that wait in a fleet that is kept running: whoever somebody waits for goes ahead of batches, then by age."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from llmfan.scheduling.jobs import Job, Waiting


class Queue(Waiting):
    """All of them wait by place, as jobs that came back do in a run; there is no feed and no end."""

    def __init__(self) -> None:
        super().__init__({})
        self._here: set[Job] = set()
        self.returned: list[Job] = []  # jobs that came back since somebody looked

    @property
    def offers(self) -> bool:
        return self._back > 0

    def put_back(self, job: Job) -> None:
        """One that was refused elsewhere came before those that have not been sent yet."""
        self._back += 1
        self._here.add(job)
        jobs = self.back.setdefault(job.place, deque())
        if job.sent:
            jobs.appendleft(job)
            self.returned.append(job)
        else:
            jobs.append(job)

    def first(
        self, allowed: Callable[[Job], bool], names: tuple[str, ...], lane: int = -1, now: float = 0.0
    ) -> tuple[Job, bool] | None:
        best: Job | None = None
        for place, jobs in self.back.items():
            job = jobs[0]
            if (not place[0] or place[0] in names) and (best is None or _goes_before(job, best)) and allowed(job):
                best = job
        return None if best is None else (best, True)

    def pop(self, place: tuple[Any, ...]) -> deque[Job]:
        jobs = super().pop(place)
        self._here.difference_update(jobs)
        return jobs

    def remove(self, job: Job, came_back: bool, lane: int = -1) -> None:
        super().remove(job, came_back, lane)
        self._here.discard(job)

    def holds(self, job: Job) -> bool:
        return job in self._here

    def withdraw(self, job: Job) -> bool:
        """Takes one out, wherever it stands; False: it does not wait here."""
        if not self.holds(job):
            return False
        jobs = self.back[job.place]
        jobs.remove(job)
        self._here.discard(job)
        self._back -= 1
        if not jobs:
            del self.back[job.place]
        return True

    def heads(self) -> Iterator[Job]:
        """One of each place: what holds for it holds for all that wait there."""
        return iter([jobs[0] for jobs in self.back.values()])

    def at(self, job: Job) -> list[Job]:
        """All that wait at its place."""
        return list(self.back.get(job.place, ()))

    def count(self, batch: bool) -> int:
        return sum(len(jobs) for jobs in self.back.values() if jobs[0].batch is batch)


def _goes_before(job: Job, other: Job) -> bool:
    if job.batch is not other.batch:
        return other.batch
    return (job.planned or 0.0) < (other.planned or 0.0)
