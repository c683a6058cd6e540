"""The models a provider lists, in any of the forms in use, and the names nearest to one that it does not have."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

from msgspec import Struct

from llmfan.dialects.bodies import one_line, plain

NEAREST = 3
_LONGEST_NAME = 200
_LISTS = ("data", "models", "result")
_NAMES = ("id", "name", "model")


class Listing(Struct, frozen=True):
    """`whole`: nothing suggests that there are further pages."""

    names: tuple[str, ...]
    whole: bool = True

    def has(self, model: str) -> bool:
        """A partner or a plan may be named after a colon, which lists leave out."""
        names = {_bare(name) for name in self.names}
        return _bare(model) in names or _bare(model).partition(":")[0] in names


def listing_in(body: bytes) -> Listing | None:
    """`{"data": [{"id"}]}`, `{"models": [{"name"}]}`, `{"result": […]}`, or the bare list; None: this lists nothing."""
    value = plain(body)
    rows: Any = value
    if isinstance(value, dict):
        rows = next((value[name] for name in _LISTS if isinstance(value.get(name), list)), None)
    if not isinstance(rows, list):
        return None
    names = tuple(name for row in rows if (name := _name(row)))
    return Listing(names, not (isinstance(value, dict) and _has_more(value, len(rows))))


def nearest(model: str, names: Iterable[str]) -> list[str]:
    """Names that look like it, and before them those of the same last part (`gpt-x` for `vendor/gpt-x`)."""
    known = [name for name in dict.fromkeys(map(_bare, names)) if name != _bare(model)]
    last = _last(model)
    same = [name for name in known if _last(name) == last]
    by_last: dict[str, str] = {}
    for name in known:
        by_last.setdefault(_last(name), name)
    alike = difflib.get_close_matches(model.lower(), {n.lower(): n for n in known}, n=NEAREST, cutoff=0.6)
    lower = {name.lower(): name for name in known}
    ends = [by_last[found] for found in difflib.get_close_matches(last, by_last, n=NEAREST, cutoff=0.6)]
    return list(dict.fromkeys([*same, *(lower[found] for found in alike), *ends]))[:NEAREST]


def _name(row: Any) -> str:
    if isinstance(row, dict):
        row = next((row[name] for name in _NAMES if isinstance(row.get(name), str) and row[name]), None)
    return one_line(row) if isinstance(row, str) and len(row) <= _LONGEST_NAME else ""


def _has_more(value: dict[str, Any], rows: int) -> bool:
    if value.get("nextPageToken") or value.get("next_page_token") or value.get("has_more") is True:
        return True
    pages = value.get("result_info")
    total = pages.get("total_count") if isinstance(pages, dict) else None
    return isinstance(total, int) and total > rows


def _bare(name: str) -> str:
    return name.removeprefix("models/")


def _last(name: str) -> str:
    return name.rpartition("/")[2].partition(":")[0].lower()
