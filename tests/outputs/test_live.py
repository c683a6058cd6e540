"""The live table on screens of all sizes."""

from __future__ import annotations

import io
import itertools
import os
from typing import Any

import pytest
from rich.cells import cell_len
from rich.text import Text

from llmfan.outputs.cells import Cell
from llmfan.outputs.lines import PlainLines
from llmfan.outputs.live import LiveTable, Quiet, observer
from llmfan.outputs.screen import Screen
from llmfan.outputs.view import RunView
from llmfan.scheduling.lanes import Lane
from tests.outputs.fleets import NASTY, NOON, RAW, START, answered, in_flight, lanes_of, terminal, timed, view_of

NOW = START + 20


def plain(lines: list[Cell]) -> list[str]:
    return ["".join(text for text, _ in line) for line in lines]


def seen(view: RunView, width: int, height: int, now: float = NOW) -> list[str]:
    return plain(Screen(view, lambda: NOON).lines(now, width, height))


def troubled(providers: int = 6, keys: int = 3, **more: Any) -> tuple[RunView, list[Lane]]:
    """A fleet in which something of everything is the matter."""
    lanes = lanes_of({f"provider-{n}": keys for n in range(1, providers + 1)})
    view = view_of(lanes, total=1319, **more)
    answered(view, lanes[0], 40, latency=123.4)
    lanes[0].rest(NOW + 12, "cooldown", f"429 rate_limited: {NASTY}")
    lanes[1].rest(NOW + 18_720, "exhausted", "429 quota_exhausted: requests per day " + "x" * 300)
    if len(lanes) > 5:
        lanes[2].out = f"401 auth: {NASTY}"
        timed(lanes[4], NOW + 42, "tpm")
        in_flight(view, lanes[5], 7)
    return view, lanes


@pytest.mark.parametrize("width", [1, 20, 40, 60, 80, 100, 110, 120, 160, 200, 400])
@pytest.mark.parametrize("height", [2, 5, 8, 24, 50])
@pytest.mark.parametrize("folder", ["runs/x", "runs/" + "東京" * 80])
def test_nothing_is_wider_or_higher_than_the_screen(width: int, height: int, folder: str) -> None:
    """A line that wraps is never erased again: the screen fills with rubbish."""
    view, _ = troubled(folder=folder, simulated=True, stopping="interrupted")
    lines = seen(view, width, height)
    assert max(cell_len(line) for line in lines) <= width
    assert 1 <= len(lines) < height


@pytest.mark.parametrize("width", [80, 200])
def test_key_rows_appear_where_there_is_room(width: int) -> None:
    """One bad key of three could not be told from a slow provider."""
    view, _ = troubled(providers=3)
    high, low = "\n".join(seen(view, width, 40)), "\n".join(seen(view, width, 9))
    assert all(f"provider-{p}#{k}" in high for p in (1, 2, 3) for k in (1, 2, 3))
    assert all(f"provider-{p}" in low for p in (1, 2, 3))
    assert "#" not in low


def test_more_providers_than_lines_are_counted() -> None:
    """Providers would be missing without a word."""
    view, _ = troubled(providers=40, keys=1)
    lines = seen(view, 80, 24)
    assert lines[-4] == "… and 23 more providers"
    assert sum(line.startswith("provider-") for line in lines) == 17


def test_states_count_down_with_their_reason() -> None:
    """The table would say that something is wrong, and not what or how long."""
    view, _ = troubled(providers=2)
    text = "\n".join(seen(view, 80, 40))
    for said in ("cooldown 12 s: 429", "exhausted 5 h 12 m: 429", "out: 401 auth", "waits 42 s: tpm"):
        assert said in text
    assert "cooldown 5 s: 429" in "\n".join(seen(view, 80, 40, NOW + 7))


