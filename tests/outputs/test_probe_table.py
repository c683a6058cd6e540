"""What a probe shows: the table it ends with, and who watches it meanwhile."""

from __future__ import annotations

import io
from typing import IO, Any

import pytest
from rich.cells import cell_len
from rich.console import Console

from llmfan.outputs import probe_words as words
from llmfan.outputs.canvas import drawing_console
from llmfan.outputs.cells import Cell
from llmfan.outputs.probe_live import Watch, screen
from llmfan.outputs.probe_table import print_probe
from llmfan.outputs.tables import summary_console
from llmfan.probing.findings import Finding, Measured, Reading
from tests.outputs.fleets import NASTY, RAW, terminal
from tests.outputs.probed import MIDNIGHT, NOW, STATES, finding, fleet

WIDTHS = [40, 60, 80, 100, 110, 120, 160, 200]


def printed(findings: list[Finding], width: int, *, verbose: bool = False) -> list[str]:
    file = io.StringIO()
    print_probe(findings, Console(file=file, width=width, _environ={}), verbose=verbose, now=NOW)
    return file.getvalue().splitlines()


def row(lines: list[str], key: str) -> str:
    """A key's line with those that go on below it, as one text."""
    at = next(n for n, line in enumerate(lines) if line.split()[:1] == [key])
    more = [line for line in lines[at + 1 :] if line[:1] != " " or line[2:3].strip()]
    end = lines.index(more[0], at + 1) if more else len(lines)
    return " ".join(" ".join(lines[at:end]).split())


def below(lines: list[str]) -> str:
    return " ".join(" ".join(lines[lines.index("") :]).split())


# ---------------------------------------------------------------- the table


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("verbose", [False, True])
def test_no_line_is_wider_than_the_screen(width: int, verbose: bool) -> None:
    """A table that wraps cannot be read."""
    lines = printed(fleet(), width, verbose=verbose)
    assert max(cell_len(line) for line in lines) <= width
    assert all(line == line.rstrip() for line in lines)


@pytest.mark.parametrize("width", WIDTHS)
def test_every_key_has_its_state_by_word(width: int) -> None:
    """By colour alone it would be lost in a pipe, a log, and to whoever cannot see red."""
    lines = printed(fleet(), width)
    for found in fleet():
        said = row(lines, found.key)
        assert str(found.state) in said, said
        assert found.mask in said
    assert {str(found.state) for found in fleet()} == set(STATES)


@pytest.mark.parametrize("width", WIDTHS)
def test_a_key_that_waits_says_until_when(width: int) -> None:
    """`exhausted` alone does not tell whether to wait for a minute or to look elsewhere for the night."""
    lines = printed(fleet(), width)
    assert "until 00:00 UTC, in 3 h 12 m" in row(lines, "openrouter#3")
    assert "for 38 s" in row(lines, "mistral#2")


@pytest.mark.parametrize("width", WIDTHS)
def test_limits_stand_with_what_is_left_of_them(width: int) -> None:
    """That a key works says little; how often it may be asked today is why one probes."""
    lines = printed(fleet(), width)
    assert "rpd 998/1,000" in row(lines, "groq#2") and "tpm 7,946/8,000" in row(lines, "groq#2")
    assert "with #1, #3" in row(lines, "groq#2")
    assert "requests per month 1,000" in row(lines, "cohere#1")


@pytest.mark.parametrize("width", WIDTHS)
def test_measured_limits_have_their_own_line(width: int) -> None:
    """They were paid for, and say something else than what the provider reports."""
    text = row(printed(fleet(), width), "groq#4")
    assert "rpm measured 30, sliding window, 28.9-30.4, confidence 0.95; 63 requests, 2 refused" in text


def test_a_measurement_that_came_to_nothing_says_why() -> None:
    """It was paid for as well, and a figure of 0 would be taken for a limit."""
    found = finding("a#1", measured=[Measured(axis="rpm", figure=None, sent=60, why="no refusal within 60 requests")])
    text = row(printed([found], 100), "a#1")
    assert "rpm not measured: no refusal within 60 requests; 60 requests, 0 refused" in text


@pytest.mark.parametrize("width", WIDTHS)
def test_the_model_that_was_asked_is_there(width: int) -> None:
    """A key is fine or not at one model; at which one has to be seen."""
    text = " ".join(printed(fleet(), width))
    for model in ("openai/gpt-oss-20b:free", "mistral-small-latest", "gpt-4o-mini"):
        assert model in text


