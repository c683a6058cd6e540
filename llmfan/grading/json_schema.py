"""The grader `json`: the answer's JSON fits a JSON Schema, or equals a JSON value.

The JSON is the whole answer, else the last code fence that is JSON, else the longest object or list within prose; NaN
and Infinity are none. Nothing else is normalised. A schema is read by the draft its `$schema` names, else 2020-12;
`format` is checked where the library can. Of two values the order of an object's keys does not count, 1 equals 1.0, and
true is not 1. A `$ref` is looked up in the schema itself and in the drafts' own schemas; nothing is ever fetched. A
`pattern` whose search takes too long leaves the answer ungraded.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec

from llmfan.grading.found_json import NONE, found_json
from llmfan.grading.schema_patterns import CHECKS, unnamed

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

SAYS = (
    "the answer's JSON (all, else the last code fence, else the longest object or list in prose) fits the schema, "
    "or equals the expected value: the order of keys does not count, 1 equals 1.0, true is not 1"
)
_TYPES = frozenset({"object", "array", "string", "number", "integer", "boolean", "null"})
_LISTS = ("anyOf", "oneOf", "allOf", "enum", "required")
_OBJECTS = ("properties", "items", "additionalProperties", "patternProperties", "$defs", "not")


def right(text: str, expect: Any) -> bool | None:
    want = _wanted(expect)
    if want is NONE:
        return None
    validator: Validator | None = None
    if is_schema(want):
        found = _validator(_key(want))
        if isinstance(found, str):
            return None
        validator = found
    value = found_json(text)
    if value is NONE:
        return False
    try:
        return bool(validator.is_valid(value)) if validator is not None else _equal(want, value)
    except RecursionError:  # deeper than anything that was expected
        return False
    except TimeoutError:  # a pattern's; it says nothing of right or wrong
        return None


def fault(expect: Any) -> str | None:
    want = _wanted(expect)
    if want is NONE:
        return "expected a JSON value or a schema, or text that holds JSON"
    if not is_schema(want):
        return None
    validator = _validator(_key(want))
    return f"bad schema: {validator}" if isinstance(validator, str) else None


def is_schema(value: Any) -> bool:
    """Whether an object is a schema rather than a value: it has words that only a schema has, used as one uses them."""
    if type(value) is not dict:
        return False
    if type(value.get("$schema")) is str or type(value.get("$ref")) is str:
        return True
    kinds = value.get("type")
    if type(kinds) in (str, list) and kinds and _TYPES.issuperset([kinds] if type(kinds) is str else map(str, kinds)):
        return True
    if len(value) == 1 and "const" in value:
        return True
    if any(type(value.get(word)) is dict for word in _OBJECTS):
        return any(word in value for word in ("properties", "patternProperties", "$defs")) or len(value) == 1
    return len(value) == 1 and any(type(value.get(word)) is list and value[word] for word in _LISTS)


def _wanted(expect: Any) -> Any:
    if type(expect) is dict and len(expect) == 1 and "json" in expect:
        return expect["json"]
    return found_json(expect) if type(expect) is str else expect


def _key(schema: dict[str, Any]) -> bytes:
    return msgspec.json.encode(schema, order="sorted")


@lru_cache(maxsize=256)
def _validator(key: bytes) -> Validator | str:
    """The validator of a schema, or what is wrong with the schema in one line."""
    from jsonschema import Draft202012Validator, SchemaError
    from jsonschema.validators import extend, validator_for
    from jsonschema_specifications import REGISTRY  # type: ignore[import-untyped]
    from referencing.exceptions import Unresolvable

    schema = msgspec.json.decode(key)
    draft = validator_for(schema, default=Draft202012Validator)
    try:
        draft.check_schema(schema)
    except SchemaError as e:
        return f"{'.'.join(map(str, e.absolute_path)) or 'the schema'}: {_short(e.message)}"
    except RecursionError:
        return "nested too deeply"
    stoppable: Any = extend(draft, CHECKS)  # type: ignore[no-untyped-call]
    # A registry of our own has no way to the network; the library's default would fetch an address.
    validator: Validator = stoppable(unnamed(schema), registry=REGISTRY, format_checker=draft.FORMAT_CHECKER)
    try:
        return _lost(schema, draft, REGISTRY) or validator
    except (Unresolvable, RecursionError, ValueError) as e:
        return f"a $ref leads nowhere: {_short(str(e))}"


def _lost(schema: dict[str, Any], draft: Any, registry: Any) -> str | None:
    """The first `$ref` that is not to be found without the network."""
    from referencing import Specification
    from referencing.exceptions import Unresolvable
    from referencing.jsonschema import specification_with

    name = draft.META_SCHEMA.get("$schema", "")
    rules: Specification[Any] = specification_with(name, default=Specification.OPAQUE)
    root = rules.create_resource(schema)
    resolver = registry.with_resource("", root).crawl().resolver_with_root(root)
    inner_bases = [one for one in _objects(schema) if one is not schema and type(one.get("$id")) is str]
    for one in _objects(schema):
        ref = one.get("$ref")
        if type(ref) is not str or (inner_bases and "://" not in ref):
            continue  # below an $id of its own a ref counts from there; the validator will see
        try:
            resolver.lookup(ref)
        except Unresolvable:
            return f"$ref {_short(ref)} is not in the schema, and nothing is fetched"
    return None


def _objects(schema: Any) -> list[dict[str, Any]]:
    todo, found = [schema], []
    while todo:
        one = todo.pop()
        if type(one) is dict:
            found.append(one)
            todo.extend(value for name, value in one.items() if name not in ("const", "enum", "default", "examples"))
        elif type(one) is list:
            todo.extend(one)
    return found


def _short(text: str) -> str:
    return text if len(text) <= 120 else text[:120] + "…"


def _equal(want: Any, got: Any) -> bool:
    if type(want) is dict and type(got) is dict:
        return want.keys() == got.keys() and all(_equal(value, got[name]) for name, value in want.items())
    if type(want) is list and type(got) is list:
        return len(want) == len(got) and all(map(_equal, want, got))
    return bool(want == got) and (type(want) is bool) == (type(got) is bool)