def test_all_columns_are_there_on_a_wide_screen_and_the_first_on_a_narrow_one() -> None:
    """What one looks for first would be cut off, or room left empty."""
    view, _ = troubled()
    wide, narrow = seen(view, 200, 50)[1], seen(view, 80, 24)[1]
    for title in (
        "in flight",
        "done",
        "failed",
        "429s",
        "req/min",
        "tok/s",
        "TTFT p50",
        "latency p50",
        "p95",
        "wait p95",
    ):
        assert title in wide
    for title in ("provider", "state", "done", "fail", "429s", "req/min"):
        assert title in narrow


def test_the_bar_shows_what_left_against_the_limit() -> None:
    """Whether a limit is used to the full is the question the table is for."""
    [lane] = lanes_of({"a": 1})
    view = view_of([lane])
    screen = Screen(view)
    answered(view, lane, 15)
    row = plain(screen.lines(NOW, 80, 24))[2]
    assert "15/30" in row
    assert abs(row.count("━") - row.count("─")) <= 1 < row.count("━")


def test_the_undefined_is_a_dash() -> None:
    """0 s would be taken for a fast answer."""
    view = view_of(lanes_of({"a": 1}))
    lines = seen(view, 200, 24)
    assert lines[2].count("—") >= 5
    assert "0.00 s" not in lines[2]
    assert "ETA —" in lines[-2] and "cost —" in lines[-2]


@pytest.mark.parametrize(("speed", "said"), [(1.0, "simulated fleet  "), (10.0, "simulated fleet ×10")])
def test_a_simulated_fleet_is_called_so(speed: float, said: str) -> None:
    """Invented figures would pass for real ones."""
    lanes = lanes_of({"a": 1})
    assert said in seen(view_of(lanes, simulated=True, speed=speed, folder="runs/x"), 80, 24)[0]
    assert "simulated" not in "\n".join(seen(view_of(lanes), 80, 24))


def test_a_standstill_says_for_what_and_until_when() -> None:
    """A run that waits for a reset would look hung."""
    [lane] = lanes_of({"a": 1})
    view = view_of([lane])
    timed(lane, NOW + 65, "rpm")
    assert seen(view, 80, 24)[-1] == "everything waits for a rpm until 12:04:15 (in 1 m 05 s)"
    in_flight(view, lane, 1)
    assert seen(view, 80, 24)[-1] == "held by a rpm"


@pytest.mark.parametrize("width", [80, 200])
def test_escapes_reach_the_screen_as_text_only(width: int) -> None:
    """Whoever answers for a provider could clear the screen or write the clipboard."""
    view, lanes = troubled(providers=1, folder=NASTY, stopping=NASTY)
    lanes[0].provider.name = NASTY
    console, file = terminal(width, 40)
    table = LiveTable(view, console, wall=lambda: NOON)
    table.tick(NOW)
    table.say(NASTY)
    table.close()
    text = Text.from_ansi(file.getvalue()).plain
    assert not set(RAW) & (set(text) - {"\r"})
    assert "]52;c" not in file.getvalue().replace(r"\x1b]52;c", "")
    assert "\x1b[2J" not in file.getvalue()
    assert r"\x1b[2J" in text


def test_what_is_said_stands_above_the_table() -> None:
    """A key that goes out would be overwritten by the next drawing."""
    view, _ = troubled(providers=1)
    console, file = terminal(80, 24)
    table = LiveTable(view, console, wall=lambda: NOON)
    table.tick(NOW)
    file.truncate(0)
    table.say("provider-1#3 is out for this run: 401 auth")
    view.notes.append("a note made on the way")
    said = Text.from_ansi(file.getvalue()).plain
    assert said.index("12:03:10  provider-1#3 is out") < said.index("llmfan")
    table.close()
    assert "a note made on the way" in Text.from_ansi(file.getvalue()).plain


def test_the_cursor_comes_back_and_one_line_stays() -> None:
    """The terminal would be left without cursor, and a redirected summary leave no trace of the run on screen."""
    view, _ = troubled()
    console, file = terminal(80, 24)
    table = LiveTable(view, console, wall=lambda: NOON)
    table.tick(NOW)
    assert "\x1b[?25l" in file.getvalue()
    table.close()
    table.close()
    assert file.getvalue().rindex("\x1b[?25h") > file.getvalue().rindex("\x1b[?25l")
    assert file.getvalue().count("40/1319 (3 %)  in 20 s") == 1


