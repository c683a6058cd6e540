"""What YAML's parser complains about, in words that say what to do."""

from __future__ import annotations

import re

import yaml

#: (sign in the parser's message, what to say); the first that fits is taken.
_WORDS = (
    ("mapping values are not allowed", 'a ":" where none can stand: check the indentation, or put the text in quotes'),
    ("quoted scalar", "a quoted text with no closing quote, or a wrong escape in it"),
    (
        "found undefined alias",
        "a * refers to an anchor, and there is none of that name: put the text in quotes",
    ),
    ("expected a single document", 'one document a file: delete the "---" and what belongs to another file'),
    ("could not find expected ':'", 'expected "key: value"'),
    ("scanning an alias", "a * begins an alias in YAML: put the text in quotes"),
    ("scanning an anchor", "an & begins an anchor in YAML: put the text in quotes"),
    ("cannot start any token", "a text that begins with @, ` or % has to stand in quotes"),
    ("flow sequence", "a [ that is not closed, or a comma is missing"),
    ("flow mapping", "a { that is not closed, or a comma is missing"),
    ("block", "the indentation does not fit the lines above"),
    ("duplicate anchor", "two anchors of one name"),
)
_BARE_VARIABLE = re.compile(r"[\[{,][^\"'#]*\$\{")
_TAB_INDENT = re.compile(r" *\t")


def plain_words(error: yaml.YAMLError, text: str) -> tuple[int, str]:
    """(line, what is wrong and what to do). Never quotes the text: a key might stand in it."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    lines = text.splitlines() or [""]
    line = min(mark.line + 1, len(lines)) if mark else 0
    said = f"{getattr(error, 'context', '') or ''} {getattr(error, 'problem', '') or ''}"
    for near in (line, line - 1):
        if near > 0 and _TAB_INDENT.match(lines[near - 1]):
            return near, "tabs cannot indent YAML; use spaces"
    if line and _BARE_VARIABLE.search(lines[line - 1]):
        return line, 'not YAML: inside [ ] and { } write "${NAME}" in quotes, or $NAME'
    for sign, words in _WORDS:
        if sign in said:
            return line, f"not YAML: {words}"
    return line, "not YAML: this line cannot be read"
