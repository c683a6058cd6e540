"""Error rows read backwards: the texts must be what the row's own pattern accepts."""

from __future__ import annotations

import re

import pytest

from llmfan.simulation.samples import samples


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("rate_limit_exceeded|slow_down", "slow_down"),
        (r"limited to ([\d,]+) API calls / (minute|month)", "limited to 7 API calls / month"),
        (r"^(Requests|Tokens) per (minute|day) limit", "Tokens per minute limit"),
        (r"\((RPM|TPM)\): Limit ~?(\d+)", "(TPM): Limit 7"),
        (r"(?i)too large(?:st)?", "too large"),
        (r"PerDay.*FreeTier", "PerDay FreeTier"),
        ("4006|3036", "3036"),
    ],
)
def test_the_texts_of_a_simple_pattern_hold_each_of_its_alternatives(pattern: str, expected: str) -> None:
    """A wording that is never made leaves a provider's real message untested."""
    assert expected in samples(pattern)


@pytest.mark.parametrize("pattern", [r"a(?!b)c", r"x{3}y", r"[^0-9]+", r"(?<=a)b", r"a\b c", "(", r"(?P<n>\d+)(?P=n)"])
def test_every_text_fits_its_pattern_and_a_hard_pattern_yields_nothing_wrong(pattern: str) -> None:
    """A wrong text would be classified as something else, and the fault looked for in the classifier."""
    for text in samples(pattern):
        assert re.search(pattern, text)
