"""A run's folder as a reader finds it: finished, still going, or cut off in the middle of a line."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from llmfan.errors import Fault, InputFaults, UserError, near
from llmfan.outputs.journal import ATTEMPTS, RESULTS, RUN, SUMMARY, read_lines
from llmfan.replay import RETRYING
from llmfan.reporting.documents import Header, Summary, read_document

T = TypeVar("T")
#: What belongs to a run, and is no place to write a report to.
OWN_FILES = (RUN, SUMMARY, RESULTS, ATTEMPTS, RETRYING, "prompts.jsonl", "in_flight.jsonl")


class RunFolder(Struct, frozen=True, kw_only=True):
    """`path` as it was given. `summary` is None where the journal has to be counted: the run has not ended, or its
    last session left no summary.
    """

    path: Path
    header: dict[str, Any]
    summary: dict[str, Any] | None

    @property
    def name(self) -> str:
        return self.path.resolve().name

    @property
    def ended(self) -> bool:
        return bool(self.header.get("ended_at"))

    @property
    def shaping(self) -> dict[str, Any]:
        return self.header.get("shaping") or {}

    def results(self, decode: Callable[[bytes], T]) -> Iterator[T]:
        return journal(self.path / RESULTS, decode)

    def attempts(self, decode: Callable[[bytes], T]) -> Iterator[T]:
        return journal(self.path / ATTEMPTS, decode)


def open_runs(folders: Iterable[Path]) -> list[RunFolder]:
    """All of them, each once; the faults of all that are no runs at once."""
    found: dict[Path, RunFolder] = {}
    faults = []
    for path in folders:
        try:
            found.setdefault(path.resolve(), open_run(path))
        except InputFaults as error:
            faults += error.faults
    if faults:
        raise InputFaults(faults)
    return list(found.values())


def open_run(path: Path) -> RunFolder:
    if not path.is_dir():
        raise InputFaults([Fault(str(path), 0, _no_folder(path))])
    header = read_document(path / RUN, Header)
    if header is None:
        raise InputFaults([Fault(str(path), 0, f"holds no run: there is no {RUN} in it")])
    return RunFolder(path=path, header=header, summary=_of_its_end(read_document(path / SUMMARY, Summary), header))


def newest(runs: Path) -> Path | None:
    """The run under `runs` that was started or resumed last."""
    dated = []
    for path in runs.glob(f"*/{RUN}"):
        try:
            header = read_document(path, Header) or {}
        except InputFaults:
            continue
        sessions = header.get("sessions") or [header.get("started_at")]
        dated.append((str(sessions[-1]), str(path.parent)))
    return Path(max(dated)[1]) if dated else None


def journal(path: Path, decode: Callable[[bytes], T]) -> Iterator[T]:
    """The lines of a journal's file, one at a time. A torn last one is left out: it is being written, or never was."""
    number = 0
    try:
        for number, line in enumerate(read_lines(path), 1):
            try:
                value = decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                if not line.endswith(b"\n"):
                    return
                said = "not a line of llmfan's; the file was changed by something else"
                raise InputFaults([Fault(str(path), number, said)]) from None
            yield value
    except OSError as error:
        raise UserError(f"{path}:{number + 1}: cannot be read: {error.strerror or error}") from None


def _of_its_end(summary: dict[str, Any] | None, header: dict[str, Any]) -> dict[str, Any] | None:
    """The summary, if it is of the last session: a resumed run keeps the one of the session before while it goes."""
    if summary is None or not header.get("ended_at"):
        return None
    return summary if summary["run"].get("ended_at") in (None, header["ended_at"]) else None


def _no_folder(path: Path) -> str:
    if path.name in OWN_FILES and path.exists():
        return f"name the run's folder, {path.parent}"
    if path.exists():
        return "is no run's folder"
    try:
        names = [child.name for child in path.parent.iterdir()]
    except OSError:
        names = []
    return f"no such folder{near(path.name, names)}"
