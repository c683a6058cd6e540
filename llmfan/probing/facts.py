"""What the answer of a key check tells, by the paths of the catalogue."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from llmfan.dialects.bodies import one_line, plain
from llmfan.probing.findings import Reading
from llmfan.settings import KeyFacts


class Facts(Struct, frozen=True, kw_only=True):
    """`spent`: no money is left. `inactive`: the word that stands where `active` should."""

    account: str = ""
    spent: bool = False
    inactive: str = ""
    axis: str = ""
    reading: Reading | None = None


def facts_in(body: bytes, paths: KeyFacts) -> Facts:
    value = plain(body)
    account = _at(value, paths.account)
    reading = _reading(_at(value, paths.requests))
    return Facts(
        account=one_line(str(account)) if isinstance(account, str | int) and not isinstance(account, bool) else "",
        spent=_is_spent(_at(value, paths.credit)),
        inactive=_inactive(value, paths.active),
        axis=paths.requests_axis if reading is not None else "",
        reading=reading,
    )


def _at(value: Any, path: str) -> Any:
    """What stands at a dotted path; a number picks out of a list. None: nothing, or no path."""
    if not path:
        return None
    for part in path.split("."):
        if isinstance(value, dict):
            value = value.get(part)
        elif isinstance(value, list) and part.isdigit() and int(part) < len(value):
            value = value[int(part)]
        else:
            return None
    return value


def _is_spent(credit: Any) -> bool:
    if isinstance(credit, bool):
        return not credit
    amount = _number(credit)
    return amount is not None and amount <= 0


def _inactive(value: Any, rule: str) -> str:
    path, _, wanted = rule.partition("=")
    word = _at(value, path)
    return one_line(word) if isinstance(word, str) and word != wanted else ""


def _reading(value: Any) -> Reading | None:
    if not isinstance(value, dict):
        return None
    limit, remaining = _number(value.get("limit")), _number(value.get("remaining"))
    return None if limit is None and remaining is None else Reading(limit=limit, remaining=remaining)


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):  # a provider may say anything: a whole number of four hundred digits
        return None
    return number if abs(number) < float("inf") else None
