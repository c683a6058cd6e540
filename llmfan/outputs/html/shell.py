"""The frame of every page: one file that needs nothing from anywhere and may run nothing but its own scripts.

The marker after the doctype lets a page be told from somebody else's file before it is written over. Each script is
allowed by its hash: what a model or a provider said cannot run, wherever it stood in the page.
"""

from __future__ import annotations

import base64
import hashlib
import html
import re
from collections.abc import Iterable, Iterator
from importlib import resources

from llmfan.outputs.clean import clean

MARKER = "llmfan report"


def shell(
    title: str,
    body: Iterable[str],
    *,
    styles: str = "",
    scripts: Iterable[str] = (),
    marker: str = MARKER,
) -> Iterator[str]:
    """The pieces of a page around `body`, which is HTML already. `styles` come after the common ones."""
    ready = [_script(script) for script in scripts]
    yield f"<!doctype html>\n<!-- {_comment(marker)} -->\n"
    yield '<html lang="en">\n<head>\n<meta charset="utf-8">\n'
    yield f'<meta http-equiv="Content-Security-Policy" content="{_policy(ready)}">\n'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
    yield '<meta name="color-scheme" content="light dark">\n<meta name="referrer" content="no-referrer">\n'
    yield f"<title>{html.escape(clean(title))}</title>\n"
    yield f"<style>\n{_style(stylesheet() + styles)}</style>\n</head>\n<body>\n"
    for piece in body:
        yield plain(piece)
    for script in ready:
        yield f"\n<script>{script}</script>"
    yield "\n</body>\n</html>\n"


def stylesheet() -> str:
    """The styles that every page of llmfan's shares."""
    return asset("report.css")


def asset(name: str) -> str:
    """A file that lies beside this one, with bare line feeds wherever it was checked out."""
    text = resources.files(__package__ or "").joinpath(name).read_text(encoding="utf-8")
    return text.replace("\r\n", "\n")


def plain(text: str) -> str:
    """The text as a file can hold it: no half of a surrogate pair, which has no UTF-8, and no NUL."""
    return _UNWRITABLE.sub("\ufffd", text) if _UNWRITABLE.search(text) else text


_UNWRITABLE = re.compile("[\x00\ud800-\udfff]")


def _script(source: str) -> str:
    """A script that cannot end its own element, in the bytes that its hash is made of."""
    safe = source.replace("\r\n", "\n").replace("\r", "\n")
    return re.sub(r"<(?=/script|!--|script)", r"\\x3c", safe, flags=re.IGNORECASE)


def _policy(scripts: list[str]) -> str:
    allowed = " ".join(f"'sha256-{_digest(script)}'" for script in scripts) or "'none'"
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data:; "
        "connect-src 'none'; base-uri 'none'; form-action 'none'"
    )


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _style(css: str) -> str:
    return css.replace("</", "<\\/")


def _comment(text: str) -> str:
    return re.sub(r"-{2,}|[<>]", "-", text)
