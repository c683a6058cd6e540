"""The table of `llmfan status`: what comes first, that it fits, and that nothing in it harms a terminal."""

from __future__ import annotations

import datetime as dt
import io
from typing import Any

import pytest
from rich.console import Console

from llmfan.entries import KeyState
from llmfan.outputs.status_table import history_table, print_history, print_status, reset_line, status_console
from tests.outputs.fleets import NASTY, RAW
from tests.status.knowing import NOON, document, fleet, key, ledger, limit, provider, tally

NOW = NOON.timestamp()


def shown(status: dict[str, Any], width: int = 120, **more: Any) -> str:
    page = io.StringIO()
    assert print_status(
        status, Console(file=page, width=width, highlight=False, markup=False, emoji=False), **more
    )  # fmt: skip
    return page.getvalue()


def thirty_keys() -> dict[str, Any]:
    """Ten providers of three keys, in every state there is, each of four limits."""
    axes = {"rpm": 30, "rpd": 14400, "tpm": 60000, "requests_per_month": 400000}
    of = fleet(*(provider(f"provider-{n}", keys=3, axes=axes, reset="America/Los_Angeles") for n in range(10)))
    labels = [each.label for one in of.providers for each in one.keys]
    why = "401 auth: Incorrect API key provided, you can find yours at https://platform.example/account/keys"
    states = [
        KeyState(key=labels[0], state="invalid", why=why),
        KeyState(key=labels[4], state="no_credit", why="402 x"),
    ]
    states += [KeyState(key=labels[8], state="exhausted", why="429 quota: per day", until=NOW + 20 * 3600)]
    states += [KeyState(key=labels[11], state="rate_limited", why="429", until=NOW + 42)]
    known = [limit(label, "rpd", reported=1000.0) for label in labels]
    spent = [(label, "rpd", 40.0 * n, NOON) for n, label in enumerate(labels)]
    tallies = [tally(label, NOON - dt.timedelta(hours=2), 123, ok=110, refused=13) for label in labels]
    return document(of, ledger(known, states, booked=spent, tallies=tallies))


@pytest.mark.parametrize("width", [80, 100, 130, 160, 200])
@pytest.mark.parametrize("details", [False, True])
def test_it_fits_the_screen(width: int, details: bool) -> None:
    """A line that wraps is a table no more."""
    assert max(map(len, shown(thirty_keys(), width, details=details).splitlines())) <= width


@pytest.mark.parametrize("width", [80, 200])
def test_a_key_is_one_line(width: int) -> None:
    """Thirty keys of four limits must be seen at a glance."""
    lines = shown(thirty_keys(), width).splitlines()
    assert len([line for line in lines if line.startswith("provider-") and "#" in line.split()[0]]) >= 30
    assert len(lines) <= 60


def test_more_of_a_key_is_seen_on_a_wider_screen_and_the_gist_on_a_narrow_one() -> None:
    """At 80 columns: which key, how it is, what is left, how much was sent, how well it went."""
    narrow = shown(thirty_keys(), 80)
    row = next(line for line in narrow.splitlines() if line.startswith("provider-2#3 "))
    assert "exhausted 20 h 00 m" in row and "rpd 320/1,000" in row and "123" in row and "89 %" in row
    assert "invalid: 401 auth" in narrow and "no credit" in narrow and "rate limited 42 s" in narrow
    wide = shown(thirty_keys(), 200)
    assert "exhausted, back in 20 h 00 m, at 00:00 Los Angeles" in wide
    assert "Incorrect API key" in wide and "…tail" in wide and "resets in" in wide


def test_differences_come_first_with_the_line_to_change() -> None:
    """It is the one thing on the page that somebody has to do something about."""
    lines = shown(thirty_keys()).splitlines()
    assert lines[0] == "provider-0#1..#3 rpd: declared 14400, reported 1000 on 2026-11-19"
    assert lines[1] == "  providers.yaml:3: limits: {rpd: 1000}"
    assert "… and 5 more that differ from the file (-v tells all)" in lines
    assert "more that differ" not in shown(thirty_keys(), details=True)


def test_the_fleet_is_told_in_a_line() -> None:
    """Whether anything can be run now is the first question."""
    line = next(line for line in shown(thirty_keys(), 200).splitlines() if "keys ready" in line)
    assert line == (
        "21 of 30 keys ready, 9 of 10 providers · 1 cooldown, first back in 42 s · 6 exhausted, first back in "
        "20 h 00 m · 2 invalid"
    )


def test_details_tell_every_limit_and_every_span() -> None:
    """What was declared, reported and measured stand side by side."""
    known = [limit("a#1", "rpm", measured=12.4, confidence=0.93), limit("a#1", "rpd", reported=1000.0)]
    of = fleet(provider(keys=[key("a#1", "x"), key("a#2", "x")], axes={"rpm": 30, "rpd": 14400, "concurrency": 4}))
    archive = ledger(known, booked=[("a#1", "rpd", 250.0, NOON)], tallies=[tally("a#1", NOON, 7)])
    page = shown(document(of, archive, keys=["a#1"]), details=True)
    rows = {line.split()[0]: line.split() for line in page.splitlines() if line.startswith("  ")}
    assert rows["rpm"][:7] == ["rpm", "30", "—", "12", "(93", "%)", "0"]
    assert rows["rpd"][:6] == ["rpd", "14.4k", "1,000", "—", "250", "750"]
    assert rows["concurrency"][1:6] == ["4", "—", "—", "—", "—"]
    assert rows["today"][1] == "7"
    assert "last hour" in page and "last day" in page and "this month" in page and "12 h 00 m" in page


