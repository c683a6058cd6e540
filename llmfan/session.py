"""A run from its inputs to its exit code: check, open the folder, resume, send, sum up."""

from __future__ import annotations

import asyncio
import datetime as dt
import gc
import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from llmfan.audit import Audit, arrivals
from llmfan.carrying import warning as too_fast
from llmfan.conduct.attempt import Attempts
from llmfan.conduct.bookkeeper import Bookkeeper
from llmfan.conduct.bounds import Bounds
from llmfan.conduct.run import Run
from llmfan.conduct.scribe import Scribe
from llmfan.efficiency import efficiency, ideal_of_run
from llmfan.errors import UserError
from llmfan.gatekeeper import Gatekeeper
from llmfan.inputs.digests import Digests
from llmfan.inputs.prompts import PromptSet
from llmfan.ledgers.memory import MemoryLedger
from llmfan.marks import job_mark
from llmfan.measures.accumulate import Accumulator
from llmfan.measures.gates import Gate
from llmfan.options import RunOptions
from llmfan.outputs.journal import RUN, SUMMARY, RunJournal, create_folder, lock_folder, write_whole
from llmfan.outputs.live import RunView, observer
from llmfan.ports import Ledger
from llmfan.records import Prompt
from llmfan.replay import Past, note_lost, replay, restore_unanswered
from llmfan.runfile import check_same, new_header, redactor, stamp
from llmfan.scheduling.dispatcher import Dispatcher
from llmfan.scheduling.memory import remember
from llmfan.scheduling.spending import recall_spent
from llmfan.settings import Fleet
from llmfan.simulation.answers import Answers
from llmfan.summary import document
from llmfan.surroundings import catch_signals, loop_factory, spelled_moment
from llmfan.wiring import Crew, Moments, build_dispatcher, expect, network, scopes

if TYPE_CHECKING:
    from llmfan.overview import Overview

#: Grades an answer: 1 right, 0 wrong, between them partly; None: it could not be judged.
Grade = Callable[[Prompt, str], float | None]
#: What is open while a run goes on, and may look at it.
Beside = Callable[["Overview"], AbstractAsyncContextManager[None]]


class Outcome(Struct, kw_only=True):
    """How a run ended: its exit code, why it stopped early (if it did), and the summary's document."""

    exit_code: int
    why: str
    summary: dict[str, Any]


