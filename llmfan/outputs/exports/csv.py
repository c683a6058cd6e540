"""Results as CSV, for spreadsheets: nothing that a model said becomes a formula in one, or plays on a terminal."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator

from llmfan.outputs.exports.columns import COLUMNS
from llmfan.records import ResultLine

#: What makes a spreadsheet calculate: at the start, or behind blanks that it leaves out; full-width forms as well.
_FORMULA = re.compile("[\\s\u200b-\u200f\u2060\ufeff]*[=+\\-@＝＋－＠]|[\t\r\n]")
_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
#: Controls that a terminal obeys, but for tab and the ends of lines; NUL, which no reader takes; lone surrogates.
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
#: Pieces of about so many characters go to the file at once.
_PIECE = 1 << 16


def csv_text(results: Iterable[tuple[str, ResultLine]]) -> Iterator[str]:
    """The pieces of a file: a header, then a line for each (name of its run, result). Undefined figures are empty.

    Lines end as RFC 4180 has it; with another ending Python's writer would leave a lone carriage return unquoted.
    """
    buffer = io.StringIO()
    write = csv.writer(buffer, lineterminator="\r\n").writerow
    write(["run", *(column.name for column in COLUMNS)])
    for run, result in results:
        write([cell(run), *(cell(column.read(result)) for column in COLUMNS)])
        if buffer.tell() > _PIECE:
            yield buffer.getvalue()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue()


def cell(value: object) -> object:
    """Text made harmless: a `'` before what would be a formula, `\\x1b` for what a terminal would obey.

    A text that is a number stays one, so `-5` can be calculated with; numbers are no text.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str):
        return value
    safe = _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}" if ord(found[0]) < 256 else "\ufffd", value)
    return f"'{safe}" if _FORMULA.match(safe) and not _NUMBER.fullmatch(safe) else safe
