"""One side of a comparison: a run's folder, or a `summary.json` alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from llmfan.comparing.arrays import Answers, Requests
from llmfan.comparing.reading import read_answers, read_requests
from llmfan.comparing.shapes import Header, Summary
from llmfan.errors import UserError, near
from llmfan.outputs.journal import ATTEMPTS, RESULTS, RUN, SUMMARY

#: Of these files the folder is meant.
_OF_FOLDERS = (RUN, RESULTS, ATTEMPTS)


@dataclass(frozen=True)
class Side:
    """`answers` and `requests` are None where there is only a summary."""

    name: str
    header: dict[str, Any]
    summary: dict[str, Any]
    answers: Answers | None = None
    requests: Requests | None = None
    estimated: int = 0

    @property
    def shaping(self) -> dict[str, Any]:
        return self.header.get("shaping") or {}

    @property
    def shaping_known(self) -> bool:
        return self.header.get("shaping") is not None

    @property
    def mode(self) -> str:
        return _mode(self.header)

    @property
    def simulated(self) -> bool | None:
        """None: nothing says so."""
        found = self.header.get("simulated")
        return None if found is None else bool(found)


def load(path: Path) -> Side:
    """A run's folder, or the `summary.json` of one, wherever it lies."""
    try:
        if path.is_file() and path.name not in _OF_FOLDERS:
            return _summary_alone(path)
        if not path.is_dir():
            raise UserError(f"{path}: {_no_run(path)}")
        return _folder(path)
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from None


def _folder(path: Path) -> Side:
    header, summary = _document(path / RUN, Header), _document(path / SUMMARY, Summary)
    if header is None and summary is None:
        raise UserError(f"{path}: holds no run")
    summary = summary or {}
    header = header or summary.get("run") or {}
    if not (path / RESULTS).exists():
        if not summary:
            raise UserError(f"{path}: holds neither results nor a summary")
        return Side(str(path), header, summary)
    mode = _mode(header)
    answers, estimated = read_answers(path / RESULTS, mode)
    return Side(str(path), header, summary, answers, read_requests(path / ATTEMPTS, mode), estimated)


def _mode(header: dict[str, Any]) -> str:
    return str((header.get("shaping") or {}).get("--mode") or "spread")


def _summary_alone(path: Path) -> Side:
    summary = _document(path, Summary) or {}
    if "totals" not in summary:
        raise UserError(f"{path}: is no summary.json of llmfan's (name a run's folder, or its summary.json)")
    return Side(str(path), summary.get("run") or {}, summary)


def _no_run(path: Path) -> str:
    if path.is_file():
        return f"name the run's folder, {path.parent}"
    try:
        names = [child.name for child in path.parent.iterdir()]
    except OSError:
        names = []
    return f"there is no such run{near(path.name, names)}"


def _document(path: Path, shape: type[Header] | type[Summary]) -> dict[str, Any] | None:
    """The whole of it, checked by `shape`; None where there is no such file."""
    try:
        found = msgspec.json.decode(path.read_bytes())
        msgspec.convert(found, shape)
    except FileNotFoundError:
        return None
    except msgspec.ValidationError as error:
        raise UserError(f"{path}: is damaged: {error}") from None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise UserError(f"{path}: is no JSON document; the file was changed by something else") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from None
    return dict(found)
