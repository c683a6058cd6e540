"""The run's folder: results and attempts, appended line by line as they end, and what is in flight right now.

A result is written before its attempt's line, and both before its slot in `in_flight` is freed: after a kill -9
whatever has a result is finished, and whatever stands in a slot without one may have been billed. The slots are
memory shared with the file, so marking a request costs no system call.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import mmap
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from llmfan.errors import UserError
from llmfan.records import AttemptLine, ResultLine

SLOT = 1024
RESULTS, ATTEMPTS, IN_FLIGHT, RUN, SUMMARY = (
    "results.jsonl",
    "attempts.jsonl",
    "in_flight.jsonl",
    "run.json",
    "summary.json",
)
SYNC_S = 0.5
_BLANK = b" " * (SLOT - 1)


class InFlightNote(msgspec.Struct, frozen=True, kw_only=True):
    """What a slot holds: enough to name a request that never came back, and to write its line."""

    id: str
    repeat: int
    attempt: int
    turn: int
    provider: str
    model: str
    key: str
    started_at: str
    sent_s: float
    mark: str = ""


class RunJournal:
    """The open files of a run's folder. Locked: a second process is refused."""

    def __init__(self, folder: Path, slots: int, lock: int):
        self.folder = folder
        self._encode = msgspec.json.Encoder().encode
        self._lock = lock
        self._results = _append(folder / RESULTS)
        self._attempts = _append(folder / ATTEMPTS)
        self._slots: mmap.mmap | None = None
        self._free = list(range(slots - 1, -1, -1))
        self._count = slots
        self._dirty = False
        self.broken: OSError | None = None

    def open_slots(self) -> None:
        """Begins a new list of what is in flight. What an old one held must be in attempts.jsonl by now."""
        self.sync()
        self._slots = _slots(self.folder / IN_FLIGHT, self._count)

    def sent(self, note: InFlightNote, mark: Callable[[], str]) -> int:
        """Marks a request as in flight, before it leaves. `mark` identifies its job where the id is too long."""
        assert self._slots is not None
        slot = self._free.pop()
        line = self._encode(note)
        if len(line) >= SLOT:
            short = {name: getattr(note, name)[:60] for name in ("id", "provider", "model", "key")}
            line = self._encode(msgspec.structs.replace(note, **short, mark=mark()))
        at = slot * SLOT
        self._slots[at : at + len(line)] = line
        return slot

    def ended(self, slot: int, attempt: AttemptLine, result: ResultLine | None) -> bool:
        """Writes what became of a request. False: it could not be kept, and its slot stays as it was."""
        if result is not None:
            self.result(result)
        self.attempt(attempt)
        if self.broken is not None:
            return False
        self.free(slot)
        return True

    def result(self, result: ResultLine) -> None:
        self._write(self._results, self._encode(result) + b"\n")

    def attempt(self, attempt: AttemptLine) -> None:
        self._write(self._attempts, self._encode(attempt) + b"\n")

    def free(self, slot: int) -> None:
        assert self._slots is not None
        at = slot * SLOT
        self._slots[at : at + SLOT - 1] = _BLANK
        self._free.append(slot)

    async def keep_synced(self) -> None:
        """Hands what was written to the disk, at least once a second, off the loop."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(SYNC_S)
            if self._dirty:
                await loop.run_in_executor(None, self.sync)

    def sync(self) -> None:
        self._dirty = False
        for fd in (self._results, self._attempts):
            try:
                os.fsync(fd)
            except OSError as error:
                if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EROFS):  # a pipe or /dev/null cannot
                    self.broken = error

    def close(self) -> None:
        self.sync()
        if self._slots is not None:
            with contextlib.suppress(OSError):
                self._slots.flush()
            self._slots.close()
        for fd in (self._results, self._attempts, self._lock):
            os.close(fd)
        if self._slots is not None and len(self._free) == self._count:
            (self.folder / IN_FLIGHT).unlink(missing_ok=True)

    def _write(self, fd: int, line: bytes) -> None:
        """One whole line. A full disk ends the run at once: answers that cannot be kept are paid for nothing."""
        if self.broken is not None:
            return
        try:
            done = os.write(fd, line)
            while done < len(line):
                done += os.write(fd, line[done:])
        except OSError as error:
            self.broken = error
        self._dirty = True


def refuse_other_run(folder: Path) -> None:
    if (folder / RUN).exists() or _size(folder / RESULTS):
        raise UserError(f"{folder}: holds another run (use --resume to go on with it, or another --out)")


def create_folder(folder: Path) -> None:
    """Makes a new run's folder (0700); one that holds a run already is refused."""
    refuse_other_run(folder)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.chmod(folder, 0o700)
    except OSError as error:
        raise UserError(f"{folder}: cannot be made: {error.strerror}") from None


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def write_whole(path: Path, value: object) -> None:
    """Replaces a JSON file in one step: a reader sees the old one or the new one."""
    temporary = path.with_name(path.name + ".new")
    try:
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror}", exit_code=4) from None


def repair(path: Path) -> bool:
    """Cuts a torn last line off (kept beside it as `.torn`); True if there was one."""
    try:
        with open(path, "r+b") as file:
            size = file.seek(0, os.SEEK_END)
            end = _last_newline(file.fileno(), size)
            if end == size:
                return False
            file.seek(end)
            torn = file.read()
            fd = os.open(path.with_name(path.name + ".torn"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            os.write(fd, torn + b"\n")
            os.close(fd)
            file.truncate(end)
            return True
    except FileNotFoundError:
        return False


def read_lines(path: Path) -> Iterator[bytes]:
    """The lines of a journal file; nothing where there is none."""
    try:
        with open(path, "rb") as file:
            yield from file
    except FileNotFoundError:
        return


def left_in_flight(folder: Path) -> list[InFlightNote]:
    """Requests that had left and had not come back when the run was cut off."""
    notes = []
    for line in read_lines(folder / IN_FLIGHT):
        if line.strip():
            with contextlib.suppress(msgspec.DecodeError):
                notes.append(msgspec.json.decode(line.rstrip(b" \n"), type=InFlightNote))
    return notes


def _last_newline(fd: int, size: int) -> int:
    """The offset behind the last newline."""
    at = size
    while at > 0:
        start = max(0, at - 65536)
        piece = os.pread(fd, at - start, start)
        found = piece.rfind(b"\n")
        if found >= 0:
            return start + found + 1
        at = start
    return 0


def _append(path: Path) -> int:
    try:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise UserError(f"{path}: cannot be opened for writing: {error.strerror}") from None


def lock_folder(folder: Path) -> int:
    """Keeps a second process out for as long as the descriptor is open."""
    fd = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        raise UserError(f"{folder}: another llmfan is running in it") from None
    return fd


def _slots(path: Path, slots: int) -> mmap.mmap:
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        blank = (b" " * (SLOT - 1) + b"\n") * slots
        if os.write(fd, blank) < len(blank):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return mmap.mmap(fd, SLOT * slots)
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror}", exit_code=4) from None
    finally:
        os.close(fd)


def make_private(folder: Path) -> None:
    """Makes a folder only its owner can look into."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder}: cannot be made: {error.strerror}") from None
