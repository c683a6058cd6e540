"""A run's folder read again: what is done, what was in flight when it was cut off, and the figures so far."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct, field

from llmfan.errors import UserError
from llmfan.inputs.digests import Digests
from llmfan.marks import job_mark, short_mark
from llmfan.measures.accumulate import Accumulator
from llmfan.options import RunOptions
from llmfan.outputs.journal import ATTEMPTS, RESULTS, InFlightNote, RunJournal, left_in_flight, read_lines, repair
from llmfan.records import AttemptLine, ResultLine
from llmfan.scheduling.memory import Sent
from llmfan.scheduling.spending import Spent

RETRYING = "retrying.jsonl"
T = TypeVar("T")
_RESULT, _ATTEMPT = msgspec.json.Decoder(ResultLine), msgspec.json.Decoder(AttemptLine)


#: Outcomes of requests that were refused before a provider counted them.
_UNCOUNTED = ("rate_limited", "quota_exhausted", "connection", "auth", "payment_required")


class Recent:
    """What was sent in the last day (longer for monthly limits it is not kept), in few enough pieces for any run."""

    FINE_S, KEPT_S = 120.0, 86400.0

    def __init__(self, wall: float):
        self._wall = wall
        self._pieces: dict[tuple[str, str, str, float], list[int]] = {}

    def add(self, line: AttemptLine) -> None:
        age = self._wall - dt.datetime.fromisoformat(line.started_at).timestamp()
        if line.outcome in _UNCOUNTED or not 0 <= age <= self.KEPT_S:
            return
        piece = age if age <= self.FINE_S else age - age % 60.0  # the younger end of its minute: the safer one
        counts = self._pieces.setdefault((line.provider, line.model, line.key, piece), [0, 0, 0])
        counts[0] += 1
        counts[1] += line.input_tokens or 0
        counts[2] += line.output_tokens or 0

    def sent(self) -> list[Sent]:
        return [
            Sent(provider=p, model=m, key=k, age=age, count=n, input_tokens=tin, output_tokens=tout)
            for (p, m, k, age), (n, tin, tout) in self._pieces.items()
        ]


class Past(Struct, kw_only=True):
    """What an earlier session left.

    `tries`: requests sent so far for jobs without a result, by `short_mark`; `unsure`: how many of these were never
    answered and may have been billed; `cut`: those that a stop or a crash cut off; `missing`: lines of attempts that
    ended just before the crash, made again from their results; `spent`: what all requests took, these two included.
    """

    done: Digests
    finished: int = 0
    failed: int = 0
    offset: float = 0.0
    tries: dict[str, int] = field(default_factory=dict)
    unsure: dict[str, int] = field(default_factory=dict)
    cut: dict[str, int] = field(default_factory=dict)
    in_flight: list[InFlightNote] = field(default_factory=list)
    missing: list[AttemptLine] = field(default_factory=list)
    recent: Recent = field(default_factory=lambda: Recent(0.0))
    spent: Spent = field(default_factory=Spent)
    torn: bool = False

    def tried(self, strict: bool, id_: str, repeat: int, scope: str) -> tuple[int, int]:
        """(requests sent, of which never answered) for a job so far.

        What a stop or a crash cut off is sent again by design, and counts only where it is asked for: `strict`.
        """
        mark = short_mark(id_, repeat, scope)
        return self.tries.get(mark, 0), self.unsure.get(mark, 0) + (self.cut.get(mark, 0) if strict else 0)


def scope_of(mode: str, provider: str | None, model: str | None, key: str | None) -> str:
    match mode:
        case "providers":
            return provider or ""
        case "models":
            return f"{provider}/{model}"
        case "keys":
            return key or ""
    return ""


def replay(folder: Path, mode: str, accumulator: Accumulator, wall: float, *, retry_failed: bool = False) -> Past:
    """Repairs torn ends, counts what is there, and finds what was in flight. Call it with the folder locked."""
    torn = repair(folder / RESULTS) | repair(folder / ATTEMPTS)
    past = Past(done=Digests(), torn=torn, recent=Recent(wall))
    _restore_failed(folder, mode)
    if retry_failed:
        _set_failed_aside(folder)
    notes = {(mark_of(note, mode), note.attempt): note for note in left_in_flight(folder)}
    ended = _take_results(folder, mode, accumulator, past, {mark for mark, _ in notes})
    seen = _take_attempts(folder, mode, accumulator, past, set(notes))
    for (mark, number), note in notes.items():
        result = ended.get(mark)
        if (mark, number) in seen or (result is not None and result.attempts > number):
            continue
        if result is not None and result.attempts == number:
            past.missing.append(_from_result(note, result))
            past.spent.add(past.missing[-1])
            continue
        past.in_flight.append(note)
        past.spent.add(lost(note, False))
        past.tries[mark] = note.attempt
        past.cut[mark] = past.cut.get(mark, 0) + 1
        past.offset = max(past.offset, note.sent_s)
    return past


def _take_results(
    folder: Path, mode: str, accumulator: Accumulator, past: Past, noted: set[str]
) -> dict[str, ResultLine]:
    """Counts the results; gives those whose jobs are in the notes of what was in flight."""
    ended = {}
    for line in _decode(folder / RESULTS, _RESULT.decode):
        scope = scope_of(mode, line.provider, line.model, line.key)
        past.done.add(job_mark(line.id, line.repeat, scope))
        past.finished += 1
        past.failed += line.status == "failed"
        accumulator.result(line)
        if noted and (mark := short_mark(line.id, line.repeat, scope)) in noted:
            ended[mark] = line
    past.done.freeze()
    return ended


def _take_attempts(
    folder: Path, mode: str, accumulator: Accumulator, past: Past, noted: set[tuple[str, int]]
) -> set[tuple[str, int]]:
    """Counts the attempts; gives those of the noted requests that have a line."""
    seen = set()
    for attempt in _decode(folder / ATTEMPTS, _ATTEMPT.decode):
        accumulator.attempt(attempt)
        past.recent.add(attempt)
        past.spent.add(attempt)
        past.offset = max(past.offset, attempt.sent_s + (attempt.latency_s or 0.0))
        scope = scope_of(mode, attempt.provider, attempt.model, attempt.key)
        open_ = job_mark(attempt.id, attempt.repeat, scope) not in past.done
        if open_ or noted:
            mark = short_mark(attempt.id, attempt.repeat, scope)
            if open_:
                past.tries[mark] = max(past.tries.get(mark, 0), attempt.attempt)
                if attempt.ambiguous:
                    counts = past.cut if attempt.outcome == "cancelled" else past.unsure
                    counts[mark] = counts.get(mark, 0) + 1
            if (mark, attempt.attempt) in noted:
                seen.add((mark, attempt.attempt))
    return seen


def mark_of(note: InFlightNote, mode: str) -> str:
    """By the whole id, which a slot may have had no room for: then its fingerprint stands there."""
    return note.mark or short_mark(note.id, note.repeat, scope_of(mode, note.provider, note.model, note.key))


def _from_result(note: InFlightNote, result: ResultLine) -> AttemptLine:
    """The line of a request whose result was written and whose own line was not."""
    line = lost(note, result.simulated)
    line.outcome = result.error.kind if result.error else "ok"
    line.billed = "unknown" if result.error else "yes"
    line.ambiguous = False
    line.latency_s = result.latency_s
    line.ttft_s, line.ttfo_s = result.ttft_s, result.ttfo_s
    if result.usage is not None:
        line.input_tokens, line.output_tokens = result.usage.input_tokens, result.usage.output_tokens
        line.usage_source = result.usage.source
    return line


def lost(note: InFlightNote, simulated: bool) -> AttemptLine:
    """The line of a request that left and never came back: it may have been billed."""
    return AttemptLine(
        id=note.id, attempt=note.attempt, provider=note.provider, model=note.model, key=note.key,
        started_at=note.started_at, ttft_s=None, latency_s=None, http_status=None, outcome="cancelled",
        billed="unknown", retry_after_s=None, input_tokens=None, output_tokens=None, usage_source=None, ttfo_s=None,
        sent_s=note.sent_s, repeat=note.repeat, turn=note.turn, itl_ms=[], ambiguous=True, simulated=simulated,
    )  # fmt: skip


def note_lost(past: Past, journal: RunJournal, accumulator: Accumulator, options: RunOptions) -> str:
    """Writes down which requests were in flight when the run was cut off; gives what there is to say of them."""
    for line in (*past.missing, *(lost(note, options.simulate) for note in past.in_flight)):
        journal.attempt(line)
        accumulator.attempt(line)
        past.recent.add(line)
    if not past.in_flight:
        return ""
    ids = ", ".join(sorted({note.id for note in past.in_flight}))
    again = "they are not sent again (--max-ambiguous 0)" if options.max_ambiguous == 0 else "sent again"
    return (
        f"{len(past.in_flight)} requests were in flight when the run was cut off and may have been billed; "
        f"{again}: {ids}"
    )


def restore_unanswered(folder: Path, mode: str) -> None:
    """After `--retry-failed`: failed results that got no new line stand again."""
    _restore_failed(folder, mode)


def failed_results(folder: Path) -> Iterator[ResultLine]:
    """The results that are failures and count, as they stand in a run's folder."""
    return (line for _, line in _raw(folder / RESULTS) if line.status == "failed" and not line.warmup)