def test_an_unknown_latency_is_a_dash() -> None:
    """0 s would make a dead key the fastest one."""
    lines = printed(fleet(), 120)
    assert " — " in row(lines, "dead#1") and "0.00 s" not in "\n".join(lines)
    assert "0.31 s" in row(lines, "groq#1")


def test_the_summary_counts_keys_and_not_models() -> None:
    """A key with two models would count twice, and 33 of 32 keys work."""
    both = [finding("a#1", model="m1"), finding("a#1", model="m2"), finding("a#2", model="m1")]
    assert "2 of 2 keys work" in below(printed(both, 80))
    both[1].state = "no_model"
    assert "1 of 2 keys works; 1 at some models only" in below(printed(both, 80))
    assert "12 of 32 keys work; 4 exhausted, 3 invalid" in below(printed(fleet(), 80))


@pytest.mark.parametrize("width", WIDTHS)
def test_what_to_do_next_is_said(width: int) -> None:
    """Whoever sees twelve red rows wants to know what to do, key by key."""
    text = below(printed(fleet(), width))
    assert "set the variables named above, in the environment or in .env" in text
    assert "a key is got at" in text and "openai#4" not in text  # the table says which
    assert "https://platform.openai.com/api-keys" in text.replace(" ", "")
    assert "typo has no command-a-03-2052; near it are command-a-03-2025, command-a-plus-05-2026" in text
    assert "dead#1, hanging#1, nowhere#1: check base_url, the network and HTTPS_PROXY" in text
    assert "groq#1, #2, #3 draw on one quota" in text and "account: NAME" in text


def test_a_fleet_without_fault_gets_no_advice() -> None:
    """Advice that is always there is not read."""
    lines = printed([finding("a#1"), finding("a#2")], 80)
    assert lines[-1] == "2 of 2 keys work"


def test_nothing_asked_and_nothing_at_all_have_a_table_too() -> None:
    """An interrupted probe would end with a traceback."""
    assert "not asked" in row(printed([finding("a#1", "")], 80), "a#1")
    assert below(printed([], 80)) == "0 of 0 keys work"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (38.0, "for 38 s"),
        (11_520.0, "until 00:00 UTC, in 3 h 12 m"),
        (11_524.3, "until 00:00 UTC, in 3 h 12 m"),  # a wait gets some seconds more than it was asked for
        (11_550.0, "until 00:01 UTC"),
        (86_400.0, "until 20:48 UTC, in 24 h 00 m"),
        (90_000.0, "until 2026-11-23 21:48 UTC, in 25 h 00 m"),
        (-1.0, "over by now"),
    ],
)
def test_a_moment_is_never_named_too_early(seconds: float, said: str) -> None:
    """Who comes back at the time that is named should find the key whole."""
    assert words.until(NOW + seconds, NOW).startswith(said)


@pytest.mark.parametrize("until", [float("inf"), float("nan"), 1e300, NOW - 5, NOW, 0.0, -1.0])
def test_a_strange_reset_breaks_nothing(until: float) -> None:
    """A server may name any moment."""
    found = finding("a#1", "exhausted", "no", until=until, limits={"rpd": Reading(limit=until, resets_at=until)})
    assert "no" in row(printed([found], 200, verbose=True), "a#1")


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("verbose", [False, True])
def test_what_a_server_says_cannot_move_the_cursor(width: int, verbose: bool) -> None:
    """A hostile server could clear the screen, or write to the clipboard."""
    found = nasty()
    assert not set(RAW) & set("".join(printed([found], width, verbose=verbose)))
    assert not set(RAW) & set("".join(shown([found], width, 40)))


def test_verbose_says_the_whole_reason_the_account_and_the_resets() -> None:
    """Somebody has to be able to see all of it without reading JSON."""
    short, long = printed(fleet(), 200), printed(fleet(), 200, verbose=True)
    assert "try again in 1m26.4s." not in row(short, "groq#6") and "try again in 1m26.4s." in row(long, "groq#6")
    assert "org_01hz8k" not in row(short, "groq#1") and "org_01hz8k" in row(long, "groq#1")
    assert "rpd 49/50 (resets in 3 h 12 m)" in row(long, "openrouter#1")


