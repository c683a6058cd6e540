"""What the simulated fleet knows: a share of the answers, the same ones each time, and none it would have to escape."""

from __future__ import annotations

from typing import Any

import pytest

from llmfan.simulation.answers import LEAST, MOST, Answers, put_into, spoken


def test_a_provider_knows_a_share_of_the_answers_and_the_same_ones_each_time() -> None:
    """A first look with an accuracy of 0 or 100 % shows nothing of what the figure is good for."""
    shares = {}
    for name in ("alpha", "beta", "gamma"):
        answers = Answers(seed=1)
        for n in range(2000):
            answers.tell(b"%d" % n, n)
        bodies = list(answers._expected)
        known = [answers.known(name, body) for body in bodies]
        assert known == [answers.known(name, body) for body in bodies]
        shares[name] = sum(k is not None for k in known) / 2000
    assert all(LEAST - 0.05 < share < MOST + 0.02 for share in shares.values())
    assert len({round(share, 2) for share in shares.values()}) > 1


def test_it_remembers_no_more_than_can_be_in_flight() -> None:
    """A million prompts would fill the memory of the run they are to test."""
    answers = Answers()
    for n in range(20_000):
        answers.tell(b"%d" % n, n)
    assert len(answers._expected) == 8192


@pytest.mark.parametrize(
    ("expect", "said"),
    [
        (43, "The answer is 43."), ("so 450\n#### 450", "The answer is 450."), ("Paris", "Paris"), (True, "yes"),
        (["a", "b"], "a"), ({"choice": "B"}, "B"), ({"number": 5}, "The answer is 5."), ({"regex": "x+"}, None),
        ('say "x"', None), ("naïve", None), ({"type": "object"}, None), ([], None), (" ", None), (None, None),
    ],
)  # fmt: skip
def test_an_answer_is_said_as_somebody_would_say_it(expect: Any, said: str | None) -> None:
    """The events are written by hand: a quote in one would break the stream."""
    assert spoken(expect) == said


def test_a_number_ends_an_answer_and_a_text_is_one() -> None:
    """Answers of one token only would leave half the figures undefined."""
    assert put_into(["Some", " words", " here."], "The answer is 5.") == ["Some", " words", " The answer is 5."]
    assert put_into(["Some", " words"], "in the garden") == ["in", " the", " garden"]