def _set_failed_aside(folder: Path) -> None:
    """Failed results move to a file of their own, so that their jobs have none, and nothing is lost in a crash."""
    _rewrite(folder / RETRYING, (raw for raw, line in _raw(folder / RESULTS) if line.status == "failed"))
    _rewrite(folder / RESULTS, (raw for raw, line in _raw(folder / RESULTS) if line.status != "failed"))


def _restore_failed(folder: Path, mode: str) -> None:
    aside = folder / RETRYING
    if not aside.exists():
        return
    have = Digests()
    for _, line in _raw(folder / RESULTS):
        have.add(job_mark(line.id, line.repeat, scope_of(mode, line.provider, line.model, line.key)))
    have.freeze()
    with open(folder / RESULTS, "ab") as results:
        for raw, line in _raw(aside):
            if job_mark(line.id, line.repeat, scope_of(mode, line.provider, line.model, line.key)) not in have:
                results.write(raw)
        results.flush()
        os.fsync(results.fileno())
    aside.unlink()


def _rewrite(path: Path, lines: Iterable[bytes]) -> None:
    temporary = path.with_name(path.name + ".new")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.writelines(lines)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def _raw(path: Path) -> Iterator[tuple[bytes, ResultLine]]:
    for number, line in enumerate(read_lines(path), 1):
        try:
            yield line, _RESULT.decode(line)
        except msgspec.DecodeError:
            raise UserError(f"{path}:{number}: not a result line; the file was changed by something else") from None


def _decode(path: Path, decode: Callable[[bytes], T]) -> Iterator[T]:
    for number, line in enumerate(read_lines(path), 1):
        try:
            yield decode(line)
        except msgspec.DecodeError:
            raise UserError(
                f"{path}:{number}: not a line of llmfan's; the file was changed by something else"
            ) from None