def test_a_pipe_gets_plain_text_of_a_fixed_width(monkeypatch: pytest.MonkeyPatch) -> None:
    """What reads it would see escape sequences, or other columns on each machine."""
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    monkeypatch.setenv("COLUMNS", "40")
    file = io.StringIO()
    assert print_probe(fleet(), summary_console(file), verbose=False, now=NOW)
    assert "\x1b" not in file.getvalue()
    assert file.getvalue().splitlines()[0].split()[:4] == ["key", "state", "latency", "model"]


def test_an_ascii_locale_gets_ascii() -> None:
    """The table would end in a UnicodeEncodeError."""
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, "ascii")
    assert print_probe(fleet(), summary_console(stream), verbose=True, now=NOW)
    assert b"groq#1 ...x01f" in raw.getvalue()


def test_colours_on_a_terminal_and_none_with_no_color() -> None:
    """A dead key should catch the eye; who asked for no colours gets none."""
    console, file = terminal(120, 40)
    print_probe(fleet(), console, verbose=False, now=NOW)
    assert "\x1b[32mok" in file.getvalue() and "\x1b[1;31minvalid" in file.getvalue()
    bare = io.StringIO()
    console = Console(file=bare, width=120, force_terminal=True, _environ={"NO_COLOR": "1", "TERM": "xterm"})
    print_probe(fleet(), console, verbose=False, now=NOW)
    assert "invalid" in bare.getvalue()
    assert "\x1b[32" not in bare.getvalue() and "31m" not in bare.getvalue()


class Closed(io.StringIO):
    tried = 0

    def write(self, text: str) -> int:
        self.tried += 1
        raise BrokenPipeError


def test_a_closed_stdout_is_reported_and_not_raised() -> None:
    """`llmfan probe | head -1` would end with a traceback and the wrong exit code."""
    assert print_probe(fleet(), summary_console(Closed()), verbose=False, now=NOW) is False


# ---------------------------------------------------------------- while it goes


def plain(lines: list[Cell]) -> list[str]:
    return ["".join(text for text, _ in line) for line in lines]


def shown(findings: list[Finding], width: int, height: int) -> list[str]:
    return plain(screen(findings, 4.2, NOW, width, height))


def under_way() -> list[Finding]:
    """The same fleet when every other key is known."""
    findings = fleet()
    for found in findings[1::2]:
        found.state, found.doing = "", "one token"
    return findings


@pytest.mark.parametrize("width", [1, 20, 40, 60, 80, 120, 200])
@pytest.mark.parametrize("height", [2, 3, 5, 8, 24, 50])
def test_nothing_is_wider_or_higher_than_the_screen(width: int, height: int) -> None:
    """A line that wraps is never erased again: the screen fills with rubbish."""
    lines = shown(under_way(), width, height)
    assert max(cell_len(line) for line in lines) <= width
    assert 1 <= len(lines) < height


def test_each_key_is_followed_where_there_is_room() -> None:
    """What is known, and what is asked of the others."""
    lines = shown(under_way(), 120, 50)
    assert "16 of 32 known" in lines[0] and "4 s" in lines[0]
    assert "rpd 999/1,000" in row(lines, "groq#1")
    assert row(lines, "groq#2").endswith("one token")


def test_a_low_screen_shows_providers_and_a_very_low_one_counts_the_rest() -> None:
    """Keys would be missing without a word."""
    lines = shown(under_way(), 80, 20)
    assert "groq           3 ok · 3 to go: one token" in lines
    assert lines[-2].startswith("github-models")
    assert shown(under_way(), 80, 8)[-2] == "… and 9 more providers"


def test_keys_with_several_models_name_them() -> None:
    """Two rows with one name could not be told apart."""
    both = [finding("a#1", "", model="m1"), finding("a#1", model="m2")]
    assert "m1" in shown(both, 80, 24)[1] and "m2" in shown(both, 80, 24)[2]


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def watch(findings: list[Finding], file: IO[str], quiet: bool = False) -> tuple[Watch, Clock]:
    clock = Clock()
    return Watch(findings, quiet, file, clock, lambda: NOW), clock


def test_off_a_terminal_each_key_gets_one_line_when_it_is_known() -> None:
    """A log with a table drawn over and over is unreadable; one without a line for minutes looks hung."""
    file, findings = io.StringIO(), [finding("a#1", ""), finding("a#2", "")]
    watching, _ = watch(findings, file)
    watching.tick()
    assert file.getvalue() == ""
    findings[1].state, findings[1].latencies = "ok", [0.314]
    watching.tick()
    watching.tick()
    findings[0].state, findings[0].until, findings[0].why = "exhausted", MIDNIGHT, "no more today"
    watching.close()
    assert file.getvalue().splitlines() == [
        "a#2 …x02f: ok, 0.31 s",
        "a#1 …x01f: exhausted, until 00:00 UTC, in 3 h 12 m, no more today",
    ]


