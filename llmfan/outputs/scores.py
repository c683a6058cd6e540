"""What the summary says of quality: accuracy with its interval, differences on the same prompts, gates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from llmfan.outputs.clean import clean

Entry = Mapping[str, Any]
#: So many differences are printed; all of them are in summary.json.
MOST_PAIRS = 6


def graded(summary: Entry) -> bool:
    totals = summary["totals"]
    return bool(totals.get("right") or totals.get("wrong") or totals.get("ungraded"))


def accuracy(totals: Entry) -> str:
    """`91 % (89–93)`: the share of right answers and its 95 % interval."""
    value = totals.get("accuracy")
    if value is None:
        return "—"
    low, high = totals.get("accuracy_low"), totals.get("accuracy_high")
    interval = "" if low is None or high is None else f" ({low * 100:.0f}–{high * 100:.0f})"
    return f"{value * 100:.0f} %{interval}"


def paired_table(summary: Entry) -> RenderableType | None:
    """Between providers on the same prompts; an interval that holds 0 says they may well be alike."""
    pairs = summary.get("paired_accuracy") or []
    if not pairs:
        return None
    table = _rows()
    for pair in pairs[:MOST_PAIRS]:
        sure = pair["low"] > 0 or pair["high"] < 0
        table.add_row(
            Text(f"{clean(pair['b'], 40)} − {clean(pair['a'], 40)}"),
            Text(f"{pair['difference'] * 100:+.1f} points", "bold" if sure else ""),
            Text(f"{pair['low'] * 100:+.1f} to {pair['high'] * 100:+.1f}", "dim"),
            Text(f"{pair['n']:,} pairs", "dim"),
        )
    more = f", {len(pairs) - MOST_PAIRS} more in summary.json" if len(pairs) > MOST_PAIRS else ""
    return _titled(f"accuracy on the same prompts, difference with its 95 % interval{more}", table)


def gates_table(summary: Entry) -> RenderableType | None:
    gates = summary.get("gates") or []
    if not gates:
        return None
    table = _rows()
    for gate in gates:
        verdict = Text("held", "green") if gate["held"] else Text("FAILED", "bold red")
        table.add_row(verdict, Text(clean(gate["expr"], 200)), Text(clean(gate.get("why") or "", 300), "dim"))
    return _titled("gates", table)


def _rows() -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    return table


def _titled(title: str, table: Table) -> RenderableType:
    return Group(Text("\n" + title, style="dim"), Padding(table, (0, 0, 0, 2), expand=False))
