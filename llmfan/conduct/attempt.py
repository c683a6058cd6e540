"""One request from claim to settlement: send, read, settle, write it down. It decides nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from msgspec.structs import replace

from llmfan.conduct.scribe import Scribe
from llmfan.conduct.speaker import Speaker
from llmfan.ports import Clock, Transport
from llmfan.records import Answer, Failure, Reply, Report, Usage
from llmfan.scheduling.claim import Claim
from llmfan.scheduling.dispatcher import Dispatcher
from llmfan.scheduling.estimate import CHARS_PER_TOKEN
from llmfan.scheduling.jobs import Job

_CANCELLED = Failure(kind="cancelled", scope="request", message="the run was stopped", ambiguous=True)


class Attempts:
    """Carries claims out. `warmup`: how many first requests of each provider stay out of the statistics.

    `sent_by`: how many each provider was sent by earlier sessions of the run.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        speakers: Mapping[int, Speaker],
        transport: Transport,
        scribe: Scribe,
        clock: Clock,
        warmup: int = 0,
        redact: Callable[[str], str] = lambda text: text,
        cancel: Callable[[Claim], None] = lambda claim: None,
        sent_by: Mapping[str, int] | None = None,
    ):
        self._dispatcher, self._speakers, self._transport = dispatcher, speakers, transport
        self._scribe, self._clock, self._warmup = scribe, clock, warmup
        self._redact = redact
        self.tell: Callable[[bytes, Any], None] | None = None  # a simulated fleet is told what is expected
        self.cancel = cancel  # ends the request of a claim that counts no more
        self._sent_by: dict[str, int] = dict(sent_by or {})

    async def carry_out(self, claim: Claim) -> None:
        job, lane = claim.job, claim.lane
        if claim.dropped:  # its twin has answered before it could leave
            self._dispatcher.release(claim, self._clock())
            return
        speaker = self._speakers[lane.number]
        self._count(claim)
        body = speaker.dialect.body(speaker.call(job))
        stream = speaker.dialect.stream() if speaker.streams(job) else None
        if self.tell is not None:
            self.tell(body, job.prompt.expect)
        sent = self._clock()
        slot = self._scribe.note(claim, sent)
        if job.caller is not None:
            job.caller.attempt(lane.target, stream, speaker.dialect.native, sent)
        try:
            reply = await self._transport.send(speaker.endpoint, body, stream)
        except asyncio.CancelledError:
            now = self._clock()
            self._dispatcher.release(claim, now)
            if job.gone:
                job.caller = None
            self._scribe.failed(claim, slot, Reply(sent=sent, ended=now), _CANCELLED, ended=False)
            raise
        outcome = speaker.understand(reply, stream)
        if isinstance(outcome, Answer):
            self._settle_answer(claim, slot, reply, outcome, speaker.reports(reply))
        else:
            self._settle_failure(claim, slot, reply, speaker.adapt(body, outcome))

    def _count(self, claim: Claim) -> None:
        claim.job.sent += 1
        claim.attempt = claim.job.sent
        claim.job.target = claim.lane.target
        if self._warmup:
            provider = claim.lane.target.provider
            before = self._sent_by.get(provider, 0)
            self._sent_by[provider] = before + 1
            claim.job.warmup = before < self._warmup or (claim.job.turn > 0 and claim.job.warmup)

    def _settle_answer(
        self, claim: Claim, slot: int, reply: Reply, answer: Answer, reports: tuple[Report, ...]
    ) -> None:
        if claim.dropped:  # it came in the same breath as its twin's
            self._settle_failure(claim, slot, reply, _CANCELLED)
            return
        answer = self._clean(answer)
        job, dispatcher = claim.job, self._dispatcher
        usage = answer.usage or self._estimate(claim, answer)
        if dispatcher.pairs is not None and (twin := dispatcher.pairs.drop(claim, usage)) is not None:
            self.cancel(twin)
        spent = dispatcher.settle_answer(claim, usage, self._clock(), reports)  # its end may lie a moment back
        _keep(job, reply, answer, usage, spent)
        if job.caller is not None:
            job.caller.answered(answer, usage, reply.body)
        last = job.turn > len(job.prompt.turns)
        self._scribe.answered(claim, slot, reply, answer, usage, last)
        if not last:
            job.pinned = claim.lane.target.name
            dispatcher.go_on(job)

    def _settle_failure(self, claim: Claim, slot: int, reply: Reply, failure: Failure) -> None:
        # Servers quote keys back; from here on the message goes to files and screens.
        failure = replace(failure, message=self._redact(failure.message))
        if not claim.dropped and claim.twin is None:  # else the other of the pair goes on, and its time counts
            claim.job.retry += reply.ended - reply.sent
        ended = self._dispatcher.settle_failure(claim, failure, self._clock())
        self._scribe.failed(claim, slot, reply, failure, ended)

    def _clean(self, answer: Answer) -> Answer:
        """A server may quote a key in an answer as well."""
        text, reasoning = self._redact(answer.text), answer.reasoning and self._redact(answer.reasoning)
        calls = answer.tool_calls
        if calls:
            calls = msgspec.json.decode(self._redact(msgspec.json.encode(calls).decode()))
        if text == answer.text and reasoning == answer.reasoning and calls == answer.tool_calls:
            return answer
        return replace(answer, text=text, reasoning=reasoning, tool_calls=calls)

    def _estimate(self, claim: Claim, answer: Answer) -> Usage:
        lane = claim.lane
        tokens_in = self._dispatcher.estimator.input_tokens(lane.target.name, claim.job.size() + lane.besides)
        chars = len(answer.text) + len(answer.reasoning or "")
        return Usage(round(tokens_in), max(1, round(chars / CHARS_PER_TOKEN)) if chars else 0, "estimated")


def _keep(job: Job, reply: Reply, answer: Answer, usage: Usage, spent: float | None) -> None:
    """Adds an answer to what a job has so far: TTFT is the first turn's, latency the sum."""
    if not job.answers:
        job.ttft = None if answer.first is None else answer.first - reply.sent
        job.ttfo = None if answer.first_output is None else answer.first_output - reply.sent
        job.usage_source = usage.source
    job.answers.append(answer.text)
    if answer.reasoning:
        job.reasoning.append(answer.reasoning)
    job.finish_reason, job.tool_calls = answer.finish_reason, answer.tool_calls
    job.latency += reply.ended - reply.sent
    job.input_tokens += usage.input_tokens
    job.output_tokens += usage.output_tokens
    if usage.source != "server":
        job.usage_source = usage.source
    if spent is not None:
        job.cost = (job.cost or 0.0) + spent
