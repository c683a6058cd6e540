"""Parts of an answer in the words of the chat-completions form, for callers who speak it."""

from __future__ import annotations

from typing import Any

from llmfan.records import Answer, Usage

#: Reasons to stop that callers know; whatever else a server says is an ordinary end to them.
REASONS = frozenset({"stop", "length", "tool_calls", "content_filter", "function_call"})


def finish_of(answer: Answer) -> str:
    """Some forms call it an ordinary end when tools are called; callers look at the reason first."""
    reason = answer.finish_reason or "stop"
    if answer.tool_calls and reason != "length":
        return "tool_calls"
    return reason if reason in REASONS else "stop"


def calls_of(answer: Answer) -> list[dict[str, Any]]:
    """Tool calls. One without arguments has `{}`: callers decode them unasked."""
    calls: list[dict[str, Any]] = []
    for number, call in enumerate(answer.tool_calls or ()):
        function = call["function"]
        told = {"name": function["name"], "arguments": function["arguments"] or "{}"}
        extra = {"extra_content": call["extra_content"]} if "extra_content" in call else {}
        calls.append({"id": call["id"] or f"call_{number}", "type": "function", "function": told, **extra})
    return calls


def usage_document(usage: Usage) -> dict[str, Any]:
    """`source` stands in it only where the counts are estimates."""
    told: dict[str, Any] = {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }
    if usage.cached_tokens:
        told["prompt_tokens_details"] = {"cached_tokens": usage.cached_tokens}
    if usage.source != "server":
        told["source"] = usage.source
    return told