def test_drawing_takes_its_share_of_a_core_and_no_more() -> None:
    """The table would slow down what it watches."""
    view, _ = troubled()
    console, file = terminal(80, 24)
    real, per_reading = [0.0], 0.0

    def clock() -> float:
        real[0] += per_reading
        return real[0]

    table = LiveTable(view, console, clock=clock, wall=lambda: NOON)
    table.tick(NOW)
    for _ in range(10):  # ten ticks within a quarter of a second: no drawing
        real[0] += 0.02
        size = file.tell()
        table.tick(NOW + 1)
        assert file.tell() == size
    real[0] += 0.1
    per_reading = 0.030  # each drawing seems to take 30 ms: 2 % of a core is one in 1.5 s
    drawn = 0
    for _ in range(40):
        size = file.tell()
        table.tick(NOW + 2)
        drawn += file.tell() > size
        real[0] += 0.25
    assert 5 <= drawn <= 8


class Gone(io.StringIO):
    """A terminal that goes away after some writes."""

    def __init__(self, after: int):
        super().__init__()
        self.after = after

    def write(self, text: str) -> int:
        self.after -= 1
        if self.after < 0:
            raise BrokenPipeError
        return super().write(text)


@pytest.mark.parametrize("after", [0, 1, 2, 5])
def test_a_broken_pipe_silences_the_table_and_nothing_else(after: int) -> None:
    """Rich makes SystemExit of it: the run would end because nobody looks."""
    view, _ = troubled()
    console, _ = terminal(80, 24, Gone(after))
    table = LiveTable(view, console, clock=itertools.count(step=10.0).__next__)
    for tick in range(10):
        table.tick(NOW + tick)
        table.say("something")
    table.close()


class Tty(io.StringIO):
    def __init__(self, encoding: str = "utf-8"):
        super().__init__()
        self._encoding = encoding

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._encoding

    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_the_table_and_all_else_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """A log would fill with escape sequences; FORCE_COLOR, set by CI systems, makes Rich see terminals everywhere."""
    view = view_of(lanes_of({"a": 1}))
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert isinstance(observer(view, False, Tty()), LiveTable)
    assert isinstance(observer(view, False, io.StringIO()), PlainLines)
    assert isinstance(observer(view, False, Tty("latin-1")), PlainLines)
    assert isinstance(observer(view, True, Tty()), Quiet)
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert isinstance(observer(view, False, io.StringIO()), PlainLines)
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(observer(view, False, Tty()), PlainLines)


def test_no_color_keeps_the_table_and_drops_the_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who asked for no colour would get it, or lose the table with it."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    file = Tty()
    table = observer(troubled()[0], False, file)
    table.tick(NOW)
    table.close()
    assert "provider-1" in file.getvalue()
    assert not any(f"\x1b[{code}m" in file.getvalue() for code in (31, 32, 33, 36, "1;31", "38;5;1"))


def test_a_screen_of_no_size_is_taken_for_an_ordinary_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some containers give a terminal of 0 columns: a division by zero would end the run."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.delenv("LINES", raising=False)
    monkeypatch.setattr(os, "get_terminal_size", lambda fd=0: os.terminal_size((0, 0)))
    file = Tty()
    table = observer(troubled()[0], False, file)
    table.tick(NOW)
    table.close()
    assert "provider-1" in file.getvalue()


def test_a_narrowed_screen_is_wiped_of_wrapped_lines() -> None:
    """Each resize would leave a torn table behind."""
    view, _ = troubled(providers=2, keys=1)
    console, file = terminal(100, 24)
    table = LiveTable(view, console, clock=itertools.count(step=10.0).__next__, wall=lambda: NOON)
    table.tick(NOW)
    file.truncate(0)
    table.tick(NOW + 1)
    same = file.getvalue().count("\x1b[1A")
    console.width = 50
    file.truncate(0)
    table.tick(NOW + 2)
    assert file.getvalue().count("\x1b[1A") > same
