"""The common part of reading a stream: moments and gaps, caps, and what it was when it ended."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

from msgspec.structs import replace

from llmfan.dialects.bodies import mended
from llmfan.dialects.chunks import finished_calls
from llmfan.dialects.classify import classify_inside
from llmfan.dialects.sse import Events
from llmfan.dialects.verdicts import bad_response, filtered
from llmfan.records import Answer, Failure, Usage
from llmfan.settings import Preset

#: More text than this is no answer but a server gone mad.
TEXT_CAP = 64 * 2**20

ReadWhole = Callable[[bytes, Mapping[str, str]], Answer | Failure]


class Reading(ABC):
    """Reads one stream. A dialect's reader gives `_take` (the loop over events) and `_usage_seen`.

    A moment is noted once for each piece of the network that carried text, never for each event: events of one piece
    came at once, so the gaps between them are 0.
    """

    __slots__ = (
        "_calls", "_done", "_error", "_events", "_finish", "_first", "_first_output", "_gaps", "_garbled", "_last",
        "_loose", "_measure_at", "_now", "_preset", "_reasoning", "_received", "_started", "_text", "_whole",
        "tap",
    )  # fmt: skip

    def __init__(self, preset: Preset, whole: ReadWhole):
        self._preset = preset
        self._whole = whole
        self._events = Events()
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._calls: list[dict[str, Any]] = []
        self._gaps: list[tuple[float, int]] = []
        self._first: float | None = None
        self._first_output: float | None = None
        self._last = 0.0
        self._now = 0.0
        self._finish: str | None = None
        self._done = False
        self._started = False
        self._loose = False
        self._error: bytes | None = None
        self._garbled = ""
        self._received = 0
        self._measure_at = TEXT_CAP
        self.tap: Callable[[list[bytes]], None] | None = None  # is given the events that have been read

    def feed(self, data: bytes, now: float) -> None:
        if self._error is not None or self._garbled:
            return
        self._now = now
        self._received += len(data)
        if self._received > self._measure_at:
            self._measure()
        events = self._events.feed(data)
        if events:
            self._see(events, now)
        if self._events.overflow:
            self._garbled = "an event without an end: more than 16 MiB"

    @property
    def begun(self) -> bool:
        """Whether any text has come: an answer's, a thought's, a tool call's."""
        return self._first is not None

    @property
    def size(self) -> int:
        """Characters that have come so far."""
        size = sum(map(len, self._text)) + sum(map(len, self._reasoning))
        return size + sum(len(call["function"]["arguments"]) for call in self._calls)

    def finish(self) -> Answer | Failure:
        tail = self._events.rest()
        if tail and self._error is None and not self._garbled:
            # Half an event is no fault of its own: that the end sign is missing says it all.
            self._see(tail, self._now)
            self._garbled = ""
        if self._error is not None:
            return classify_inside(self._error, {}, self._preset, None, begun=self._first is not None)
        if self._garbled:
            return self._bad(self._garbled)
        if not self._events.seen:
            return self._no_stream()
        if not self._ended():
            return self._cut()
        if not self._started:
            return self._bad("a stream without an answer in it")
        return self._judge()

    @abstractmethod
    def _take(self, events: list[bytes]) -> int:
        """Reads events; how many of them carried text."""

    @abstractmethod
    def _usage_seen(self) -> Usage | None:
        """The last token counts that came; None if there were none."""

    def _see(self, events: list[bytes], now: float) -> None:
        count = self._take(events)
        if count:
            if self._first is None:
                self._first = now
                count -= 1
            else:
                self._gaps.append((now - self._last, 1))
                count -= 1
            if count:
                self._gaps.append((0.0, count))
            self._last = now
            if self._first_output is None and (self._text or self._calls):
                self._first_output = now
        if self.tap is not None:
            self.tap(events)

    def _ended(self) -> bool:
        return self._done or self._finish is not None

    def _judge(self) -> Answer | Failure:
        if self._finish == "content_filter":
            return filtered("the answer was stopped by a content filter")
        if self._finish == "error":
            return classify_inside(b"", {}, self._preset, None, begun=self._first is not None)
        return Answer(
            text=self._joined(self._text),
            reasoning=self._joined(self._reasoning) or None,
            finish_reason=self._finish,
            usage=self._usage_seen(),
            tool_calls=finished_calls(self._calls),
            first=self._first,
            first_output=self._first_output,
            gaps=self._gaps,
        )

    def _joined(self, parts: list[str]) -> str:
        text = "".join(parts)
        return mended(text) if self._loose else text

    def _no_stream(self) -> Answer | Failure:
        """No event at all: one plain document, where a server takes no notice of `stream`, or nothing of use."""
        answer = self._whole(self._events.leftover(), {})
        if isinstance(answer, Answer) and (answer.text or answer.reasoning or answer.tool_calls):
            return replace(
                answer, first=self._now, first_output=self._now if answer.text or answer.tool_calls else None
            )
        return answer

    def _cut(self) -> Failure:
        size = sum(map(len, self._text))
        message = f"the stream ended without an end sign, after {size} characters of the answer"
        return Failure(kind="truncated_stream", scope="provider", message=message, http_status=200, ambiguous=True)

    def _bad(self, message: str) -> Failure:
        return bad_response(message, ambiguous=self._first is not None)

    def _measure(self) -> None:
        """Text is never longer than the bytes it came in: so it is measured only when it could have passed the cap."""
        size = self.size
        if size > TEXT_CAP:
            self._garbled = "more than 64 MiB of text"
        self._measure_at = self._received + TEXT_CAP - size
