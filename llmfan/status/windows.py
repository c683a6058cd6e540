"""When the windows of limits began and when they end: a place's days and months, or so long ago from now."""

from __future__ import annotations

import datetime as dt
from typing import NamedTuple

from llmfan.limits.axes import last_boundary, next_boundary
from llmfan.settings import AXES
from llmfan.units import DAY, MONTH

ROLLING = "rolling"
#: Years of four digits end here. A provider may say anything, and a date of it has to be shown.
_LAST = dt.datetime(9999, 12, 30, tzinfo=dt.UTC).timestamp()


class Window(NamedTuple):
    """Unix time. `end` is None where it ends now, at every moment: a rolling one."""

    start: float
    end: float | None


def is_moment(at: float | None) -> bool:
    """Whether a moment has a date."""
    return at is not None and 0 <= at <= _LAST


class Almanac:
    """The windows of one moment, each looked up once: many keys have the same days."""

    def __init__(self, now: dt.datetime):
        self.moment = now
        self.now = now.timestamp()
        self._found: dict[tuple[str, bool], Window] = {}

    def of(self, axis: str, reset: str) -> Window:
        """The window of a limit now. `reset`: when a day begins (`utc`, a zone, `rolling`)."""
        period = AXES[axis][1]
        return self._calendar(reset, period > DAY) if period >= DAY else Window(self.now - period, None)

    def day(self, reset: str) -> Window:
        return self._calendar(reset, month=False)

    def month(self, reset: str) -> Window:
        return self._calendar(reset, month=True)

    def day_end(self, reset: str, at: float) -> float:
        """When the day of some moment is over."""
        if reset == ROLLING:
            return at + DAY
        return next_boundary(dt.datetime.fromtimestamp(at, dt.UTC), reset).timestamp()

    def _calendar(self, reset: str, month: bool) -> Window:
        place = (reset, month)
        if place not in self._found:
            self._found[place] = self._look_up(reset, month)
        return self._found[place]

    def _look_up(self, reset: str, month: bool) -> Window:
        if reset == ROLLING:
            return Window(self.now - (MONTH if month else DAY), None)
        end = next_boundary(self.moment, reset, month).timestamp()
        return Window(last_boundary(self.moment, reset, month).timestamp(), end)
