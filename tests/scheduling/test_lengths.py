"""How long a request is, with all that is no text."""

from __future__ import annotations

from typing import Any

import pytest

from llmfan.records import Message, Prompt
from llmfan.scheduling.jobs import Job
from llmfan.scheduling.lengths import PICTURE, besides, length_of

DATA = "data:image/png;base64," + "A" * 4_000_000


def user(content: Any) -> list[Message]:
    return [{"role": "user", "content": content}]


def test_text_counts_as_it_is_long() -> None:
    """Whole, or in parts."""
    parts = [{"type": "text", "text": "x" * 60}, {"type": "text", "text": "y" * 40}]
    assert length_of(user("x" * 100), {}) == length_of(user(parts), {}) == 108


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": DATA}},
        {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": DATA}},
    ],
)
def test_a_picture_counts_as_a_picture_however_it_travels(part: dict[str, Any]) -> None:
    """By its address it would be nothing, by its base64 a million tokens: passed, or never sent at all."""
    assert length_of(user([{"type": "text", "text": "What is it?"}, part]), {}) == 8 + 11 + PICTURE


def test_a_file_counts_by_its_size_but_not_as_text() -> None:
    """A hundred pages are more than a picture."""
    file = {"type": "file", "file": {"file_data": "B" * 1_000_000}}
    assert 100_000 <= length_of(user([file]), {}) <= 120_000


def test_tools_and_a_schema_are_read_by_the_model_and_switches_are_not() -> None:
    """A question of three words with fifty tools is a long prompt."""
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}, "description": "d" * 900}}
    assert besides({"tools": [tool] * 50}) > 45_000
    assert besides({"response_format": {"type": "json_schema", "json_schema": {"schema": {"title": "t" * 500}}}}) > 500
    assert besides({"system": "s" * 300}) == 300
    assert besides({"seed": 7, "top_p": 0.9, "logprobs": True, "logit_bias": {str(n): -100 for n in range(100)}}) == 0
    prompt = Prompt(id="p", index=0, messages=user("Hi"), params={"tools": [tool]})
    assert Job(prompt).size() > 900


def test_calls_and_results_of_tools_in_a_history_count() -> None:
    """They are sent as well."""
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "a" * 700}}
    said: list[Message] = [{"role": "assistant", "tool_calls": [call]}]
    assert length_of(said, {}) > 700
    assert length_of([{**said[0], "content": None}], {}) > 700
    assert length_of(user([{"type": "tool_result", "tool_use_id": "c", "content": "r" * 400}]), {}) > 400
    picture = {"type": "image", "source": {"data": DATA}}
    assert length_of(user([{"type": "tool_result", "tool_use_id": "c", "content": [picture]}]), {}) < PICTURE + 100
