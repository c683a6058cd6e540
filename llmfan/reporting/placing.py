"""Where a report goes: a private file, put in place in one step, and never over what is not to be lost."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO

from llmfan.errors import UserError
from llmfan.reporting.folder import OWN_FILES, RunFolder

#: Stands in the first bytes of every page that llmfan writes.
MARKER, WITHIN = b"<!-- llmfan ", 200


def check_place(path: Path, runs: Iterable[RunFolder], *, page: bool) -> None:
    """Refuses a place before any work is done. `page`: only an earlier page may be written over; what others were
    named for, as `--csv`, is theirs, but never a run's own file nor its prompt set.
    """
    if path.is_dir():
        raise UserError(f"{path}: is a directory; name a file in it")
    _check_folder(path)
    if not path.is_file():
        return
    for run in runs:
        mine = [run.path / name for name in OWN_FILES]
        prompts = (run.header.get("prompts") or {}).get("path")
        mine += [Path(prompts)] if prompts and prompts != "-" else []
        if any(each.exists() and each.samefile(path) for each in mine):
            raise UserError(f"{path}: belongs to the run {run.path}; name another file")
    if page and not _is_page(path):
        raise UserError(f"{path}: there already, and no page of llmfan's; name another file with --out")


def _check_folder(path: Path) -> None:
    """Of a link it is the folder that it points into that counts; of a pipe none does."""
    written = path
    if not path.exists() or path.is_file():
        written = Path(os.path.realpath(path)).parent
        for folder in (path.parent, written):
            if not folder.is_dir():
                raise UserError(f"{path}: there is no directory {folder}")
    if not os.access(written, os.W_OK):
        raise UserError(f"{path}: cannot be written: {os.strerror(errno.EACCES)}", exit_code=4)


def place(path: Path, write: Callable[[IO[bytes]], None]) -> None:
    """Writes beside and renames: nobody reads half a page. What is no plain file (a pipe) is written to as it is."""
    try:
        if path.exists() and not path.is_file():
            with open(path, "wb") as file:
                write(file)
            return
        target = Path(os.path.realpath(path))  # a link stays a link
        temporary = target.with_name(f".{target.name[:200]}.{os.getpid()}.new")
        try:
            with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                write(file)
            os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror or error}", exit_code=4) from None


def pieces(found: str | Iterable[str | bytes]) -> Callable[[IO[bytes]], None]:
    """Writes text piece by piece. A lone half of a surrogate pair is no text that a file could hold."""

    def write(file: IO[bytes]) -> None:
        for piece in [found] if isinstance(found, str) else found:
            file.write(piece if isinstance(piece, bytes) else piece.encode("utf-8", "replace"))

    return write


def _is_page(path: Path) -> bool:
    try:
        with open(path, "rb") as file:
            return MARKER in file.read(WITHIN)
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from None
