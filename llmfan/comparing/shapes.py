"""The documents of a run, as far as a comparison relies on their shape: what is otherwise is told as damage."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

_Distribution = dict[str, float | None] | None
_Totals = dict[str, float | dict[str, Any] | None] | None


class _Prompts(Struct):
    path: str | None = None
    sha256: str | None = None


class Header(Struct):
    """Of run.json, and of `run` in summary.json."""

    ended_at: str | None = None
    shaping: dict[str, Any] | None = None
    prompts: _Prompts | None = None
    simulated: bool | None = None
    ending: str | None = None
    why: str | None = None


class _Figures(Struct):
    totals: _Totals = None
    latency_s: _Distribution = None
    ttft_s: _Distribution = None
    ttfo_s: _Distribution = None
    tpot_s: _Distribution = None
    itl_s: _Distribution = None
    wait_s: _Distribution = None
    retry_s: _Distribution = None
    total_s: _Distribution = None


class _Entry(_Figures, kw_only=True):
    name: str


class Summary(_Figures):
    """Older ones lack the newer fields."""

    run: Header | None = None
    providers: list[_Entry] | None = None
    models: list[_Entry] | None = None
    keys: list[_Entry] | None = None
    client: dict[str, Any] | None = None
