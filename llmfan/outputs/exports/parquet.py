"""Results as Parquet, a batch of rows at a time: columns keep their types, and texts are as they came."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import IO, Any

from llmfan.errors import UserError
from llmfan.outputs.exports.columns import COLUMNS
from llmfan.records import ResultLine

#: A batch ends at so many rows, or at so many characters of text.
ROWS, CHARACTERS = 4096, 1 << 24


def write_parquet(results: Iterable[tuple[str, ResultLine]], file: IO[bytes]) -> None:
    """A row for each (name of its run, result); `expect`, `metadata`, `turns` and `tool_calls` are JSON text: they may
    have any shape, and another one in each row.
    """
    pyarrow, parquet = _libraries()
    types = {"text": pyarrow.string(), "whole": pyarrow.int64(), "number": pyarrow.float64(), "truth": pyarrow.bool_()}
    schema = pyarrow.schema([("run", pyarrow.string()), *((c.name, types[c.kind]) for c in COLUMNS)])
    with parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        for columns in _batches(results):
            arrays = [pyarrow.array(values, type=field.type) for values, field in zip(columns, schema, strict=True)]
            writer.write_batch(pyarrow.RecordBatch.from_arrays(arrays, schema=schema))


def need_parquet() -> None:
    """Raises where the extra is missing, before a journal is read."""
    _libraries()


def _libraries() -> tuple[Any, Any]:
    try:
        import pyarrow  # type: ignore[import-untyped]
        import pyarrow.parquet  # type: ignore[import-untyped]
    except ImportError:
        raise UserError("""this needs the extra "analysis": python3 -m pip install 'llmfan[analysis]'""") from None
    return pyarrow, pyarrow.parquet


def _batches(results: Iterable[tuple[str, ResultLine]]) -> Iterator[list[list[Any]]]:
    columns: list[list[Any]] = [[] for _ in range(len(COLUMNS) + 1)]
    characters = 0
    for run, result in results:
        columns[0].append(run)
        for values, column in zip(columns[1:], COLUMNS, strict=True):
            value = column.read(result)
            values.append(value)
            if column.kind == "text" and value is not None:
                characters += len(value)
        if len(columns[0]) >= ROWS or characters >= CHARACTERS:
            yield columns
            columns, characters = [[] for _ in columns], 0
    if columns[0]:
        yield columns
