"""Turns what happened into the journal's lines, and counts it: one line an attempt, one a finished job."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Protocol

from llmfan.conduct.tallies import Tallies
from llmfan.marks import short_mark
from llmfan.measures.accumulate import Accumulator
from llmfan.measures.recent import Recent
from llmfan.outputs.journal import InFlightNote
from llmfan.records import Answer, AttemptLine, ErrorInfo, Failure, Prompt, Reply, ResultLine, ResultUsage, Usage
from llmfan.scheduling.claim import Claim
from llmfan.scheduling.jobs import Job
from llmfan.scheduling.lanes import Lane


class Journal(Protocol):
    """Where lines go: a run's folder, or nowhere. `broken`: why nothing can be written any more."""

    broken: OSError | None

    def sent(self, note: InFlightNote, mark: Callable[[], str]) -> int: ...

    def ended(self, slot: int, attempt: AttemptLine, result: ResultLine | None) -> bool: ...

    def result(self, result: ResultLine) -> None: ...

    async def keep_synced(self) -> None: ...


class Scribe:
    """Writes attempts and results. `start` is the run's beginning on its clock; `offset` the seconds run before."""

    def __init__(
        self,
        journal: Journal,
        accumulator: Accumulator,
        *,
        start: float,
        started_at: dt.datetime,
        offset: float = 0.0,
        simulated: bool = False,
        grade: Callable[[Prompt, str], float | None] | None = None,
    ):
        self.journal, self.accumulator = journal, accumulator
        self.start, self.offset, self.simulated = start, offset, simulated
        self._grade = grade
        self._wall = started_at.timestamp()
        self._second, self._prefix = -1, ""
        self.tallies: Tallies | None = None  # what the ledger is told of attempts
        self.recent: Recent | None = None  # the last minutes, where somebody looks

    def shift(self, seconds: float) -> None:
        """The wall clock is further on than was known."""
        self._wall += seconds
        self._second = -1

    def note(self, claim: Claim, sent: float) -> int:
        """Marks a request as in flight."""
        job, target = claim.job, claim.lane.target
        claim.stamp, claim.turn = self._stamp(sent), job.turn
        return self.journal.sent(
            InFlightNote(
                id=job.prompt.id, repeat=job.repeat, attempt=claim.attempt, turn=claim.turn, provider=target.provider,
                model=target.model, key=target.key, started_at=claim.stamp, sent_s=self._since_start(sent),
            ),
            lambda: short_mark(job.prompt.id, job.repeat, job.only),
        )  # fmt: skip

    def answered(self, claim: Claim, slot: int, reply: Reply, answer: Answer, usage: Usage, last: bool) -> None:
        """An attempt that succeeded; with `last`, the job's result as well."""
        line = self._attempt(claim, reply, "ok", "yes")
        line.ttft_s = _between(reply.sent, answer.first)
        line.ttfo_s = _between(reply.sent, answer.first_output)
        line.input_tokens, line.output_tokens, line.usage_source = usage.input_tokens, usage.output_tokens, usage.source
        line.itl_ms = _gaps(answer)
        self._put(claim.job, slot, line, self._result(claim.job, claim.lane, reply.ended) if last else None)

    def failed(self, claim: Claim, slot: int, reply: Reply, failure: Failure, ended: bool) -> None:
        billed = "unknown" if failure.ambiguous else "no"
        line = self._attempt(claim, reply, failure.kind, billed)
        line.http_status = failure.http_status or line.http_status
        line.retry_after_s = None if failure.wait is None else round(failure.wait, 3)
        line.ambiguous, line.hedge = failure.ambiguous, claim.dropped
        self._put(claim.job, slot, line, self.failure_result(claim.job, claim.lane, failure) if ended else None)

    def never_served(self, job: Job, failure: Failure) -> ResultLine:
        """A job that ended without a last attempt: no lane could take it."""
        result = self.failure_result(job, None, failure)
        self.journal.result(result)
        if self.journal.broken is None:
            self._count(job, None, result)
        return result

    def failure_result(self, job: Job, lane: Lane | None, failure: Failure) -> ResultLine:
        line = self._result(job, lane, None)
        line.status = "failed"
        line.error = ErrorInfo(failure.kind, failure.message, failure.http_status)
        return line

    def _put(self, job: Job, slot: int, attempt: AttemptLine, result: ResultLine | None) -> None:
        if not self.journal.ended(slot, attempt, result):
            return  # it could not be kept: the figures count what the files hold
        self.accumulator.attempt(attempt)
        if self.tallies is not None:
            ended = attempt.sent_s - self.offset + (attempt.latency_s or 0.0)
            self.tallies.count(attempt, self._wall + ended)
        self._count(job, attempt, result)

    def _count(self, job: Job, attempt: AttemptLine | None, result: ResultLine | None) -> None:
        if self.recent is not None:
            self.recent.count(attempt, result, "" if job.last is None else job.last.message)
        if result is not None:
            self.accumulator.result(result)
            if job.caller is not None:
                job.caller.ended(result)

    def _attempt(self, claim: Claim, reply: Reply, outcome: str, billed: str) -> AttemptLine:
        job, target = claim.job, claim.lane.target
        return AttemptLine(
            id=job.prompt.id, attempt=claim.attempt, provider=target.provider, model=target.model, key=target.key,
            started_at=claim.stamp, ttft_s=None, latency_s=round(reply.ended - reply.sent, 6),
            http_status=reply.status or None, outcome=outcome, billed=billed, retry_after_s=None, input_tokens=None,
            output_tokens=None, usage_source=None, ttfo_s=None, sent_s=self._since_start(reply.sent),
            repeat=job.repeat, turn=claim.turn, itl_ms=[], warmup=job.warmup, simulated=self.simulated,
        )  # fmt: skip

    def _result(self, job: Job, lane: Lane | None, ended: float | None) -> ResultLine:
        prompt, ok = job.prompt, ended is not None
        planned = None if job.planned is None else self._since_start(job.planned)
        total = None if ended is None else self.offset + ended - self.start - (planned or 0.0)
        wait = None if total is None else max(0.0, total - job.retry - job.latency)
        target = lane.target if lane else job.target
        only_provider, _, only_model = job.only.removeprefix("*").partition("/")
        usage = ResultUsage(job.input_tokens, job.output_tokens, job.usage_source) if ok else None
        return ResultLine(
            id=prompt.id, index=prompt.index, repeat=job.repeat, status="ok",
            provider=target.provider if target else only_provider.partition("#")[0] or None,
            model=target.model if target else only_model or None,
            key=target.key if target else (job.only if "#" in job.only else None),
            text=job.answers[-1] if ok else None,
            reasoning="\n".join(job.reasoning) or None if ok else None,
            finish_reason=job.finish_reason if ok else None, usage=usage, cost_usd=job.cost,
            wait_s=_round(wait), retry_s=round(job.retry, 6), ttft_s=_round(job.ttft) if ok else None,
            ttfo_s=_round(job.ttfo) if ok else None, latency_s=round(job.latency, 6) if ok else None,
            total_s=_round(total), attempts=job.sent, error=None, expect=prompt.expect,
            score=self._grade(prompt, job.answers[-1]) if ok and self._grade is not None else None,
            metadata=prompt.metadata, simulated=self.simulated, turns=job.answers if prompt.turns and ok else None,
            tool_calls=job.tool_calls if ok else None, warmup=job.warmup,
            planned_s=planned,
        )  # fmt: skip

    def _since_start(self, moment: float) -> float:
        return round(self.offset + moment - self.start, 6)

    def _stamp(self, moment: float) -> str:
        wall = self._wall + moment - self.start
        second = int(wall)
        if second != self._second:  # most requests share their second with the one before
            self._second = second
            self._prefix = dt.datetime.fromtimestamp(second, dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.")
        return f"{self._prefix}{int((wall - second) * 1000):03d}Z"


def _gaps(answer: Answer) -> list[tuple[float, int]]:
    """Gaps in milliseconds at three significant digits, each with how often it occurred."""
    counts: dict[float, int] = {}
    for gap, count in answer.gaps:
        ms = float(f"{gap * 1000.0:.3g}") if gap else 0.0
        counts[ms] = counts.get(ms, 0) + count
    return list(counts.items())


def _between(start: float, moment: float | None) -> float | None:
    return None if moment is None else round(moment - start, 6)


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, 6)
