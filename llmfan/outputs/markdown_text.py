"""Tables and untrusted text in GitHub-flavoured Markdown.

What a server, a model or a file says stands in a code span. Nothing else is safe everywhere: a backslash keeps HTML,
links and emphasis out, but `@name` and `#12` are looked for in the finished page, where only code is left alone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from llmfan.outputs.clean import clean

_FENCE = re.compile("`+")
#: A backslash before an escaped bar is read in two ways; with a blank between them in one.
_BARS = re.compile(r"(\\?)\|")


def code(text: str, limit: int = 200) -> str:
    """One line of at most `limit` characters as a code span that is safe in a table cell; `—` for nothing."""
    shown = clean(text.strip(), limit)
    if not shown:
        return "—"
    shown = _BARS.sub(lambda bar: r"\ \|" if bar[1] else r"\|", shown)
    fence = "`" * (max((len(run) for run in _FENCE.findall(shown)), default=0) + 1)
    pad = " " if shown.startswith("`") or shown.endswith("`") else ""
    return f"{fence}{pad}{shown}{pad}{fence}"


def row(*cells: str) -> str:
    """Cells are finished Markdown."""
    return f"| {' | '.join(cells)} |"


def table(
    titles: Sequence[str], rows: Sequence[str], *, left: Sequence[int] = (), more: int = 0, what: str = ""
) -> str:
    """`left`: the columns that hold words, not figures; `more`: rows left out, said beneath. "" without rows."""
    if not rows:
        return ""
    line = "|".join(":---" if at in left else "---:" for at in range(len(titles)))
    lines = [row(*titles), f"|{line}|", *rows]
    if more > 0:
        lines += ["", f"… and {more:,} more {what}."]
    return "\n".join(lines)
