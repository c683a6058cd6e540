"""What a report needs of the journal's lines, and nothing else of them: a million pass through it one by one."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from llmfan.records import ErrorInfo

#: The longest text that a report shows.
CUT = 2000
_ID = 200


class Tokens(Struct, frozen=True, gc=False):
    output_tokens: int = 0
    source: str = "server"


class Result(Struct, kw_only=True):
    """A line of results.jsonl. `shortened` says that a text of it was cut."""

    id: str
    status: str
    index: int = 0
    repeat: int = 0
    provider: str | None = None
    model: str | None = None
    key: str | None = None
    text: str | None = None
    usage: Tokens | None = None
    cost_usd: float | None = None
    wait_s: float | None = None
    retry_s: float | None = None
    ttft_s: float | None = None
    latency_s: float | None = None
    total_s: float | None = None
    attempts: int = 0
    error: ErrorInfo | None = None
    expect: Any = None
    score: float | None = None
    warmup: bool = False
    planned_s: float | None = None
    shortened: bool = False

    @property
    def ended(self) -> float | None:
        """Seconds into the run at which its last byte came."""
        return None if self.total_s is None else self.total_s + (self.planned_s or 0.0)

    def shorten(self) -> None:
        """Lets go of what is too long to be shown: a few thousand of these are kept, and each may hold megabytes."""
        self.id = self.id[:_ID]
        if self.text is not None:
            self.text = self._cut(self.text)
        if self.expect is not None:
            whole = self.expect if isinstance(self.expect, str) else msgspec.json.encode(self.expect).decode()
            self.expect = self._cut(whole)
        if self.error is not None:
            message = self._cut(self.error.message)
            self.error = ErrorInfo(self.error.kind, message, self.error.http_status)

    def _cut(self, text: str) -> str:
        if len(text) > CUT:
            self.shortened = True
        return text[:CUT]


class Attempt(Struct, kw_only=True, gc=False):
    """A line of attempts.jsonl."""

    id: str
    outcome: str
    provider: str = ""
    model: str = ""
    key: str = ""
    latency_s: float | None = None
    http_status: int | None = None
    sent_s: float = 0.0
    warmup: bool = False
    hedge: bool = False


result_line = msgspec.json.Decoder(Result).decode
attempt_line = msgspec.json.Decoder(Attempt).decode
