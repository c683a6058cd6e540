"""A made-up value that fits a JSON schema: its required properties, its types, its simple bounds.

It reads what schemas of tools and of structured answers use. What it does not know (conditions, `not`, unevaluated
properties) it leaves out of account, so that a value may miss such a rule; it never fails.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from random import Random
from typing import Any

from llmfan.simulation.prose import Prose
from llmfan.simulation.samples import samples

#: Where a schema that holds itself is cut: optional parts go at the first depth, everything at the second.
SHALLOW, DEEPEST = 4, 12
#: Values of one answer at most, and items of one array.
MOST, MOST_ITEMS = 1000, 50
_FORMATS = {
    "date-time": "2026-01-15T12:00:00Z", "date": "2026-01-15", "time": "12:00:00Z", "duration": "PT90S",
    "email": "someone@example.com", "hostname": "example.com", "ipv4": "192.0.2.1", "ipv6": "2001:db8::1",
    "uri": "https://example.com/", "url": "https://example.com/", "uuid": "00000000-0000-4000-8000-000000000000",
}  # fmt: skip


def fitting(schema: Any, seed: int, words: Prose) -> Any:
    """The same schema and seed give the same value."""
    return _Maker(schema, seed, words).value(schema, 0)


class _Maker:
    def __init__(self, root: Any, seed: int, words: Prose):
        self._root, self._rng, self._words = root, Random(seed), words
        self._left = MOST

    def value(self, schema: Any, depth: int) -> Any:
        self._left -= 1
        rules = self._plain(schema)
        if depth > DEEPEST or self._left < 0:
            return None
        if "const" in rules:
            return rules["const"]
        if isinstance(rules.get("enum"), list) and rules["enum"]:
            return self._rng.choice(rules["enum"])
        match _type_of(rules):
            case "object":
                return self._object(rules, depth)
            case "array":
                return self._array(rules, depth)
            case "integer" | "number" as kind:
                return self._number(rules, kind == "integer")
            case "boolean":
                return self._rng.random() < 0.5
            case "null":
                return None
        return self._string(rules)

    def _plain(self, schema: Any) -> Mapping[str, Any]:
        """With what it refers to, all of its parts together, and the first of its alternatives that is not null."""
        rules = dict(schema) if isinstance(schema, dict) else {}
        for _ in range(DEEPEST):
            parts = []
            if isinstance(rules.get("$ref"), str):
                parts = [self._pointed(rules.pop("$ref"))]
            elif isinstance(rules.get("allOf"), list):
                parts = rules.pop("allOf")
            for name in ("anyOf", "oneOf"):
                if isinstance(rules.get(name), list):
                    choices = rules.pop(name)
                    parts = [*parts, *[each for each in choices if _type_of(each) != "null"][:1]]
            if not parts:
                break
            for part in parts:
                rules = _together(rules, part) if isinstance(part, dict) else rules
        return rules

    def _pointed(self, address: str) -> Any:
        found = self._root
        for name in address.removeprefix("#").strip("/").split("/"):
            if name:
                found = found.get(name.replace("~1", "/").replace("~0", "~")) if isinstance(found, dict) else None
        return found

    def _object(self, rules: Mapping[str, Any], depth: int) -> dict[str, Any]:
        known, required = rules.get("properties"), rules.get("required")
        known = known if isinstance(known, dict) else {}
        wanted = [name for name in required if isinstance(name, str)] if isinstance(required, list) else []
        names = dict.fromkeys([*(known if depth < SHALLOW else ()), *wanted])
        return {name: self.value(known.get(name), depth + 1) for name in names}

    def _array(self, rules: Mapping[str, Any], depth: int) -> list[Any]:
        first = rules.get("prefixItems")
        schemas = list(first) if isinstance(first, list) else []
        least = int(_figure(rules, "minItems", 0))
        usual = max(least, 2 if depth < SHALLOW else 0)
        count = min(usual, int(_figure(rules, "maxItems", usual)), MOST_ITEMS)
        if rules.get("items") is not False:
            schemas += [rules.get("items")] * (count - len(schemas))
        return [self.value(each, depth + 1) for each in schemas[:MOST_ITEMS]]

    def _number(self, rules: Mapping[str, Any], whole: bool) -> float:
        step = abs(_figure(rules, "multipleOf", 1.0 if whole else 0.5)) or 1.0
        low = max(_figure(rules, "minimum", -math.inf), _figure(rules, "exclusiveMinimum", -math.inf))
        high = min(_figure(rules, "maximum", math.inf), _figure(rules, "exclusiveMaximum", math.inf))
        low = low if math.isfinite(low) else min(1.0, high - 100 * step)
        first, last = math.ceil(low / step), math.floor(min(high, low + 100 * step) / step)
        first += first * step <= _figure(rules, "exclusiveMinimum", -math.inf)
        last -= last * step >= _figure(rules, "exclusiveMaximum", math.inf)
        if first > last:  # no step lies between its bounds
            return (low + high) / 2
        found = self._rng.randint(first, last) * step
        return int(found) if whole else round(found, 9)

    def _string(self, rules: Mapping[str, Any]) -> str:
        pattern, form = rules.get("pattern"), str(rules.get("format", ""))
        if isinstance(pattern, str) and (found := samples(pattern)):
            return found[0]
        if form in _FORMATS:
            return _FORMATS[form]
        text = "".join(self._words.words(self._rng.getrandbits(31), 2))
        least, most = int(_figure(rules, "minLength", 0)), int(_figure(rules, "maxLength", 1000))
        return (text * (1 + min(least, 10_000) // len(text)))[: max(0, min(most, max(least, len(text))))]


def _type_of(rules: Any) -> str:
    """The first that is not null, in lower case (one form has capitals); told by the rest if it is absent."""
    if not isinstance(rules, dict):
        return ""
    kinds = rules.get("type")
    given = [str(kind).lower() for kind in (kinds if isinstance(kinds, list) else [kinds]) if kind]
    if given:
        return next((kind for kind in given if kind != "null"), "null")
    told = (("properties", "object"), ("required", "object"), ("items", "array"), ("prefixItems", "array"))
    return next((kind for name, kind in told if name in rules), "")


def _together(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    both = {**other, **one}
    if isinstance(one.get("properties"), dict) and isinstance(other.get("properties"), dict):
        both["properties"] = {**other["properties"], **one["properties"]}
    if isinstance(one.get("required"), list) and isinstance(other.get("required"), list):
        both["required"] = [*other["required"], *one["required"]]
    return both


def _figure(rules: Mapping[str, Any], name: str, otherwise: float) -> float:
    value = rules.get(name)
    if isinstance(value, str) and value.isdigit():  # one of the forms writes counts as texts
        return float(value)
    fits = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if fits and value is not None else otherwise
