"""Files that the user named: written beside and put in place in one step, so that nobody reads half of one."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from llmfan.errors import UserError


def write_file(path: Path, pieces: Iterable[str | bytes]) -> None:
    """Replaces `path`; what is no plain file (`/dev/stdout`, a pipe) is written to as it is."""
    try:
        if path.exists() and not path.is_file():
            _fill(path, pieces)
            return
        temporary = path.with_name(f".{path.name}.{os.getpid()}.new")
        try:
            _fill(temporary, pieces)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror or error}", exit_code=4) from None


def _fill(path: Path, pieces: Iterable[str | bytes]) -> None:
    with open(path, "wb") as file:
        for piece in pieces:
            # A lone half of a surrogate pair is no text that a file could hold.
            file.write(piece if isinstance(piece, bytes) else piece.encode("utf-8", "replace"))
