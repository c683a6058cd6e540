"""A request's fields as one provider takes them."""

from __future__ import annotations

from typing import Any

from llmfan.settings import FieldRules


def fitted(document: dict[str, Any], rules: FieldRules) -> dict[str, Any]:
    """Renamed first, then without what is refused or not on the list of what is taken: those names are the wire's."""
    for old, new in rules.rename.items():
        if old in document:
            document[new] = document.pop(old)
    for name in rules.drop:
        document.pop(name, None)
    if rules.allow:
        return {name: value for name, value in document.items() if name in rules.allow}
    return document
