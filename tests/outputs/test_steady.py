"""A stream whose reader leaves does not take the run with it."""

from __future__ import annotations

import errno
import io
import os
import sys

import pytest

from llmfan.outputs.steady import SteadyStream


class Broken(io.StringIO):
    def __init__(self, number: int):
        super().__init__()
        self.number, self.writes = number, 0

    def write(self, text: str) -> int:
        self.writes += 1
        raise OSError(self.number, os.strerror(self.number))


@pytest.mark.parametrize("number", [errno.EPIPE, errno.EIO, errno.ENOSPC, errno.EBADF])
def test_a_broken_stream_is_left_in_peace(number: int) -> None:
    """`| head` or a closed terminal would end a run of hours."""
    broken = Broken(number)
    steady = SteadyStream(broken)
    for _ in range(3):
        steady.write("x")
        steady.flush()
    assert steady.gone
    assert broken.writes == 1


def test_a_closed_stream_is_left_in_peace() -> None:
    """`2>&-` would end a run with a ValueError."""
    closed = io.StringIO()
    closed.close()
    steady = SteadyStream(closed)
    steady.write("x")
    assert steady.gone
    assert not steady.isatty()


def test_a_full_pipe_loses_a_piece_and_not_the_rest() -> None:
    """A terminal shared with a program that made it non-blocking would go dark for good."""
    blocked = Broken(errno.EAGAIN)
    steady = SteadyStream(blocked)
    steady.write("x")
    steady.write("y")
    assert not steady.gone
    assert blocked.writes == 2


def test_a_pipe_without_reader_leaves_stdout_alone_and_nothing_to_fail_at_exit() -> None:
    """Rich would point stdout at /dev/null: the `--json` document would vanish because stderr broke."""
    before = os.fstat(sys.__stdout__.fileno()) if sys.__stdout__ else None
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as stream:
        steady = SteadyStream(stream)
        steady.write("x")
        steady.flush()
        assert steady.gone
        stream.flush()  # what Python does when it ends
    assert before is None or sys.__stdout__ is None or os.fstat(sys.__stdout__.fileno()).st_ino == before.st_ino


def test_marks_become_plain_where_the_encoding_lacks_them() -> None:
    """A locale without UTF-8 would end the run with a UnicodeEncodeError at the first dash."""
    raw = io.BytesIO()
    steady = SteadyStream(io.TextIOWrapper(raw, encoding="ascii"))
    steady.write("— 3 × 東 ━━╸──")
    steady.flush()
    assert raw.getvalue() == b"- 3 x ? ==---"
