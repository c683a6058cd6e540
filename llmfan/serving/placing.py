"""Where a request may go."""

from __future__ import annotations

from msgspec import Struct

from llmfan.serving.fields import Capabilities
from llmfan.serving.model_names import Names
from llmfan.serving.request import Asked


class Place(Struct, frozen=True):
    """`only` and `banned` as the engine takes them."""

    only: str
    banned: frozenset[str]


def place(asked: Asked, names: Names, capabilities: Capabilities) -> Place:
    """Raises `CallerFault`: 404 for a model that nobody has, 400 for fields that none of those who have it takes."""
    only = names.resolve(asked.model)
    banned = capabilities.banned(asked.prompt.params)
    able = names.providers(only)
    if able and able <= banned:
        raise capabilities.fault(asked.prompt.params, able)
    return Place(only, banned)
