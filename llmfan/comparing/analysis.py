"""The extra `analysis`: asked for before anything of it is imported."""

from __future__ import annotations

import importlib.util

from llmfan.errors import UserError

MISSING = """this needs the extra "analysis": python3 -m pip install 'llmfan[analysis]'"""


def require() -> None:
    """Ends with one line where numpy or scipy is missing; the other modules of this room import them."""
    if any(importlib.util.find_spec(name) is None for name in ("numpy", "scipy")):
        raise UserError(MISSING)
