"""A byte stream cut into events, whatever the pieces it comes in.

Bytes are split by event, not by line: almost every event is one `data:` line, and a line reader would cost more than
all the rest of a stream. Everything unusual (CR, several lines, comments, other fields) takes a slower way.
"""

from __future__ import annotations

from llmfan.dialects.bodies import encoded, plain

#: An event that is still not closed after so many bytes is a fault of the server, not an answer.
EVENT_CAP = 16 * 2**20

_BOM = b"\xef\xbb\xbf"
_FIELDS = (b"data", b"event", b"id", b"retry")


class Events:
    """Takes pieces, gives the `data` of each event that they close.

    `seen` counts events with data; `overflow` says that an event passed the cap. An event named `error` comes out as
    `{"error": …}` whatever it holds. What is no event stream at all (HTML, one JSON document) is kept for `leftover`.
    """

    __slots__ = ("_held", "_junk", "_junk_size", "_size", "_skip_lf", "overflow", "seen")

    def __init__(self) -> None:
        self.seen = 0
        self.overflow = False
        self._held: list[bytes] = []
        self._size = 0
        self._skip_lf = False
        self._junk: list[bytes] = []
        self._junk_size = 0

    def feed(self, data: bytes) -> list[bytes]:
        if b"\r" in data or self._skip_lf:
            data = self._plain_ends(data)
        if self._held:
            self._held.append(data)
            if b"\n" not in data:
                # A long event comes in many pieces: they are joined once, at its end.
                self._grow(len(data))
                return []
            data = b"".join(self._held)
            self._held.clear()
            self._size = 0
        parts = data.split(b"\n\n")
        tail = parts.pop()
        if tail:
            self._held.append(tail)
            self._grow(len(tail))
        if data.count(b"\n") == 2 * len(parts):
            found = [part[6:] for part in parts if part[:6] == b"data: "]
            if len(found) == len(parts):
                self.seen += len(found)
                return found
        return self._payloads(parts)

    def rest(self) -> list[bytes]:
        """What an event left open at the end of the stream holds: servers do forget the last blank line."""
        if not self._held:
            return []
        tail = b"".join(self._held)
        self._held.clear()
        return self._payloads([tail])

    def leftover(self) -> bytes:
        return b"\n\n".join(self._junk)

    def _payloads(self, parts: list[bytes]) -> list[bytes]:
        found = []
        for part in parts:
            if part[:6] == b"data: " and b"\n" not in part:
                found.append(part[6:])
            else:
                data = self._lines(part)
                if data is not None:
                    found.append(data)
        self.seen += len(found)
        return found

    def _lines(self, part: bytes) -> bytes | None:
        """An event of several lines: its data lines joined, None if it has none."""
        if not self.seen and part.startswith(_BOM):
            part = part[len(_BOM) :]
        data: list[bytes] = []
        name = b""
        strange = False
        for line in part.split(b"\n"):
            field, _, value = line.partition(b":")
            if field == b"data":
                data.append(value[1:] if value[:1] == b" " else value)
            elif field == b"event":
                name = value.strip()
            elif field and field not in _FIELDS:
                strange = True
        if not data:
            if strange and not self.seen:
                self._keep(part)
            return None
        joined = b"\n".join(data)
        return _as_error(joined) if name == b"error" else joined

    def _plain_ends(self, data: bytes) -> bytes:
        """CRLF and CR as LF. A piece may end between the two, so a CR at its end waits for its LF."""
        if self._skip_lf and data:
            self._skip_lf = False
            if data[:1] == b"\n":
                data = data[1:]
        if data[-1:] == b"\r":
            self._skip_lf = True
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _grow(self, size: int) -> None:
        self._size += size
        if self._size > EVENT_CAP:
            self.overflow = True
            self._held.clear()
            self._size = 0

    def _keep(self, part: bytes) -> None:
        self._junk_size += len(part)
        if self._junk_size > EVENT_CAP:
            self.overflow = True
        else:
            self._junk.append(part)


def _as_error(data: bytes) -> bytes:
    value = plain(data)
    if isinstance(value, dict) and value.get("error"):
        return data
    return encoded({"error": value or data.decode("utf-8", "replace") or "an error event without a reason"})
