"""The models a provider lists, in any of the forms in use, and the names nearest to one that it does not have."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

from msgspec import Struct

from llmfan.dialects.bodies import one_line, plain

NEAREST, ALIKE = 3, 0.6
_LONGEST_NAME = 200
#: Where a list may stand, and by what a model of it goes: where there is a `name` for people, it goes by its `id`.
_LISTS = {"data": ("id", "name"), "models": ("name", "id", "model"), "result": ("name", "id")}


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
    where = next((name for name in _LISTS if isinstance(value, dict) and isinstance(value.get(name), list)), "")
    rows: Any = value[where] if where else value
    if not isinstance(rows, list):
        return None
    names = tuple(name for row in rows if (name := _name(row, _LISTS[where or "data"])))
    return Listing(names, not (isinstance(value, dict) and _has_more(value, len(rows))))


def nearest(model: str, names: Iterable[str]) -> list[str]:
    """First those of the same last part (`gpt-x` for `vendor/gpt-x`) or a longer one, then those that look like it."""
    known = [name for name in dict.fromkeys(map(_bare, names)) if name != _bare(model)]
    last = _last(model)
    same = [name for name in known if _last(name) == last]
    longer = [name for name in known if len(last) > 3 and _last(name).startswith(last)]
    by_name = {name.lower(): name for name in reversed(known)}
    by_last = {_last(name): name for name in reversed(known)}
    alike = [by_name[found] for found in difflib.get_close_matches(model.lower(), by_name, n=NEAREST, cutoff=ALIKE)]
    ends = [by_last[found] for found in difflib.get_close_matches(last, by_last, n=NEAREST, cutoff=ALIKE)]
    return list(dict.fromkeys([*same, *longer, *alike, *ends]))[:NEAREST]


def _name(row: Any, fields: tuple[str, ...]) -> str:
    if isinstance(row, dict):
        row = next((row[name] for name in fields if isinstance(row.get(name), str) and row[name]), None)
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