def test_lines_of_a_key_with_several_models_name_the_model() -> None:
    """`a#1: ok` and `a#1: no_model` would contradict each other."""
    file = io.StringIO()
    watching, _ = watch([finding("a#1", model="m1"), finding("a#1", "no_model", model="m2")], file)
    watching.close()
    assert file.getvalue().splitlines() == ["a#1 …x01f m1: ok", "a#1 …x01f m2: no_model"]


def test_quiet_says_nothing() -> None:
    """It was asked to."""
    file = io.StringIO()
    watching, _ = watch(fleet(), file, quiet=True)
    watching.tick()
    watching.close()
    assert file.getvalue() == ""


def test_lines_carry_nothing_harmful() -> None:
    """Logs are read on terminals."""
    file = io.StringIO()
    watching, _ = watch([nasty()], file)
    watching.close()
    assert not set(RAW) & set(file.getvalue().rstrip("\n"))


def test_lines_to_a_reader_that_left_are_dropped() -> None:
    """A probe would end with a traceback since nobody reads its progress."""
    left = Closed()
    watching, _ = watch(fleet(), left)
    watching.tick()
    watching.close()
    assert left.tried == 1


def test_headers_are_read_whole_whatever_stands_below_them() -> None:
    """A column of one-letter models was one letter wide, so that neither `model` nor the next model could be read."""
    for width in (120, 200):
        found = [finding("a#1", "ok", model="m"), finding("b#1", "no_model", model="m1", why="nothing here " * 40)]
        header, *rows = printed(found, width)
        assert header.split()[:4] == ["key", "state", "latency", "model"], header
        assert "m1" in row(rows, "b#1")


def test_what_was_not_asked_is_no_case_for_free() -> None:
    """After Ctrl-C it told who had not said --free to leave --free out."""
    text = "\n".join(printed([finding("a#1"), finding("a#2", "", why="not asked: the probe was stopped")], 120))
    assert "not asked" in text and "without --free" not in text and "1 of 2 keys works; 1 not asked" in text


def test_one_is_told_as_one() -> None:
    """`0 of 1 key work` and `1 requests` read like a machine that cannot count."""
    measured = Measured(axis="rpm", figure=None, sent=1, refused=1, why="stopped")
    text = "\n".join(printed([finding("a#1", "invalid", measured=[measured])], 120))
    assert "0 of 1 key works" in text and "1 request, 1 refused" in text
    assert "a#1: refused as no valid key: replace it" in text


class Tty(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("env", "able"),
    [({"TERM": "xterm"}, True), ({"TERM": "dumb"}, False), ({"TERM": "xterm", "TTY_INTERACTIVE": "0"}, False)],
)
def test_the_live_table_needs_a_terminal_that_can_show_one(
    env: dict[str, str], able: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Elsewhere it would be rows of escape sequences."""
    for name in ("FORCE_COLOR", "TTY_INTERACTIVE", "TTY_COMPATIBLE", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    assert (drawing_console(Tty()) is not None) is able
    assert drawing_console(io.StringIO()) is None


def test_the_live_table_is_cleared_and_the_cursor_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """The final table would stand below a stale one, in a terminal without a cursor."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LINES", "50")
    file, findings = Tty(), under_way()
    watching, clock = watch(findings, file)
    watching.tick()
    first = file.getvalue()
    watching.tick()
    assert file.getvalue() == first, "drawn again at the same moment"
    clock.now += 1.0
    watching.tick()
    drawn = file.getvalue()
    watching.close()
    assert "groq#1" in first and len(drawn) > len(first)
    ending = file.getvalue()[len(drawn) :]
    assert "\x1b[?25h" in ending and ending.count("\x1b[2K") >= len(findings)


def nasty() -> Finding:
    more: dict[str, Any] = {
        "limits": {NASTY: Reading(limit=3, remaining=1)},
        "measured": [Measured(axis="rpm", figure=3, counts=NASTY, why=NASTY)],
        "account": NASTY,
        "shares_with": [NASTY],
        "nearest": [NASTY],
        "model": NASTY,
        "mask": NASTY,
    }
    found = finding("a#1", "no_model", NASTY, **more)
    found.key = found.provider = NASTY
    return found
