"""Makes untrusted text harmless to look at: what a server, a model or a file says reaches a terminal only through here.

Rich lets clear-screen, OSC 52 (the clipboard), C1 controls and direction overrides through in table cells, so they are
turned into visible escapes before it sees them.
"""

from __future__ import annotations

import re

#: C0, DEL and C1; what has no width or turns the direction; line and paragraph separators; tags; lone surrogates.
_HARMFUL = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f"
    "\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\ud800-\udfff\U000e0000-\U000e0fff]"
)
_SHORT = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}


def clean(text: str, limit: int = 200) -> str:
    """One line of at most `limit` characters, in which every harmful character is a visible escape such as `\\x1b`."""
    head = text[: limit + 1]  # an escape is never shorter than what it stands for
    if not head.isascii() or not head.isprintable():
        head = _HARMFUL.sub(_visible, head)
    return head if len(head) <= limit else head[: max(0, limit - 1)] + "…"


def _visible(match: re.Match[str]) -> str:
    char = match[0]
    code = ord(char)
    if char in _SHORT:
        return _SHORT[char]
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
