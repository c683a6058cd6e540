"""Values that fit a schema: its types and bounds, whatever else stands in it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmfan.simulation.fitting import fitting
from llmfan.simulation.prose import Prose

WORDS = Prose()
NODE = {"$ref": "#/$defs/Node"}
TREE = {"$ref": "#/$defs/Node", "$defs": {"Node": {"type": "object", "properties": {"left": NODE, "right": NODE}}}}
MANY = {"type": "array", "minItems": 10**9, "items": {"$ref": "#"}}
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
NAMES = [
    "type", "properties", "required", "items", "prefixItems", "enum", "anyOf", "allOf", "$ref", "minimum", "maximum",
    "multipleOf", "exclusiveMinimum", "exclusiveMaximum", "minItems", "maxItems", "minLength", "maxLength", "pattern",
    "format",
]  # fmt: skip
KINDS = st.sampled_from(["object", "array", "integer", "number", "string", "boolean", "null"])


@given(st.floats(-1e6, 1e6), st.floats(0, 1e6), st.booleans(), st.integers(0, 99))
def test_a_number_lies_between_its_bounds(low: float, wide: float, whole: bool, seed: int) -> None:
    """Of all rules bounds are those that programs check themselves."""
    low, wide = (float(round(low)), float(round(wide) + 1)) if whole else (low, wide + 2)
    schema = {"type": "integer" if whole else "number", "minimum": low, "maximum": low + wide}
    value = fitting(schema, seed, WORDS)
    assert low <= value <= low + wide and (not whole or isinstance(value, int))


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": "integer", "exclusiveMinimum": 4, "exclusiveMaximum": 6}, 5),
        ({"type": "integer", "multipleOf": 7, "minimum": 8, "maximum": 20}, 14),
        ({"type": "string", "pattern": "^[A-Z]{3}$"}, "AAA"),
        ({"type": "string", "minLength": 3, "maxLength": 3, "enum": ["abc"]}, "abc"),
        ({"type": ["null", "string"], "format": "ipv4"}, "192.0.2.1"),
        ({"allOf": [{"properties": {"a": {"const": 1}}, "required": ["a"]}, {"required": ["b"]}]}, {"a": 1, "b": None}),
        ({"type": "array", "prefixItems": [{"const": 1}, {"const": 2}], "items": False}, [1, 2]),
        ({"type": "null"}, None),
    ],
)  # fmt: skip
def test_what_a_schema_leaves_no_choice_about_is_so(schema: Any, expected: Any) -> None:
    """The plain cases are most of those there are."""
    value = fitting(schema, 1, WORDS)
    if isinstance(value, dict):
        value = {name: None if name == "b" else each for name, each in value.items()}
    assert value == expected


def test_a_text_is_as_long_as_it_has_to_be() -> None:
    """Lengths are checked by every validator."""
    assert len(fitting({"type": "string", "minLength": 200}, 1, WORDS)) >= 200
    assert len(fitting({"type": "string", "maxLength": 2}, 1, WORDS)) == 2


@pytest.mark.parametrize("schema", [TREE, MANY, {"$ref": "#"}, {"$ref": "#/nowhere"}, {"anyOf": [{"$ref": "#"}]}])
def test_a_schema_that_holds_itself_has_an_end(schema: Any) -> None:
    """One call would hang the whole simulated fleet, and with it whoever looks at it first."""
    assert len(json.dumps(fitting(schema, 1, WORDS))) < 20_000


@given(st.dictionaries(st.sampled_from(NAMES), KINDS | anything, max_size=6), st.integers(0, 99))
def test_no_schema_is_too_strange(schema: Any, seed: int) -> None:
    """It is a stranger's, and a fault in it would end his connection without a word."""
    value = fitting(schema, seed, WORDS)
    assert json.loads(json.dumps(value)) == value
