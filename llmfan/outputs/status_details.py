"""One key at length: each of its limits, what it sent and what came of it, and whom it shares with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from llmfan.outputs import status_words as words
from llmfan.outputs.clean import clean
from llmfan.outputs.status_words import Entry

#: From here on the times at which figures were learned are told.
_WIDE = 110


def key_details(key: Entry, width: int) -> RenderableType:
    parts: list[RenderableType] = [_headline(key, width)]
    several = key.get("models")
    if key["state"] == "missing":
        pass  # its limits are those of the others
    elif several:
        for model in several:
            parts.append(Padding(_model(model, key), (0, 0, 0, 2)))
            parts.append(Padding(_limits(model["limits"], width), (0, 0, 0, 4), expand=False))
    elif key["limits"]:
        parts.append(Padding(_limits(key["limits"], width), (0, 0, 0, 2), expand=False))
    if key["all"]["sent"]:
        parts.append(Padding(_usage(key), (0, 0, 0, 2), expand=False))
    elif key["state"] != "missing":
        parts.append(Text("  nothing was sent yet", "dim"))
    if key["shares_with"]:
        parts.append(Text(f"  shares with {', '.join(clean(label) for label in key['shares_with'])}", "dim"))
    return Group(*parts)


def _headline(key: Entry, width: int) -> Text:
    text = Text.assemble((clean(key["key"]), "bold"), (f" {key['mask']}" if key["mask"] else "", "dim"), "  ")
    return text.append(words.state(key, long=True)).append(_because(key))


def _model(model: Entry, key: Entry) -> Text:
    now = {**model, "day_begins": key["day_begins"]}
    return Text.assemble((clean(model["model"]), ""), "  ").append(words.state(now, long=True)).append(_because(now))


def _because(key: Entry) -> Text:
    _, reason = words.parted(key)
    return Text(f": {clean(reason, 300)}" if reason else "", "dim")


def _limits(limits: Mapping[str, Entry], width: int) -> Table:
    table = _table("limit", "declared", "reported", "measured", "used", "left", "", "resets in")
    if width >= _WIDE:
        table.add_column("learned", no_wrap=True)
    for axis, limit in limits.items():
        cells = [words.figure(limit[name]) for name in ("declared", "reported", "measured", "used", "left")]
        if cells[2] != words.UNDEFINED or cells[1] == words.UNDEFINED:
            cells[2] = _measured(limit)
        row = [Text(words.axis(axis)), *(_dimmed(cell) for cell in cells), words.filled(limit)]
        row.append(_dimmed(words.wait(limit["resets_in_s"])))
        learned = limit["reported_at"] or limit["measured_at"]
        table.add_row(*row, *([Text((learned or "")[:10], "dim")] if width >= _WIDE else []))
    return table


def _measured(limit: Entry) -> str:
    """`~12 (90 %)`: with how sure it is."""
    if limit["measured"] is None:
        return words.UNDEFINED
    return f"{words.figure(limit['measured'])} ({words.percent(limit['confidence'])})"


def _usage(key: Entry) -> Table:
    """Calls and tokens of today and this month stand beside what came of the last hour, the last day, and all."""
    table = _table("", "sent", "ok", "429s", "failed", "mean", "p50", "p95", "tokens")
    for title, name in (("last hour", "last_hour"), ("last day", "last_day"), ("all", "all")):
        rates: Mapping[str, Any] = key[name]
        table.add_row(
            title, words.figure(rates["sent"]), words.percent(rates["success_rate"]),
            words.percent(rates["refused_rate"]), words.figure(rates["failed"]), words.time(rates["avg_latency_s"]),
            words.time(rates["p50_latency_s"]), words.time(rates["p95_latency_s"])
        )  # fmt: skip
    for title, calls, tokens in (
        ("today", "calls_today", "tokens_today"),
        ("this month", "calls_month", "tokens_month"),
    ):
        table.add_row(title, words.figure(key[calls]), "", "", "", "", "", "", words.figure(key[tokens]))
    return table


def _table(*titles: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    for at, title in enumerate(titles):
        table.add_column(title, justify="right" if at and title else "left", no_wrap=True)
    return table


def _dimmed(text: str) -> Text:
    return Text(text, "dim" if text == words.UNDEFINED else "")
