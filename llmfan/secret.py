"""A secret is a type that prints as a mask. It is unwrapped where a request's header is built, and nowhere else."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec


class Secret:
    """An API key. `reveal()` gives the text; everything else shows `…` and at most its last four characters."""

    __slots__ = ("_text",)

    def __init__(self, text: str):
        self._text = text

    def reveal(self) -> str:
        return self._text

    @property
    def mask(self) -> str:
        return "…" + self._text[-4:] if len(self._text) >= 12 else "…"

    def __repr__(self) -> str:
        return f"<secret {self.mask}>"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)


class SealedHeaders(dict[str, str]):
    """Request headers that hold a secret: usable as a mapping, masked when printed."""

    def __repr__(self) -> str:
        return f"<headers {', '.join(self)}>"

    __str__ = __repr__


class Redactor:
    """Cuts every known secret out of a text: servers do quote keys back in their error messages.

    Very short keys (under 6 characters) are left alone: cutting them would garble ordinary words.
    """

    def __init__(self, texts: Iterable[str]):
        self._texts = sorted({t for t in texts if len(t) >= 6}, key=len, reverse=True)
        self._raw = list(dict.fromkeys(form.encode() for t in self._texts for form in (t, _in_json(t))))

    def document(self, value: dict[str, Any]) -> dict[str, Any]:
        """A JSON document without them: a user can put a key anywhere, a field that is written down included."""
        text = msgspec.json.encode(value).decode()
        if not any(t in text or _in_json(t) in text for t in self._texts):
            return value
        clean = Redactor([*self._texts, *map(_in_json, self._texts)])(text)
        return msgspec.json.decode(clean, type=dict[str, Any])

    def raw(self, data: bytes) -> bytes:
        """A document as it goes over the wire, without them. A key that is cut in two by a stream is not seen."""
        data = self._cut(data)
        if self._raw and (b"\\u" in data or b"\\/" in data):  # JSON knows several ways to write a character
            try:
                usual = msgspec.json.encode(msgspec.json.decode(data))
            except (msgspec.DecodeError, UnicodeError, RecursionError):
                return data
            return data if (clean := self._cut(usual)) == usual else clean
        return data

    def _cut(self, data: bytes) -> bytes:
        for t in self._raw:
            data = data.replace(t, b"[key]")
        return data

    def __call__(self, text: str) -> str:
        for t in self._texts:
            if t in text:
                text = text.replace(t, "[key]")
        return self._without_tail(text) if text.endswith("…") else text

    def _without_tail(self, text: str) -> str:
        """A text that was cut may end in the beginning of a key."""
        for t in self._texts:
            for length in range(len(t) - 1, 5, -1):
                if text.endswith(t[:length] + "…"):
                    return text[: -length - 1] + "[key]…"
        return text


def _in_json(text: str) -> str:
    return msgspec.json.encode(text).decode()[1:-1]
