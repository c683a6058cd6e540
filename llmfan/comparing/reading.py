"""The lines of a run's folder into columns: decoded one by one, so that a million results are some 150 MB."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import msgspec
import numpy as np
from msgspec import Struct

from llmfan.comparing.arrays import Answers, Requests, Target
from llmfan.errors import UserError
from llmfan.outputs.journal import read_lines
from llmfan.replay import scope_of

T = TypeVar("T")
_NONE = float("nan")
_LIMITED = ("rate_limited", "quota_exhausted")


class _Usage(Struct):
    output_tokens: float | None = None
    source: str = "server"


class _Result(Struct):
    id: str
    status: str
    repeat: int = 0
    provider: str | None = None
    model: str | None = None
    key: str | None = None
    usage: _Usage | None = None
    cost_usd: float | None = None
    ttft_s: float | None = None
    ttfo_s: float | None = None
    latency_s: float | None = None
    score: float | None = None
    warmup: bool = False


class _Attempt(Struct):
    id: str
    provider: str
    model: str
    key: str
    outcome: str
    sent_s: float
    repeat: int = 0
    latency_s: float | None = None
    warmup: bool = False
    hedge: bool = False


_COLUMNS = ("latency_s", "ttft_s", "ttfo_s", "output_tokens", "cost_usd", "score")


class _Targets:
    """Numbers for targets, in the order they are met."""

    def __init__(self) -> None:
        self.known: dict[Target, int] = {}

    def number(self, line: _Result | _Attempt) -> int:
        target = (line.provider or "", line.model or "", line.key or "")
        return self.known.setdefault(target, len(self.known))


def read_answers(path: Path, mode: str) -> tuple[Answers, int]:
    jobs, prompts, places, ok = array("q"), array("q"), array("q"), array("b")
    columns = {name: array("d") for name in _COLUMNS}
    targets, estimated = _Targets(), 0
    for line in _decoded(path, msgspec.json.Decoder(_Result).decode):
        if line.warmup:
            continue
        good = line.status == "ok"
        scope = scope_of(mode, line.provider, line.model, line.key)
        jobs.append(hash((line.id, line.repeat, scope)))
        prompts.append(hash((line.id, line.repeat)))
        places.append(targets.number(line))
        ok.append(good)
        usage = line.usage if good else None
        estimated += usage is not None and usage.source == "estimated"
        figures = (
            line.latency_s,
            line.ttft_s,
            line.ttfo_s,
            usage.output_tokens if usage else None,
            line.cost_usd,
            line.score,
        )
        for column, value in zip(columns.values(), figures, strict=True):
            column.append(value if good and value is not None else _NONE)
    job = np.frombuffer(jobs, dtype=np.int64)
    answers = Answers(
        job, np.frombuffer(prompts, dtype=np.int64), np.frombuffer(places, dtype=np.int64),
        np.frombuffer(ok, dtype=np.int8).astype(bool), np.arange(len(job)),
        {name: np.frombuffer(column, dtype=np.float64) for name, column in columns.items()}, list(targets.known),
    )  # fmt: skip
    return _last_of_each(answers), estimated


def _last_of_each(answers: Answers) -> Answers:
    """A job that has two lines (a copied or joined file) counts once, by its last one."""
    _, rows = np.unique(answers.job[::-1], return_index=True)
    if len(rows) == len(answers):
        return answers
    return answers.take(np.sort(len(answers) - 1 - rows))


def read_requests(path: Path, mode: str) -> Requests:
    jobs, places, limited, sent, end = array("q"), array("q"), array("b"), array("d"), array("d")
    targets = _Targets()
    for line in _decoded(path, msgspec.json.Decoder(_Attempt).decode):
        if line.warmup:
            continue
        good = line.outcome == "ok"
        jobs.append(hash((line.id, line.repeat, scope_of(mode, line.provider, line.model, line.key))))
        places.append(targets.number(line))
        limited.append(line.outcome in _LIMITED and not line.hedge)
        sent.append(line.sent_s)
        end.append(line.sent_s + (line.latency_s or 0.0) if good and not line.hedge else _NONE)
    return Requests(
        np.frombuffer(jobs, dtype=np.int64), np.frombuffer(places, dtype=np.int64),
        np.frombuffer(limited, dtype=np.int8).astype(bool), np.frombuffer(sent, dtype=np.float64),
        np.frombuffer(end, dtype=np.float64), list(targets.known),
    )  # fmt: skip


def _decoded(path: Path, decode: Callable[[bytes], T]) -> Iterator[T]:
    """A torn last line is one of a run that still goes, or was cut off: it is left out."""
    try:
        for number, line in enumerate(read_lines(path), 1):
            try:
                found = decode(line)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                if not line.endswith(b"\n"):
                    return
                said = "not a line of llmfan's; the file was changed by something else"
                raise UserError(f"{path}:{number}: {said}") from None
            yield found
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from None
