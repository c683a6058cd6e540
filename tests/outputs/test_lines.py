"""Progress as plain lines, for logs."""

from __future__ import annotations

import io

import pytest

from llmfan.outputs.lines import PlainLines, percent, until
from llmfan.outputs.view import RunView
from tests.outputs.fleets import NASTY, NOON, RAW, START, answered, failed, in_flight, lanes_of, timed, view_of


def watched(view: RunView) -> tuple[PlainLines, io.StringIO]:
    file = io.StringIO()
    return PlainLines(view, file, wall=lambda: NOON), file


def test_a_line_says_how_far_how_fast_and_what_it_waits_for() -> None:
    """A log would not show whether the run still lives."""
    lanes = lanes_of({"a": 2})
    view = view_of(lanes, total=100, folder="runs/x")
    lines, file = watched(view)
    lines.tick(START + 0.25)
    answered(view, lanes[0], 39)
    failed(view, lanes[1], "timeout", "no first byte")
    in_flight(view, lanes[0], 24)
    timed(lanes[1], START + 60, "rpm")
    lines.tick(START + 10)
    first, second = file.getvalue().splitlines()
    assert first == "12:03:10  100 jobs, 1 provider, 2 keys → runs/x"
    assert second == "12:03:10  40/100 (40 %)  4.0/s  ETA 15 s  in flight 24  failed 1  429s 0  waiting: a rpm"


def test_there_is_one_line_in_ten_seconds_and_one_at_the_end() -> None:
    """A log of a night would be all progress."""
    lanes = lanes_of({"a": 1})
    view = view_of(lanes)
    lines, file = watched(view)
    for tick in range(1, 401):
        lines.tick(START + tick * 0.25)
    assert len(file.getvalue().splitlines()) == 1 + 10
    lines.tick(START + 1000)
    lines.tick(START + 1000.25)
    assert len(file.getvalue().splitlines()) == 1 + 11
    lines.close()
    lines.close()
    assert len(file.getvalue().splitlines()) == 1 + 12
    assert "0/100 (0 %)  in 16 m 40 s" in file.getvalue().splitlines()[-1]


def test_every_line_of_a_simulated_fleet_says_so() -> None:
    """A line cut out of a log would pass for a real figure."""
    view = view_of(lanes_of({"a": 1}), simulated=True, speed=10.0)
    lines, file = watched(view)
    lines.tick(START + 11)
    lines.close()
    first, *others = file.getvalue().splitlines()
    assert "simulated fleet ×10: " in first
    assert others and all("simulated" in line for line in others)


def test_a_standstill_is_told_with_its_end() -> None:
    """A run that sleeps would look hung."""
    [lane] = lanes_of({"a": 1})
    view = view_of([lane])
    timed(lane, START + 75, "rpd")
    lines, file = watched(view)
    lines.tick(START + 10)
    assert "everything waits for a rpd until 12:04:15 (in 1 m 05 s)" in file.getvalue()


def test_nothing_said_can_break_a_line_or_move_a_cursor() -> None:
    """A message of a server could forge lines of the log."""
    view = view_of(lanes_of({NASTY: 1}), folder=NASTY, stopping=NASTY)
    lines, file = watched(view)
    lines.say(NASTY)
    lines.tick(START + 10)
    view.notes.append(NASTY)
    lines.close()
    assert not set(RAW) & set(file.getvalue())
    assert len(file.getvalue().splitlines()) == 5


def test_what_was_noted_before_the_run_is_not_said_again() -> None:
    """Every provider that is left out would be named twice."""
    view = view_of(lanes_of({"a": 1}), notes=["told before"])
    lines, file = watched(view)
    view.notes.append("found on the way")
    lines.tick(START + 1)
    assert "found on the way" in file.getvalue()
    assert "told before" not in file.getvalue()


class Closed(io.StringIO):
    def write(self, text: str) -> int:
        raise BrokenPipeError


def test_a_closed_stream_does_not_end_the_run() -> None:
    """`2>&1 | head` would kill it."""
    lines = PlainLines(view_of(lanes_of({"a": 1})), Closed())
    lines.say("x")
    lines.tick(START + 10)
    lines.close()


@pytest.mark.parametrize(
    ("ahead", "text"),
    [
        (12, " until 12:03:22 (in 12 s)"),
        (43_010, " until 2026-11-22 00:00 (in 11 h 56 m)"),
        (1e18, ""),
        (None, ""),
    ],
)
def test_a_moment_is_told_with_its_day_where_it_is_another(ahead: float | None, text: str) -> None:
    """`until 00:00:00` could be any night."""
    assert until(None if ahead is None else START + ahead, START, NOON) == text


@pytest.mark.parametrize(("done", "total", "text"), [(0, 0, "100 %"), (1318, 1319, "99 %"), (1319, 1319, "100 %")])
def test_all_is_done_only_when_all_is_done(done: int, total: int, text: str) -> None:
    """100 % would stand there for minutes before the end."""
    assert percent(done, total) == text
