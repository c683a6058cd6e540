"""A claim: a job, the lane it goes to, and what it holds of every limit meanwhile."""

from __future__ import annotations

from llmfan.limits.axes import Cost
from llmfan.limits.window import Entry
from llmfan.scheduling.jobs import Job
from llmfan.scheduling.lanes import Lane


class Claim:
    """A job and the lane it goes to, with what it holds of every limit. It is settled exactly once."""

    __slots__ = (
        "attempt", "booked", "cost", "dropped", "entries", "job", "lane", "learners", "meters", "sent", "settled",
        "stamp", "turn", "twin", "worst",
    )  # fmt: skip

    def __init__(self, job: Job, lane: Lane, cost: Cost, worst: float, entries: list[Entry], sent: float):
        self.job, self.lane, self.cost, self.entries, self.sent = job, lane, cost, entries, sent
        self.meters, self.learners, self.booked = (
            lane.meters,
            lane.learners,
            lane.booked,
        )  # those it passed, whatever becomes of the lane's
        self.worst = worst  # USD it may cost, for --max-cost
        self.stamp = ""  # UTC, once it has left
        self.turn = self.attempt = 0
        self.twin: Claim | None = None  # the other one of a hedged pair, while both are in flight
        self.settled = False  # what it held is free again
        self.dropped = False  # its twin has answered: nothing that comes of it counts
