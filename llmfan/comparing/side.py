"""One side of a comparison: a run's folder, or a `summary.json` alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from llmfan.comparing.arrays import Answers, Requests
from llmfan.comparing.reading import read_answers, read_requests
from llmfan.errors import UserError
from llmfan.outputs.journal import ATTEMPTS, RESULTS, RUN, SUMMARY


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
    answers, estimated = read_answers(path / RESULTS, mode)
    return Side(str(path), header, summary, answers, read_requests(path / ATTEMPTS, mode), estimated)


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