def test_each_model_of_a_key_has_its_own_limits() -> None:
    """Where the provider counts by model, one table for all would be of none."""
    of = fleet(provider(axes={"rpd": 10}, models=["m", "n"], per_model=True))
    page = shown(document(of, ledger(booked=[("a#1/n", "rpd", 10.0, NOON)])), details=True)
    assert "m  ready" in page
    assert "n  exhausted, back in 12 h 00 m, at 00:00 UTC: rpd is spent" in page


def test_providers_without_a_key_take_one_line() -> None:
    """The default file names fifteen of them."""
    unset = [provider(name, keys=[key(f"{name}#1", missing=f"{name.upper()}_KEY")]) for name in ("b", "c")]
    page = shown(document(fleet(provider(), *unset)))
    assert "no key: b ($B_KEY), c ($C_KEY)" in page
    assert "1 of 3 keys ready, 1 of 3 providers · 2 not set" in page


def test_before_anything_is_known_it_says_what_to_do() -> None:
    """An empty table would look like a broken one."""
    page = shown(document(fleet(provider(axes={"rpd": 100}))))
    assert "nothing is known yet: llmfan probe asks every key" in page
    assert "rpd 0/100" in page


@pytest.mark.parametrize("details", [False, True])
def test_nothing_that_a_server_or_a_file_says_reaches_the_terminal_raw(details: bool) -> None:
    """An error message can clear a screen, or write to a clipboard."""
    of = fleet(provider("a", keys=[key(f"a#1{NASTY}")], axes={"rpd": 100}, models=[NASTY, "n"]))
    states = [KeyState(key=f"a#1{NASTY}", state="invalid", why=NASTY)]
    page = shown(document(of, ledger([limit(f"a#1{NASTY}", "rpd", reported=5.0)], states)), 200, details=details)
    assert not set(page) & set(RAW)


def test_a_pipe_gets_every_column_and_no_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    """What `grep` and `awk` read must not depend on anybody's window."""
    monkeypatch.delenv("COLUMNS", raising=False)
    page = io.StringIO()
    console = status_console(page)
    print_status(thirty_keys(), console)
    assert "\x1b" not in page.getvalue()
    assert max(map(len, page.getvalue().splitlines())) > 130


@pytest.mark.parametrize("env", [{"NO_COLOR": "1", "TERM": "xterm"}, {"TERM": "dumb"}])
def test_colours_can_be_declined(env: dict[str, str]) -> None:
    """Some cannot see them, some terminals cannot show them."""
    page = io.StringIO()
    print_status(thirty_keys(), Console(file=page, width=100, force_terminal=True, _environ=env, highlight=False))
    assert "\x1b[3" not in page.getvalue()


def test_changes_are_told_from_what_to_what() -> None:
    """A limit that was halved last night is what one looks for here."""
    change = {
        "at": "2026-11-19T08:00:30.000Z", "keys": ["a#1"], "name": "a#1", "owner": "a#1", "axis": "rpd",
        "source": "reported", "before": 14400, "after": 1000,
    }  # fmt: skip
    page = io.StringIO()
    print_history([change], Console(file=page, width=80))
    assert page.getvalue().splitlines()[1].split() == [
        "2026-11-19", "08:00", "a#1", "rpd", "reported", "14.4k", "→", "1,000",
    ]  # fmt: skip
    assert "no limit has changed" in str(history_table([]))


def test_a_reset_says_what_is_gone() -> None:
    """Forgetting the wrong key's limits costs refusals."""
    state = {"key": "a#1", "model": "", "state": "invalid"}
    done = {
        "name": "a", "keys": ["a#1"], "lifted": [state, state], "shared_with": ["a#2"],
        "forgotten": [{"owner": "x", "axis": "rpm"}, {"owner": "y", "axis": "rpm"}],
    }  # fmt: skip
    assert reset_line(done) == "a: lifted invalid ×2; forgot 2 limits (rpm); those are shared with a#2"
    assert reset_line({**done, "lifted": [], "forgotten": []}) == "a: nothing was known"


def test_a_reset_says_what_still_holds() -> None:
    """`lifted exhausted` sounds as if the key could be used, while its day is spent; and an ok is nothing to lift."""
    done = {"name": "a", "keys": ["a#1", "a#2"], "lifted": [], "forgotten": [], "shared_with": [], "was_well": True}
    assert reset_line(done) == "a: nothing was to be lifted"
    spent = {"state": "exhausted", "why": "rpd is spent", "until": "2026-11-22T00:00:00.000Z"}
    assert reset_line({**done, "still": [{"key": "a#1", **spent}, {"key": "a#2", **spent}]}) == (
        "a: nothing was to be lifted; a#1, a#2 are still exhausted: rpd is spent (until 2026-11-22 00:00 UTC)"
    )


def test_a_pipe_is_as_wide_as_columns_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """`COLUMNS=100 llmfan status | less` on a small screen was a heap of broken lines."""
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    monkeypatch.delenv("COLUMNS", raising=False)
    assert status_console(io.StringIO()).width == 200
    for asked, width in (("90", 90), ("0", 200), ("wide", 200), ("", 200)):
        monkeypatch.setenv("COLUMNS", asked)
        assert status_console(io.StringIO()).width == width
