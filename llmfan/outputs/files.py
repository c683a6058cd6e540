"""Files that the user named: written beside and put in place in one step, so that nobody reads half of one."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from llmfan.errors import UserError

#: What stands there is somebody's stream: it is written to, never replaced.
_STREAMS = ("/dev/", "/proc/")


def is_stream(path: Path) -> bool:
    return str(path.absolute()).startswith(_STREAMS) or (path.exists() and not path.is_file() and not path.is_dir())


def write_file(path: Path, pieces: Iterable[str | bytes]) -> None:
    """Replaces a file (of a link the one it leads to); a stream such as `/dev/stdout` or a pipe is written to."""
    try:
        if is_stream(path):
            _fill(path, "ab", pieces)
            return
        real = Path(os.path.realpath(path))
        temporary = real.with_name(f".{real.name}.{os.getpid()}.new")
        try:
            _fill(temporary, "wb", pieces)
            os.replace(temporary, real)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror or error}", exit_code=4) from None


def _fill(path: Path, how: str, pieces: Iterable[str | bytes]) -> None:
    with open(path, how) as file:
        for piece in pieces:
            # A lone half of a surrogate pair is no text that a file could hold.
            file.write(piece if isinstance(piece, bytes) else piece.encode("utf-8", "replace"))
