"""Wire forms: how a call is put, how an answer is read, what a failure means. Pure; knows rows, no provider.

One file for each form (`openai_chat`, `messages`, `generate_content`); a provider's quirks are rows of its preset.
Reading: `sse` cuts bytes into events, `reading` keeps moments and judges the end, `bodies` reads what is no answer.
Failures: `signs` is the table, `classify` reads it, `waits` and `headers` find out for how long.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llmfan.ports import Dialect
    from llmfan.settings import Preset

NAMES = ("openai_chat", "messages", "generate_content")


def dialect(name: str, preset: Preset) -> Dialect:
    """The dialect of a wire form for one provider; only the form in use is imported."""
    if name == "openai_chat":
        from llmfan.dialects.openai_chat import ChatCompletions

        return ChatCompletions(preset)
    if name == "messages":
        from llmfan.dialects.messages import Messages

        return Messages(preset)
    if name == "generate_content":
        from llmfan.dialects.generate_content import GenerateContent

        return GenerateContent(preset)
    raise ValueError(f"no dialect named {name}")
