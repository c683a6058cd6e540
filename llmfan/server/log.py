"""The log: a plain line for each call, never with a prompt, an answer, a key or a token in it.

Written by a thread of its own, some lines at a time: where nobody reads the pipe behind stderr a write waits for ever,
and the service with it.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import os
import queue
import threading
from collections.abc import Callable

from msgspec import Struct

from llmfan.outputs.clean import clean

#: Seconds for which lines are gathered, and how many may wait before lines are dropped.
GATHER_S, MOST = 0.05, 5_000
#: Seconds that the end waits for what is still to be written.
LAST_S = 1.0
#: A caller that went away before its answer; the status other servers log for it.
GONE = 499
#: Why a call was not sent → how its line ends.
REFUSED = {
    "wait": "refused: no permit in time",
    "full": "refused: the queue is full",
    "nothing_left": "refused: nothing is left that can serve it",
    "closing": "refused: the service is being stopped",
}
LEFT = "the caller went away"


class CallNote(Struct, kw_only=True):
    """What is told of one call. `end`: what became of it, "" where it went well; `broke`: after its first byte.

    `status` 0: nothing is to be told yet; `id` "": the fleet was not asked.
    """

    began: float = 0.0
    id: str = ""
    status: int = 0
    seconds: float = 0.0
    provider: str = ""
    model: str = ""
    key: str = ""
    attempts: int = 0
    wait: float = 0.0
    end: str = ""
    streamed: bool = False
    broke: bool = False


class Log:
    """`write` may wait as long as it likes. `quiet`: failures only."""

    def __init__(self, write: Callable[[bytes], None], *, quiet: bool = False):
        self._write, self._quiet = write, quiet
        self._lines: list[str] = []
        self._dropped = 0
        self._timer: asyncio.TimerHandle | None = None
        self._batches: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="log", daemon=True)
        self._busy = False
        self._thread.start()

    def call(self, note: CallNote) -> None:
        if not self._quiet or note.end:
            self.say(spelled(note))

    def refused(self, status: int, method: str, path: str, why: str) -> None:
        """A request that was no call: a wrong path, another origin, a missing token."""
        self.say(f"{status} {clean(method, 16)} {clean(path, 80)}: {why}")

    def say(self, text: str) -> None:
        """One line, cleaned."""
        if len(self._lines) >= MOST:
            self._dropped += 1
            return
        moment = dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        self._lines.append(f"{moment} {clean(text, 400)}")
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(GATHER_S, self._hand_over)

    def close(self) -> None:
        """Writes what is left, if anybody takes it."""
        if self._timer is not None:
            self._timer.cancel()
        self._put()
        self._batches.put(None)
        self._thread.join(LAST_S)

    def _hand_over(self) -> None:
        self._timer = None
        if self._busy:  # the last batch is not written yet: these wait here, where they are counted
            self._timer = asyncio.get_running_loop().call_later(GATHER_S, self._hand_over)
            return
        self._put()

    def _put(self) -> None:
        if self._dropped:
            self._lines.append(f"{self._dropped} lines are left out: the log was not read fast enough")
            self._dropped = 0
        if self._lines:
            self._busy = True
            self._batches.put(("\n".join(self._lines) + "\n").encode("utf-8", "replace"))
            self._lines.clear()

    def _work(self) -> None:
        while (batch := self._batches.get()) is not None:
            try:
                self._write(batch)
            except OSError:
                pass  # nobody reads it any more: the service goes on in silence
            self._busy = False


def to_stderr(data: bytes) -> None:
    """Past Python's own buffers: their locks would hold the process's end back while a write waits."""
    while data:
        data = data[os.write(2, data) :]


def spelled(note: CallNote) -> str:
    """`200 chatcmpl-… acme/some-model by acme#2, 1 attempt, waited 0.003 s, took 0.840 s`."""
    took = f"took {note.seconds:.3f} s"
    if not note.id:
        return f"{note.status} {clean(note.end, 160)}, {took}"
    who = f" {note.provider}/{note.model} by {note.key}" if note.provider else ""
    words = [
        f"{note.status} {note.id}{who}", f"{note.attempts} attempt{'' if note.attempts == 1 else 's'}",
        f"waited {note.wait:.3f} s", took,
    ]  # fmt: skip
    if note.streamed:
        words.append("streamed")
    if note.end:
        words.append(f"broke off after it had begun: {note.end}" if note.broke else note.end)
    return ", ".join(words)
