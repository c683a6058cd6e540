"""Response headers that tell of limits, in the format of the provider's own rows."""

from __future__ import annotations

import datetime as dt
import math

from llmfan.settings import HeaderRow
from llmfan.simulation.counters import Counters


class Allowance:
    """Writes the limit headers of one provider. `unix` turns its clock into Unix time; waits shrink by `speed`."""

    def __init__(self, rows: list[HeaderRow], counters: Counters, speed: float):
        self._rows, self._counters, self._speed = rows, counters, speed
        self._lines: dict[tuple[str, str, bool], list[tuple[HeaderRow, int]]] = {}

    def headers(
        self, now: float, unix: float, key: str, model: str, refused: bool, prompt: int, output: int
    ) -> dict[str, str]:
        """`now` on the provider's clock; `unix` the client's Unix time at that moment."""
        counters = self._counters.of(key, model)
        found = {}
        for row, n in self._rows_for(key, model, refused):
            if row.role == "cost":
                found[row.name] = _plain(self._counters.cost(row.axis, model, prompt, output))
                continue
            seen = counters[n][1].look(now, 0.0)
            if row.role == "limit":
                found[row.name] = str(math.floor(seen.limit))
            elif row.role == "remaining":
                found[row.name] = str(math.floor(seen.remaining + 1e-6))
            else:
                found[row.name] = spell_reset(row.format, seen.reset / self._speed, unix, self._speed == 1)
        return found

    def _rows_for(self, key: str, model: str, refused: bool) -> list[tuple[HeaderRow, int]]:
        """The rows that apply, each with the place of its counter: a limit this key does not have has no header."""
        ident = (key, model, refused)
        if ident not in self._lines:
            places = {axis: n for n, (axis, _) in enumerate(self._counters.of(key, model))}
            wanted = ("always", "refused" if refused else "success")
            self._lines[ident] = [
                (row, places.get(row.axis, -1))
                for row in self._rows
                if row.when in wanted and (not refused if row.role == "cost" else row.axis in places)
            ]
        return self._lines[ident]


def spell_reset(form: str, wait: float, unix: float, whole: bool) -> str:
    """A reset as its row writes it. Whole seconds are kept fractional when the clocks run fast."""
    match form:
        case "go":
            return spell_go(wait)
        case "epoch_ms":
            return str(math.ceil((unix + wait) * 1000))
        case "epoch_s":
            return str(math.ceil(unix + wait)) if whole else f"{unix + wait:.3f}"
        case "rfc3339":
            at = dt.datetime.fromtimestamp(math.ceil(unix + wait) if whole else unix + wait, dt.UTC)
            return at.isoformat(timespec="seconds" if whole else "milliseconds").replace("+00:00", "Z")
    return _plain(wait)


def spell_go(wait: float) -> str:
    """A duration such as `825ms`, `7.66s`, `2m59.56s`, `1h0m3s`."""
    if wait < 1:
        return f"{_plain(wait * 1000)}ms"
    minutes, seconds = divmod(wait, 60)
    hours, minutes = divmod(int(minutes), 60)
    text = f"{_plain(seconds)}s"
    if hours or minutes:
        text = f"{minutes}m{text}"
    return f"{hours}h{text}" if hours else text


def _plain(value: float) -> str:
    return f"{value:.4f}".rstrip("0").rstrip(".")
