"""`params:` and `headers:` of a file: what goes into requests as it stands."""

from __future__ import annotations

import math
from typing import Any

from msgspec import UNSET

from llmfan.inputs import rules
from llmfan.inputs.rules import entries, said, value_of
from llmfan.inputs.yaml_tree import Faults, Listing, Node, Scalar, Table, join, plain


def params(node: Node, path: str, faults: Faults) -> Any:
    """Request fields, passed on as they stand; so they have to be something JSON can say."""
    if isinstance(node, Scalar) and node.value is None:
        return None
    list(entries(node, path, faults))  # says so if it is no mapping
    if not isinstance(node, Table):
        return UNSET
    _finite(node, path, faults)
    return plain(node)


def _finite(node: Node, path: str, faults: Faults) -> None:
    if isinstance(node, Table):
        for key, entry in node.entries.items():
            _finite(entry.node, join(path, key), faults)
    elif isinstance(node, Listing):
        for i, item in enumerate(node.items):
            _finite(item, f"{path}[{i}]", faults)
    elif isinstance(node, Scalar) and isinstance(node.value, float) and not math.isfinite(node.value):
        faults.add(node.line, path, f"expected a finite number, got {said(node)}")


def headers(node: Node, path: str, faults: Faults) -> Any:
    """Header → (line, value); None takes away one of the preset's. A bare number is the text it was written as."""
    if isinstance(node, Scalar) and node.value is None:
        return None
    found: dict[str, tuple[int, str | None]] = {}
    for name, line, child in entries(node, path, faults):
        if isinstance(child, Scalar) and type(child.value) in (int, float):
            found[name] = line, child.text
        elif (value := value_of(child, rules.TEXT, join(path, name), faults)) is not UNSET:
            found[name] = line, value
    return found if isinstance(node, Table) else UNSET
