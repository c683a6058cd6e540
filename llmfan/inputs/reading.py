"""From a line's bytes to a prompt with its id: what the check and the stream both do, so that they cannot differ."""

from __future__ import annotations

import msgspec

from llmfan.inputs.digests import fingerprint
from llmfan.inputs.jsontext import BLANK, decoder
from llmfan.inputs.messages import characters, system_first
from llmfan.inputs.shapes import ReadOptions, Shapes
from llmfan.records import Prompt


class Reader:
    """Reads single lines under the options of a run."""

    def __init__(self, options: ReadOptions):
        self._decode = decoder()
        self._shapes = Shapes(options)
        self._system = options.system
        self._encode = msgspec.json.Encoder(order="sorted").encode
        self.never_met = self._shapes.never_met

    def read(self, line: bytes) -> Prompt | None:
        """The prompt with the id it was given (or ""), None for a blank line; raises a Misfit."""
        document = self._decode(line)
        return None if document is BLANK else self._shapes(document)

    def content(self, prompt: Prompt) -> bytes:
        """What shapes an answer, in one spelling: the order of fields, the shape and blanks of the line do not count.

        `--system` does not count either, so that runs under two system prompts can be compared by id.
        """
        return self._encode([prompt.messages, prompt.turns, prompt.max_tokens, prompt.temperature, prompt.params])

    def mark(self, prompt: Prompt) -> int:
        return fingerprint(self.content(prompt))

    def finish(self, prompt: Prompt, index: int, ordinal: int) -> Prompt:
        """The prompt as it is sent."""
        messages = prompt.messages if self._system is None else system_first(prompt.messages, self._system)
        name = prompt.id or made_id(self.mark(prompt), ordinal)
        return msgspec.structs.replace(prompt, id=name, index=index, messages=messages)

    def characters(self, prompt: Prompt) -> int:
        """Characters of text as they will be sent, over all turns, without the answers between them."""
        messages = prompt.messages if self._system is None else system_first(prompt.messages, self._system)
        return characters(messages) + (characters(prompt.turns) if prompt.turns else 0)


def made_id(mark: int, ordinal: int) -> str:
    """The id of a prompt that was given none; `ordinal` counts equal contents from 1."""
    return f"{mark:016x}" if ordinal < 2 else f"{mark:016x}-{ordinal}"
