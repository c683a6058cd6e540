"""Jobs that nobody can serve as they stand: they go back to a place they avoided, begin again elsewhere, or end."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec.structs import replace

from llmfan.records import Failure
from llmfan.scheduling.failover import eligible
from llmfan.scheduling.jobs import Job, Supply, Waiting
from llmfan.scheduling.lanes import Lane
from llmfan.scheduling.rests import short

#: Jobs of a dead key that are ended in one step.
SLICE = 500
CUT_OFF = Failure(
    kind="cancelled",
    scope="request",
    message="was in flight when the run was cut off and may have been billed; not sent again (--max-ambiguous)",
)
NOBODY = Failure(kind="bad_request", scope="request", message="no key of the fleet can serve it")


class Stranded:
    """`ended` takes the jobs that no lane will ever take, each with the reason."""

    def __init__(
        self,
        lanes: Sequence[Lane],
        waiting: Waiting,
        ended: list[tuple[Job, Failure]],
        free_could: Callable[[Job, float], bool],
    ):
        self.lanes, self.waiting, self.ended, self._free_could = lanes, waiting, ended, free_could
        self._served_by: dict[str, list[Lane]] = {}
        for lane in lanes:
            for name in lane.names:
                self._served_by.setdefault(name, []).append(lane)

    def look(self, now: float) -> bool:
        """True: something changed by it, so that everybody has to look again."""
        again = False
        for place in list(self.waiting.back):
            first = self.waiting.back[place][0]
            fit = [lane for lane in self.lanes if eligible(lane, first)]
            able = [lane for lane in fit if lane.able(now)]
            if able and not (first.avoid and all(x.target.paid for x in able) and self._free_could(first, now)):
                continue
            if fit and not first.avoid and not first.refusers and not self._lost_its_model(first, fit, now):
                continue
            if not first.refusers and all(lane.out for lane in self.lanes):
                continue  # the run ends for want of a key; the job stays for --resume
            for job in self.waiting.pop(place):
                again = self._relax(job) or again
        alive = any(not lane.out for lane in self.lanes)
        for name, feed in self.waiting.feeds.items():
            lanes = self._served_by.get(name, [])
            if name and alive and all(lane.out for lane in lanes):
                again = self._end_feed(feed, (lanes[0].fault if lanes else None) or NOBODY) or again
        return again

    def _lost_its_model(self, job: Job, fit: list[Lane], now: float) -> bool:
        """A conversation whose model has no quota left, while another could begin it again."""
        if not job.pinned or not all(lane.exhausted(now) for lane in fit):
            return False
        return any(lane.able(now) and (not job.only or job.only in lane.names) for lane in self.lanes)

    def _relax(self, job: Job) -> bool:
        """Three cases: others were tried first and are gone; a conversation lost its model; or it is over."""
        if job.refusers or not (job.avoid or job.pinned):
            self.ended.append((job, job.last or self._nobody(job)))
            return False
        if not job.avoid:
            job.restart()
        job.avoid = frozenset()
        self.waiting.put_back(job)
        return True

    def _nobody(self, job: Job) -> Failure:
        """It was never sent: those that could have served it are out, for a reason that is not the job's."""
        fault = next((lane.fault for lane in self._served_by.get(job.only, []) if lane.fault is not None), None)
        return NOBODY if fault is None else replace(fault, message=f"not sent: {short(fault)}")

    def _end_feed(self, feed: Supply, why: Failure) -> bool:
        unsent = replace(why, message=f"not sent: {short(why)}")
        for _ in range(SLICE):  # a million prompts for a dead key are not held at once
            job = feed.peek()
            if job is None:
                return False
            self.waiting.remove(job, False)
            self.ended.append((job, unsent))
        return True

    def give_up(self) -> bool:
        """Nobody ever answered: jobs that were tried and failed end so; what was never sent waits for --resume."""
        for place in list(self.waiting.back):
            for job in self.waiting.pop(place):
                if job.failures:
                    self.ended.append((job, job.last or NOBODY))
                else:
                    self.waiting.put_back(job)
        return bool(self.ended)
