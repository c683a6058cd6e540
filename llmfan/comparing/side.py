"""One side of a comparison: a run's folder, or a `summary.json` alone, as arrays.

Lines are decoded one by one into columns of numbers: a million results are some 150 MB, whatever was answered.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np
from msgspec import Struct

from llmfan.errors import UserError
from llmfan.outputs.journal import ATTEMPTS, RESULTS, RUN, SUMMARY, read_lines
from llmfan.replay import scope_of

Values = np.ndarray[Any, np.dtype[np.float64]]
Mask = np.ndarray[Any, np.dtype[np.bool_]]
Numbers = np.ndarray[Any, np.dtype[np.int64]]
#: (provider, model, key).
Target = tuple[str, str, str]
T = TypeVar("T")
_NONE = float("nan")
_LIMITED = ("rate_limited", "quota_exhausted")


@dataclass(frozen=True)
class Answers:
    """A column each for results: `job` is unlike for unlike jobs, `target` counts into `targets`.

    Undefined figures are NaN; all of a failed job's are. `line`: where it stands among the results, by when it ended.
    """

    job: Numbers
    prompt: Numbers
    target: Numbers
    ok: Mask
    line: Numbers
    columns: dict[str, Values]
    targets: list[Target]

    def __len__(self) -> int:
        return len(self.job)

    def take(self, rows: Numbers) -> Answers:
        columns = {name: values[rows] for name, values in self.columns.items()}
        return Answers(
            self.job[rows], self.prompt[rows], self.target[rows], self.ok[rows], self.line[rows], columns, self.targets
        )


@dataclass(frozen=True)
class Requests:
    """A column each for attempts. `end` is NaN but for the answered."""

    job: Numbers
    target: Numbers
    limited: Mask
    sent: Values
    end: Values
    targets: list[Target]


@dataclass(frozen=True)
class Side:
    """`answers` and `requests` are None where there is only a summary."""

    name: str
    header: dict[str, Any]
    summary: dict[str, Any]
    answers: Answers | None = None
    requests: Requests | None = None
    estimated: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def shaping(self) -> dict[str, Any]:
        return self.header.get("shaping") or {}

    @property
    def mode(self) -> str:
        return str(self.shaping.get("--mode") or "spread")

    @property
    def simulated(self) -> bool:
        return bool(self.header.get("simulated"))


def load(path: Path) -> Side:
    """A run's folder, or the `summary.json` of one, wherever it lies."""
    if path.is_file():
        return _summary_alone(path)
    if not path.is_dir():
        raise UserError(f"{path}: there is no such run")
    if not (path / RUN).exists() and not (path / SUMMARY).exists():
        raise UserError(f"{path}: holds no run")
    header = _document(path / RUN)
    summary = _document(path / SUMMARY)
    header = header or summary.get("run") or {}
    if not (path / RESULTS).exists():
        if not summary:
            raise UserError(f"{path}: holds neither results nor a summary")
        return Side(str(path), header, summary)
    mode = str((header.get("shaping") or {}).get("--mode") or "spread")
    answers, estimated = _answers(path / RESULTS, mode)
    return Side(str(path), header, summary, answers, _requests(path / ATTEMPTS, mode), estimated)


def _summary_alone(path: Path) -> Side:
    summary = _document(path)
    if "totals" not in summary:
        raise UserError(f"{path}: is no summary.json of llmfan's (name a run's folder, or its summary.json)")
    return Side(str(path), summary.get("run") or {}, summary)


def _document(path: Path) -> dict[str, Any]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise UserError(f"{path}: is no JSON document; the file was changed by something else") from None


# ---------------------------------------------------------------- lines into columns


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


def _answers(path: Path, mode: str) -> tuple[Answers, int]:
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
        figures = (line.latency_s, line.ttft_s, line.ttfo_s, usage and usage.output_tokens, line.cost_usd, line.score)
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


def _requests(path: Path, mode: str) -> Requests:
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
    for number, line in enumerate(read_lines(path), 1):
        try:
            yield decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            if line.endswith(b"\n"):
                raise UserError(
                    f"{path}:{number}: not a line of llmfan's; the file was changed by something else"
                ) from None
