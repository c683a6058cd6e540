"""The shape of a providers file: which keys may stand where, and what they turn into.

Each table below is one row of the documented schema. Whatever is not in it is an unknown key: a setting that silently
does nothing is worse than none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from msgspec import UNSET

from llmfan.errors import near
from llmfan.inputs import rules
from llmfan.inputs.declared import DeclaredKey, Given, Limits
from llmfan.inputs.environment import expand_keys
from llmfan.inputs.request_fields import headers, params
from llmfan.inputs.rules import Rule, entries, said, value_of
from llmfan.inputs.yaml_tree import Broken, Faults, Listing, Node, Scalar, Table, join
from llmfan.settings import AXES, Price

#: Reads one value; UNSET where its fault has been noted.
Reads = Callable[[Node, str, Faults], Any]


def read_top(node: Node, faults: Faults) -> Given:
    top = mapping(node, "", faults, TOP)
    return top if isinstance(top, Given) else Given(node.line, "")


def mapping(node: Node, path: str, faults: Faults, known: Mapping[str, Reads]) -> Any:
    """A mapping with known keys. One with nothing after its colon counts as empty."""
    if isinstance(node, Scalar) and node.value is None:
        return Given(node.line, path)
    given = Given(node.line, path)
    for key, line, child in entries(node, path, faults):
        where = join(path, key)
        if key not in known:
            faults.add(line, where, f"unknown key{_advice(key, known)}")
            continue
        given.lines[key] = child.line
        value = known[key](child, where, faults)
        if value is not UNSET:
            given.values[key] = value
    return given if isinstance(node, Table) else UNSET


def _advice(key: str, known: Mapping[str, Reads]) -> str:
    swapped = next((name for name in known if sorted(name) == sorted(key)), "")
    close = near(swapped or key, known)
    if close:
        return close
    for place, table in PLACES.items():
        if key in table and table is not known:
            return f" (it belongs under {place})"
    for table in PLACES.values():
        if close := near(key, table):
            return close
    return ""


def _leaf(rule: Rule) -> Reads:
    return lambda node, path, faults: value_of(node, rule, path, faults)


def _limits(node: Node, path: str, faults: Faults) -> Any:
    if isinstance(node, Scalar) and node.text.lower() == "none":
        return Limits(path=path, unlimited=True)
    if isinstance(node, Scalar) and node.value is not None:
        faults.add(node.line, path, f"expected none or limits such as {{rpm: 30}}, got {said(node)}")
        return UNSET
    given = mapping(node, path, faults, LIMITS)
    if given is UNSET:
        return UNSET
    axes = {k: v for k, v in given.values.items() if k in AXES}
    rest = {k: v for k, v in given.values.items() if k not in AXES}
    return Limits(path=path, axes=axes, rest=rest, lines=given.lines)


def _price(node: Node, path: str, faults: Faults) -> Any:
    given = mapping(node, path, faults, PRICE)
    if given is UNSET or (isinstance(node, Scalar) and node.value is None):
        return UNSET if given is UNSET else None
    figures = {k: float(v) for k, v in given.values.items() if v is not None}
    if figures.keys() >= {"input", "output"}:
        return Price(**figures)
    # A half that is not there would count as free. One that is there and wrong has its fault already.
    told = given.lines.keys() - given.values.keys() or (isinstance(node, Table) and node.entries.keys() - PRICE.keys())
    if not told:
        faults.add(node.line, path, "expected input and output, in USD per million tokens")
    return UNSET


def _keys(node: Node, path: str, faults: Faults) -> Any:
    """`none`, or a list of keys; a single string is a list of one."""
    if isinstance(node, Scalar):
        if node.text.lower() == "none" and node.value is not None:
            return "none"
        text = value_of(node, rules.KEY, path, faults)
        if text is None:
            return None
        return [DeclaredKey(node.line, path, text)] if _well_formed(text, node.line, path, faults) else UNSET
    if isinstance(node, Listing) and node.items:
        found = [_key(item, f"{path}[{i}]", faults) for i, item in enumerate(node.items)]
        return UNSET if UNSET in found else found
    if not isinstance(node, Broken):
        got = "an empty list" if isinstance(node, Listing) else said(node)
        faults.add(node.line, path, f"expected none, $NAME, $NAME* or a list of keys, got {got}")
    return UNSET


def _key(node: Node, path: str, faults: Faults) -> Any:
    if isinstance(node, Table):
        given = mapping(node, path, faults, KEY)
        if given.get("key") is None:
            if "key" not in given.lines or "key" in given.values:
                faults.add(node.line, path, "no key: write key: $NAME")
            return UNSET
        limits = given.get("limits", Limits())
        text, line = given.get("key"), given.line_of("key")
        found = DeclaredKey(line, path, text, given.get("account", ""), given.get("label", ""), limits)
        return found if _well_formed(text, line, path, faults) else UNSET
    text = value_of(node, rules.KEY, path, faults)
    good = _well_formed("" if text is None else text, node.line, path, faults)
    return DeclaredKey(node.line, path, text) if good else UNSET


def _well_formed(text: Any, line: int, path: str, faults: Faults) -> bool:
    if text is UNSET:
        return False
    if not text.strip():
        faults.add(line, path, "expected $NAME, $NAME* or a key, got nothing")
    elif text.startswith("$") and expand_keys(text.strip(), {}) is None:
        faults.add(line, path, "expected $NAME, ${NAME} or $NAME*, with letters, digits and _ in NAME")
    else:
        return True
    return False


def _models(node: Node, path: str, faults: Faults) -> Any:
    """Model name → what is said of it; a list of names says nothing of each."""
    found: dict[str, Any] = {}
    if isinstance(node, Scalar) and node.value is None:
        return None
    if isinstance(node, Listing):
        for i, item in enumerate(node.items):
            name = value_of(item, rules.NAME, f"{path}[{i}]", faults)
            if isinstance(name, str) and name in found:
                faults.add(item.line, f"{path}[{i}]", f'"{name}" stands here twice')
            elif name is None:
                faults.add(item.line, f"{path}[{i}]", "expected a name, got nothing")
            found[str(name)] = UNSET if name is UNSET else Given(item.line, join(path, str(name)))
    elif isinstance(node, Scalar):
        faults.add(node.line, path, f"expected a list of names or a mapping, got {said(node)} (for one, write model:)")
    for name, line, child in entries(node, path, faults) if isinstance(node, Table) else ():
        if not name.strip() or not name.isprintable():
            faults.add(line, path, "expected a model's name")
        found[name] = mapping(child, join(path, name), faults, MODEL)
    if not found and isinstance(node, Table | Listing):
        faults.add(node.line, path, "no model in it")
    return found if found and UNSET not in found.values() else UNSET


def _providers(node: Node, path: str, faults: Faults) -> Any:
    if isinstance(node, Scalar) and node.value is None:
        return None
    found = [(name, line, mapping(child, join(path, name), faults, PROVIDER))
             for name, line, child in entries(node, path, faults)]  # fmt: skip
    return found if isinstance(node, Table) else UNSET


REQUEST: dict[str, Reads] = {
    "max_tokens": _leaf(rules.TOKENS),
    "temperature": _leaf(rules.AMOUNT),
    "timeout": _leaf(rules.SECONDS),
    "stream": _leaf(rules.FLAG),
    "params": params,
    "concurrency": _leaf(rules.COUNT),
}
LIMITS: dict[str, Reads] = {
    **{axis: _leaf(rules.COUNT if axis == "concurrency" else rules.POSITIVE) for axis in AXES},
    "burst": _leaf(rules.COUNT),
    "reset": rules.zone,
    "shared": _leaf(rules.choice("key", "account")),
}
PRICE: dict[str, Reads] = {name: _leaf(rules.AMOUNT) for name in ("input", "output", "cached_input")}
KEY: dict[str, Reads] = {
    "key": _leaf(rules.KEY),
    "account": _leaf(rules.NAME),
    "label": _leaf(rules.NAME),
    "limits": _limits,
}
MODEL: dict[str, Reads] = {
    "limits": _limits,
    "price": _price,
    "max_tokens": REQUEST["max_tokens"],
    "params": params,
}
PROVIDER: dict[str, Reads] = {
    "preset": _leaf(rules.NAME),
    "base_url": _leaf(rules.TEXT),
    "api": _leaf(rules.NAME),
    "keys": _keys,
    "model": _leaf(rules.NAME),
    "models": _models,
    "priority": _leaf(rules.WHOLE),
    "paid": _leaf(rules.FLAG),
    "price": _price,
    "limits": _limits,
    "learn": _leaf(rules.choice("down", "up", "off")),
    "headers": headers,
    "account_id": _leaf(rules.TEXT),
    **REQUEST,
}
DEFAULTS = REQUEST
TOP: dict[str, Reads] = {
    "version": _leaf(rules.VERSION),
    "defaults": lambda node, path, faults: mapping(node, path, faults, DEFAULTS),
    "providers": _providers,
}
#: For an unknown key that is right elsewhere.
PLACES: dict[str, Mapping[str, Reads]] = {
    "limits": LIMITS,
    "price": PRICE,
    "a provider": PROVIDER,
    "an entry of keys": KEY,
    "the top": TOP,
}
