"""The live table as lines that fit a screen: title, rows, progress, and what holds the run back."""

from __future__ import annotations

import datetime as dt

from llmfan.outputs.cells import Cell, bar, cell_width, fit, short_number
from llmfan.outputs.clean import clean
from llmfan.outputs.columns import Layout
from llmfan.outputs.lines import Wall, percent, simulated, until
from llmfan.outputs.rows import Row, rows_of
from llmfan.outputs.states import holds, spell_holds, standstill
from llmfan.outputs.view import History, Progress, RunView, progress
from llmfan.units import dollars, spell

#: Lines that are not rows: title, header, bar, figures, what holds; and one for the cursor.
AROUND = 6


class Screen:
    """What is to be seen now. It keeps the counts of the last minute, so it is asked often and by one asker."""

    def __init__(self, view: RunView, wall: Wall = dt.datetime.now):
        self._view, self._wall = view, wall
        self._rows = rows_of(view)
        self._layout = Layout()
        self._history = History(view)

    def lines(self, now: float, width: int, height: int) -> list[Cell]:
        """At most `height` - 1 lines, none wider than `width`. A screen too low for rows shows the progress only."""
        before, after = self._history.note(now)
        at = progress(self._view, before, after)
        rows, more = self._choose(height - AROUND)
        if not rows:
            lines = [self._figures(at), self._hold(now), self._title(now, width)]
            return [fit(line, width) for line in lines[: max(1, height - 1)]]
        table = self._layout.lines([row.figures(self._view, before, after) for row in rows], width, now)
        used = max(cell_width(table[0]), min(width, 60))
        lines = [self._title(now, used), *table]
        if more:
            lines.append([(f"… and {more} more providers", "dim")])
        lines += [bar(at.share, used, "green"), self._figures(at), self._hold(now)]
        return [line if cell_width(line) <= width else fit(line, width) for line in lines]

    def _choose(self, room: int) -> tuple[list[Row], int]:
        """(the rows there is room for, how many providers are left out). Keys come in the order of the file."""
        if room < 1:
            return [], len(self._rows)
        if len(self._rows) > room:
            shown = max(0, room - 1)
            return self._rows[:shown], len(self._rows) - shown
        spare = room - len(self._rows)
        rows: list[Row] = []
        for row in self._rows:
            rows.append(row)
            if len(row.children) <= spare:
                rows += row.children
                spare -= len(row.children)
        return rows, 0

    def _title(self, now: float, width: int) -> Cell:
        """On the right how long it has run, or that it is about to end."""
        view = self._view
        left: Cell = [("llmfan", "bold")]
        if view.simulated:
            left += [("  ", ""), (simulated(view), "bold yellow")]
        right: Cell = [(spell(float(round(max(0.0, now - view.started)))), "dim")]
        if view.stopping or view.dispatcher.stopped:
            why = f": {clean(view.stopping)}" if view.stopping else ""
            right = [(f"stopping{why}", "bold yellow"), ("  ", ""), *right]
        if view.folder:
            room = width - cell_width(left) - cell_width(right) - 4
            left += [("  ", ""), *fit([(_tail(clean(view.folder, 500), room), "dim")], max(0, room))]
        return fit([*fit(left, max(0, width - cell_width(right))), *right], width)

    def _figures(self, at: Progress) -> Cell:
        view, dispatcher = self._view, self._view.dispatcher
        cost = "—" if view.cost is None else dollars(view.cost)
        if view.cost is not None and dispatcher.purse.limit < 1e9:
            cost += f" of ${dispatcher.purse.limit:g}"
        cell: Cell = [(f"{at.done}/{at.total}", "bold"), (f" ({percent(at.done, at.total)})", "")]
        cell += [("  " + ("—" if at.rate is None else f"{at.rate:.1f}") + "/s", ""), (f"  ETA {spell(at.eta)}", "bold")]
        cell += [(f"  in flight {dispatcher.in_flight}", "")]
        cell += [(f"  failed {short_number(view.failed)}", "bold red" if view.failed else "dim")]
        right, judged = view.graded
        if judged:
            cell += [(f"  right {percent(right, judged)}", "")]
        return [*cell, (f"  cost {cost}", "")]

    def _hold(self, now: float) -> Cell:
        """What binds now; where nothing moves at all, for what and until when, so that it cannot be missed."""
        view = self._view
        still = standstill(view, now)
        if still is not None:
            return [(still.what + until(still.until, now, self._wall()), "bold black on yellow")]
        found = holds(view)
        if not found or view.dispatcher.stopped:
            return [("nothing holds it back" if view.dispatcher.in_flight else "", "dim")]
        return [("held by ", "dim"), (spell_holds(found), "cyan")]


def _tail(path: str, width: int) -> str:
    """The end of a path says more than its beginning."""
    return path if len(path) <= width else "…" + path[len(path) - width + 1 :] if width > 1 else ""
