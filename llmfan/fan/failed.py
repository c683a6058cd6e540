"""A call without an answer, as an exception: no program should go on with a text that is None."""

from __future__ import annotations

from llmfan.records import ErrorInfo, ResultLine


class CallFailed(Exception):
    """`result` is the journal's record of it; `retry_after`: seconds until another try may be worth it, None where
    nobody knows.
    """

    def __init__(self, result: ResultLine, retry_after: float | None = None):
        super().__init__(result, retry_after)  # all of it, so that it can be copied to another process
        self.result, self.retry_after = result, retry_after

    @property
    def error(self) -> ErrorInfo:
        """`kind`, `message`, `http_status`."""
        return self.result.error or ErrorInfo("cancelled", "the call was ended before it was answered")

    def __str__(self) -> str:
        return f"{self.error.kind}: {self.error.message}"
