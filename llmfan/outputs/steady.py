"""A stream whose reader may leave: the run goes on, in silence."""

from __future__ import annotations

import os
from typing import IO

#: Marks that a terminal without UTF-8 gets in place of ours.
_PLAIN = str.maketrans({"—": "-", "…": "...", "━": "=", "╸": "-", "─": "-", "×": "x", "·": "-", "→": "->"})


class SteadyStream:
    """Writes as long as somebody reads. After the first failure (closed, EPIPE, a terminal that is gone) it drops all.

    Rich answers a broken pipe with SystemExit and points stdout at /dev/null even where stderr broke: a run must not
    end so, and its answers on stdout must not vanish with its progress on stderr.
    """

    def __init__(self, stream: IO[str]):
        self._stream = stream
        self.gone = False
        self.encoding: str = getattr(stream, "encoding", None) or "utf-8"

    def write(self, text: str) -> int:
        if not self.gone:
            try:
                self._stream.write(self._writable(text))
            except BlockingIOError:
                pass  # a terminal that somebody else made non-blocking: this piece is lost, the next may pass
            except (OSError, ValueError):
                self._leave()
        return len(text)

    def flush(self) -> None:
        if not self.gone:
            try:
                self._stream.flush()
            except BlockingIOError:
                pass
            except (OSError, ValueError):
                self._leave()

    def isatty(self) -> bool:
        try:
            return self._stream.isatty()
        except (OSError, ValueError, AttributeError):
            return False

    def fileno(self) -> int:
        return self._stream.fileno()

    def _writable(self, text: str) -> str:
        if text.isascii() or self.encoding.lower().startswith("utf"):
            return text
        return text.translate(_PLAIN).encode(self.encoding, "replace").decode(self.encoding)

    def _leave(self) -> None:
        """What is still buffered would fail again when Python ends, and change the exit code: it goes nowhere."""
        self.gone = True
        try:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)
        except (OSError, ValueError, AttributeError):
            pass  # not a real file, or closed already
