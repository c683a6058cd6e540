"""What stands in each cell of the live table: pieces of clean text, each with its style."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.cells import cell_len, set_cell_size

from llmfan.units import dollars, spell

if TYPE_CHECKING:  # other tables need the cells alone
    from llmfan.outputs.rows import Figures
    from llmfan.outputs.states import State

Part = tuple[str, str]
Cell = list[Part]
UNDEFINED: Part = ("—", "dim")
_STYLES = {
    "ready": "green",
    "waits": "cyan",
    "trial": "yellow",
    "cooldown": "yellow",
    "down": "red",
    "exhausted": "magenta",
    "idle": "dim",
    "out": "bold red",
}
_COUNT_WIDTH = 8


def name(f: Figures, now: float, width: int) -> Cell:
    return [(f"  {f.name}", "")] if f.child else [(f.name, "bold")]


def state(f: Figures, now: float, width: int) -> Cell:
    """With the whole reason where there is room, else its first words."""
    long = _spelled(f, now, long=True)
    return long if cell_width(long) <= width else _spelled(f, now, long=False)


def _spelled(f: Figures, now: float, *, long: bool) -> Cell:
    """Where keys differ: how many are in the best state, and what the worst one says."""
    best, worst = f.states[0], f.states[-1]
    if best is worst:
        return _one(best, now, long)
    count = (f"{best.kind} {f.best}/{f.lanes}", _STYLES.get(best.kind, ""))
    return [count, (" · ", "dim"), *_one(worst, now, long)]


def _one(state: State, now: float, long: bool) -> Cell:
    head, colon, why = state.spell(now, long).partition(": ")
    style = _STYLES.get(state.kind, "")
    if state.kind == "ready":
        return [(head, style), (f" ({why})" if why else "", "dim")]
    return [(head, style), (colon + why, "dim" if state.kind == "waits" else style)]


def requests(f: Figures, now: float, width: int) -> Cell:
    """`28/30 ━━━━━━━╸`: what left in the last minute, of what the limit in force lets leave in one."""
    if f.limit is None:
        return [count(f.sent)]
    text = f"{short_number(f.sent)}/{'~' if f.learned else ''}{short_number(f.limit)}"
    room = width - _COUNT_WIDTH - 1
    if room < 3:
        return [(text, "")]
    share = f.sent / f.limit
    return [(text.ljust(_COUNT_WIDTH) + " ", ""), *bar(share, room, "green" if share >= 0.9 else "cyan")]


def fullest(f: Figures, now: float, width: int) -> Cell:
    if f.fullest is None:
        return [UNDEFINED]
    axis, share = f.fullest
    return [(f"{axis} {round(share * 100)} %", "magenta" if share >= 0.95 else "")]


def bar(share: float, width: int, style: str) -> Cell:
    """A bar that can be read without colour: `━━━╸───`."""
    halves = min(2 * width, max(0, round(share * 2 * width)))
    full = "━" * (halves // 2) + ("╸" if halves % 2 else "")
    return [(full, style), ("─" * (width - len(full)), "dim")]


def count(value: int, style: str = "") -> Part:
    return (short_number(value), style if value else "dim")


def rate(value: float | None) -> Part:
    return UNDEFINED if value is None else (short_number(round(value, 1) if value < 10 else round(value)), "")


def time(value: float | None) -> Part:
    return UNDEFINED if value is None else (spell(value), "")


def money(value: float | None) -> Part:
    return UNDEFINED if value is None else (dollars(value), "")


def share(part: int, whole: int) -> Part:
    return UNDEFINED if not whole else (f"{part * 100 / whole:.0f} %", "")


def short_number(value: float) -> str:
    """`7.5`, `30`, `1,319`, `14.4k`, `2M`: six characters at most."""
    for size, unit, letter in ((1e9, 1e9, "G"), (1e6, 1e6, "M"), (1e4, 1e3, "k")):
        if value >= size:
            return f"{value / unit:.1f}".removesuffix(".0") + letter
    return f"{value:.1f}" if value < 10 and value != int(value) else f"{value:,.0f}"


def fit(cell: Cell, width: int, left: bool = True) -> Cell:
    """Exactly `width` columns wide: padded, or cut with `…`."""
    used = cell_width(cell)
    if used <= width:
        padding = (" " * (width - used), "")
        return [*cell, padding] if left else [padding, *cell]
    kept: Cell = []
    room = width - 1
    for text, style in cell:
        if room <= 0:
            break
        piece = text if text_width(text) <= room else set_cell_size(text, room)
        kept.append((piece, style))
        room -= text_width(piece)
    return [*kept, ("…" + " " * max(0, room), "dim")] if width > 0 else []


def joined(cell: Cell) -> Cell:
    """The same with fewer pieces: each costs Rich some microseconds. Spaces have no style of their own."""
    out: Cell = []
    for text, style in cell:
        if out and (style == out[-1][1] or text.isspace()):
            out[-1] = (out[-1][0] + text, out[-1][1])
        elif text:
            out.append((text, style))
    return out


def cell_width(cell: Cell) -> int:
    return sum(text_width(text) for text, _ in cell)


def text_width(text: str) -> int:
    return len(text) if text.isascii() else cell_len(text)