class Session:
    """One `llmfan run`. `resume` goes on with what `folder` holds; `beside` is open while it goes on."""

    def __init__(
        self,
        fleet: Fleet,
        prompts: PromptSet,
        options: RunOptions,
        folder: Path,
        *,
        env: Mapping[str, str],
        resume: bool = False,
        quiet: bool = False,
        args: list[str] | None = None,
        ledger: Ledger | None = None,
        gates: Sequence[Gate] = (),
        aborts: Sequence[Gate] = (),
        grade: Grade | None = None,
        beside: Beside | None = None,
    ):
        self.fleet, self.prompts, self.options, self.folder = fleet, prompts, options, folder
        self.env, self.resume, self.quiet = env, resume, quiet
        self.args = args or []
        self.ledger: Ledger = ledger or MemoryLedger()
        self.accumulator = Accumulator(
            graded=grade is not None, judges_all=getattr(grade, "judges_all", False), mode=options.mode,
            prompts=prompts.count,
        )  # fmt: skip
        self.gates, self.grade, self.beside = gates, grade, beside
        self.gatekeeper = Gatekeeper(aborts, self.accumulator)
        self.audit = Audit()
        self.redact = redactor(fleet)

    def execute(self) -> Outcome:
        """Runs to the end on an event loop of its own. A disk that is full is no crash: exit 4, and resume goes on."""
        try:
            return self._execute()
        except OSError as error:
            raise UserError(f"{self.folder}: {error.strerror or error}", exit_code=4) from None

    def _execute(self) -> Outcome:
        if not self.resume:
            create_folder(self.folder)
        lock = lock_folder(self.folder)
        past, header = self._past()
        write_whole(self.folder / RUN, header)  # first: from here on the folder can be resumed
        journal = RunJournal(self.folder, self.options.concurrency, lock)
        try:
            if past.torn:
                self._say(f"{self.folder}: a torn last line was cut off (kept beside it as .torn)")
            if said := note_lost(past, journal, self.accumulator, self.options):
                self._say(said)
            journal.open_slots()
            with asyncio.Runner(loop_factory=loop_factory()) as runner:
                outcome = runner.run(self._conduct(journal, past, header))
        finally:
            self.ledger.close()
            journal.close()
        self._write_end(header, outcome)
        return outcome

    def _write_end(self, header: dict[str, Any], outcome: Outcome) -> None:
        """The closing documents. The answers are safe by now, so a disk that has no room for these is only said."""
        header["ended_at"] = stamp(dt.datetime.now(dt.UTC))
        outcome.summary["run"]["ended_at"] = header["ended_at"]
        try:
            restore_unanswered(self.folder, self.options.mode)
            write_whole(self.folder / RUN, header)
            write_whole(self.folder / SUMMARY, outcome.summary)
        except (OSError, UserError) as error:
            self._say(f"{self.folder}: the summary could not be written: {error}")
            outcome.exit_code = outcome.exit_code if outcome.exit_code > 4 else 4

    # -------------------------------------------------------------- the past

    def _past(self) -> tuple[Past, dict[str, Any]]:
        header = self.redact.document(new_header(self.fleet, self.prompts, self.options, self.args))
        if not self.resume:
            return Past(done=_nothing()), header
        try:
            before = msgspec.json.decode((self.folder / RUN).read_bytes())
        except (OSError, msgspec.DecodeError):
            raise UserError(f"{self.folder / RUN}: cannot be read; this folder holds no run to resume") from None
        check_same(before, header, self.prompts.path)
        past = replay(
            self.folder, self.options.mode, self.accumulator, time.time(), retry_failed=self.options.retry_failed
        )
        header["started_at"] = before.get("started_at", header["started_at"])
        header["sessions"] = [*before.get("sessions", []), *header["sessions"]]
        return past, header

    # -------------------------------------------------------------- the present

    async def _conduct(self, journal: RunJournal, past: Past, header: dict[str, Any]) -> Outcome:
        options = self.options
        clock = time.perf_counter
        moments = Moments(clock, dt.datetime.now(dt.UTC))
        async with AsyncExitStack() as stack:
            answers = Answers(options.seed)
            far_end = _simulated(self.fleet, options, answers)
            base_urls = await stack.enter_async_context(far_end) if options.simulate else {}
            crew = Crew(self.fleet, options, moments, base_urls, {} if options.simulate else self.env)
            where = scopes(crew.lanes, options.mode)
            per_scope = min(self.prompts.count, options.limit or self.prompts.count) * options.repeat
            view_say: list[Callable[[str], None]] = [self._say]
            dispatcher = build_dispatcher(
                self.fleet, crew, options, self._read, per_scope, lambda text: view_say[0](self.redact(text)),
                (lambda id_, repeat, scope: job_mark(id_, repeat, scope) in past.done) if self.resume else None,
                partial(past.tried, options.max_ambiguous == 0) if past.tries else None, past.finished,
                None if options.deadline is None else clock() + options.deadline,
            )  # fmt: skip
            clerk = Bookkeeper(self.ledger, dispatcher, moments.unix, options.speed)
            if not options.simulate:  # a simulated fleet begins with fresh windows, whatever the folder holds
                remember(crew.lanes, past.recent.sent(), clock(), clerk.recall(clock()))
                expect(dispatcher, per_scope, options.mode)
            if options.rate is not None and (said := too_fast(dispatcher, options.rate, per_scope, clock())):
                self._say(said)
            total = per_scope * len(where)
            recall_spent(dispatcher, past.spent, self._read, self.accumulator.merged().cost or 0.0)
            transport = network(options, clock)
            stack.push_async_callback(transport.close)
            view = RunView(
                dispatcher=dispatcher, accumulator=self.accumulator, total=total, done_before=past.finished,
                started=moments.start, folder=str(self.folder), simulated=options.simulate, speed=options.speed,
                notes=self.fleet.notes,
            )  # fmt: skip
            watcher = observer(view, self.quiet)
            view_say[0] = watcher.say
            scribe = Scribe(
                journal, self.accumulator, start=moments.start, started_at=moments.started_at, offset=past.offset,
                simulated=options.simulate, grade=self.grade,
            )  # fmt: skip
            scribe.tallies = None if options.simulate and self.beside is None else clerk.tallies
            if self.beside is not None:
                await stack.enter_async_context(self._beside(self.beside, dispatcher, clerk, scribe, moments, total))
            attempts = Attempts(
                dispatcher, crew.speakers, transport, scribe, clock, options.warmup, self.redact,
                sent_by=past.spent.sent_by,
            )  # fmt: skip
            attempts.tell = answers.tell if options.simulate else None
            bounds = Bounds(max_duration=options.max_duration, max_stall=options.max_stall, wait=options.wait)
            run = Run(
                dispatcher, attempts, scribe, watcher, clock, bounds, clerk, describe_wait=spelled_moment(moments),
                tripped=self.gatekeeper.look,
            )  # fmt: skip
            catch_signals(run)
            gc.freeze()  # a collection need not walk through what was loaded, again and again
            gc.enable()
            self.audit.begin()
            try:
                await run.go()
            finally:
                watcher.close()
            return self._sum_up(run, crew, total, header, clock())

    def _beside(
        self, beside: Beside, dispatcher: Dispatcher, clerk: Bookkeeper, scribe: Scribe, moments: Moments, total: int
    ) -> AbstractAsyncContextManager[None]:
        from llmfan.measures.recent import Recent
        from llmfan.overview import Overview

        scribe.recent = Recent(scribe.offset)
        overview = Overview(
            self.fleet, dispatcher, clerk, self.ledger, self.accumulator, scribe.recent, moments, self.redact,
            total=total, simulated=self.options.simulate, speed=self.options.speed, folder=str(self.folder),
        )  # fmt: skip
        return beside(overview)

    def _sum_up(self, run: Run, crew: Crew, total: int, header: dict[str, Any], now: float) -> Outcome:
        unsent = max(0, total - self.accumulator.done)
        places = scopes(crew.lanes, self.options.mode)
        ideal = None  # of an open loop it is the arrivals that say how long it takes
        if self.options.rate is None:
            ideal = ideal_of_run(self.accumulator, crew.lanes, places, self.options.concurrency, run.started)
        last_claim = run.dispatcher.last_claim - run.started + run.scribe.offset
        hedges = run.dispatcher.finish.hedges
        nearness = efficiency(
            ideal,
            self.accumulator.merged(),
            run.losses,
            last_claim,
            run.late(),
            None if hedges is None else hedges.cost,
        )
        if not run.signal:
            self.gatekeeper.look(math.inf)  # a run that ended sooner than anybody looked
        arrived = arrivals(run.dispatcher.waiting.table, len(places))
        summary = document(
            self.accumulator, crew.lanes, run={k: v for k, v in header.items() if k != "fleet"},
            nearness=nearness, client=self.audit.document(run.lag, arrived), unsent=unsent, now=now,
            gates=self.gates, aborts=self.gatekeeper.verdicts,
        )  # fmt: skip
        if run.dispatcher.purse.passed:
            run.why = "; ".join(filter(None, (run.why, run.dispatcher.purse.words())))
        summary["run"]["ending"], summary["run"]["why"] = run.ending, self.redact(run.why)
        code = self._exit_code(run, summary)
        return Outcome(exit_code=code, why=self.redact(run.why), summary=self.redact.document(summary))

    def _exit_code(self, run: Run, summary: Mapping[str, Any]) -> int:
        if run.signal:
            return 128 + run.signal
        if run.ending not in ("done", "gate") or run.dispatcher.purse.passed:
            return 4
        if not all(gate["held"] for gate in summary["gates"]):
            return 3
        return 1 if self.accumulator.failed or not self.accumulator.done else 0

    def _read(self) -> Iterator[Prompt]:
        return self.prompts.prompts(self.options.limit, self.options.shuffle, self.options.seed)

    def _say(self, text: str) -> None:
        if not self.quiet:
            print(text, file=sys.stderr)


def _simulated(fleet: Fleet, options: RunOptions, answers: Answers) -> AbstractAsyncContextManager[dict[str, str]]:
    from llmfan.simulation.fleet import loopback

    return loopback(fleet, options.seed, options.speed, answers)


def _nothing() -> Digests:
    empty = Digests()
    empty.freeze()
    return empty
