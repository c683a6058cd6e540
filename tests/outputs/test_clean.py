"""Untrusted text is harmless on a screen."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmfan.outputs.clean import clean
from tests.outputs.fleets import NASTY, RAW


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J", r"\x1b[2J"),
        ("\x9b31m", r"\x9b31m"),
        ("\x07\x00\x7f", r"\x07\x00\x7f"),
        ("one\ntwo\tthree\r", r"one\ntwo\tthree\r"),
        ("\u202eevil\u2069", r"\u202eevil\u2069"),
        ("\u200b\ufeff\u2028", r"\u200b\ufeff\u2028"),
        ("\U000e0041", r"\U000e0041"),
        ("\udcff", r"\udcff"),
        ("[red]not markup[/red] :smile:", "[red]not markup[/red] :smile:"),
        ("größer, 東京 — …", "größer, 東京 — …"),
    ],
)
def test_harmful_characters_are_seen_and_others_stay(text: str, shown: str) -> None:
    """A server could clear the screen, write the clipboard, or make a row read as something else."""
    assert clean(text) == shown


@given(st.text(), st.integers(min_value=1, max_value=60))
def test_any_text_becomes_one_short_line_that_moves_nothing(text: str, limit: int) -> None:
    """One character let through is enough to take over a terminal, and one line too many breaks the table."""
    shown = clean(text, limit)
    assert len(shown) <= limit
    assert not any(unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") for c in shown)


@given(st.text(alphabet=st.characters(codec="ascii", categories=("L", "N", "P", "S", "Zs")), max_size=200))
def test_ordinary_text_is_left_alone(text: str) -> None:
    """Messages would be hard to search for if they were changed without need."""
    assert clean(text) == text


def test_a_long_text_is_cut_with_an_ellipsis() -> None:
    """An error page of a megabyte would flood the screen."""
    assert clean("x" * 1_000_000) == "x" * 199 + "…"
    assert not set(RAW) & set(clean(NASTY, 500))
