"""An answer as it comes, told again in the form of callers: chunks of chat completions, whatever the provider speaks."""

from __future__ import annotations

from msgspec import Struct

from llmfan.dialects.reading import Reading
from llmfan.records import Answer, Usage


class Head(Struct, frozen=True, kw_only=True):
    """What every chunk of one answer repeats. `created`: Unix time, whole seconds."""

    id: str
    created: int


class Relay:
    """One attempt's chunks, each a JSON document of `chat.completion.chunk`, without framing and without the end sign.

    `native`: the provider's own events have this form and pass as they are, fields nobody here knows included; what is
    no chunk (an end sign, an error, broken JSON) never passes. `usage`: whether a last chunk tells the token counts.
    """

    def __init__(self, head: Head, model: str, *, native: bool, usage: bool):
        self._head, self._model, self._native, self._usage = head, model, native, usage

    def take(self, events: list[bytes], reader: Reading) -> list[bytes]:
        """Chunks for events that the reader has just read."""
        return list(events)

    def end(self, answer: Answer, usage: Usage) -> list[bytes]:
        """What is still to be said when the answer is whole: all of it, where nothing was streamed."""
        return []
