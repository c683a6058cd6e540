"""Text without what only decorates it: Unicode variants, Markdown, LaTeX wrapping, quotes that curl."""

from __future__ import annotations

import re
import unicodedata

#: Marks that look alike, each to the one on every keyboard. The dash between words (—) is no minus and stays.
_ALIKE = str.maketrans("‘’‚‛“”„‟«»‐‑‒–−⁄", '\'\'\'\'""""""-----/')
_UNSEEN = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]")
#: Each repetition is bounded or excludes its own end, so that no answer can make one slow.
_STRONG = re.compile(r"\*\*|__|~~|`")
_EMPHASIS = re.compile(r"(?<![\w*])\*(?=[^\s*])([^*\n]{1,200})\*(?![\w*])|(?<!\w)_([^_\n]{1,200})_(?!\w)")
_LATEX = re.compile(r"\\(?:text|textbf|mathrm|mathbf|mbox)\s*\{([^{}\n]{0,200})\}")
_FENCE = re.compile(r"\A\s*```[^\n`]*\n(.*?)\n?[ \t]*```\s*\Z", re.DOTALL)
_BULLET = re.compile(r"\A(?:[-*•>#]+\s+)+")
_PAIRS = {"(": ")", "[": "]", "{": "}", "<": ">", "$": "$"}
_EDGES = " \t\n\"'.,;:!?*_~"


def plain(text: str) -> str:
    """NFKC, unseen characters dropped, quotes and dashes straightened, Markdown emphasis and backticks dropped."""
    if not text.isascii():
        text = _UNSEEN.sub("", unicodedata.normalize("NFKC", text)).translate(_ALIKE)
    return _EMPHASIS.sub(lambda m: m[1] or m[2], _STRONG.sub("", text))


def unfenced(text: str) -> str:
    """The inside of an answer that is one code fence and nothing else."""
    fence = _FENCE.match(text) if "```" in text else None
    return fence[1] if fence else text


def unwrapped(text: str) -> str:
    r"""Without `\text{…}` and the like."""
    return _LATEX.sub(r"\1", text) if "\\" in text else text


def spaced(text: str) -> str:
    """Every run of blanks and line ends as one space."""
    return " ".join(text.split())


def bare(text: str) -> str:
    """Without bullets, quotes, sentence marks and brackets around the whole. A text of such marks alone stays."""
    left = _BULLET.sub("", text).strip(_EDGES)
    for _ in range(10):  # nobody means more brackets than that
        if len(left) < 3 or _PAIRS.get(left[0]) != left[-1]:
            break
        left = left[1:-1].strip(_EDGES)
    return left or text.strip()
