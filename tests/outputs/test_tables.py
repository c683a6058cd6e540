"""The summary a run ends with."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console

from llmfan.measures.accumulate import Accumulator
from llmfan.outputs.tables import print_summary, summary_console
from llmfan.scheduling.lanes import Lane
from tests.outputs.fleets import NASTY, RAW, answered, attempt_lost, failed, lanes_of, terminal, view_of

Change = Callable[[dict[str, Any]], object]


def document(accumulator: Accumulator, lanes: list[Lane], **more: Any) -> dict[str, Any]:
    whole = accumulator.merged()
    providers = dict.fromkeys(lane.target.provider for lane in lanes)
    keys = dict.fromkeys(lane.target.key for lane in lanes)
    return {
        "totals": {**whole.totals(), "ideal_duration_s": None, "efficiency": None, "unsent": 0},
        **whole.distributions(),
        "providers": accumulator.listing(lambda ident: ident[0], providers),
        "keys": accumulator.listing(lambda ident: ident[2], keys),
        "errors": dict(whole.errors),
        "examples": dict(accumulator.examples),
        "out": {},
        "gates": [],
        "client": {"limited": False},
        "simulated": False,
        **more,
    }


def mixed() -> dict[str, Any]:
    """One good provider, and four that are bad each in its own way."""
    lanes = lanes_of({"good": 2, "refused": 1, "hanging": 1, "down": 1, "spare": 1})
    view = view_of(lanes)
    answered(view, lanes[0], 1317)
    failed(view, lanes[0], "bad_request", NASTY)
    attempt_lost(view, lanes[0], "rate_limited", 3)
    attempt_lost(view, lanes[1], "payment_required")
    attempt_lost(view, lanes[2], "auth")
    attempt_lost(view, lanes[3], "timeout", 12)
    attempt_lost(view, lanes[4], "connection", 3)
    out = {
        "good#2": "402 payment_required: no credit left",
        "refused": f"401 auth: {NASTY}",
        "down": "circuit open: connection",
    }
    return document(view.accumulator, lanes, out=out)


def printed(summary: dict[str, Any], width: int) -> list[str]:
    file = io.StringIO()
    print_summary(summary, "runs/x", Console(file=file, width=width, _environ={}))
    return file.getvalue().splitlines()


def row(lines: list[str], name: str) -> str:
    return next(line for line in lines if line.split()[:1] == [name])


@pytest.mark.parametrize("width", [80, 120, 200])
def test_each_bad_provider_is_named_with_its_reason(width: int) -> None:
    """All prompts answered, and nobody learns that four of five providers did nothing."""
    lines = printed(mixed(), width)
    assert "401 auth" in row(lines, "refused")
    assert "timeout ×12" in row(lines, "hanging")
    assert "circuit open: connection" in row(lines, "down")
    assert "402 payment_required" in row(lines, "good#2")
    assert "not used" in row(lines, "spare")
    assert " 0 % " in row(lines, "hanging")


@pytest.mark.parametrize("width", [40, 60, 80, 100, 120, 140, 200])
def test_no_line_is_wider_than_the_screen(width: int) -> None:
    """A table that wraps cannot be read."""
    lines = printed(mixed(), width)
    assert max(cell_len(line) for line in lines) <= width
    assert not set(RAW) & set("".join(lines))


@pytest.mark.parametrize("width", [80, 200])
def test_rates_of_success_and_refusal_stand_beside_latencies(width: int) -> None:
    """A provider that refuses nine of ten looks fast on the tenth."""
    lines = printed(mixed(), width)
    good = row(lines, "good")
    assert "99.6 %" in good and "1.5 s" in good and " 3 " in good


def test_the_undefined_is_a_dash_and_never_a_nought() -> None:
    """0 s would make the dead provider the fastest, and 0 USD a paid one free."""
    lines = printed(mixed(), 200)
    assert row(lines, "hanging").count("—") >= 5
    assert "0.00 s" not in row(lines, "hanging")
    assert "cost —" in "\n".join(lines)


def test_errors_come_by_kind_with_an_example() -> None:
    """Whoever has failed prompts would have to search the files for a first hint."""
    lines = printed(mixed(), 120)
    assert any(line.split()[:2] == ["1", "bad_request"] for line in lines)
    assert any(r"\x1b[2J" in line for line in lines)
    assert lines[-1] == "results in runs/x"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda s: s.update(simulated=True), "simulated fleet"),
        (lambda s: s["totals"].update(unsent=7), "7 not done"),
        (lambda s: s["totals"].update(efficiency=0.971, ideal_duration_s=486.0), "ideal 8 m 06 s · efficiency 97 %"),
        (lambda s: s["totals"].update(estimated_token_counts=4), "4 counts estimated"),
        (lambda s: s.update(client={"limited": True}), "held the run back"),
    ],
)
def test_what_bears_on_the_figures_is_said(change: Change, said: str) -> None:
    """Invented, estimated or partial figures would pass for measured ones."""
    summary = mixed()
    assert said not in "\n".join(printed(summary, 120))
    change(summary)
    assert said in "\n".join(printed(summary, 120))


def test_a_run_without_any_answer_has_a_summary_too() -> None:
    """It is the one in which a user most needs to know why."""
    lanes = lanes_of({"a": 1})
    summary = document(Accumulator(), lanes, out={"a": "401 auth: no"})
    text = "\n".join(printed(summary, 80))
    assert "401 auth" in text and "0 of 0 answered in —" in text


def test_a_pipe_gets_plain_text_of_a_fixed_width(monkeypatch: pytest.MonkeyPatch) -> None:
    """What reads it would see escape sequences, or other columns on each machine."""
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    monkeypatch.setenv("COLUMNS", "40")
    file = io.StringIO()
    assert print_summary(mixed(), "runs/x", summary_console(file))
    lines = file.getvalue().splitlines()
    assert "\x1b" not in file.getvalue()
    assert "wait p95" in lines[1] and "cost" in lines[1]
    assert all(line == line.rstrip() for line in lines)


def test_a_terminal_gets_colours() -> None:
    """A bad provider should catch the eye."""
    console, file = terminal(120, 40)
    print_summary(mixed(), "runs/x", console)
    assert "\x1b[1;31m" in file.getvalue()


class Closed(io.StringIO):
    def write(self, text: str) -> int:
        raise BrokenPipeError


def test_a_closed_stdout_is_reported_and_not_raised() -> None:
    """`llmfan run | head -1` would end with a traceback and the wrong exit code."""
    assert print_summary(mixed(), "runs/x", summary_console(Closed())) is False
