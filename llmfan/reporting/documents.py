"""The documents of a run's folder, as far as a report relies on their shape: what is otherwise is told as damage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct, field

from llmfan.errors import Fault, InputFaults

_Figures = dict[str, float | None]
_Totals = dict[str, float | dict[str, Any] | None]


class _Prompts(Struct):
    path: str | None = None
    size: int | None = None
    sha256: str | None = None


class Header(Struct):
    """Of run.json."""

    started_at: str | None = None
    ended_at: str | None = None
    sessions: list[str] = field(default_factory=list)
    shaping: dict[str, Any] = field(default_factory=dict)
    prompts: _Prompts = field(default_factory=_Prompts)


class _Allowance(Struct):
    axis: str
    limit: float | None = None
    period_s: float | None = None
    used: float | None = None
    allowed: float | None = None


class _Entry(Struct):
    name: str
    totals: _Totals = field(default_factory=dict)
    latency_s: _Figures = field(default_factory=dict)
    allowances: list[_Allowance] = field(default_factory=list)


class Summary(Struct):
    """Of summary.json; older ones lack the newer fields."""

    run: dict[str, Any]
    totals: _Totals
    latency_s: _Figures = field(default_factory=dict)
    providers: list[_Entry] = field(default_factory=list)
    models: list[_Entry] = field(default_factory=list)
    keys: list[_Entry] = field(default_factory=list)
    gates: list[dict[str, Any]] = field(default_factory=list)
    client: dict[str, Any] = field(default_factory=dict)


def read_document(path: Path, shape: type[Header] | type[Summary]) -> dict[str, Any] | None:
    """The whole of it, checked by `shape`; None where there is no such file."""
    try:
        found = msgspec.json.decode(path.read_bytes())
        msgspec.convert(found, shape)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise InputFaults([Fault(str(path), 0, f"cannot be read: {error.strerror or error}")]) from None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InputFaults([Fault(str(path), 0, f"is damaged: {error}")]) from None
    return dict(found)
