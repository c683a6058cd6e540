"""The bytes of a prompt set: opened, spooled or unpacked once, then read as lines as often as it is wanted."""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import stat
import sys
import tempfile
import weakref
import zlib
from collections.abc import Callable, Iterator
from typing import BinaryIO

from llmfan.errors import Fault, InputFaults, UserError, near

MAX_LINE = 16 * 1024 * 1024
_GZIP = b"\x1f\x8b"
_CHUNK = 256 * 1024


class LineFile:
    """A regular file behind one descriptor, so that a file put in its place later changes nothing.

    A file written to in place does: every read compares size and time of change with those at the start. Reads seek
    first, so any number of readers may take turns; they must be of one thread.
    """

    def __init__(self, name: str, fd: int):
        self.name = name
        self._fd = fd
        self._stamp = self._look()
        self.size = self._stamp[0]
        self.close = weakref.finalize(self, os.close, fd)

    def lines(self, *, chunk: int = _CHUNK, tap: Callable[[bytes], None] | None = None) -> Iterator[bytes | None]:
        """Every physical line without its `\\n`; None for one above 16 MiB. `tap` gets the raw bytes as they pass."""
        position, rest, skipping = 0, b"", False
        while piece := self._read(position, chunk):
            position += len(piece)
            if tap is not None:
                tap(piece)
            head, *lines = piece.split(b"\n")
            if not skipping:
                rest += head
            if lines:
                yield None if skipping or len(rest) > MAX_LINE else rest
                rest, skipping = lines.pop(), False
                yield from lines
            if len(rest) > MAX_LINE:
                rest, skipping = b"", True
        if rest or skipping:
            yield None if skipping else rest

    def line_at(self, position: int) -> bytes:
        """The line that starts here."""
        line, size = b"", 4096
        while piece := self._read(position + len(line), size):
            end = piece.find(b"\n")
            if end >= 0:
                return line + piece[:end]
            line, size = line + piece, min(size * 4, _CHUNK)
        return line

    def changed(self) -> UserError:
        return UserError(f"{self.name}: changed while the run was reading it; start again with a file that stays")

    def _read(self, position: int, size: int) -> bytes:
        if self._look() != self._stamp:
            raise self.changed()
        os.lseek(self._fd, position, os.SEEK_SET)
        return os.read(self._fd, size)

    def _look(self) -> tuple[int, int]:
        now = os.fstat(self._fd)
        return now.st_size, now.st_mtime_ns


class Opened:
    """A prompt set's lines, and what identifies its raw bytes. `sha256` is None until the lines have been read once."""

    def __init__(self, lines: LineFile, size: int, sha256: str | None):
        self.lines, self.size, self.sha256 = lines, size, sha256


def open_prompts(path: str, spool_dir: str | None, stdin: BinaryIO | None) -> Opened:
    """Opens a file, `-` or a pipe. What cannot be read twice is spooled, what is gzip unpacked where nobody sees it."""
    name = "stdin" if path == "-" else path
    if path == "-":
        fd = _spool(stdin or sys.stdin.buffer, spool_dir)
    else:
        fd = _open(path)
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            with os.fdopen(fd, "rb", closefd=True) as pipe:
                fd = _spool(pipe, spool_dir)
    size = os.fstat(fd).st_size
    os.lseek(fd, 0, os.SEEK_SET)
    if os.read(fd, 2) != _GZIP:
        return Opened(LineFile(name, fd), size, None)
    with os.fdopen(fd, "rb") as packed:
        packed.seek(0)
        digest = hashlib.file_digest(packed, "sha256").hexdigest()
        packed.seek(0)
        return Opened(LineFile(name, _unpack(name, packed)), size, digest)


def _open(path: str) -> int:
    try:
        if os.path.isdir(path):
            raise _unusable(path, "is a directory; name the JSONL file itself")
        return os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    except FileNotFoundError:
        raise _unusable(path, f"no such file{_neighbour(path)}") from None
    except (OSError, ValueError) as e:
        raise _unusable(path, f"cannot be read: {getattr(e, 'strerror', None) or e}") from None


def _neighbour(path: str) -> str:
    try:
        return near(os.path.basename(path), os.listdir(os.path.dirname(path) or "."))
    except OSError:
        return ""


def _spool(source: BinaryIO, folder: str | None) -> int:
    """Copies into the run's folder, where `--resume` finds the same lines; without one, into a nameless file."""
    try:
        if folder is None:
            fd = _nameless()
        else:
            os.makedirs(folder, mode=0o700, exist_ok=True)
            flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0)
            fd = os.open(os.path.join(folder, "prompts.jsonl"), flags, 0o600)
            os.chmod(os.path.join(folder, "prompts.jsonl"), 0o600)
        with os.fdopen(fd, "wb", closefd=False) as spool:
            shutil.copyfileobj(source, spool, _CHUNK)
    except OSError as e:
        raise UserError(f"cannot keep a copy of the prompts from stdin: {e.strerror or e}") from None
    return fd


def _unpack(name: str, packed: BinaryIO) -> int:
    fd = _nameless()
    try:
        with os.fdopen(fd, "wb", closefd=False) as plain, gzip.GzipFile(fileobj=packed, mode="rb") as unpacked:
            shutil.copyfileobj(unpacked, plain, _CHUNK)
    except (EOFError, zlib.error, gzip.BadGzipFile) as e:
        os.close(fd)
        raise _unusable(name, f"is gzip, and damaged or cut off ({e}); pack it again") from None
    except OSError as e:
        os.close(fd)
        raise UserError(f"{name}: cannot be unpacked: {e.strerror or e}") from None
    return fd


def _nameless() -> int:
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def _unusable(path: str, why: str) -> InputFaults:
    return InputFaults([Fault(path, 0, why)])
