"""YAML as a tree that remembers its lines, so that every mistake can be named where it stands.

PyYAML's safe loader composes, we walk its nodes ourselves: a loader that builds dicts forgets the lines, keeps the last
of two equal keys without a word, and expands an alias bomb until the memory is gone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from llmfan.errors import Fault, InputFaults
from llmfan.inputs.yaml_words import plain_words

MAX_NODES = 10_000
MAX_DEPTH = 60

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TAG = "tag:yaml.org,2002:"
# YAML 1.1 wants a dot and a sign in the exponent; people write 1e6 and mean a number.
_EXPONENT = re.compile(r"[-+]?\d+(\.\d+)?[eE][-+]?\d+")
_CONTROL = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class Scalar:
    """One value: as YAML reads it, and as the user wrote it (YAML reads `off` as false)."""

    line: int
    value: str | int | float | bool | None
    text: str


@dataclass(frozen=True, slots=True)
class Listing:
    line: int
    items: list[Node]


@dataclass(frozen=True, slots=True)
class Entry:
    line: int
    node: Node


@dataclass(frozen=True, slots=True)
class Table:
    line: int
    entries: dict[str, Entry]


@dataclass(frozen=True, slots=True)
class Broken:
    """A value whose fault has been noted already: whoever reads it passes it over."""

    line: int


Node = Scalar | Listing | Table | Broken


@dataclass(slots=True)
class Faults:
    """Collects the faults of one file; text from the file is made printable, since it ends on a terminal."""

    file: str
    found: list[Fault] = field(default_factory=list)

    def add(self, line: int, where: str, message: str) -> None:
        self.found.append(Fault(self.file, line, printable(message), printable(where)))

    def fatal(self, line: int, message: str, where: str = "") -> InputFaults:
        self.add(line, where, message)
        return InputFaults(self.found)

    def check(self) -> None:
        if self.found:
            raise InputFaults(self.found)


def printable(text: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def parse(text: str, faults: Faults) -> Node | None:
    """The tree of a YAML text, None where it says nothing. Faults that leave no tree at all are raised at once."""
    odd = _CONTROL.search(text)
    if odd:
        line = text.count("\n", 0, odd.start()) + 1
        raise faults.fatal(line, f"a character that no text file has (U+{ord(odd.group()):04X}): delete it")
    try:
        _measure(text, faults)
        root = _LOADER(text).get_single_node()
        return None if root is None else _Walk(faults).node(root, "", 0)
    except yaml.YAMLError as error:
        line, message = plain_words(error, text)
        raise faults.fatal(line, message) from None
    except RecursionError:
        raise faults.fatal(0, "nested too deeply") from None


def plain(node: Node) -> Any:
    """The tree as ordinary dicts, lists and values. Dates stay text, as they were written."""
    match node:
        case Table():
            return {key: plain(entry.node) for key, entry in node.entries.items()}
        case Listing():
            return [plain(item) for item in node.items]
        case Scalar():
            return node.value
    return None


def _measure(text: str, faults: Faults) -> None:
    """Counts before composing: the composer recurses, in C too, where no recursion limit guards the stack."""
    depth = nodes = 0
    for event in yaml.parse(text, Loader=_LOADER):
        line = event.start_mark.line + 1 if event.start_mark else 0
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        nodes += isinstance(event, yaml.NodeEvent)
        if depth > MAX_DEPTH:
            raise faults.fatal(line, f"nested too deeply (more than {MAX_DEPTH} levels)")
        if nodes > MAX_NODES:
            raise faults.fatal(line, f"too large: more than {MAX_NODES:,} values")


class _Walk:
    """One pass over composed nodes. An alias is walked wherever it stands, so what it expands to is what counts."""

    def __init__(self, faults: Faults):
        self._faults = faults
        self._left = MAX_NODES
        self._open: set[int] = set()
        self._build = yaml.constructor.SafeConstructor()

    def node(self, node: yaml.Node, path: str, depth: int) -> Node:
        line = node.start_mark.line + 1
        self._left -= 1
        if self._left < 0 or depth > MAX_DEPTH:
            raise self._faults.fatal(line, f"aliases that expand to more than {MAX_NODES:,} values", path)
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, line, path)
        if id(node) in self._open:
            raise self._faults.fatal(line, "an alias that holds itself", path)
        if node.tag not in (_TAG + "map", _TAG + "seq"):
            return self._unknown_tag(node, line, path)
        self._open.add(id(node))
        try:
            if isinstance(node, yaml.MappingNode):
                return self._table(node, line, path, depth)
            items = [self.node(item, f"{path}[{i}]", depth + 1) for i, item in enumerate(node.value)]
            return Listing(line, items)
        finally:
            self._open.discard(id(node))

    def _scalar(self, node: yaml.ScalarNode, line: int, path: str) -> Node:
        text: str = node.value
        build = self._build
        try:
            match node.tag.removeprefix(_TAG):
                case "str" | "timestamp" | "!" | "merge" | "value":
                    number = not node.style and _EXPONENT.fullmatch(text)
                    return Scalar(line, float(text) if number else text, text)
                case "int":
                    return Scalar(line, build.construct_yaml_int(node), text)
                case "float":
                    return Scalar(line, build.construct_yaml_float(node), text)
                case "bool":
                    return Scalar(line, build.construct_yaml_bool(node), text)
                case "null":
                    return Scalar(line, None, text)
        except (ValueError, KeyError, IndexError, OverflowError):
            self._faults.add(line, path, "a value that does not fit its type")
            return Broken(line)
        return self._unknown_tag(node, line, path)

    def _unknown_tag(self, node: yaml.Node, line: int, path: str) -> Broken:
        tag = node.tag.replace(_TAG, "!!")
        self._faults.add(line, path, f"the tag {tag} has no meaning here: delete it")
        return Broken(line)

    def _table(self, node: yaml.MappingNode, line: int, path: str, depth: int) -> Table:
        entries: dict[str, Entry] = {}
        merged: list[Table] = []
        for key, value in node.value:
            at = key.start_mark.line + 1
            if key.tag == _TAG + "merge":
                merged += self._merged(value, path, depth)
            elif not isinstance(key, yaml.ScalarNode):
                self._faults.add(at, path, "a key has to be a plain word")
            elif key.value in entries:
                first = entries[key.value].line
                self._faults.add(at, join(path, key.value), f"a duplicate: it stands in line {first} already")
            else:
                entries[key.value] = Entry(at, self.node(value, join(path, key.value), depth + 1))
        for table in merged:
            for name, entry in table.entries.items():
                entries.setdefault(name, entry)
        return Table(line, entries)

    def _merged(self, value: yaml.Node, path: str, depth: int) -> Iterator[Table]:
        sources = value.value if isinstance(value, yaml.SequenceNode) else [value]
        for source in sources:
            table = self.node(source, path, depth + 1)
            if isinstance(table, Table):
                yield table
            elif not isinstance(table, Broken):
                self._faults.add(table.line, join(path, "<<"), "expected a mapping to merge")
